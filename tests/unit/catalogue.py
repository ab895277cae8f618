"""The catalogue entry `colours` with every key, and what is said of a file that is refused."""

import pytest

from luxe import catalog
from luxe.errors import UserError

__all__ = ["ENTRY", "SHA", "changed", "refusal", "write"]

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
