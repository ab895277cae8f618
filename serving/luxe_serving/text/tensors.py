"""The tensors of each task on the wire: what the server reads and replies, and what its configuration declares."""

from __future__ import annotations

import dataclasses
from typing import Protocol

__all__ = ["Tensor", "inputs", "outputs"]


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input or output of the model that people call."""

    name: str
    datatype: str
    """By Triton's names: BYTES, BOOL, INT32, FP32."""
    dims: tuple[int, ...]
    """After the first dimension, which is the texts of a request; -1 is any size."""
    optional: bool = False


class _Facts(Protocol):
    """What both a catalogue entry and `luxe_serving.text.settings.Settings` say."""

    @property
    def task(self) -> str: ...
    @property
    def problem_type(self) -> str: ...
    @property
    def text_pairs(self) -> bool: ...
    @property
    def labels(self) -> tuple[str, ...]: ...


def inputs(facts: _Facts) -> list[Tensor]:
    """Return what a request holds."""
    tensors = [Tensor("text", "BYTES", (1,))]
    if facts.text_pairs or facts.task == "text-ranking":
        tensors.append(Tensor("text_pair", "BYTES", (1,)))
    if facts.task == "zero-shot-classification":
        tensors.append(Tensor("candidate_labels", "BYTES", (-1,)))
        tensors.append(Tensor("multi_label", "BOOL", (1,), optional=True))
    return tensors


def outputs(facts: _Facts, engine_width: int) -> list[Tensor]:
    """Return what an answer holds; ``engine_width`` is the last dimension of the engine's output."""
    # Of each text: seconds in the queue, tokenising and in the engine.
    timings = Tensor("timings", "FP32", (3,))
    return [*_of_task(facts, engine_width), Tensor("truncated", "BOOL", (1,)), timings]


def _of_task(facts: _Facts, engine_width: int) -> list[Tensor]:
    if facts.task == "text-classification":
        width = (len(facts.labels),)
        scores, labels = Tensor("scores", "FP32", width), Tensor("labels", "BYTES", width)
        found = [scores, labels, Tensor("needs_review", "BOOL", (1,))]
        if facts.problem_type != "single_label_classification":
            # Nothing else in the answer tells a client whether the scores are of one label, of several, or numbers.
            found.append(Tensor("problem_type", "BYTES", (1,)))
        return found
    if facts.task == "token-classification":
        entities = (("labels", "BYTES"), ("scores", "FP32"), ("starts", "INT32"), ("ends", "INT32"))
        return [*(Tensor(name, datatype, (-1,)) for name, datatype in entities)]
    if facts.task == "feature-extraction":
        return [Tensor("embeddings", "FP32", (engine_width,))]
    if facts.task == "zero-shot-classification":
        return [Tensor("scores", "FP32", (-1,))]
    return [Tensor("scores", "FP32", (1,))]
