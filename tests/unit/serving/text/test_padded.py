import dataclasses

import numpy as np
import pytest
from text_models import SETTINGS, tokenizer

from luxe_serving.scheduling.cost import Run
from luxe_serving.text.encoded import Encoded
from luxe_serving.text.padded import PaddedEngine, shapes


class Recording:
    """An engine that keeps what it was given, and answers ones."""

    def __init__(self, *, per_token=False):
        self.batches = []
        self._per_token = per_token

    def __call__(self, tensors):
        self.batches.append(tensors)
        shape = tensors["input_ids"].shape
        return np.ones((*(shape if self._per_token else shape[:1]), SETTINGS.engine_width), dtype=np.float32)


def rows(*texts, special=True):
    """Texts, or pairs of them, as tokens."""
    encodings = tokenizer(special=special).encode_batch(texts)
    return [Encoded(text, e.ids, e.type_ids, False) for text, e in zip(texts, encodings, strict=True)]


def padded(engine, *, per_token=False, **changes):
    return PaddedEngine(dataclasses.replace(SETTINGS, **changes), engine, per_token=per_token)


@pytest.mark.parametrize(
    ("max_length", "max_batch", "right"),
    [
        (32, 4, {(b, n) for b in (1, 2, 4) for n in (8, 16, 32)}),
        (100, 3, {(b, n) for b in (1, 2, 3) for n in (8, 16, 32, 64, 100)}),
        (5, 1, {(1, 5)}),
        (8, 1, {(1, 8)}),
    ],
)
def test_shapes(max_length, max_batch, right):
    found = shapes(max_length, max_batch)
    assert set(found) == right
    assert len(found) == len(right)
    assert [b * n for b, n in found] == sorted(b * n for b, n in found)


def test_rows_are_padded_to_the_longest():
    engine = Recording()
    padded(engine, padding_id=7).run(rows("w1", ("w1 w2", "w3")))
    (tensors,) = engine.batches
    cls, sep, w1, w2, w3 = 1, 2, 6 + 1, 6 + 2, 6 + 3
    assert tensors["input_ids"].tolist() == [[cls, w1, sep, 7, 7, 7], [cls, w1, w2, sep, w3, sep]]
    assert tensors["attention_mask"].tolist() == [[1, 1, 1, 0, 0, 0], [1] * 6]
    assert tensors["token_type_ids"].tolist() == [[0] * 6, [0, 0, 0, 0, 1, 1]]
    assert all(tensor.dtype == np.int64 for tensor in tensors.values())


def test_the_engine_gets_the_inputs_that_it_names_in_its_order():
    engine = Recording()
    few = padded(engine, engine_inputs=("attention_mask", "input_ids"))
    few.run(rows("w1"))
    few.time(2, 3)
    assert [list(tensors) for tensors in engine.batches] == [["attention_mask", "input_ids"]] * 2


def test_each_row_gets_its_own_output_without_padding():
    def numbered(tensors):
        places = np.arange(tensors["input_ids"].size, dtype=np.float32).reshape(tensors["input_ids"].shape)
        return np.repeat(places[..., None], 3, axis=2)

    first, second = padded(numbered, per_token=True).run(rows("w1", "w1 w2 w3"))
    assert first[:, 0].tolist() == [0, 1, 2]
    assert second[:, 0].tolist() == [5, 6, 7, 8, 9]
    outputs = padded(lambda t: np.arange(6.0).reshape(2, 3)).run(rows("w1", "w2"))
    assert [o.tolist() for o in outputs] == [[0, 1, 2], [3, 4, 5]]


def test_what_padding_holds_does_not_matter_but_what_rows_hold_does():
    def spoiled(place):
        def engine(tensors):
            output = np.ones((*tensors["input_ids"].shape, 3), dtype=np.float32)
            output[0, place] = np.nan
            return output

        return padded(engine, per_token=True)

    first, _ = spoiled(3).run(rows("w1", "w1 w2 w3"))
    assert first.tolist() == [[1.0] * 3] * 3
    with pytest.raises(RuntimeError, match="no usable logits: not all are finite"):
        spoiled(2).run(rows("w1", "w1 w2 w3"))


@pytest.mark.parametrize(
    "output", [np.ones((1, 3)), np.ones((2, 2)), np.ones(3), np.ones((2, 3, 1)), None], ids=lambda o: np.shape(o)
)
def test_an_output_of_another_shape(output):
    with pytest.raises(RuntimeError, match="no usable logits: shape"):
        padded(lambda t: output).run(rows("w1", "w2"))
    with pytest.raises(RuntimeError, match="no usable embeddings: shape"):
        padded(lambda t: output, engine_output="embeddings", per_token=True).run(rows("w1", "w2"))


def test_rows_without_tokens():
    engine = Recording()
    assert len(padded(engine).run(rows("dropped", "dropped", special=False))) == 2
    assert engine.batches[0]["input_ids"].shape == (2, 0)


def test_a_timed_run_is_of_its_shape():
    engine, ticks = Recording(), iter([10.0, 10.5])
    assert padded(engine).time(3, 5, clock=lambda: next(ticks)) == Run(3, 5, 0.5)
    (tensors,) = engine.batches
    assert all(tensor.shape == (3, 5) and tensor.dtype == np.int64 for tensor in tensors.values())
    assert tensors["attention_mask"].all()
    assert not tensors["token_type_ids"].any()


def test_a_timed_run_that_fails_says_so():
    def failing(tensors):
        raise RuntimeError("out of order")

    with pytest.raises(RuntimeError, match="out of order"):
        padded(failing).time(1, 1)
