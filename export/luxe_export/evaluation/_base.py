"""What every task's evaluation can say of a list of answers."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from luxe_training.calibration import Bin, expected_calibration_error, reliability

__all__ = ["Bin", "Evaluation", "Outputs", "Row"]

Row: TypeAlias = "str | tuple[str, str]"
"""What the engine reads at once: a text, or two."""
Outputs: TypeAlias = "Sequence[NDArray[np.float32]]"
"""By row, activated (`luxe_serving.text.answers.activate`): [L], [T, L] or [D]."""


class Evaluation(abc.ABC):
    """A test split with the metric of its task. Functions are pure; ``outputs`` are a model's answers by row.

    A *unit* is what a person would call one example, and what the bootstrap draws: a text, a pair of texts, a text
    with all candidate labels, a query with its documents.
    """

    metric: str
    """The metric's name, for people."""
    rows: Sequence[Row]
    units: int

    @abc.abstractmethod
    def scores(self, outputs: Outputs, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the metric [R] of R samples, where ``weights`` [R, units] says how often each unit was drawn.

        A sample that has no metric, such as one without a single positive, gives nan.
        """

    @abc.abstractmethod
    def agreement(self, before: Outputs, after: Outputs) -> NDArray[np.float64]:
        """Return by unit, 0 to 1, whether ``after`` gives the answer that ``before`` gives."""

    @abc.abstractmethod
    def change(self, before: Outputs, after: Outputs, reference: Outputs | None = None) -> NDArray[np.float64]:
        """Return by row how far ``after`` is from ``before``: a distance, so that the triangle inequality holds.

        Args:
            reference: answers whose spread or length is the unit, where probabilities are not; by default ``before``.
        """

    @abc.abstractmethod
    def describe(self, outputs: Outputs, row: int) -> str:
        """Return one row's answer in a few words, for a report."""

    def score(self, outputs: Outputs, units: NDArray[np.int64] | None = None) -> float:
        """Return the metric over all units, or over those of ``units`` (indices; one may come twice)."""
        drawn = np.arange(self.units) if units is None else units
        weights = np.bincount(drawn, minlength=self.units).astype(np.float64)
        return float(self.scores(outputs, weights[None])[0])

    def confidence(self, outputs: Outputs) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
        """Return what the model claims of its answers [M] and which are right [M]; None where it claims nothing."""
        return None

    def calibration_error(self, outputs: Outputs) -> float | None:
        """Return the expected calibration error; None where nothing is claimed."""
        bins = self.reliability(outputs)
        return None if bins is None else expected_calibration_error(bins)

    def reliability(self, outputs: Outputs) -> tuple[Bin, ...] | None:
        """Return at most ten bins of equal count, from least to most confident; None where nothing is claimed."""
        claims = self.confidence(outputs)
        return None if claims is None else reliability(*claims)

    def confusion(self, outputs: Outputs) -> NDArray[np.int64] | None:
        """Return counts [L, L], right labels in rows, answers in columns; None where an answer is no single label."""
        return None

    def truth(self, row: int) -> str | None:
        """Return the right answer to a row in a few words; None where there is none for a row alone."""
        return None
