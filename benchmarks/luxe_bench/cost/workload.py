"""Comments of realistic length, from a seed; no text is ever given twice, so that no cache can help."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from luxe_bench.standard_model import word_counts

__all__ = ["SEED", "Texts", "zipf"]

SEED = 20
_TRIES = 50


class Texts:
    """An endless supply of distinct texts, always the same ones in the same order.

    A text is made of the words of real comments, one comment after the other from a random word on, cut at its length:
    3 to 80 words, log-normal with a median of 15.

    Args:
        sources: real comments of the model.
    """

    def __init__(self, sources: Sequence[str], *, seed: int = SEED) -> None:
        self._comments = [text.split() for text in sources]
        self._chance = np.random.default_rng(seed)
        self._given: set[str] = set()

    def take(self, count: int) -> list[str]:
        """Return the next ``count`` texts.

        Raises:
            ValueError: the comments have too few words for so many different texts.
        """
        return [self._make(int(words)) for words in word_counts(count, self._chance)]

    def _make(self, count: int) -> str:
        for _ in range(_TRIES):
            words: list[str] = []
            while len(words) < count:
                comment = self._comments[self._chance.integers(len(self._comments))]
                words += comment[self._chance.integers(len(comment)) :]
            text = " ".join(words[:count])
            if text not in self._given:
                self._given.add(text)
                return text
        raise ValueError(f"{len(self._comments)} comments are too few for {len(self._given) + 1} different texts")


def zipf(distinct: int, count: int, *, exponent: float, seed: int = SEED) -> list[int]:
    """Return ``count`` numbers below ``distinct``; the k-th is drawn in proportion to k to the minus ``exponent``."""
    shares = np.arange(1, distinct + 1) ** -exponent
    drawn: list[int] = np.random.default_rng(seed).choice(distinct, size=count, p=shares / shares.sum()).tolist()
    return drawn
