"""What an entry may say depends on its task: keys, labels, templates and training."""

import pytest
from catalogue import ENTRY, changed, refusal, write

from luxe import catalog


def of_task(task, *lines, labels=("O", "B-PER")):
    """A small entry of another task."""
    given = [f"labels = {list(labels)}"] if labels else []
    slo = ENTRY[ENTRY.index("[slo]") :]
    return "\n".join(['description = "d"', f'task = "{task}"', "max_length = 64", *given, *lines, slo])


CANDIDATES = ("sad", "glad")
TASKS = {
    "text-classification": ("red", "blue"),
    "token-classification": ("O", "B-PER"),
    "feature-extraction": (),
    "zero-shot-classification": CANDIDATES,
    "text-ranking": (),
}
KEYS = {
    'problem_type = "multi_label_classification"': ["text-classification"],
    "text_pairs = true": ["text-classification"],
    "review_threshold = 0.5": ["text-classification"],
    'aggregation_strategy = "first"': ["token-classification"],
    'pooling = "cls"': ["feature-extraction"],
    "normalize = false": ["feature-extraction"],
    'hypothesis_template = "It is {}."': ["zero-shot-classification"],
}


@pytest.mark.parametrize("task", TASKS)
def test_a_small_entry_of_each_task(project, task):
    write(project.root, of_task(task, labels=TASKS[task]))
    entry = catalog.load(project, "colours")
    assert (entry.task, entry.labels) == (task, TASKS[task])
    assert entry.problem_type == "single_label_classification"
    assert entry.hypothesis_template == "This example is {}."
    assert (entry.aggregation_strategy, entry.pooling, entry.normalize) == ("simple", "mean", True)


@pytest.mark.parametrize("line", KEYS)
@pytest.mark.parametrize("task", TASKS)
def test_a_key_of_other_tasks(project, task, line):
    key = line.partition(" =")[0]
    text = of_task(task, line, labels=TASKS[task])
    if task in KEYS[line]:
        write(project.root, text)
        assert key in catalog.load(project, "colours").model_fields_set
    else:
        assert refusal(project, text) == f"catalog/colours.toml: '{key}' is for {KEYS[line][0]}, not for {task}"


@pytest.mark.parametrize("task", ["feature-extraction", "text-ranking"])
def test_labels_where_there_are_none(project, task):
    assert f"not for {task}" in refusal(project, of_task(task, labels=("a", "b")))


@pytest.mark.parametrize(
    ("task", "labels", "fewest"),
    [("token-classification", ("O",), 2), ("zero-shot-classification", (), 2), ("text-classification", ("a",), 2)],
)
def test_too_few_labels(project, task, labels, fewest):
    message = refusal(project, of_task(task, labels=labels))
    assert message.endswith(f"'labels' needs {fewest} or more names for {task}, not {len(labels)}")


def test_no_more_candidates_than_the_server_takes(project):
    names = [f"label {number}" for number in range(65)]
    write(project.root, of_task("zero-shot-classification", labels=names[:64]))
    assert len(catalog.load(project, "colours").labels) == 64
    message = refusal(project, of_task("zero-shot-classification", labels=names))
    assert message.endswith("'labels' has 65 names; the server takes 64 a text")


@pytest.mark.parametrize("problem_type", ["multi_label_classification", "regression"])
def test_one_label_is_enough_for_a_number(project, problem_type):
    line = f'problem_type = "{problem_type}"'
    write(project.root, of_task("text-classification", line, labels=("stars",)))
    assert catalog.load(project, "colours").labels == ("stars",)
    message = refusal(project, of_task("text-classification", line, labels=()))
    assert message.endswith(f"'labels' needs 1 or more names for text-classification and {problem_type}, not 0")


def test_a_regression_has_no_threshold(project):
    message = refusal(project, of_task("text-classification", 'problem_type = "regression"', "review_threshold = 0.5"))
    assert "'review_threshold' is for probabilities" in message


@pytest.mark.parametrize("template", ["This is it.", "{} and {}", "{label}", "{{}}", "{0}", "a {} {", "}{}"])
def test_a_template_that_takes_no_label(project, template):
    message = refusal(
        project, of_task("zero-shot-classification", f'hypothesis_template = "{template}"', labels=CANDIDATES)
    )
    assert "key 'hypothesis_template': the template must hold {} once" in message
    assert repr(template) in message


@pytest.mark.parametrize("line", ["text_pairs = true", 'problem_type = "multi_label_classification"'])
def test_training_is_for_single_labels_of_single_texts(project, line):
    message = refusal(project, f"{line}\n{ENTRY}")
    assert message.endswith("'training' is for single_label_classification of single texts")


def test_training_is_for_text_classification(project):
    message = refusal(project, changed('"text-classification"', '"token-classification"').replace("review_", "# "))
    assert message.endswith("'training' is for text-classification, not for token-classification")
