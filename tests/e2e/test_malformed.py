"""Ten thousand malformed requests: each is refused as what it is, and nobody else notices."""

import json
import os
import random
import re
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import malformed_grpc
import malformed_http
import numpy as np
import psutil
import pytest
from e2e_support import MODEL, running, wait_until
from wire import Wire

NUMBER = 10_000
SEED = int(os.environ.get("LUXE_SEED", "20261122"))
THREADS = 8
EVERY = 50
"""Of which one is valid."""
DESCRIPTORS = 8
"""A few more open files at the end than before are no leak; one each request would be."""


class Exempt(NamedTuple):
    """What Triton answers in place of INVALID_ARGUMENT, before our code is reached unless the reason says so."""

    protocol: str
    status: str
    words: str
    reason: str
    always: bool = True
    """It is seen in every run."""


# Closed: an answer that is not INVALID_ARGUMENT, HTTP 4xx, or here, fails the test; so does one that never comes.
EXEMPT = (
    Exempt("grpc", "INTERNAL", "^Unable to parse request$", "gRPC's own words for a message that is no protobuf"),
    Exempt("grpc", "NOT_FOUND", "^Request for unknown model: ", "as it should be"),
    Exempt("grpc", "NOT_FOUND", "^Unable to find shared memory region: ", "as it should be; nobody may register one"),
    Exempt("grpc", "UNIMPLEMENTED", "^string correlation ID cannot be longer", "Triton calls it unsupported", False),
    Exempt("grpc", "UNIMPLEMENTED", "^$", "the method does not exist"),
    Exempt("grpc", "INTERNAL", r"^\[ONNXRuntimeError\] ", "the engine cannot tell whose fault it is"),
    Exempt("grpc", "UNAVAILABLE", "^(overloaded|expired): ", "ours: a timeout of 1 µs cannot be kept", False),
    Exempt("http", "500", r"^Unable to (parse|set) ", "Triton's reader of JSON calls all its errors INTERNAL"),
    Exempt("http", "500", "^failed to parse the request JSON buffer: ", "the same"),
    Exempt("http", "500", "^failed to get request params", "the same"),
    Exempt("http", "500", r"^\[ONNXRuntimeError\] ", "the engine cannot tell whose fault it is"),
    Exempt("http", "501", "^string correlation ID cannot be longer", "Triton calls it unsupported", False),
    Exempt("http", "501", "^Unsupported compression type$", "as it should be"),
    Exempt("http", "503", "^(overloaded|expired): ", "ours: a timeout of 1 µs cannot be kept", False),
    Exempt("http", "closed", "", "the framing is broken, or the request never ended: libevent hangs up"),
)

# Kinds of which some are answered all the same: by chance or by Triton's leniency they are fine.
ANSWERED = {
    "grpc shape": "[0, 1] and [2**32 + 1, 1]: Triton keeps the number of texts in 32 bits, and takes 0 as 1",
    "grpc inputs": "more raw contents than inputs; a name goes to its first NUL",
    "grpc outputs": "asked for twice, answered once; a number of classes is kept in 32 bits",
    "grpc nested": "a field that nobody knows is skipped, to a hundred levels",
    "grpc parameters": "what nobody reads is passed on; timeouts below zero are huge ones",
    "grpc hurried": "it was in time",
    "grpc request_id": "64 KB are a long name, but one",
    "http hurried": "it was in time",
    "http request_id": "64 KB are a long name, but one",
}
# The same, but what the text is, or which outputs are wanted, is not what it was: the answer cannot be foretold.
ANSWERED_SOMEHOW = {
    "grpc contents": "a length that happens to be right",
    "grpc flipped": "bits of the text, or of what nobody reads",
    "grpc engine": "token -1 is the last of the vocabulary",
    "http replaced": "a value that happens to be right, or is not looked at",
    "http engine": "the same",
    "http flipped": "the same",
    "http deep": "Triton looks for texts at any depth, and at no parameters that are no object",
}
BY_CHANCE = {"grpc hurried", "http hurried"}  # whether it is in time is no matter of the seed
# Sent while nobody else calls: Triton's Python backend refuses whoever shares a batch with a string that is cut short,
# which test_deadly.py shows.
ALONE = {"grpc contents", "grpc flipped", "http binary"}
KINDS = [(module, kind) for module in (malformed_grpc, malformed_http) for kind in module.KINDS]
TEXTS = (malformed_grpc.TEXT, "this is spam, buy now", "love it", "why has my order not come?")


