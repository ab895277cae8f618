"""What is sent: texts as UTF-8, and the message around them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from luxe_client._errors import InvalidInput
from luxe_client._wire import messages

__all__ = ["Input", "bytes_tensor", "encode_texts", "infer_request", "set_timeout", "text_request"]

Input = tuple[str, str, Sequence[int], bytes]
"""Name, datatype, shape and content of a tensor."""


def encode_texts(texts: Sequence[str], *, model: str, name: str = "text") -> list[bytes]:
    """Return the texts as UTF-8; ``name`` is what messages call one.

    Raises:
        InvalidInput: not a string, empty, or not encodable; names the position.
    """
    if not isinstance(texts, Sequence) or isinstance(texts, (bytes, bytearray)):
        raise InvalidInput(f"{name}s is {type(texts).__name__}, not str or a list of them", model=model)
    return [encode_text(text, position, model=model, name=name) for position, text in enumerate(texts)]


def encode_text(text: str, position: int, *, model: str, name: str = "text") -> bytes:
    """Return one text as UTF-8; as `encode_texts`."""
    if not isinstance(text, str):
        raise InvalidInput(f"{name} {position} is {type(text).__name__}, not str", model=model)
    if not text or text.isspace():
        raise InvalidInput(f"{name} {position} is empty", model=model)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{name} {position} is not valid Unicode: {error.reason}", model=model) from None


def infer_request(model: str, inputs: Sequence[Input], *, version: str = "", request_id: str = "") -> Any:
    """Return a ``ModelInferRequest`` that asks for every output.

    No output is named, so that a server may tell more than this client knows, and less than a later one does.
    """
    request = messages.service_pb2.ModelInferRequest(
        model_name=model, model_version=version, id=request_id or os.urandom(16).hex()
    )
    for name, datatype, shape, content in inputs:
        request.inputs.add(name=name, datatype=datatype, shape=shape)
        request.raw_input_contents.append(content)
    return request


def set_timeout(request: Any, timeout_s: float) -> None:
    """Bound the request's wait in the server's queue."""
    request.parameters["timeout"].int64_param = max(1, int(timeout_s * 1e6))


def text_request(model: str, texts: Sequence[bytes], *, timeout_s: float) -> Any:
    """Return a ``ModelInferRequest`` for texts; ``timeout_s`` bounds its wait in the server's queue."""
    request = infer_request(model, [("text", "BYTES", (len(texts), 1), bytes_tensor(texts))])
    set_timeout(request, timeout_s)
    return request


def bytes_tensor(values: Sequence[bytes]) -> bytes:
    """Return the content of a BYTES tensor."""
    return b"".join([part for value in values for part in (len(value).to_bytes(4, "little"), value)])
