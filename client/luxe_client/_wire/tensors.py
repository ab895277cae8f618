"""The outputs of a response, and the checks that every answer goes through."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from luxe_client._errors import ProtocolError
from luxe_client._types import Timings
from luxe_client._wire.contents import contents

__all__ = ["Facts", "Reading", "Tensor", "answers", "probabilities", "split", "tensors"]

_FORMATS = {"FP32": "<f", "BOOL": "<?", "INT32": "<i", "BYTES": ""}
"""Of a number, as struct and numpy write it."""
_T = TypeVar("_T")
_NO_TIMINGS = Timings()
_OF_EVERY_TASK = {"truncated": "BOOL", "timings": "FP32"}

Facts = dict[str, Any]
"""The fields of `luxe_client._types.Answer`, by name."""


class Tensor(NamedTuple):
    """An output as it came, [N, M]."""

    shape: tuple[int, ...]
    format: str
    """Of a number; empty for BYTES, whose content is for `split`."""
    content: bytes

    def rows(self) -> list[tuple[Any, ...]]:
        """Return its numbers, a tuple a row: of a few numbers that costs less than an array."""
        count, width = self.shape
        if not width and not self.content:
            return [()] * count
        rows = list(struct.iter_unpack(self.format[0] + width * self.format[1], self.content))
        if len(rows) != count:
            raise ValueError(f"{len(rows)} rows for {count}")
        return rows

    def array(self) -> NDArray[Any]:
        """Return its numbers."""
        return np.frombuffer(self.content, dtype=self.format).reshape(self.shape)


def answers(
    request: Any,
    response: Any,
    *,
    address: str,
    what: str,
    wanted: Mapping[str, str],
    read: Callable[[dict[str, Tensor], int], list[Callable[[Facts], _T]]],
) -> list[_T]:
    """Return one answer a text, in order.

    Args:
        what: what the answer should be, for the message.
        wanted: datatypes of the outputs that ``read`` knows, by name; ``truncated`` comes with every task. Others are
            left out.
        read: makes of the tensors and the number of texts what makes an answer, one a text, of what all answers say.

    Raises:
        ProtocolError: the response is not an answer to this request.
    """
    count = int(request.inputs[0].shape[0])
    with Reading(request, response, address=address, what=what):
        found = tensors(response, {**wanted, **_OF_EVERY_TASK})
        truncated = found["truncated"]
        if truncated.shape != (count, 1):
            raise ValueError(f"truncated is {list(truncated.shape)} for {count} texts")
        makers = read(found, count)
        if len(makers) != count:
            raise ValueError(f"{len(makers)} answers to {count} texts")
        timings = _timings(found.get("timings"), count)
        model, version, request_id = response.model_name, response.model_version, response.id
        return [
            make(
                {
                    "model": model,
                    "version": version,
                    "request_id": request_id,
                    "truncated": cut,
                    "timings": timings[i] if timings else _NO_TIMINGS,
                }
            )
            for i, (make, (cut,)) in enumerate(zip(makers, truncated.rows(), strict=True))
        ]


class Reading:
    """Check whose answer it is, and turn what goes wrong inside into a ProtocolError."""

    __slots__ = ("_address", "_model", "_what")

    def __init__(self, request: Any, response: Any, *, address: str, what: str) -> None:
        self._model, self._address, self._what = request.model_name, address, what
        if response.id != request.id:
            message = f"{self._model} at {address}: answer to request {response.id!r}, not {request.id!r}"
            raise ProtocolError(message, model=self._model, address=address)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (KeyError, ValueError, IndexError, OverflowError, struct.error)):
            words = f"no output {error}" if isinstance(error, KeyError) else error
            message = f"{self._model} at {self._address}: not a {self._what} answer: {words}"
            raise ProtocolError(message, model=self._model, address=self._address) from error


def tensors(response: Any, wanted: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the wanted outputs by name.

    Raises:
        ValueError: a wanted output has another type, not two dimensions, or not the content of its shape.
    """
    raw = contents(response)
    found: dict[str, Tensor] = {}
    for output, content in zip(response.outputs, raw, strict=True):
        name = output.name
        if name not in wanted:
            continue
        datatype, shape = output.datatype, tuple(output.shape)
        if datatype != wanted[name] or len(shape) != 2 or min(shape) < 0:
            raise ValueError(f"{name} is {datatype} {list(shape)}")
        form = _FORMATS[datatype]
        found[name] = Tensor(shape, form, content)
    return found


def split(content: bytes) -> list[bytes]:
    """Undo the length prefixes of a BYTES tensor.

    Raises:
        ValueError: the content ends too early.
    """
    parts, at = [], 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "little")
        at += 4
        if at + length > len(content):
            raise ValueError("a text ends before its length")
        parts.append(content[at : at + length])
        at += length
    return parts


def probabilities(scores: NDArray[np.float32]) -> None:
    """Raise ValueError if ``scores`` are no probabilities."""
    # Written so that NaN fails it; sums of FP32 may be over 1 by their last bits.
    if not ((scores >= -1e-3) & (scores <= 1.001)).all():
        raise ValueError("scores are no probabilities")


def _timings(timings: Tensor | None, count: int) -> list[Timings]:
    """Return the server's own times of each text; none where it does not tell."""
    if timings is None:
        return []
    if timings.shape != (count, 3):
        raise ValueError(f"timings is {list(timings.shape)} for {count} texts")
    return [Timings(*row) for row in timings.rows()]
