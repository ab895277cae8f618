"""The outputs of a response as arrays, and the checks that every answer goes through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from luxe_client._errors import ProtocolError
from luxe_client._types import Timings
from luxe_client._wire.contents import contents

__all__ = ["Facts", "answers", "probabilities", "reading", "split", "tensors"]

_DTYPES = {"FP32": np.dtype("<f4"), "BOOL": np.dtype("?"), "INT32": np.dtype("<i4")}
_T = TypeVar("_T")
_NO_TIMINGS = Timings()
_OF_EVERY_TASK = {"truncated": "BOOL", "timings": "FP32"}

Facts = dict[str, Any]
"""The fields of `luxe_client._types.Answer`, by name."""


def answers(
    request: Any,
    response: Any,
    *,
    address: str,
    what: str,
    wanted: Mapping[str, str],
    read: Callable[[dict[str, Any], int], list[Callable[[Facts], _T]]],
) -> list[_T]:
    """Return one answer a text, in order.

    Args:
        what: what the answer should be, for the message.
        wanted: datatypes of the outputs that ``read`` knows, by name; ``truncated`` comes with every task. Others are
            left out. BYTES come as they are, for `split`, with their shape under ``NAME.shape``.
        read: makes of the tensors and the number of texts what makes an answer, one a text, of what all answers say.

    Raises:
        ProtocolError: the response is not an answer to this request.
    """
    count = int(request.inputs[0].shape[0])
    with reading(request, response, address=address, what=what):
        found = tensors(response, {**wanted, **_OF_EVERY_TASK})
        truncated = found["truncated"]
        if truncated.shape != (count, 1):
            raise ValueError(f"truncated is {list(truncated.shape)} for {count} texts")
        makers = read(found, count)
        if len(makers) != count:
            raise ValueError(f"{len(makers)} answers to {count} texts")
        timings = _timings(found, count)
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
            for i, (make, cut) in enumerate(zip(makers, truncated[:, 0].tolist(), strict=True))
        ]


@contextmanager
def reading(request: Any, response: Any, *, address: str, what: str) -> Iterator[None]:
    """Check whose answer it is, and turn what goes wrong inside into a ProtocolError."""
    model = request.model_name
    if response.id != request.id:
        message = f"{model} at {address}: answer to request {response.id!r}, not {request.id!r}"
        raise ProtocolError(message, model=model, address=address)
    try:
        yield
    except (KeyError, ValueError, IndexError, OverflowError) as error:
        words = f"no output {error}" if isinstance(error, KeyError) else error
        message = f"{model} at {address}: not a {what} answer: {words}"
        raise ProtocolError(message, model=model, address=address) from error


def tensors(response: Any, wanted: Mapping[str, str]) -> dict[str, Any]:
    """Return the wanted outputs by name: arrays [N, …], and BYTES as they came, their shape under ``NAME.shape``.

    Raises:
        ValueError: a wanted output has another type, not two dimensions, or not the content of its shape.
    """
    raw = contents(response)
    found: dict[str, Any] = {}
    for output, content in zip(response.outputs, raw, strict=True):
        name, datatype = output.name, output.datatype
        if name not in wanted:
            continue
        shape = tuple(output.shape)
        if datatype != wanted[name] or len(shape) != 2 or min(shape) < 0:
            raise ValueError(f"{name} is {datatype} {list(shape)}")
        if datatype == "BYTES":
            found[name] = content
            found[f"{name}.shape"] = shape
        else:
            found[name] = np.frombuffer(content, dtype=_DTYPES[datatype]).reshape(shape)
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


def probabilities(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``scores``.

    Raises:
        ValueError: they are no probabilities.
    """
    # Written so that NaN fails it; sums of FP32 may be over 1 by their last bits.
    if not ((scores >= -1e-3) & (scores <= 1.001)).all():
        raise ValueError("scores are no probabilities")
    return scores


def _timings(found: Mapping[str, Any], count: int) -> list[Timings]:
    """Return the server's own times of each text; none where it does not tell."""
    if "timings" not in found:
        return []
    if found["timings"].shape != (count, 3):
        raise ValueError(f"timings is {list(found['timings'].shape)} for {count} texts")
    return [Timings(*row) for row in found["timings"].tolist()]
