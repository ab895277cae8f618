"""What only the holder of the launcher's key may ask of a server: to load, to unload, and what is loaded."""

from __future__ import annotations

from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from luxe_serving.launcher.arguments import ADMIN_HEADER

__all__ = ["Admin", "Index"]

Index = dict[str, dict[int, str]]
"""State of each version, such as ``READY`` or ``UNLOADING``, by entry; versions that are not loaded are left out."""

_CALL_S = 10.0
_CHANGE_S = 1800.0
"""Longer than anybody waits: a deadline that passes on the wire may end Triton 2.51 (server#7368)."""
_GONE = ("", "UNAVAILABLE")


class Admin:
    """Calls to a server's model repository protocol; close it at the end.

    Every method may raise `grpc.RpcError`.
    """

    def __init__(self, address: str, key: str) -> None:
        self.channel = grpc.insecure_channel(address)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self.channel)
        self._metadata = [(f"triton-grpc-protocol-{ADMIN_HEADER}", key)]

    def __enter__(self) -> Admin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.channel.close()

    def live(self) -> bool:
        """Return whether the server answers."""
        return bool(self._stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=_CALL_S).live)

    def load(self, entry: str, config: str | None = None) -> Any:
        """Begin to load an entry, with another config than the published one if given; returns a future."""
        request = service_pb2.RepositoryModelLoadRequest(model_name=entry)
        if config is not None:
            request.parameters["config"].string_param = config
        return self._stub.RepositoryModelLoad.future(request, metadata=self._metadata, timeout=_CHANGE_S)

    def unload(self, entry: str) -> Any:
        """Begin to unload an entry; returns a future. Its accepted requests finish, also after that."""
        request = service_pb2.RepositoryModelUnloadRequest(model_name=entry)
        return self._stub.RepositoryModelUnload.future(request, metadata=self._metadata, timeout=_CHANGE_S)

    def index(self, *, timeout_s: float = _CALL_S) -> Index:
        """Return what is loaded, is being loaded, or is on its way out."""
        request = service_pb2.RepositoryIndexRequest()
        index: Index = {}
        for model in self._stub.RepositoryIndex(
            request, metadata=self._metadata, timeout=min(timeout_s, _CALL_S)
        ).models:
            if model.state not in _GONE and model.version:
                index.setdefault(model.name, {})[int(model.version)] = model.state
        return index

    def ready(self, *, timeout_s: float = _CALL_S) -> dict[str, int]:
        """Return the newest version that is ready of every text model."""
        found = {}
        for entry, versions in self.index(timeout_s=timeout_s).items():
            numbers = [number for number, state in versions.items() if state == "READY"]
            if numbers and not entry.endswith("-engine"):
                found[entry] = max(numbers)
        return found
