import pytest

from luxe import catalog
from luxe.errors import UserError
from luxe.project import Project

SHA = "0123456789abcdef" * 4
ENTRY = f"""\
description = "What colour a text has"
task = "text-classification"
labels = ["red", "green", "blue"]
max_length = 64
review_threshold = 0.5

[base]
hub_id = "somebody/encoder"
sha256 = "{SHA}"

[training]
seed = 1
lora_rank = 8
lora_alpha = 16
lora_dropout = 0.0
lora_targets = ["query"]
head = ["classifier"]
learning_rate = 1e-3
weight_decay = 0.01
label_smoothing = 0.05
warmup_share = 0.1
batch_size = 32
max_epochs = 2
patience = 1

[quality]
min_metric = 0.8
max_metric_drop = 0.01
min_agreement = 0.98
max_change = 0.1
max_batch_change = 0.02
max_calibration_error_rise = 0.03

[serving]
max_batch_size = 32
max_micro_batch = 8
max_padding_share = 0.12
max_text_bytes = 1000
max_queue = 512
engine_instances = 2
intra_op_threads = 1

[slo]
requests_per_s = 50
p50_ms = 100
p95_ms = 250
p99_ms = 500
max_error_share = 0.005
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "catalog").mkdir()
    write(tmp_path, ENTRY)
    return Project.open(tmp_path)


def write(root, text, name="colours"):
    (root / "catalog" / f"{name}.toml").write_text(text, encoding="utf-8")


def changed(old, new):
    assert ENTRY.count(old) == 1, old
    return ENTRY.replace(old, new)


def refusal(project, text, name="colours"):
    """Write a file, and return what both ways of reading it say."""
    write(project.root, text, name)
    messages = set()
    for read in (lambda: catalog.load(project, name), lambda: catalog.load_all(project)):
        with pytest.raises(UserError) as caught:
            read()
        messages.add(str(caught.value))
    (message,) = messages
    assert message.startswith(f"catalog/{name}.toml: ")
    assert "\n" not in message
    return message


def test_the_shipped_catalogue_loads(shipped):
    entries = catalog.load_all(shipped)
    assert [f"{e.name}.toml" for e in entries] == sorted(p.name for p in shipped.catalog.iterdir())
    assert entries
    assert [catalog.load(shipped, e.name) for e in entries] == entries


def test_a_full_entry(project):
    entry = catalog.load(project, "colours")
    assert entry.name == "colours"
    assert entry.labels == ("red", "green", "blue")
    assert entry.base.revision == "main"
    assert entry.base.package is None
    assert entry.slo.p50_ms == 100.0


def test_base_and_training_are_optional(project):
    start, end = ENTRY.index("[base]"), ENTRY.index("[quality]")
    write(project.root, ENTRY[:start] + ENTRY[end:])
    entry = catalog.load(project, "colours")
    assert entry.base is None
    assert entry.training is None


def test_an_entry_cannot_be_changed(project):
    with pytest.raises(ValueError, match="frozen"):
        catalog.load(project, "colours").max_length = 8


@pytest.mark.parametrize(
    ("before", "key", "allowed"),
    [
        ("description", "colour", "description, task, labels, max_length, auto_truncate, problem_type, text_pairs"),
        ("hub_id", "base.hubid", "hub_id, revision, package, sha256"),
        ("seed", "training.sead", "seed, lora_rank, lora_alpha"),
        ("min_metric", "quality.min_macro_f1", "min_metric, max_metric_drop"),
        ("max_batch_size", "serving.max_batch", "max_batch_size, max_micro_batch"),
        ("requests_per_s", "slo.rps", "requests_per_s, p50_ms, p95_ms, p99_ms, max_error_share"),
    ],
)
def test_an_unknown_key(project, before, key, allowed):
    message = refusal(project, changed(f"{before} =", f"{key.rpartition('.')[2]} = 1\n{before} ="))
    assert f"unknown key '{key}': allowed here are {allowed}" in message


def test_an_unknown_table(project):
    message = refusal(project, ENTRY + "\n[deploy]\nreplicas = 3\n")
    assert "unknown key 'deploy': allowed here are description, task" in message


def test_what_is_allowed_does_not_name_the_name(project):
    message = refusal(project, "colour = 1\n" + ENTRY)
    allowed = message.split("allowed here are ")[1].split(";")[0].split(", ")
    assert "slo" in allowed
    assert "name" not in allowed


def test_the_name_is_never_written(project):
    message = refusal(project, 'name = "colours"\n' + ENTRY)
    assert "'name'" in message
    assert "file's name" in message


# What an entry says when it leaves these out; all other keys must be there.
DEFAULTS = {
    "labels": "'labels' needs 2 or more names for text-classification, not 0",
    "review_threshold": lambda entry: entry.review_threshold == 0,
    "min_metric": lambda entry: entry.quality.min_metric == 0,
    "max_metric_drop": lambda entry: entry.quality.max_metric_drop == 0.01,
    "min_agreement": lambda entry: entry.quality.min_agreement == 0.98,
    "max_change": lambda entry: entry.quality.max_change == 0.25,
    "max_batch_change": lambda entry: entry.quality.max_batch_change == 0.01,
    "max_calibration_error_rise": lambda entry: entry.quality.max_calibration_error_rise == 0.02,
    "max_batch_size": lambda entry: entry.serving.max_batch_size == 32,
    "max_micro_batch": lambda entry: entry.serving.max_micro_batch == 16,
    "max_padding_share": lambda entry: entry.serving.max_padding_share == 0.12,
    "max_text_bytes": lambda entry: entry.serving.max_text_bytes == 16384,
    "max_queue": lambda entry: entry.serving.max_queue == 1024,
    "engine_instances": lambda entry: entry.serving.engine_instances is None,
    "intra_op_threads": lambda entry: entry.serving.intra_op_threads == 1,
}


def without(key):
    """The entry without a key, and the key's whole name."""
    lines, table, path = [], "", ""
    for line in ENTRY.splitlines():
        table = line.strip("[]") + "." if line.startswith("[") else table
        if line.startswith(f"{key} ="):
            path = table + key
        else:
            lines.append(line)
    assert path
    return "\n".join(lines), path


