import asyncio
import inspect
import threading

import pytest
from colours import WAIT_S, colours

from luxe_client import AsyncClient, Client
from luxe_client.testing import FakeTriton


class Awaited:
    """An `AsyncClient` with the ways of a `Client`: its event loop runs in a thread, and methods wait for it.

    So every test of a client is a test of both.
    """

    def __init__(self, *arguments, **options):
        self._client = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            self._client = self._wait(self._make(arguments, options))
        except BaseException:
            self.end()
            raise

    async def _make(self, arguments, options):
        return AsyncClient(*arguments, **options)

    def _wait(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S * 2)

    def __getattr__(self, name):
        value = getattr(self._client, name)
        if inspect.iscoroutinefunction(value):
            return lambda *arguments, **options: self._wait(value(*arguments, **options))
        if inspect.isfunction(getattr(type(self._client), name, None)):
            return lambda *arguments, **options: self._iterate(value(*arguments, **options))
        return value

    def _iterate(self, items):
        while True:
            try:
                yield self._wait(anext(items))
            except StopAsyncIteration:
                return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def end(self):
        if self._thread.is_alive():
            if self._client is not None:
                self.close()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(WAIT_S)
            self._loop.close()


@pytest.fixture(params=["sync", "asyncio"])
def make(request):
    """Make clients, of threads or of asyncio; all are closed at the end."""
    made = []

    def make(*arguments, **options):
        made.append((Client if request.param == "sync" else Awaited)(*arguments, **options))
        return made[-1]

    yield make
    for client in made:
        client.close() if request.param == "sync" else client.end()


@pytest.fixture
def triton():
    with FakeTriton() as server:
        yield colours(server)


@pytest.fixture
def client(triton, make):
    return make(triton.address, timeout_s=15.0)


@pytest.fixture
def run():
    """Run a coroutine to its end, on an event loop of its own."""

    def run(work):
        return asyncio.run(asyncio.wait_for(work, WAIT_S))

    return run
