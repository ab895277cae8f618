"""What Triton 2.51 does not survive, and nothing behind it can refuse: one request, without a key, from any client.

`luxe serve` has it back in seconds, which is all that can be done from outside. Whoever moves to a newer Triton finds
here what it survives; that belongs into test_malformed.py then.
"""

import json
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import malformed_grpc
import malformed_http
import psutil
import pytest
from e2e_support import MODEL, wait_until
from wire import Call, Wire

_INFER = f"POST /v2/models/{MODEL}/infer"
_ENGINE = f"POST /v2/models/{malformed_grpc.ENGINE}/infer"
BACK_S = 60.0


def classes_of_strings():
    """A division by the size of a string, which is none (src/classification.cc; later versions look)."""
    request = malformed_grpc.good()
    request.outputs.add(name="labels").parameters["classification"].int64_param = 3
    return Call("classes of strings", "grpc", "ModelInfer", request.SerializeToString())


def nested():
    """The reader of JSON calls itself for every level."""
    body = json.dumps(malformed_http.good("HERE")).encode()
    return Call("nested JSON", "http", _INFER, body.replace(b'"HERE"', b"[" * 300_000 + b"]" * 300_000))


def huge():
    """Memory for a shape is taken before there is data; this much is never there."""
    tensor = {"name": "input_ids", "shape": [1, 2**45], "datatype": "INT64", "data": [1]}
    return Call("huge shape", "http", _ENGINE, json.dumps({"inputs": [tensor]}).encode())


def overflow():
    """[1, 2**61] of 8 bytes each are 2**64, so none: what Triton lets through ends the process of the engine."""
    request = malformed_grpc.tokens()
    for tensor in request.inputs:
        tensor.shape[1] = 2**61
    request.raw_input_contents[:] = [b""] * 3
    return Call("overflow", "grpc", "ModelInfer", request.SerializeToString())


@pytest.fixture
def up(serve, project):
    return serve(project.root).until_ready()


def answers(address):
    with Wire(address) as wire:
        return wire.send(malformed_grpc.valid(malformed_grpc.TEXT)).answered


@pytest.mark.parametrize("deadly", [classes_of_strings, nested, huge, overflow])
def test_it_ends_a_process_and_luxe_serve_has_it_back(up, deadly):
    triton = up.triton()
    stubs = triton.children(recursive=True)
    with Wire(up.address) as wire:
        reply = wire.send(deadly())
    assert reply.status in ("UNAVAILABLE", "INTERNAL", "closed"), reply
    assert wait_until(lambda: not all(map(runs, [triton, *stubs])), timeout_s=10), "this Triton survives it"
    assert wait_until(lambda: "ready again" in up.err, timeout_s=BACK_S), up.err
    assert answers(up.address)
    assert up.process.poll() is None


def runs(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_string_cut_short_fails_whoever_shares_its_batch(server):
    """Triton lets it through; its Python backend then refuses the whole batch, before our code sees it."""
    cut = malformed_grpc.good()
    cut.raw_input_contents[0] = struct.pack("<I", 53) + b"short"
    cut = Call("cut short", "grpc", "ModelInfer", cut.SerializeToString())
    stop = threading.Event()

    def innocent(number):
        replies = []
        with Wire(server.address) as wire:
            while not stop.is_set():
                replies.append(wire.send(malformed_grpc.valid(f"an innocent text {number} {len(replies)}")))
        return replies

    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(innocent, number) for number in range(16)]
        with Wire(server.address) as wire:
            replies = [wire.send(cut) for _ in range(50)]
        stop.set()
    assert {reply.status for reply in replies} == {"INVALID_ARGUMENT"}
    failed = [reply for call in calls for reply in call.result() if not reply.answered]
    assert failed, "this Triton keeps it to itself: put its kinds back into the storm (ALONE in test_malformed.py)"
    assert all(b"incomplete string data for inference input 'text'" in reply.body for reply in failed)
    assert answers(server.address)