@pytest.mark.parametrize("key", [line.partition(" =")[0] for line in ENTRY.splitlines() if " = " in line])
def test_a_missing_key(project, key):
    text, path = without(key)
    expected = DEFAULTS.get(key, f"missing key '{path}'")
    if callable(expected):
        write(project.root, text)
        assert expected(catalog.load(project, "colours"))
    else:
        assert refusal(project, text).removeprefix("catalog/colours.toml: ") == expected


def without_table(table):
    kept, skip = [], False
    for line in ENTRY.splitlines():
        skip = line == f"[{table}]" if line.startswith("[") else skip
        kept += [] if skip else [line]
    return "\n".join(kept)


def test_a_missing_table(project):
    assert "missing key 'slo'" in refusal(project, without_table("slo"))


@pytest.mark.parametrize("table", ["quality", "serving"])
def test_a_table_of_defaults_may_be_missing(project, table):
    write(project.root, without_table(table))
    found = getattr(catalog.load(project, "colours"), table)
    assert found == type(found)()


@pytest.mark.parametrize(
    ("old", "new", "key", "allowed"),
    [
        ("max_length = 64", 'max_length = "64"', "max_length", "valid integer"),
        ("max_length = 64", "max_length = 64.0", "max_length", "valid integer"),
        ("max_length = 64", "max_length = true", "max_length", "valid integer"),
        ("max_length = 64", "max_length = 513", "max_length", "less than or equal to 512"),
        ("max_length = 64", "max_length = 7", "max_length", "greater than or equal to 8"),
        ("review_threshold = 0.5", "review_threshold = 1.5", "review_threshold", "less than or equal to 1"),
        ("review_threshold = 0.5", "review_threshold = nan", "review_threshold", "not nan"),
        ('"text-classification"', '"text-generation"', "task", "'text-classification'"),
        ('"What colour a text has"', "3", "description", "valid string"),
        ('["red", "green", "blue"]', '"red"', "labels", "valid tuple"),
        ('["red", "green", "blue"]', "[1, 2]", "labels.0", "valid string"),
        ('["red", "green", "blue"]', '["red", "blue", "red"]', "labels", "differ"),
        ('["red", "green", "blue"]', '["red", ""]', "labels", "one line of text"),
        ('["red", "green", "blue"]', r'["red", "bl\nue"]', "labels", "one line of text"),
        ('["red", "green", "blue"]', '["red", " blue"]', "labels", "without spaces around"),
        ('"text-classification"', '"text-classification"\nproblem_type = "single"', "problem_type", "'regression'"),
        ('"text-classification"', '"text-classification"\ntext_pairs = 1', "text_pairs", "valid boolean"),
        (SHA, SHA.upper(), "base.sha256", "match"),
        (SHA, SHA[:-1], "base.sha256", "match"),
        ('lora_targets = ["query"]', "lora_targets = []", "training.lora_targets", "at least 1"),
        ("learning_rate = 1e-3", "learning_rate = 0", "training.learning_rate", "greater than 0"),
        ("max_metric_drop = 0.01", "max_metric_drop = nan", "quality.max_metric_drop", "not nan"),
        ("min_metric = 0.8", "min_metric = 1.1", "quality.min_metric", "less than or equal to 1"),
        ("max_micro_batch = 8", "max_micro_batch = 0", "serving.max_micro_batch", "greater than 0"),
        ("p99_ms = 500", "p99_ms = -1", "slo.p99_ms", "greater than 0"),
        ("p99_ms = 500", "p99_ms = nan", "slo.p99_ms", "not nan"),
        ("max_error_share = 0.005", 'max_error_share = "0.5 %"', "slo.max_error_share", "valid number"),
    ],
)
def test_a_wrong_value(project, old, new, key, allowed):
    message = refusal(project, changed(old, new))
    assert f"key '{key}': " in message
    assert allowed in message


