"""What `TextModel` counts of runs whose numbers are known."""

import threading

import pytest
from text_models import WORDS, Gate, Replies, ask, submit

from luxe_serving.monitoring.metrics import FAMILIES

LONG = " ".join(WORDS[:11])  # cut to 12 tokens


def numbers(model):
    """By name, and by kind or reason; once nothing waits and the workers have counted."""
    model.close()
    drained = model.metrics.drain()
    assert {name for name, _ in drained} <= set(FAMILIES)
    return {" ".join([name, *(value for _, value in labels)]): amount for (name, labels), amount in drained.items()}


def times(found, name):
    """How many values a histogram got; its last bucket has them all."""
    assert found[f"luxe_{name}_bucket +Inf"] == found[f"luxe_{name}_count"]
    return found[f"luxe_{name}_count"]


def test_a_known_run(make):
    gate, replies = Gate(), Replies()
    model = make(gate, max_padding_share=0.4, max_batch_size=16)
    gate.hold(model, replies)  # 3 tokens
    threading.Event().wait(0.06)
    # Together, by the cost model of the start: 3, 4 and 4 tokens, so one of padding; then 12 and 12.
    submit(model, [(["w1", "w1 w2", "w3 w4"], replies(1)), ([LONG], replies(2)), ([LONG], replies(3))])
    threading.Event().wait(0.06)
    gate.opened.set()
    answers = replies.wait(4)
    assert [b["input_ids"].shape for b in gate.batches] == [(1, 3), (3, 4), (2, 12)]
    found = numbers(model)
    assert found["luxe_texts_total"] == 6
    assert found["luxe_truncated_texts_total"] == 2
    assert found.get("luxe_review_texts_total", 0) == sum(a["needs_review"].sum() for a in answers)
    assert found["luxe_tokens_total text"] == 3 + 3 + 4 + 4 + 12 + 12
    assert found["luxe_tokens_total padding"] == 1
    assert times(found, "micro_batch_size") == 3
    assert found["luxe_micro_batch_size_sum"] == 6
    assert [found[f"luxe_micro_batch_size_bucket {le}"] for le in ("1.0", "2.0", "4.0")] == [1, 2, 3]
    assert times(found, "engine_seconds") == 3
    assert found["luxe_engine_seconds_sum"] >= 0.12  # the held one
    assert times(found, "queue_seconds") == 6
    assert found["luxe_queue_seconds_sum"] >= 5 * 0.06
    assert times(found, "request_seconds") == 4
    assert found["luxe_request_seconds_sum"] >= 0.12 + 3 * 0.06
    assert times(found, "tokenize_seconds") == 2  # once for all that arrived together
    assert not [name for name in found if name.startswith("luxe_refusals_total")]


def test_review(make):
    texts = WORDS[:30]
    model = make(max_batch_size=32)
    (answer,) = ask(model, texts)
    assert answer["needs_review"].sum() > 0
    assert numbers(model)["luxe_review_texts_total"] == answer["needs_review"].sum()


def test_tasks_without_review(make):
    model = make(task="feature-extraction", labels=(), engine_output="embeddings")
    ask(model, ["w1", "w2"])
    found = numbers(model)
    assert found["luxe_texts_total"] == 2
    assert "luxe_review_texts_total" not in found


def test_refusals_by_reason(make):
    gate, replies = Gate(), Replies()
    model = make(gate, max_batch_size=16)
    gate.hold(model, replies)
    submit(model, [(["w1", "w2"], replies(1)), (["w3"], replies(2))], timeout_s=0.1)
    submit(model, [(["w4"], replies(3))], cancelled=lambda: True)
    submit(model, [(["w5"] * 16, replies(4 + i)) for i in range(20)])
    submit(model, [(["w6"], replies(24)), (["w7"], replies(25)), (["w8"], replies(26))], timeout_s=0.01)
    submit(model, [([""], replies(27)), ([b"\xff"], replies(28))])
    threading.Event().wait(0.6)
    gate.opened.set()
    replies.wait(29)
    found = numbers(model)
    refused = {name.split()[1]: n for name, n in found.items() if name.startswith("luxe_refusals_total")}
    assert refused == {"expired": 2, "cancelled": 1, "overloaded": 3, "invalid": 2}  # requests, not texts
    assert found["luxe_texts_total"] == 1 + 20 * 16
    assert times(found, "request_seconds") == 21  # answers only
    assert times(found, "queue_seconds") == 321  # what was not run did not wait for an engine


def test_engine_failures(make):
    def failing(tensors):
        raise RuntimeError("out of order")

    model = make(failing)
    ask(model, ["w1", "w2"], ["w3"])
    found = numbers(model)
    assert found["luxe_refusals_total failed"] == 2
    assert not {"luxe_texts_total", "luxe_engine_seconds_count", "luxe_tokens_total text"} & set(found)


def test_a_text_that_cannot_be_tokenised(make):
    model = make(auto_truncate=False)
    ask(model, [LONG], ["w1"])
    assert numbers(model)["luxe_refusals_total invalid"] == 1


@pytest.mark.parametrize(("cache_bytes", "hits"), [(0, 0), (1 << 20, 2)])
def test_rows_that_were_answered_before(make, cache_bytes, hits):
    gate = Gate()
    model = make(gate, cache_bytes=cache_bytes)
    (first,) = ask(model, ["w1", LONG])
    (again,) = ask(model, ["w1", LONG])
    timings = first.pop("timings"), again.pop("timings")
    assert {name: values.tolist() for name, values in again.items()} == {n: v.tolist() for n, v in first.items()}
    assert (timings[0] > 0).all()
    assert (timings[1] > 0).all() == (hits == 0), "what was known takes no time"
    found = numbers(model)
    assert found.get("luxe_cache_hits_total", 0) == hits
    assert found.get("luxe_cache_misses_total", 0) == (4 - hits if cache_bytes else 0)
    assert found["luxe_truncated_texts_total"] == 2
    assert found["luxe_texts_total"] == 4
