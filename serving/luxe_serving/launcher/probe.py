"""Ready means answered: one real inference through every model of a repository.

Triton's own readiness stays true when a backend process has died (server#8604).
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from luxe_serving.launcher.loading import Sleep, until_done

__all__ = ["answers", "begin", "entries", "models", "request"]

_ENGINE = "-engine"
_NUMBERS = itertools.count()


def entries(repository: Path) -> list[str]:
    """Return the entries of a repository that Triton would load."""
    return sorted(p.parent.name for p in repository.glob("[!.]*/config.pbtxt"))


def models(repository: Path) -> list[str]:
    """Return the models that people call: entries, but for the engines of others."""
    found = entries(repository)
    return [name for name in found if not (name.endswith(_ENGINE) and name.removesuffix(_ENGINE) in found)]


def answers(channel: grpc.Channel, model: str, *, timeout_s: float, sleep: Sleep = time.sleep) -> str:
    """Send the smallest valid request to a model, wait for its answer, and return the version that gave it.

    Raises:
        grpc.RpcError: it did not answer.
    """
    call = begin(channel, request(channel, model, timeout_s=timeout_s), timeout_s=timeout_s)
    until_done(call, sleep)
    return str(call.result().model_version)


def request(channel: grpc.Channel, model: str, *, timeout_s: float) -> Any:
    """Return the smallest valid request to a model.

    Raises:
        grpc.RpcError: the model is not there.
    """
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    metadata = stub.ModelMetadata(service_pb2.ModelMetadataRequest(name=model), timeout=timeout_s)
    made: Any = service_pb2.ModelInferRequest(model_name=model, id="probe")
    for tensor in metadata.inputs:
        made.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=[1] * len(tensor.shape))
    for tensor in metadata.outputs:
        made.outputs.add(name=tensor.name)
    return made


def begin(channel: grpc.Channel, made: Any, *, timeout_s: float) -> Any:
    """Send a request as one that no cache has seen before; returns a future."""
    del made.raw_input_contents[:]
    made.raw_input_contents.extend(_sample(tensor.datatype) for tensor in made.inputs)
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    return stub.ModelInfer.future(made, timeout=timeout_s)


def _sample(datatype: str) -> bytes:
    if datatype == "BYTES":
        text = f"ready {next(_NUMBERS)}".encode()
        return len(text).to_bytes(4, "little") + text
    return {"INT64": (1).to_bytes(8, "little"), "INT32": (1).to_bytes(4, "little"), "FP32": bytes(4), "BOOL": b"\0"}[
        datatype
    ]
