"""A server whose answers cost little and never differ: `python -m luxe_bench.client_cost.fake`.

It answers with the outputs that luxe's server sends. What it costs itself is not counted.
"""

from __future__ import annotations

import struct
import sys
from typing import Any

from tritonclient.grpc import service_pb2

from luxe_bench.cost.worker import say
from luxe_client.testing import FakeTriton, add_output, bytes_tensor

__all__ = ["LABELS", "main"]

LABELS = tuple(f"label {number}" for number in range(9))
"""The first is the likeliest."""


def main() -> None:
    """Serve until standard input ends; every line of it makes the fake forget what it was asked."""
    answer = service_pb2.ModelInferResponse(model_version="1")
    width = len(LABELS)
    add_output(
        answer, "scores", "FP32", [1, width], struct.pack(f"<{width}f", 0.65, *[0.35 / (width - 1)] * (width - 1))
    )
    add_output(answer, "labels", "BYTES", [1, width], bytes_tensor(LABELS))
    add_output(answer, "needs_review", "BOOL", [1, 1], b"\0")
    add_output(answer, "truncated", "BOOL", [1, 1], b"\0")
    add_output(answer, "timings", "FP32", [1, 3], struct.pack("<3f", 0.001, 0.0001, 0.004))

    def script(request: Any, _context: Any) -> Any:
        response = service_pb2.ModelInferResponse(model_name=request.model_name, id=request.id)
        response.MergeFrom(answer)
        return response

    with FakeTriton() as triton:
        triton.script = script
        say({"address": triton.address})
        for _ in sys.stdin:
            triton.requests.clear()
            triton.metadata.clear()
            triton.alive.clear()
            say({"forgotten": True})


if __name__ == "__main__":
    main()
