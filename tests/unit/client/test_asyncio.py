"""What only asyncio has: cancelled tasks, several event loops, many calls at once."""

import asyncio
import gc
import weakref

import pytest
from colours import WAIT_S

from luxe_client import AsyncClient, Client, LuxeError


def test_both_clients_have_the_same_methods():
    import inspect

    def shown(kind):
        found = {}
        for name in dir(kind):
            if name.startswith("_") and name != "__init__":
                continue
            member = inspect.getattr_static(kind, name)
            if inspect.isfunction(member):
                found[name] = [(p.name, p.kind, p.default) for p in inspect.signature(member).parameters.values()]
        return found

    assert shown(Client) == shown(AsyncClient)
    assert "classify" in shown(Client)


def test_many_calls_at_once(triton, run):
    async def calls():
        async with AsyncClient(triton.address, timeout_s=15.0) as client:
            return await asyncio.gather(*(client.classify("colours", f"text {n}") for n in range(200)))

    assert len({answer.request_id for answer in run(calls())}) == 200


def test_a_cancelled_task_leaves_its_request_alone(triton, run):
    """Triton 2.51 may crash on a cancellation (server issues 7368 and 8034)."""
    triton.hang()

    async def calls():
        async with AsyncClient(triton.address, timeout_s=15.0) as client:
            task = asyncio.create_task(client.classify("colours", "text"))
            while not triton.metadata:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            del task
            gc.collect()
            await asyncio.sleep(0.3)
            assert not triton.cancelled.is_set()
            triton.recover()
            await asyncio.to_thread(triton.answered.acquire, timeout=WAIT_S)
            assert triton.alive == [True]
            await client.classify("colours", "after")

    run(calls())


def test_what_is_in_flight_is_kept_alive_by_the_client(triton, run, monkeypatch):
    """An event loop keeps no task alive. grpc happens to, so another wire stands here, which keeps nothing."""
    waits = []

    async def method(request, timeout, metadata):
        answer = asyncio.get_running_loop().create_future()
        waits.append(weakref.ref(answer))
        await answer

    async def calls():
        async with AsyncClient(triton.address) as client:
            monkeypatch.setattr(client._transport, "_methods", lambda _address: {"ModelInfer": method})
            task = asyncio.create_task(client.classify("colours", "text"))
            while not waits:
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            del task
            gc.collect()
            assert waits[0]() is not None, "the request was collected with its caller"
            waits[0]().cancel()
            for _ in range(5):
                await asyncio.sleep(0)
            gc.collect()
            assert waits[0]() is None, "something else kept it, and nothing was shown"

    run(calls())


def test_a_client_belongs_to_one_event_loop(triton, run):
    client = AsyncClient(triton.address)

    async def call():
        await client.classify("colours", "text")

    async def other():
        with pytest.raises(LuxeError, match="another event loop"):
            await client.classify("colours", "text")

    async def end():
        await client.close()

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(call())
        run(other())
        loop.run_until_complete(end())
    finally:
        loop.close()


def test_a_client_may_be_made_outside_of_any_loop(triton, run):
    client = AsyncClient(triton.address)

    async def call():
        async with client:
            return await client.classify("colours", "text")

    assert run(call()).model == "colours"
