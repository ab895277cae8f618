"""What a server must know of an ONNX file before it loads it, read without loading it.

The file is walked along the protobuf wire format (https://protobuf.dev/programming-guides/encoding/), which is all
that this needs: fields are skipped by their length, so weights are never read, and the file is never parsed by a
library that would follow a path in it.
"""

from __future__ import annotations

import dataclasses
import mmap
from collections.abc import Iterator
from pathlib import Path

__all__ = ["MAX_BYTES", "MAX_IR_VERSION", "MAX_OPSET", "Facts", "MalformedOnnx", "problems", "read"]

# NVIDIA's Triton 24.10 image carries ONNX Runtime 1.19.2, which reads up to IR 10 and opset 21
# (onnxruntime docs, "ONNX Runtime compatibility").
MAX_IR_VERSION, MAX_OPSET = 10, 21

MAX_BYTES = 2**31 - 1
"""A protobuf message cannot be longer, and ours hold all their weights."""

_MAX_DEPTH = 100
"""Nesting that protobuf's own parsers accept."""

# The messages of onnx.proto through which a tensor can be reached: field number ► message.
_MESSAGES: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 8: "OperatorSetIdProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 9: "OperatorSetIdProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
    "OperatorSetIdProto": {},
}
_IR_VERSION = 1  # of ModelProto
_DOMAIN, _VERSION = 1, 2  # of OperatorSetIdProto
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of TensorProto

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class MalformedOnnx(ValueError):
    """The file is no ONNX model."""


@dataclasses.dataclass
class Facts:
    """What was found in a model."""

    ir_version: int = 0
    opset: int = 0
    """Of the standard operators."""
    external_data: bool = False
    """Whether any tensor lies, or says that it lies, outside the file."""


def read(path: Path) -> Facts:
    """Walk a model's file.

    Raises:
        MalformedOnnx: it is none.
        OSError: it cannot be read.
    """
    facts = Facts()
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise MalformedOnnx("the file is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _walk(data, 0, len(data), "ModelProto", facts, 0)
    if not facts.ir_version or not facts.opset:
        raise MalformedOnnx("no IR version or no opset in it")
    return facts


def problems(path: Path) -> list[str]:
    """Return why a server would refuse this file, or must; none when it is fine."""
    if path.stat().st_size > MAX_BYTES:
        return ["over 2 GiB, which no ONNX file can hold"]
    try:
        facts = read(path)
    except MalformedOnnx as error:
        return [f"not an ONNX model: {error}"]
    found = []
    if facts.external_data:
        found.append("holds external data: its weights may lie outside the repository")
    if facts.ir_version > MAX_IR_VERSION:
        found.append(f"IR {facts.ir_version}; the server reads up to IR {MAX_IR_VERSION}")
    if facts.opset > MAX_OPSET:
        found.append(f"opset {facts.opset}; the server reads up to opset {MAX_OPSET}")
    return found


def _walk(data: mmap.mmap, start: int, end: int, message: str, facts: Facts, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise MalformedOnnx("nested too deeply")
    domain, version = b"", 0
    for field, kind, value, length in _fields(data, start, end):
        child = _MESSAGES[message].get(field)
        if child:
            if kind != _BYTES:
                raise MalformedOnnx(f"field {field} of {message} is no message")
            _walk(data, value, value + length, child, facts, depth + 1)
        elif message == "TensorProto" and (field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value != 0)):
            facts.external_data = True
        elif message == "ModelProto" and field == _IR_VERSION:
            # Of a field that is there twice the last one counts, and readers differ; the highest is the safe one.
            facts.ir_version = max(facts.ir_version, value)
        elif message == "OperatorSetIdProto" and field == _DOMAIN:
            domain = data[value : value + length]
        elif message == "OperatorSetIdProto" and field == _VERSION:
            version = max(version, value)
    if message == "OperatorSetIdProto" and domain in (b"", b"ai.onnx"):
        facts.opset = max(facts.opset, version)


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield field number, wire type, value or offset, and length in bytes of each field."""
    at = start
    while at < end:
        tag, at = _varint(data, at, end)
        # ONNX Runtime's protobuf cuts a longer tag to 32 bits, and so sees another field than we would.
        if tag >= 2**32:
            raise MalformedOnnx("a tag of more than 32 bits")
        field, kind = tag >> 3, tag & 7
        value, length = at, 0
        if kind == _VARINT:
            value, at = _varint(data, at, end)
        elif kind == _BYTES:
            length, value = _varint(data, at, end)
            if length > MAX_BYTES:
                raise MalformedOnnx("a field of over 2 GiB")
            at = value + length
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
            at += length
        else:
            raise MalformedOnnx(f"wire type {kind}")
        if field == 0 or at > end:
            raise MalformedOnnx("a field ends outside its message")
        yield field, kind, value, length


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise MalformedOnnx("a number has no end")
