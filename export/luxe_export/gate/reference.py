"""What PyTorch says of the test set: the original that every candidate is compared with."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luxe.schema import Entry
from luxe_export.evaluation import Evaluation, Outputs, tokenize
from luxe_export.gate import bootstrap
from luxe_serving.text import answers

__all__ = ["Meaning", "Reference", "reference", "workers"]

_MAX_WORKERS = 8


@dataclasses.dataclass(frozen=True)
class Meaning:
    """What makes answers of an engine's raw output; see `luxe_serving.text.answers.activate`."""

    task: str
    problem_type: str
    ranking_activation: str


@dataclasses.dataclass(frozen=True)
class Reference:
    """An evaluation with its rows as tokens, and PyTorch's answers to them in fp32, each row alone."""

    evaluation: Evaluation
    tokens: Sequence[dict[str, list[int]]]
    """By row: ``input_ids``, ``attention_mask`` and what else the model takes."""
    outputs: Outputs
    """By row, activated."""
    meaning: Meaning
    max_length: int
    padding_id: int

    @functools.cached_property
    def score(self) -> float:
        """PyTorch's metric."""
        return self.evaluation.score(self.outputs)

    @functools.cached_property
    def resampled(self) -> NDArray[np.float64]:
        """PyTorch's metric on the bootstrap's samples."""
        return bootstrap.resampled(self.evaluation, self.outputs)

    @functools.cached_property
    def calibration_error(self) -> float | None:
        """PyTorch's expected calibration error, where answers are probabilities."""
        return self.evaluation.calibration_error(self.outputs)

    @functools.cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens by row."""
        return np.array([len(row["input_ids"]) for row in self.tokens])


def reference(entry: Entry, source: Any, evaluation: Evaluation, advance: Callable[[], None]) -> Reference:
    """Ask PyTorch, on as many cores as are granted, but at most 8.

    Each row takes one thread, so that a sum is never split by the number of cores, and a busy core stalls one row only.

    Args:
        source: a `luxe_export.checkpoint.source.Source`.
        advance: called after every row of ``evaluation.rows``, for a progress bar.
    """
    tokens = tokenize(entry, source.tokenizer, evaluation.rows)
    meaning = Meaning(entry.task, entry.problem_type, source.ranking_activation)
    outputs = []
    with _one_thread(), ThreadPoolExecutor(workers()) as pool:
        for raw in pool.map(source.answer, tokens):
            outputs.append(answers.activate(meaning, raw))
            advance()
    return Reference(evaluation, tokens, outputs, meaning, entry.max_length, source.tokenizer.pad_token_id)


def workers() -> int:
    """Return how many rows or batches to compute at once: one a core that this process may use, at most 8."""
    return min(_MAX_WORKERS, len(os.sched_getaffinity(0)))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