def rule(call, reply, scores):
    """Return the name of the rule by which a reply is as it should be, or None.

    Args:
        call: what was sent.
        reply: what came back.
        scores: right ones, of the text that calls hold.
    """
    if reply.answered:
        found = reply.scores
        if call.kind in ANSWERED:
            return call.kind if found is None or np.allclose(found, scores, atol=1e-4) else None
        return call.kind if call.kind in ANSWERED_SOMEHOW and (found is None or np.isfinite(found).all()) else None
    if reply.refused_as_invalid:
        return "invalid"
    message = reply.body.decode(errors="replace")
    if reply.protocol == "http" and message.startswith("{"):
        message = json.loads(message)["error"]
    fitting = (e for e in EXEMPT if (e.protocol, e.status) == (reply.protocol, reply.status))
    return next((e for e in fitting if re.search(e.words, message)), None)


def malformed(number):
    """The same call for the same number, always."""
    module, kind = KINDS[number % len(KINDS)]
    return module.call(kind, random.Random(f"{SEED} {number}"))


def valid(number):
    """A call that is fine, of a text that was not answered before: more spaces are the same tokens."""
    which = number % len(TEXTS)
    module = (malformed_grpc, malformed_http)[number // len(TEXTS) % 2]
    return which, module.valid(TEXTS[which] + " " * number)


def storm(address, numbers, scores, *, alone):
    """Send malformed requests with valid ones between them.

    Args:
        address: of the server.
        numbers: which of the requests.
        scores: right ones, of each of `TEXTS`.
        alone: send those of `ALONE`, or the others.

    Returns: how often each rule held, and what is wrong.
    """
    held, wrong = Counter(), []
    with Wire(address) as wire, Wire(address) as innocent:
        for number in numbers:
            call = malformed(number)
            if (call.kind in ALONE) != alone:
                continue
            reply = wire.send(call)
            if found := rule(call, reply, scores[0]):
                held[found] += 1
            else:
                wrong.append(f"seed {SEED}, request {number}, {call}\n    {reply}")
            if sum(held.values()) % EVERY == 0:
                which, call = valid(number)
                reply = innocent.send(call)
                held["valid"] += 1
                if not (reply.answered and np.allclose(reply.scores, scores[which], atol=1e-4)):
                    wrong.append(f"seed {SEED}, valid request {number}: {call}\n    {reply}")
    return held, wrong


def processes(server):
    root = psutil.Process(server.pid)
    return running([root, *root.children(recursive=True)])


def open_files(server):
    return sum(process.num_fds() for process in processes(server))


@pytest.fixture
def scores(client):
    """Of each of `TEXTS`."""
    return [list(client.classify(MODEL, text).scores.values()) for text in TEXTS]


def test_ten_thousand_malformed_requests(server, scores):
    address = server.address
    storm(address, range(len(KINDS)), scores, alone=False)  # every thread and buffer that it takes is there
    pids, files = {process.pid for process in processes(server)}, open_files(server)
    with ThreadPoolExecutor(THREADS) as pool:
        numbers = [range(part, NUMBER, THREADS) for part in range(THREADS)]
        parts = [pool.submit(storm, address, part, scores, alone=False) for part in numbers]
        outcomes = [part.result() for part in parts]
    outcomes.append(storm(address, range(NUMBER), scores, alone=True))
    held = sum((held for held, _ in outcomes), Counter())
    wrong = [line for _, lines in outcomes for line in lines]
    assert not wrong, f"{len(wrong)} of {NUMBER}; the first:\n" + "\n".join(wrong[:10])
    assert held.pop("valid") > NUMBER / EVERY * 0.9
    assert sum(held.values()) == NUMBER
    unused = {*(e for e in EXEMPT if e.always), *ANSWERED, *ANSWERED_SOMEHOW} - set(held) - BY_CHANCE
    assert not unused, f"no longer so: {unused}"
    assert {process.pid for process in processes(server)} == pids
    wait_until(lambda: open_files(server) <= files + DESCRIPTORS, timeout_s=5)
    assert open_files(server) <= files + DESCRIPTORS
    with urllib.request.urlopen(f"http://{server.address.metrics}/metrics", timeout=10) as page:
        names = page.read().decode()
    assert "nv_inference_request_success{" in names
    assert "luxe_refusals_total{" in names
