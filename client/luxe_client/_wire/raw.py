"""Tensors of any model, by the datatypes of the V2 protocol; and the list of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luxe_client._errors import InvalidInput, ProtocolError
from luxe_client._types import Model, RawAnswer
from luxe_client._wire.contents import DTYPES, contents
from luxe_client._wire.requests import Input, bytes_tensor, infer_request
from luxe_client._wire.tensors import Reading, split

__all__ = ["models", "raw_answer", "raw_request"]

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def raw_request(
    model: str,
    inputs: Mapping[str, NDArray[Any]],
    *,
    outputs: Sequence[str],
    parameters: Mapping[str, bool | int | str],
    version: str,
    request_id: str,
) -> Any:
    """Return a ``ModelInferRequest``.

    Raises:
        InvalidInput: an array or a parameter has a type that the protocol does not know.
    """
    if not inputs:
        raise InvalidInput("raw_infer needs at least one input", model=model)
    encoded = [_input(name, np.asarray(array), model) for name, array in inputs.items()]
    request = infer_request(model, encoded, version=version, request_id=request_id)
    for name in outputs:
        request.outputs.add(name=name)
    for name, value in parameters.items():
        field = {bool: "bool_param", int: "int64_param", str: "string_param"}.get(type(value))
        if field is None:
            raise InvalidInput(f"parameter {name} is {type(value).__name__}, not bool, int or str", model=model)
        try:
            setattr(request.parameters[name], field, value)
        except ValueError as error:
            raise InvalidInput(f"parameter {name} cannot be sent: {error}", model=model) from None
    return request


def raw_answer(request: Any, response: Any, *, address: str) -> RawAnswer:
    """Return the tensors of a response.

    Raises:
        ProtocolError: the response is not an answer to this request, or holds a type that numpy does not have.
    """
    with Reading(request, response, address=address, what="V2"):
        found = {o.name: _array(o, content) for o, content in zip(response.outputs, contents(response), strict=True)}
    return RawAnswer(
        outputs=found,
        parameters={name: getattr(p, p.WhichOneof("parameter_choice")) for name, p in response.parameters.items()},
        model=response.model_name,
        version=response.model_version,
        request_id=response.id,
    )


def models(response: Any, *, address: str) -> list[Model]:
    """Return what a ``RepositoryIndexResponse`` lists, by name and version.

    Raises:
        ProtocolError: an entry has no name.
    """
    if not all(model.name for model in response.models):
        raise ProtocolError(f"{address}: a model without a name is listed", address=address)
    found = [
        Model(name=m.name, version=m.version, ready=m.state == "READY", state=m.state, reason=m.reason)
        for m in response.models
    ]
    return sorted(found, key=lambda m: (m.name, len(m.version), m.version))


def _input(name: str, array: NDArray[Any], model: str) -> Input:
    if array.dtype.kind in "OSU":
        return name, "BYTES", array.shape, bytes_tensor([_bytes(name, value, model) for value in array.ravel()])
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _NAMES:
        raise InvalidInput(f"input {name} is {array.dtype}, which the V2 protocol does not know", model=model)
    return name, _NAMES[dtype], array.shape, np.ascontiguousarray(array, dtype=dtype).tobytes()


def _bytes(name: str, value: Any, model: str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise InvalidInput(f"input {name} holds {type(value).__name__}, not str or bytes", model=model)


def _array(output: Any, content: bytes) -> NDArray[Any]:
    shape = tuple(output.shape)
    if min(shape, default=0) < 0:
        raise ValueError(f"{output.name} is {list(shape)}")
    if output.datatype == "BYTES":
        values = split(content)
        flat = np.empty(len(values), dtype=object)
        flat[:] = values
        return flat.reshape(shape)
    if output.datatype not in DTYPES:
        raise ValueError(f"{output.name} is {output.datatype}, which numpy does not have")
    return np.frombuffer(content, dtype=DTYPES[output.datatype]).reshape(shape)
