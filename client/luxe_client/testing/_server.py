"""The fake itself: a real gRPC server on a loopback port, in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from types import TracebackType
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from luxe_client.testing import _answers

__all__ = ["FakeTriton", "Script"]

Script = Callable[[Any, Any], Any]
"""From a ``ModelInferRequest`` and its gRPC context to a ``ModelInferResponse``; may abort the context."""

_STOP_S = 20.0
_LONG = 10_000


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # the base has no types
    """A server that answers as it is told. It runs from the start, and stops when its ``with`` block ends.

    `classify`, `tag`, `embed`, `rank` and `zero_shot` each add a model. `fail`, `delay`, `hang` and `stop` are faults.

    Args:
        workers: most requests at a time.
        credentials: gRPC's, for a server with TLS; None for none.

    Attributes:
        address: ``host:port``.
        requests: every ``ModelInferRequest``, in the order of arrival.
        metadata: the headers of each, as a dict.
        script: answers every inference instead of the models, if it is set.
        index: what the list of models shows, by name and version: "READY" or another state.
        cancelled: set when a call ends before it was answered.
        answered: released once for every call that was answered.
        alive: for every answered call, whether its caller was still there.
    """

    def __init__(self, *, workers: int = 32, credentials: Any = None) -> None:
        self.script: Script | None = None
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str]] = []
        self.index: dict[tuple[str, str], str] = {}
        self.alive: list[bool] = []
        self.cancelled = threading.Event()
        self.answered = threading.Semaphore(0)
        self._workers = workers
        self._credentials = credentials
        self._models: dict[str, _answers.Answer] = {}
        self._fault: tuple[grpc.StatusCode, str, int | None] | None = None
        self._failures_left: float = 0
        self._delay_s = 0.0
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._released.set()
        self._server: Any = None
        self._pool: futures.ThreadPoolExecutor | None = None
        self.port = 0
        self.start()
        self.address = f"127.0.0.1:{self.port}"

    def classify(
        self,
        model: str,
        scores: Mapping[str, float] | Callable[[str], Mapping[str, float]],
        *,
        needs_review: bool | Callable[[str], bool] = False,
        problem_type: str = "single_label_classification",
        version: str = "1",
        longest: int = _LONG,
    ) -> None:
        """Add a text-classification model.

        Args:
            model: its name.
            scores: of each label, the same for every text or as a function of it.
            needs_review: likewise.
            problem_type: or ``multi_label_classification``, or ``regression``.
            version: of the model.
            longest: text in characters; a longer one is said to be truncated.
        """
        every = {"version": version, "longest": longest}
        self._add(model, version, _answers.classification(scores, needs_review, problem_type, **every))

    def tag(
        self,
        model: str,
        find: Callable[[str], Sequence[tuple[str, int, int, float]]],
        *,
        version: str = "1",
        longest: int = _LONG,
    ) -> None:
        """Add a token-classification model; ``find`` gives label, start, end and score of each entity of a text."""
        self._add(model, version, _answers.entities(find, version=version, longest=longest))

    def embed(
        self, model: str, vector: Callable[[str], Sequence[float]], *, version: str = "1", longest: int = _LONG
    ) -> None:
        """Add a feature-extraction model."""
        self._add(model, version, _answers.embeddings(vector, version=version, longest=longest))

    def rank(self, model: str, score: Callable[[str, str], float], *, version: str = "1", longest: int = _LONG) -> None:
        """Add a text-ranking model; ``score`` is of a query and a document."""
        self._add(model, version, _answers.ranking(score, version=version, longest=longest))

    def zero_shot(
        self, model: str, score: Callable[[str, str], float], *, version: str = "1", longest: int = _LONG
    ) -> None:
        """Add a zero-shot-classification model; ``score`` is of a text and a label, above 0 and at most 1."""
        self._add(model, version, _answers.zero_shot(score, version=version, longest=longest))

    def remove(self, model: str) -> None:
        """Take a model away, as a server does that stops or loads another version."""
        self._models.pop(model, None)
        self.index = {key: state for key, state in self.index.items() if key[0] != model}

    def fail(
        self,
        status: grpc.StatusCode,
        details: str = "the script says so",
        *,
        times: int | None = None,
        push_back_ms: int | None = None,
    ) -> None:
        """Answer inferences with a status: the next ``times``, or all when None.

        Args:
            push_back_ms: sent along as ``grpc-retry-pushback-ms``.
        """
        with self._lock:
            self._fault = (status, details, push_back_ms)
            self._failures_left = float("inf") if times is None else times

    def delay(self, seconds: float) -> None:
        """Answer every inference so much later; 0 at once."""
        self._delay_s = seconds

    def hang(self) -> None:
        """Answer nothing any more, as a paused process does."""
        self._released.clear()

    def recover(self) -> None:
        """End every fault; what hangs is answered."""
        self._failures_left = 0
        self._delay_s = 0.0
        self._released.set()

    def start(self) -> None:
        """Start again after `stop`, on the same port."""
        self._pool = futures.ThreadPoolExecutor(max_workers=self._workers)
        self._server = grpc.server(self._pool, options=[("grpc.so_reuseport", 0)])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        address = f"127.0.0.1:{self.port}"
        if self._credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, self._credentials)
        self._server.start()

    def stop(self) -> None:
        """End at once; connections break, and requests in flight fail."""
        self._server.stop(grace=None).wait(_STOP_S)

    def close(self) -> None:
        """End for good; what hangs is let go."""
        self._delay_s = 0.0
        self._released.set()
        self.stop()
        if self._pool is not None:
            self._pool.shutdown()

    def __enter__(self) -> FakeTriton:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._lock:
            self.requests.append(request)
            self.metadata.append({item.key: item.value for item in context.invocation_metadata()})
        answered = threading.Event()
        context.add_callback(lambda: None if answered.is_set() else self.cancelled.set())
        try:
            self._misbehave(context)
            if self.script is not None:
                return self.script(request, context)
            answer = self._models.get(request.model_name)
            if answer is None:
                words = f"Request for unknown model: '{request.model_name}' is not found"
                context.abort(grpc.StatusCode.NOT_FOUND, words)
            return answer(request)  # type: ignore[misc]  # abort raises
        finally:
            self.alive.append(context.is_active())
            answered.set()
            self.answered.release()

    def ModelReady(self, request: Any, _context: Any) -> Any:  # noqa: N802
        return service_pb2.ModelReadyResponse(ready=request.name in self._models)

    def ServerReady(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        return service_pb2.ServerReadyResponse(ready=True)

    def RepositoryIndex(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        listed = [{"name": name, "version": v, "state": state} for (name, v), state in self.index.items()]
        return service_pb2.RepositoryIndexResponse(models=listed)

    def _add(self, model: str, version: str, answer: _answers.Answer) -> None:
        self._models[model] = answer
        self.index[model, version] = "READY"

    def _misbehave(self, context: Any) -> None:
        self._released.wait()
        if self._delay_s:
            threading.Event().wait(self._delay_s)
        with self._lock:
            fails = self._fault if self._failures_left > 0 else None
            self._failures_left -= bool(fails)
        if fails is not None:
            status, details, push_back_ms = fails
            if push_back_ms is not None:
                context.set_trailing_metadata((("grpc-retry-pushback-ms", str(push_back_ms)),))
            context.abort(status, details)
