"""A call as requests, and their answers as one. Without I/O."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from luxe_client._wire.requests import Input, bytes_tensor, infer_request

__all__ = ["Asked", "Part", "Plan", "batches", "flat", "inference", "shaped"]

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What all requests of a call have in common.

    Attributes:
        model: that is asked.
        batch_size: most texts in a request.
        request_id: of the first request; later ones get a number. Empty: every request gets one of its own.
        bulk: as of `Part`.
    """

    model: str
    batch_size: int
    request_id: str = ""
    bulk: bool = False


class Part(Generic[_T]):
    """One request.

    Attributes:
        model: that is asked; empty where none is meant.
        method: of Triton's gRPC service.
        request: the message. The timeout of an inference is set with each try.
        read: makes of a response and its replica's address what the caller wants.
        bulk: others may overtake, and a server that is overloaded is waited for until the deadline.
    """

    __slots__ = ("bulk", "method", "model", "read", "request")

    def __init__(
        self, model: str, method: str, request: Any, read: Callable[[Any, str], _T], *, bulk: bool = False
    ) -> None:
        self.bulk = bulk
        self.model = model
        self.method = method
        self.request = request
        self.read = read

    @property
    def asked(self) -> str:
        """The model that has to answer; empty where the server does."""
        return self.model if self.method == "ModelInfer" else ""


class Plan(Generic[_T, _R]):
    """Requests that may run side by side, and what becomes of their answers, which come in the same order."""

    __slots__ = ("finish", "parts")

    def __init__(self, parts: Sequence[Part[_T]], finish: Callable[[list[_T]], _R]) -> None:
        self.parts = parts
        self.finish = finish


Decode = Callable[[slice, Any, Any, str], _T]
"""From the rows of a request, the request, its response and the replica's address to what they say."""


def batches(
    asked: Asked,
    columns: Sequence[tuple[str, Sequence[bytes]]],
    decode: Decode[_T],
    more: Callable[[int], list[Input]] = lambda _count: [],
) -> list[Part[_T]]:
    """Split columns of texts, all equally long, into requests; ``more`` makes inputs of N texts that are no text."""
    parts = []
    for number, start in enumerate(range(0, len(columns[0][1]), asked.batch_size)):
        rows = slice(start, start + asked.batch_size)
        parts.append(inference(asked, number, rows, [(name, texts[rows]) for name, texts in columns], decode, more))
    return parts


def inference(
    asked: Asked,
    number: int,
    rows: slice,
    columns: Sequence[tuple[str, Sequence[bytes]]],
    decode: Decode[_T],
    more: Callable[[int], list[Input]] = lambda _count: [],
) -> Part[_T]:
    """Return the request number ``number`` of a call, which holds ``rows`` of its texts."""
    count = len(columns[0][1])
    inputs: list[Input] = [(name, "BYTES", (count, 1), bytes_tensor(texts)) for name, texts in columns]
    own_id = f"{asked.request_id}-{number}" if asked.request_id and number else asked.request_id
    request = infer_request(asked.model, inputs + more(count), request_id=own_id)
    if asked.bulk:
        request.parameters["bulk"].bool_param = True
    return Part(asked.model, "ModelInfer", request, functools.partial(decode, rows, request), bulk=asked.bulk)


def shaped(one: bool) -> Callable[[list[list[Any]]], Any]:
    """Return what makes of the answers of batches a list, or the only answer to one text."""
    if one:
        return lambda answers: answers[0][0]
    return lambda answers: [answer for batch in answers for answer in batch]


def flat(requests: Iterator[list[_T]], progress: Callable[[int], None] | None) -> Iterator[_T]:
    """Yield the answers of requests one by one, and tell ``progress`` how many there were so far."""
    done = 0
    for answers in requests:
        done += len(answers)
        if progress:
            progress(done)
        yield from answers
