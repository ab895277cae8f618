"""The datatypes of the V2 protocol, and what a response's outputs hold, in whichever of its two ways they came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from luxe_client._wire.requests import bytes_tensor

__all__ = ["DTYPES", "contents"]

DTYPES = {
    "BOOL": np.dtype("?"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""Those that numpy has; BYTES are no array."""

# As grpc_service.proto says at InferTensorContents. FP16 has no list of its own.
_LISTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}

_SHARED = {"int_contents": np.dtype("<i4"), "uint_contents": np.dtype("<u4")}
"""Lists that serve for smaller numbers too."""


def contents(response: Any) -> Sequence[bytes]:
    """Return the content of each output, as Triton sends it: packed, little endian, BYTES with their lengths.

    Other servers, KServe's own among them, send lists of numbers beside each output instead.

    Raises:
        ValueError: there is not one content for each output, or a list does not fit its datatype.
    """
    raw: Sequence[bytes] = response.raw_output_contents
    if len(raw) == len(response.outputs):
        return raw
    if raw:
        raise ValueError(f"{len(response.outputs)} outputs with {len(raw)} contents")
    return [_packed(output) for output in response.outputs]


def _packed(output: Any) -> bytes:
    name, datatype = output.name, output.datatype
    if datatype not in _LISTS:
        raise ValueError(f"{name} is {datatype} without content")
    field = _LISTS[datatype]
    values = getattr(output.contents, field)
    if datatype == "BYTES":
        return bytes_tensor(values)
    given = np.array(values, dtype=_SHARED.get(field, DTYPES[datatype]))
    packed = given.astype(DTYPES[datatype])
    if field in _SHARED and (packed != given).any():
        raise ValueError(f"{name} holds what is no {datatype}")
    return packed.tobytes()
