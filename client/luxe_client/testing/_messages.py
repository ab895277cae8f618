"""Requests read and responses written, by the protocol's own words and without the client's code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tritonclient.grpc import service_pb2

__all__ = ["add_output", "bytes_tensor", "response_to", "texts_of"]


def texts_of(request: Any, name: str = "text") -> list[str]:
    """Return the texts of a request's BYTES input, in order; none where it has no such input."""
    names = [tensor.name for tensor in request.inputs]
    if name not in names:
        return []
    content, texts = request.raw_input_contents[names.index(name)], []
    while content:
        length = int.from_bytes(content[:4], "little")
        texts.append(content[4 : 4 + length].decode())
        content = content[4 + length :]
    return texts


def response_to(request: Any, *, version: str = "1") -> Any:
    """Return a ``ModelInferResponse`` to a request, without outputs."""
    return service_pb2.ModelInferResponse(model_name=request.model_name, model_version=version, id=request.id)


def add_output(response: Any, name: str, datatype: str, shape: Sequence[int], content: bytes) -> None:
    """Add an output to a response."""
    response.outputs.add(name=name, datatype=datatype, shape=shape)
    response.raw_output_contents.append(content)


def bytes_tensor(values: Iterable[str | bytes]) -> bytes:
    """Return the content of a BYTES tensor."""
    encoded = [value.encode() if isinstance(value, str) else value for value in values]
    return b"".join(len(value).to_bytes(4, "little") + value for value in encoded)
