"""Requests and answers as bytes: the KServe V2 inference protocol over gRPC, without I/O. One module a task.

The tensors of each task are in docs/serving.md.
"""

from luxe_client._wire.classification import classifications
from luxe_client._wire.requests import encode_texts, text_request

__all__ = ["classifications", "encode_texts", "text_request"]