@pytest.mark.parametrize("table", ["base", "slo"])
def test_a_value_where_a_table_belongs(project, table):
    assert f"key '{table}': " in refusal(project, f"{table} = 3\n" + without_table(table))


def test_all_findings_at_once(project):
    message = refusal(project, changed("p50_ms", "p50").replace("max_queue = 512", "max_queue = 0"))
    for finding in ("missing key 'slo.p50_ms'", "unknown key 'slo.p50'", "key 'serving.max_queue'"):
        assert finding in message


def test_a_micro_batch_larger_than_the_engine_takes(project):
    """The engine's own ``max_batch_size`` is the text model's: it would refuse every full micro-batch."""
    message = refusal(project, changed("max_micro_batch = 8", "max_micro_batch = 33"))
    assert "max_micro_batch" in message
    assert "max_batch_size" in message


@pytest.mark.parametrize("text", ["labels = [", "a = 1\na = 2", "= 3", "max_length = 64\x00"])
def test_bad_toml(project, text):
    assert "not valid TOML" in refusal(project, text)


def test_a_file_that_is_not_utf8(project):
    (project.catalog / "colours.toml").write_bytes('description = "café"'.encode("latin-1"))
    with pytest.raises(UserError, match=r"catalog/colours\.toml: not valid TOML"):
        catalog.load(project, "colours")


@pytest.mark.parametrize("name", ["Colours", "two_words", "a--b", "-a", "a-", "a.b", "ä"])
def test_a_bad_file_name(project, name):
    write(project.root, ENTRY, name)
    with pytest.raises(UserError) as caught:
        catalog.load_all(project)
    assert f"catalog/{name}.toml" in str(caught.value)
    assert "name" in str(caught.value)
    with pytest.raises(UserError) as caught:
        catalog.load(project, name)
    # Not "unknown model 'X': the catalogue has X".
    assert f"the catalogue has {name}" not in str(caught.value)
    assert f", {name}" not in str(caught.value)


def test_an_unknown_model_lists_the_known_ones(project):
    write(project.root, ENTRY, "shapes")
    with pytest.raises(UserError) as caught:
        catalog.load(project, "sounds")
    assert str(caught.value) == "unknown model 'sounds': the catalogue has colours, shapes"


def test_an_empty_catalogue(tmp_path):
    (tmp_path / "catalog").mkdir()
    with pytest.raises(UserError, match="the catalogue has none"):
        catalog.load(Project.open(tmp_path), "colours")
    assert catalog.load_all(Project.open(tmp_path)) == []


@pytest.mark.parametrize(
    "name", ["../outside", "../catalog/colours", "./colours", "", ".", "..", "colours/", "colours\n", "colours.toml"]
)
def test_a_name_leaves_the_catalogue_never(project, name):
    (project.root / "outside.toml").write_text(ENTRY, encoding="utf-8")
    with pytest.raises(UserError, match="unknown model"):
        catalog.load(project, name)


def test_an_absolute_path_is_no_name(project):
    (project.root / "outside.toml").write_text(ENTRY, encoding="utf-8")
    with pytest.raises(UserError, match="unknown model"):
        catalog.load(project, str(project.root / "outside"))


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
