"""The asyncio client: `luxe_client._client` with `await`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from luxe_client import _plans
from luxe_client._async_transport import AsyncTransport
from luxe_client._base import BaseClient, Headers, Seconds, Waiting
from luxe_client._errors import InvalidInput, LuxeError
from luxe_client._parts import Part, Plan
from luxe_client._plans import Texts
from luxe_client._types import Answer, Classification, Model, Ranking, RawAnswer, Score, Tags, ZeroShot, ZeroShotLabels

__all__ = ["AsyncClient"]

_A = TypeVar("_A", bound=Answer)
_R = TypeVar("_R")


class AsyncClient(BaseClient):
    """A connection to luxe servers, for one event loop; tasks may share it. Make one for the life of a service.

    The methods are those of `luxe_client.Client`, and mean the same; what that returns, these await. A call whose task
    is cancelled ends at once for its caller, and is left to end by itself on the wire.
    """

    def _open(self) -> None:
        self._transport = AsyncTransport(self._directory, self._policy, self._tls)

    # fmt: off
    @overload
    async def classify(  # type: ignore[overload-overlap]  # a str is a Sequence[str] too; the first one wins
        self, model: str, texts: str, *, text_pair: str | None = None,
        timeout_s: Seconds = None, headers: Headers = None,
    ) -> Classification: ...
    @overload
    async def classify(
        self, model: str, texts: Sequence[str], *, text_pair: Sequence[str] | None = None,
        timeout_s: Seconds = None, headers: Headers = None,
    ) -> list[Classification]: ...
    @overload
    async def classify(  # type: ignore[overload-overlap]
        self, model: str, texts: str, *, text_pair: str | None = None, expect: type[_A],
        timeout_s: Seconds = None, headers: Headers = None,
    ) -> _A: ...
    @overload
    async def classify(
        self, model: str, texts: Sequence[str], *, text_pair: Sequence[str] | None = None, expect: type[_A],
        timeout_s: Seconds = None, headers: Headers = None,
    ) -> list[_A]: ...
    # fmt: on
    async def classify(
        self,
        model: str,
        texts: Texts,
        *,
        text_pair: Texts | None = None,
        expect: type[Answer] = Classification,
        timeout_s: Seconds = None,
        headers: Headers = None,
    ) -> Any:
        """As `Client.classify`, awaited."""
        return await self._run(
            _plans.classify(self._asked(model, headers), texts, text_pair, expect), timeout_s, headers
        )

    # fmt: off
    @overload
    def iter_classify(
        self, model: str, texts: Iterable[str] | AsyncIterable[str], *, window: int = 8,
        progress: Callable[[int], None] | None = None, timeout_s: float = 60.0, headers: Headers = None,
    ) -> AsyncIterator[Classification]: ...
    @overload
    def iter_classify(
        self, model: str, texts: Iterable[str] | AsyncIterable[str], *, expect: type[_A], window: int = 8,
        progress: Callable[[int], None] | None = None, timeout_s: float = 60.0, headers: Headers = None,
    ) -> AsyncIterator[_A]: ...
    # fmt: on
    def iter_classify(
        self,
        model: str,
        texts: Iterable[str] | AsyncIterable[str],
        *,
        expect: type[Any] = Classification,
        window: int = 8,
        progress: Callable[[int], None] | None = None,
        timeout_s: float = 60.0,
        headers: Headers = None,
    ) -> AsyncIterator[Any]:
        """As `Client.iter_classify`; takes what gives its texts asynchronously as well."""
        asked = self._asked(model, headers, bulk=True)
        each_s = self._check_stream(window, timeout_s)

        async def parts() -> AsyncIterator[Part[list[Any]]]:
            number = 0
            async for batch in _batches(texts, self._batch_size):
                yield _plans.classify_batch(asked, number, batch, expect)
                number += 1

        run = self._transport.run(
            parts(),
            window=window,
            ahead=2 * window,
            deadline=lambda: self._deadline(each_s),
            metadata=self._metadata(headers),
        )
        return _flat(run, progress)

    @overload
    async def tag(  # type: ignore[overload-overlap]
        self, model: str, texts: str, *, timeout_s: Seconds = None, headers: Headers = None
    ) -> Tags: ...
    @overload
    async def tag(
        self, model: str, texts: Sequence[str], *, timeout_s: Seconds = None, headers: Headers = None
    ) -> list[Tags]: ...
    async def tag(self, model: str, texts: Texts, *, timeout_s: Seconds = None, headers: Headers = None) -> Any:
        """As `Client.tag`, awaited."""
        return await self._run(_plans.tag(self._asked(model, headers), texts), timeout_s, headers)

    async def embed(
        self, model: str, texts: Texts, *, timeout_s: Seconds = None, headers: Headers = None
    ) -> NDArray[np.float32]:
        """As `Client.embed`, awaited."""
        return await self._run(_plans.embed(self._asked(model, headers), texts), timeout_s, headers)

    @overload
    async def similarity(  # type: ignore[overload-overlap]
        self, model: str, left: str, right: str, *, timeout_s: Seconds = None, headers: Headers = None
    ) -> float: ...
    @overload
    async def similarity(
        self, model: str, left: Texts, right: Texts, *, timeout_s: Seconds = None, headers: Headers = None
    ) -> NDArray[np.float32]: ...
    async def similarity(
        self, model: str, left: Texts, right: Texts, *, timeout_s: Seconds = None, headers: Headers = None
    ) -> Any:
        """As `Client.similarity`, awaited."""
        return await self._run(_plans.similarity(self._asked(model, headers), left, right), timeout_s, headers)

    async def rank(
        self, model: str, query: str, documents: Sequence[str], *, timeout_s: Seconds = None, headers: Headers = None
    ) -> Ranking:
        """As `Client.rank`, awaited."""
        return await self._run(_plans.rank(self._asked(model, headers), query, documents), timeout_s, headers)

    async def score_pairs(
        self, model: str, pairs: Sequence[tuple[str, str]], *, timeout_s: Seconds = None, headers: Headers = None
    ) -> list[Score]:
        """As `Client.score_pairs`, awaited."""
        return await self._run(_plans.score_pairs(self._asked(model, headers), pairs), timeout_s, headers)

    # fmt: off
    @overload
    async def zero_shot(  # type: ignore[overload-overlap]  # a str is a Sequence[str] too; the first one wins
        self, model: str, texts: str, labels: Sequence[str], *, multi_label: Literal[False] = False,
        timeout_s: Seconds = None, headers: Headers = None,
    ) -> ZeroShot: ...
    @overload
    async def zero_shot(  # type: ignore[overload-overlap]
        self, model: str, texts: str, labels: Sequence[str], *, multi_label: Literal[True],
        timeout_s: Seconds = None, headers: Headers = None,
    ) -> ZeroShotLabels: ...
    @overload
    async def zero_shot(
        self, model: str, texts: Sequence[str], labels: Sequence[str], *, multi_label: Literal[False] = False,
        timeout_s: Seconds = None, headers: Headers = None,
    ) -> list[ZeroShot]: ...
    @overload
    async def zero_shot(
        self, model: str, texts: Sequence[str], labels: Sequence[str], *, multi_label: Literal[True],
        timeout_s: Seconds = None, headers: Headers = None,
    ) -> list[ZeroShotLabels]: ...
    # fmt: on
    async def zero_shot(
        self,
        model: str,
        texts: Texts,
        labels: Sequence[str],
        *,
        multi_label: bool = False,
        timeout_s: Seconds = None,
        headers: Headers = None,
    ) -> Any:
        """As `Client.zero_shot`, awaited."""
        plan = _plans.zero_shot(self._asked(model, headers), texts, labels, multi_label)
        return await self._run(plan, timeout_s, headers)

    async def raw_infer(
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
        """As `Client.raw_infer`, awaited."""
        plan = _plans.raw_infer(self._asked(model, headers), inputs, outputs, parameters or {}, version)
        return await self._run(plan, timeout_s, headers)

    async def models(self, *, timeout_s: Seconds = None, headers: Headers = None) -> list[Model]:
        """As `Client.models`, awaited."""
        return await self._run(_plans.models(), timeout_s, headers)

    async def ready(self, model: str, *, timeout_s: Seconds = None, headers: Headers = None) -> bool:
        """As `Client.ready`, awaited."""
        plan = _plans.ready(self._asked(model).model)
        try:
            return await self._run(plan, timeout_s, headers)
        except InvalidInput:
            raise
        except LuxeError:
            return False

    async def wait_ready(self, timeout_s: float = 60.0, *, models: Sequence[str] = ()) -> None:
        """As `Client.wait_ready`, awaited."""
        self._check_usable()
        waiting = Waiting(self._policy.clock, timeout_s, models)
        while waiting.missing is not None:
            try:
                waiting.heard(await self._run(_plans.ready(waiting.missing), waiting.each_s, None))
            except LuxeError as error:
                waiting.heard(False, error)
            await asyncio.sleep(waiting.pause_s)

    async def close(self) -> None:
        """Close the connections; calls in flight fail."""
        self._closed = True
        if self._own_process():
            await self._transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, plan: Plan[Any, _R], timeout_s: float | None, headers: Headers) -> _R:
        self._check_usable()
        deadline, metadata = self._deadline(timeout_s), self._metadata(headers)
        if len(plan.parts) == 1:
            return plan.finish([await self._transport.one(plan.parts[0], deadline, metadata)])
        run = self._transport.run(plan.parts, window=self._concurrency, deadline=lambda: deadline, metadata=metadata)
        return plan.finish([answer async for answer in run])


async def _batches(texts: Iterable[str] | AsyncIterable[str], size: int) -> AsyncIterator[list[str]]:
    batch: list[str] = []
    if isinstance(texts, AsyncIterable):
        async for text in texts:
            batch.append(text)
            if len(batch) == size:
                yield batch
                batch = []
    else:
        for text in texts:
            batch.append(text)
            if len(batch) == size:
                yield batch
                batch = []
    if batch:
        yield batch


async def _flat(batches: AsyncIterator[list[_A]], progress: Callable[[int], None] | None) -> AsyncIterator[_A]:
    done = 0
    async for answers in batches:
        done += len(answers)
        if progress:
            progress(done)
        for answer in answers:
            yield answer
