"""A Triton that answers from a script: a real gRPC server on a loopback port, in this process."""

import threading
from concurrent import futures

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

LABELS = ("red", "green", "blue")
WAIT_S = 20.0
"""Bound on every wait: only a broken test gets there."""


def scores_of(text):
    """The probabilities that the default script gives a text; most texts differ."""
    weights = np.array([1 + (sum(text.encode()) * k) % 17 for k in (3, 5, 7)], dtype="<f4")
    return weights / weights.sum()


def texts_of(request):
    """Decode the texts of a request, by the protocol's own words."""
    content, texts = request.raw_input_contents[0], []
    while content:
        length = int.from_bytes(content[:4], "little")
        texts.append(content[4 : 4 + length].decode())
        content = content[4 + length :]
    return texts


def bytes_tensor(values):
    return b"".join(len(v).to_bytes(4, "little") + v for v in values)


def response_to(request, *, version="7"):
    """The right answer to a request; tests bend it. Asks for review at "?", truncates at "long"."""
    texts = texts_of(request)
    n = len(texts)
    response = service_pb2.ModelInferResponse(model_name=request.model_name, model_version=version, id=request.id)
    add_output(response, "scores", "FP32", [n, 3], b"".join(scores_of(t).tobytes() for t in texts))
    add_output(response, "labels", "BYTES", [n, 3], bytes_tensor([name.encode() for name in LABELS] * n))
    add_output(response, "needs_review", "BOOL", [n, 1], bytes("?" in t for t in texts))
    add_output(response, "truncated", "BOOL", [n, 1], bytes("long" in t for t in texts))
    return response


def add_output(response, name, datatype, shape, content):
    response.outputs.add(name=name, datatype=datatype, shape=shape)
    response.raw_output_contents.append(content)


def replace_output(response, name, datatype, shape, content):
    """Change one output of a response, in place."""
    index = [o.name for o in response.outputs].index(name)
    response.outputs[index].datatype = datatype
    del response.outputs[index].shape[:]
    response.outputs[index].shape.extend(shape)
    response.raw_output_contents[index] = content


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers `ModelInfer` with ``script(request, context)`` and keeps what it saw.

    Attributes:
        requests: every `ModelInferRequest`, in the order of arrival.
        cancelled: set when a call ends before the script has answered it.
        answered: released once for every call that the script has answered.
        alive: for every answered call, whether its caller was still there.
    """

    def __init__(self):
        self.script = lambda request, _context: response_to(request)
        self.ready_models = {"colours"}
        self.requests = []
        self.alive = []
        self.cancelled = threading.Event()
        self.answered = threading.Semaphore(0)
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{self.port}"
        self._server.start()

    def ModelInfer(self, request, context):  # noqa: N802
        self.requests.append(request)
        answered = threading.Event()
        context.add_callback(lambda: None if answered.is_set() else self.cancelled.set())
        try:
            return self.script(request, context)
        finally:
            self.alive.append(context.is_active())
            answered.set()
            self.answered.release()

    def ModelReady(self, request, context):  # noqa: N802
        return service_pb2.ModelReadyResponse(ready=request.name in self.ready_models)

    def fails_with(self, status, details="the script says so"):
        """Answer every call with a status."""
        self.script = lambda _request, context: context.abort(status, details)

    def stop(self):
        self._server.stop(grace=None).wait(WAIT_S)
