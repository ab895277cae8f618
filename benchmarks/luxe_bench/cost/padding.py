"""What padding costs: tokens that are computed and mean nothing."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["of_batches", "to_the_longest"]


def to_the_longest(lengths: Sequence[int], *, batch: int) -> float | None:
    """Return the padding share of batches in the order of arrival, each padded to its longest text.

    That is what Triton's dynamic batches of ``batch`` cost where requests always wait.

    Args:
        lengths: tokens of each text, in the order of arrival.
    """
    return of_batches([lengths[i : i + batch] for i in range(0, len(lengths), batch)])


def of_batches(batches: Sequence[Sequence[int]]) -> float | None:
    """Return padded tokens over all tokens of the padded batches, 0 to 1; None where there are no tokens."""
    real = sum(sum(batch) for batch in batches)
    padded = sum(len(batch) * max(batch) for batch in batches if batch)
    return (padded - real) / padded if padded else None
