"""The synchronous client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Literal, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from luxe_client import _plans
from luxe_client._base import BaseClient, Headers, Seconds, Waiting
from luxe_client._errors import InvalidInput, LuxeError
from luxe_client._parts import Plan, flat
from luxe_client._plans import Texts
from luxe_client._transport import Transport
from luxe_client._types import Answer, Classification, Model, Ranking, RawAnswer, Score, Tags, ZeroShot, ZeroShotLabels

__all__ = ["Client"]

_A = TypeVar("_A", bound=Answer)
_R = TypeVar("_R")


class Client(BaseClient):
    """A connection to luxe servers. Threads may share it; make one for the life of a service.

    Where a method takes one text or a list, the answer has the same form, in the same order. Every method takes
    ``timeout_s``, its deadline in seconds (the client's own when None), and ``headers`` of its own; a header
    ``x-request-id`` becomes the id of its request. Every method but `ready` may raise each kind of `LuxeError`.

    The arguments are those of `luxe_client._base.BaseClient`.
    """

    def _open(self) -> None:
        self._transport = Transport(self._directory, self._policy, self._tls)

    # fmt: off
    @overload
    def classify(  # type: ignore[overload-overlap]  # a str is a Sequence[str] too; the first one wins
        self, model: str, texts: str, *, text_pair: str | None = None,
        timeout_s: Seconds = None, headers: Headers = None,
    ) -> Classification: ...
    @overload
    def classify(
        self, model: str, texts: Sequence[str], *, text_pair: Sequence[str] | None = None,
        timeout_s: Seconds = None, headers: Headers = None,
    ) -> list[Classification]: ...
    @overload
    def classify(  # type: ignore[overload-overlap]
        self, model: str, texts: str, *, text_pair: str | None = None, expect: type[_A],
        timeout_s: Seconds = None, headers: Headers = None,
    ) -> _A: ...
    @overload
    def classify(
        self, model: str, texts: Sequence[str], *, text_pair: Sequence[str] | None = None, expect: type[_A],
        timeout_s: Seconds = None, headers: Headers = None,
    ) -> list[_A]: ...
    # fmt: on
    def classify(
        self,
        model: str,
        texts: Texts,
        *,
        text_pair: Texts | None = None,
        expect: type[Answer] = Classification,
        timeout_s: Seconds = None,
        headers: Headers = None,
    ) -> Any:
        """Classify texts with a text-classification model.

        Args:
            model: its name.
            texts: one text, or any number of them.
            text_pair: the second text of each, for models of pairs.
            expect: what kind of model it is, by its answers: `Classification` (one label), `Labels` (several),
                `Score` (a regression), or `Answer` for whatever it is.

        Raises:
            InvalidInput: the model is of another kind than ``expect``; says which.
        """
        return self._run(_plans.classify(self._asked(model, headers), texts, text_pair, expect), timeout_s, headers)

    # fmt: off
    @overload
    def iter_classify(
        self, model: str, texts: Iterable[str], *, window: int = 8,
        progress: Callable[[int], None] | None = None, timeout_s: float = 60.0, headers: Headers = None,
    ) -> Iterator[Classification]: ...
    @overload
    def iter_classify(
        self, model: str, texts: Iterable[str], *, expect: type[_A], window: int = 8,
        progress: Callable[[int], None] | None = None, timeout_s: float = 60.0, headers: Headers = None,
    ) -> Iterator[_A]: ...
    # fmt: on
    def iter_classify(
        self,
        model: str,
        texts: Iterable[str],
        *,
        expect: type[Any] = Classification,
        window: int = 8,
        progress: Callable[[int], None] | None = None,
        timeout_s: float = 60.0,
        headers: Headers = None,
    ) -> Iterator[Any]:
        """Classify any number of texts; yields the answers in order, and holds few of them at a time.

        Texts are read as they are needed. Other calls overtake these, and a server that is overloaded slows them down.

        Args:
            window: most requests in flight; as many again may be answered and wait for their turn.
            progress: called with the number of texts answered so far, after each request's.
            timeout_s: deadline of each request.
        """
        asked = self._asked(model, headers, bulk=True)
        each_s = self._check_stream(window, timeout_s)
        source = iter(texts)
        batches = iter(lambda: list(islice(source, self._batch_size)), [])
        parts = (_plans.classify_batch(asked, number, batch, expect) for number, batch in enumerate(batches))
        run = self._transport.run(
            parts,
            window=window,
            ahead=2 * window,
            deadline=lambda: self._deadline(each_s),
            metadata=self._metadata(headers),
        )
        return flat(run, progress)

    @overload
    def tag(  # type: ignore[overload-overlap]
        self, model: str, texts: str, *, timeout_s: Seconds = None, headers: Headers = None
    ) -> Tags: ...
    @overload
    def tag(
        self, model: str, texts: Sequence[str], *, timeout_s: Seconds = None, headers: Headers = None
    ) -> list[Tags]: ...
    def tag(self, model: str, texts: Texts, *, timeout_s: Seconds = None, headers: Headers = None) -> Any:
        """Find entities with a token-classification model; offsets count characters of the str that was given."""
        return self._run(_plans.tag(self._asked(model, headers), texts), timeout_s, headers)

    def embed(
        self, model: str, texts: Texts, *, timeout_s: Seconds = None, headers: Headers = None
    ) -> NDArray[np.float32]:
        """Return vectors of a feature-extraction model: [D] of one text, [N, D] of a list, [0, 0] of an empty one."""
        return self._run(_plans.embed(self._asked(model, headers), texts), timeout_s, headers)

    @overload
    def similarity(  # type: ignore[overload-overlap]
        self, model: str, left: str, right: str, *, timeout_s: Seconds = None, headers: Headers = None
    ) -> float: ...
    @overload
    def similarity(
        self, model: str, left: Texts, right: Texts, *, timeout_s: Seconds = None, headers: Headers = None
    ) -> NDArray[np.float32]: ...
    def similarity(
        self, model: str, left: Texts, right: Texts, *, timeout_s: Seconds = None, headers: Headers = None
    ) -> Any:
        """Return cosines, -1 to 1, of a feature-extraction model's vectors.

        A float of two texts; [M] of a text and a list, or a list and a text; [N, M] of two lists.
        """
        return self._run(_plans.similarity(self._asked(model, headers), left, right), timeout_s, headers)

    def rank(
        self, model: str, query: str, documents: Sequence[str], *, timeout_s: Seconds = None, headers: Headers = None
    ) -> Ranking:
        """Order documents by how well they answer a query, with a text-ranking model."""
        return self._run(_plans.rank(self._asked(model, headers), query, documents), timeout_s, headers)

    def score_pairs(
        self, model: str, pairs: Sequence[tuple[str, str]], *, timeout_s: Seconds = None, headers: Headers = None
    ) -> list[Score]:
        """Score pairs of query and document with a text-ranking model, in the order given."""
        return self._run(_plans.score_pairs(self._asked(model, headers), pairs), timeout_s, headers)

    # fmt: off
    @overload
    def zero_shot(  # type: ignore[overload-overlap]  # a str is a Sequence[str] too; the first one wins
        self, model: str, texts: str, labels: Sequence[str], *, multi_label: Literal[False] = False,
        timeout_s: Seconds = None, headers: Headers = None,
    ) -> ZeroShot: ...
    @overload
    def zero_shot(  # type: ignore[overload-overlap]
        self, model: str, texts: str, labels: Sequence[str], *, multi_label: Literal[True],
        timeout_s: Seconds = None, headers: Headers = None,
    ) -> ZeroShotLabels: ...
    @overload
    def zero_shot(
        self, model: str, texts: Sequence[str], labels: Sequence[str], *, multi_label: Literal[False] = False,
        timeout_s: Seconds = None, headers: Headers = None,
    ) -> list[ZeroShot]: ...
    @overload
    def zero_shot(
        self, model: str, texts: Sequence[str], labels: Sequence[str], *, multi_label: Literal[True],
        timeout_s: Seconds = None, headers: Headers = None,
    ) -> list[ZeroShotLabels]: ...
    # fmt: on
    def zero_shot(
        self,
        model: str,
        texts: Texts,
        labels: Sequence[str],
        *,
        multi_label: bool = False,
        timeout_s: Seconds = None,
        headers: Headers = None,
    ) -> Any:
        """Classify texts by labels of your own, with a zero-shot-classification model.

        Args:
            labels: the candidates, different from each other.
            multi_label: judge each alone, instead of one against the others.
        """
        plan = _plans.zero_shot(self._asked(model, headers), texts, labels, multi_label)
        return self._run(plan, timeout_s, headers)

    def raw_infer(
        self,
        model: str,
        inputs: Mapping[str, NDArray[Any]],
        *,
        outputs: Sequence[str] = (),
        parameters: Mapping[str, bool | int | str] | None = None,
        version: str = "",
        timeout_s: Seconds = None,
        headers: Headers = None,
    ) -> RawAnswer:
        """Send tensors as they are to any model of any V2 server.

        Args:
            inputs: by name; arrays of str or bytes become BYTES.
            outputs: names; all when empty.
            parameters: of the request.
            version: of the model; the server's choice when empty.
        """
        plan = _plans.raw_infer(self._asked(model, headers), inputs, outputs, parameters or {}, version)
        return self._run(plan, timeout_s, headers)

    def models(self, *, timeout_s: Seconds = None, headers: Headers = None) -> list[Model]:
        """Return what a server has in its repository. `luxe serve` tells only who sends its key in ``headers``."""
        return self._run(_plans.models(), timeout_s, headers)

    def ready(self, model: str, *, timeout_s: Seconds = None, headers: Headers = None) -> bool:
        """Return whether a server has ``model`` loaded; False as well when no server answers."""
        plan = _plans.ready(self._asked(model).model)
        try:
            return self._run(plan, timeout_s, headers)
        except InvalidInput:
            raise
        except LuxeError:
            return False

    def wait_ready(self, timeout_s: float = 60.0, *, models: Sequence[str] = ()) -> None:
        """Wait until a server has ``models`` loaded, or is ready where none is named.

        Raises:
            DeadlineExceeded: it is not after ``timeout_s``; says what is missing.
        """
        self._check_usable()
        waiting = Waiting(self._policy.clock, timeout_s, models)
        while waiting.missing is not None:
            try:
                waiting.heard(self._run(_plans.ready(waiting.missing), waiting.each_s, None))
            except LuxeError as error:
                waiting.heard(False, error)
            time.sleep(waiting.pause_s)

    def close(self) -> None:
        """Close the connections; calls in flight fail."""
        self._closed = True
        if self._own_process():
            self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, plan: Plan[Any, _R], timeout_s: float | None, headers: Headers) -> _R:
        self._check_usable()
        deadline, metadata = self._deadline(timeout_s), self._metadata(headers)
        if len(plan.parts) == 1:
            return plan.finish([self._transport.one(plan.parts[0], deadline, metadata)])
        run = self._transport.run(plan.parts, window=self._concurrency, deadline=lambda: deadline, metadata=metadata)
        return plan.finish(list(run))
