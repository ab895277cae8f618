"""The protocol's messages and its service, as tritonclient has them: loaded with the first client, not by an import.

Importing them takes as long as the whole rest of this package.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["service_pb2", "service_pb2_grpc"]

service_pb2: Any
service_pb2_grpc: Any


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    # From now on it is there, and this is not called any more (PEP 562).
    module = globals()[name] = importlib.import_module(f"tritonclient.grpc.{name}")
    return module
