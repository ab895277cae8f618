"""The answers, one type a task. All are frozen; those with one label and those with several share no field for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Answer",
    "Classification",
    "Entity",
    "Labels",
    "Model",
    "Ranked",
    "Ranking",
    "RawAnswer",
    "Score",
    "Tags",
    "Timings",
    "ZeroShot",
    "ZeroShotLabels",
]


class _Record:
    """Comparison, hash and display of every answer, once: made anew for each class they are half of its import time."""

    __slots__ = ()

    def __repr__(self) -> str:
        shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({shown})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = [f.name for f in dataclasses.fields(self)]  # type: ignore[arg-type]
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def __hash__(self) -> int:
        return hash(tuple(repr(getattr(self, f.name)) for f in dataclasses.fields(self)))  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class Timings(_Record):
    """Where a request spent its time inside the server, in seconds; None where the server does not tell."""

    queue_s: float | None = None
    tokenize_s: float | None = None
    engine_s: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Answer(_Record):
    """What every answer says of itself.

    Attributes:
        model: name of the model that answered.
        version: its version in the model repository.
        request_id: id of the request that carried the text, for the server's logs.
        truncated: the text was longer than the model reads; its end was not seen.
        timings: where the request spent its time inside the server.
    """

    model: str
    version: str
    request_id: str
    truncated: bool = False
    timings: Timings = Timings()


class _Scored:
    __slots__ = ()
    scores: Mapping[str, float]

    def top(self, count: int) -> list[tuple[str, float]]:
        """Return the ``count`` likeliest labels with their probabilities, best first."""
        return sorted(self.scores.items(), key=lambda item: -item[1])[: max(count, 0)]


class _SeveralLabels(_Scored):
    __slots__ = ()

    def above(self, threshold: float = 0.5) -> list[str]:
        """Return the labels whose probability is ``threshold`` or more, likeliest first; may be none."""
        return [label for label, score in self.top(len(self.scores)) if score >= threshold]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Classification(_Scored, Answer):
    """What a single-label classifier says of one text.

    Attributes:
        label: the label with the highest probability.
        score: its calibrated probability, 0 to 1.
        scores: the probability of every label; they sum to 1. In the model's own order.
        needs_review: the score is below the model's review threshold: let a person look.
    """

    label: str
    score: float
    scores: Mapping[str, float]
    needs_review: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Labels(_SeveralLabels, Answer):
    """What a multi-label classifier says of one text: any number of labels may hold.

    Attributes:
        scores: the probability of every label, each for itself. In the model's own order.
        needs_review: for some label, yes and no are too close to each other: let a person look.
    """

    scores: Mapping[str, float]
    needs_review: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ZeroShot(_Scored, Answer):
    """The candidate label that fits one text best.

    Attributes:
        label: the candidate with the highest probability.
        score: its probability.
        scores: of every candidate, in the order given; they sum to 1 (a single candidate is judged alone).
    """

    label: str
    score: float
    scores: Mapping[str, float]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ZeroShotLabels(_SeveralLabels, Answer):
    """Which candidate labels fit one text, each judged alone.

    Attributes:
        scores: the probability of every candidate, in the order given.
    """

    scores: Mapping[str, float]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Score(Answer):
    """What a regression says of a text, or a ranking model of a pair of texts.

    Attributes:
        value: the number; the first where the model has several.
        values: every number by its name; a ranking model's is called "score".
    """

    value: float
    values: Mapping[str, float]


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class Entity(_Record):
    """A named stretch of a text.

    Attributes:
        label: what it is, such as "PER".
        text: the stretch itself, ``text[start:end]`` of the caller's str.
        start: of its first character.
        end: after its last character.
        score: probability, 0 to 1.
    """

    label: str
    text: str
    start: int
    end: int
    score: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Tags(Answer):
    """The entities of one text, in the order of the text. Iterates over them.

    Attributes:
        entities: may be none.
    """

    entities: tuple[Entity, ...]

    def __iter__(self) -> Iterator[Entity]:
        return iter(self.entities)

    def __len__(self) -> int:
        return len(self.entities)


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class Ranked(_Record):
    """A document with its score.

    Attributes:
        index: its position in the list that was given.
        text: the document itself.
        score: as the model's ranking activation makes it; more is better.
        truncated: query and document together were longer than the model reads.
    """

    index: int
    text: str
    score: float
    truncated: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Ranking(Answer):
    """Documents in the order of their scores, best first; equal scores in the order given. Iterates over them.

    ``request_id``, ``version`` and ``timings`` are those of the first request where there were several, and
    ``truncated`` is true when any document was cut.
    """

    documents: tuple[Ranked, ...]

    def top(self, count: int) -> tuple[Ranked, ...]:
        """Return the ``count`` best."""
        return self.documents[: max(count, 0)]

    def __iter__(self) -> Iterator[Ranked]:
        return iter(self.documents)

    def __len__(self) -> int:
        return len(self.documents)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class RawAnswer(Answer):
    """Tensors as the server sent them.

    Attributes:
        outputs: by name; BYTES are arrays of `bytes` objects. Read-only.
        parameters: the response's own, by name.
    """

    outputs: Mapping[str, NDArray[Any]]
    parameters: Mapping[str, bool | int | float | str]

    __eq__ = object.__eq__  # arrays have no single answer to it
    __hash__ = object.__hash__

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        return self.outputs[name]


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class Model(_Record):
    """A version of a model, as the server lists it.

    Attributes:
        name: of the model.
        version: in the model repository; empty when the server knows of none.
        ready: it answers.
        state: the server's word for it, such as "READY" or "LOADING".
        reason: why it is not ready, if the server says so.
    """

    name: str
    version: str
    ready: bool
    state: str
    reason: str
