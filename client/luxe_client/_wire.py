"""Requests and answers as bytes: the KServe V2 inference protocol over gRPC, without I/O.

The tensors of a text-classification model, for N texts and L labels (see docs/serving.md):

    in   text          BYTES [N, 1]   UTF-8
    out  scores        FP32  [N, L]   probabilities
    out  labels        BYTES [N, L]   names of the columns of ``scores``
    out  needs_review  BOOL  [N, 1]
    out  truncated     BOOL  [N, 1]
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from luxe_client._errors import InvalidInput, ProtocolError
from luxe_client._types import Classification

__all__ = ["classifications", "encode_texts", "text_request"]

_DTYPES = {"FP32": np.dtype("<f4"), "BOOL": np.dtype("?")}
_OUTPUTS = {"scores": "FP32", "labels": "BYTES", "needs_review": "BOOL", "truncated": "BOOL"}


def encode_texts(texts: Sequence[str], *, model: str) -> list[bytes]:
    """Return the texts as UTF-8.

    Raises:
        InvalidInput: not a string, empty, or not encodable; names the position.
    """
    if not isinstance(texts, Sequence):
        raise InvalidInput(f"texts is {type(texts).__name__}, not str or a list of them", model=model)
    encoded = []
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidInput(f"text {position} is {type(text).__name__}, not str", model=model)
        if not text.strip():
            raise InvalidInput(f"text {position} is empty", model=model)
        try:
            encoded.append(text.encode())
        except UnicodeEncodeError as error:
            raise InvalidInput(f"text {position} is not valid Unicode: {error.reason}", model=model) from None
    return encoded


def text_request(model: str, texts: Sequence[bytes], *, timeout_s: float) -> Any:
    """Return a ``ModelInferRequest`` for texts; ``timeout_s`` bounds its wait in the server's queue."""
    request = service_pb2.ModelInferRequest(model_name=model, id=uuid.uuid4().hex)
    request.parameters["timeout"].int64_param = max(1, int(timeout_s * 1e6))
    request.inputs.add(name="text", datatype="BYTES", shape=[len(texts), 1])
    for name in _OUTPUTS:
        request.outputs.add(name=name)
    request.raw_input_contents.append(b"".join(len(t).to_bytes(4, "little") + t for t in texts))
    return request


def classifications(request: Any, response: Any, *, address: str) -> list[Classification]:
    """Return one answer a text, in order.

    Raises:
        ProtocolError: the response is not an answer to this request.
    """
    model = request.model_name
    if response.id != request.id:
        message = f"{model} at {address}: answer to request {response.id!r}, not {request.id!r}"
        raise ProtocolError(message, model=model, address=address)
    count = request.inputs[0].shape[0]
    try:
        tensors = _tensors(response)
        scores, names = tensors["scores"], tensors["labels"]
        review, truncated = tensors["needs_review"], tensors["truncated"]
        if not len(scores) == len(names) == len(review) == len(truncated) == count:
            raise ValueError(f"{len(scores)} answers to {count} texts")
        return [
            _classification(names[i], scores[i].tolist(), bool(review[i, 0]), bool(truncated[i, 0]), response)
            for i in range(count)
        ]
    except (KeyError, ValueError, IndexError) as error:
        message = f"{model} at {address}: not a text-classification answer: {error}"
        raise ProtocolError(message, model=model, address=address) from error


def _classification(names: Any, scores: list[float], review: bool, truncated: bool, response: Any) -> Classification:
    by_label = dict(zip((name.decode() for name in names), scores, strict=True))
    if len(by_label) != len(scores) or not np.isfinite(scores).all():
        raise ValueError("labels repeat, or scores are no numbers")
    label = max(by_label, key=by_label.__getitem__)
    return Classification(
        label=label,
        score=by_label[label],
        scores=by_label,
        needs_review=review,
        truncated=truncated,
        model=response.model_name,
        version=response.model_version,
        request_id=response.id,
    )


def _tensors(response: Any) -> dict[str, Any]:
    raw = response.raw_output_contents
    if len(raw) != len(response.outputs):
        raise ValueError(f"{len(response.outputs)} outputs with {len(raw)} contents")
    tensors = {}
    for output, content in zip(response.outputs, raw, strict=True):
        if output.name not in _OUTPUTS:
            continue
        if output.datatype != _OUTPUTS[output.name] or len(output.shape) != 2:
            raise ValueError(f"{output.name} is {output.datatype} {list(output.shape)}")
        if output.datatype == "BYTES":
            flat = np.array(_split(content), dtype=object)
        else:
            flat = np.frombuffer(content, dtype=_DTYPES[output.datatype])
        tensors[output.name] = flat.reshape(tuple(output.shape))
    return tensors


def _split(content: bytes) -> list[bytes]:
    """Undo the length prefixes of a BYTES tensor."""
    parts, at = [], 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "little")
        at += 4
        if at + length > len(content):
            raise ValueError("a text ends before its length")
        parts.append(content[at : at + length])
        at += length
    return parts
