"""Keys and tables of an entry: unknown, missing, and with values that they do not take."""

import pytest
from catalogue import ENTRY, SHA, changed, refusal, write

from luxe import catalog


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
