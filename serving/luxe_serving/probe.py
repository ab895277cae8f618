"""Ready means answered: one real inference through every model of a repository.

Triton's own readiness stays true when a backend process has died (server#8604).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

__all__ = ["answers", "models"]

_SAMPLES = {
    "BYTES": (5).to_bytes(4, "little") + b"ready",
    "INT64": (1).to_bytes(8, "little"),
    "INT32": (1).to_bytes(4, "little"),
    "FP32": bytes(4),
    "BOOL": bytes(1),
}


def models(repository: Path) -> list[str]:
    """Return the entries of a repository that Triton would load."""
    return sorted(p.parent.name for p in repository.glob("[!.]*/config.pbtxt"))


def answers(channel: grpc.Channel, model: str, *, timeout_s: float) -> None:
    """Send the smallest valid request to a model and wait for its answer.

    Raises:
        grpc.RpcError: it did not answer.
    """
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    metadata = stub.ModelMetadata(service_pb2.ModelMetadataRequest(name=model), timeout=timeout_s)
    request: Any = service_pb2.ModelInferRequest(model_name=model, id="probe")
    for tensor in metadata.inputs:
        request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=[1] * len(tensor.shape))
        request.raw_input_contents.append(_SAMPLES[tensor.datatype])
    for tensor in metadata.outputs:
        request.outputs.add(name=tensor.name)
    stub.ModelInfer(request, timeout=timeout_s)
