"""What the scheduler, the cache and the metrics do on the real server, under real load."""

import re
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as triton
from e2e_support import MODEL, wait_until
from tritonclient.utils import InferenceServerException

from luxe_client import Client
from luxe_serving.monitoring.metrics_sink import EVERY_S

CALLERS = 32
_METRIC = re.compile(r"^(\w+)\{(.*)\} ([0-9.e+-]+)$")


def metrics(server, name):
    """The series of a metric for the model, by their other labels."""
    with urllib.request.urlopen(f"http://{server.address.metrics}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    found = {}
    for match in filter(None, map(_METRIC.match, lines)):
        labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2]))
        if match[1] == name and labels.pop("model") == MODEL:
            labels.pop("version", None)
            found[tuple(labels.values())] = float(match[3])
    return found


def total(server, name):
    return sum(metrics(server, name).values())


def request(texts, **parameters):
    """A tritonclient call's arguments."""
    tensor = triton.InferInput("text", [len(texts), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[text.encode()] for text in texts], dtype=object))
    timeout_us = parameters.pop("timeout_us", None)
    return {"model_name": MODEL, "inputs": [tensor], "timeout": timeout_us, "parameters": parameters or None}


def flood(server, texts, stop):
    """Keep the server busy with distinct texts from as many callers until told to stop; returns the answers."""

    def call(number):
        given = []
        with Client(server.address.grpc, timeout_s=60.0) as client:
            while not stop.is_set():
                text = f"{texts[(number + len(given)) % len(texts)]} {number} {len(given)}"
                given.append(client.classify(MODEL, text))
        return given

    pool = ThreadPoolExecutor(CALLERS)
    return pool, [pool.submit(call, number) for number in range(CALLERS)]


@pytest.fixture
def flooded(server, texts):
    stop = threading.Event()
    pool, calls = flood(server, texts, stop)
    yield
    stop.set()
    pool.shutdown()
    assert all(len(call.result()) > 0 for call in calls)


def test_answers_do_not_depend_on_neighbours(server, texts):
    """200 texts alone, and again while 32 callers keep the server busy with others."""
    own = [f"{text} {number}" for number, text in enumerate(texts[:200])]
    with Client(server.address.grpc, timeout_s=60.0) as client:
        alone = [client.classify(MODEL, text) for text in own]
    stop = threading.Event()
    pool, calls = flood(server, texts, stop)
    sizes = metrics(server, "luxe_micro_batch_size_bucket")
    try:
        with Client(server.address.grpc, timeout_s=60.0) as client, ThreadPoolExecutor(8) as eight:
            # Another space is another entry of the cache, and the same tokens.
            busy = list(eight.map(lambda text: client.classify(MODEL, f"{text} "), own))
    finally:
        stop.set()
        pool.shutdown()
    assert all(len(call.result()) > 0 for call in calls)
    assert wait_until(lambda: total(server, "luxe_micro_batch_size_count") > sizes.get(("+Inf",), 0), timeout_s=10)
    after = metrics(server, "luxe_micro_batch_size_bucket")
    batched = after["+Inf",] - after["1.0",] - sizes.get(("+Inf",), 0) + sizes.get(("1.0",), 0)
    assert batched > 50, "else nobody had neighbours"
    for one, other in zip(alone, busy, strict=True):
        assert one.label == other.label
        assert np.abs(np.array([*one.scores.values()]) - [*other.scores.values()]).max() < 1e-4


@pytest.mark.usefixtures("flooded")
def test_what_cannot_be_in_time_is_refused_at_once(server):
    with triton.InferenceServerClient(server.address.grpc) as client:

        def refused():
            with pytest.raises(InferenceServerException) as caught:
                for number in range(200):
                    client.infer(**request([f"in a hurry {number}"], timeout_us=2000))
            return str(caught.value)

        assert "StatusCode.UNAVAILABLE" in (message := refused())
        assert re.search(r"overloaded: a text would wait \d+ ms for an engine, and 1 ms are the most|expired", message)
    assert wait_until(
        lambda: {("overloaded",), ("expired",)} & set(metrics(server, "luxe_refusals_total")), timeout_s=10
    )


@pytest.mark.usefixtures("flooded")
def test_interactive_texts_overtake_bulk(server):
    """Bulk texts that fill the queue do not hold up a single one."""
    order = []
    with triton.InferenceServerClient(server.address.grpc) as client:
        done = threading.Event()

        def finished(what):
            def note(result, error):
                order.append(what if error is None else error.message())
                if len(order) == 4:
                    done.set()

            return note

        # Longer than those of the callers, which would take along what is as long as they are; and not so many that
        # a slow machine would refuse some.
        texts = [f"there is no hurry with number {number} " + 20 * "at all " for number in range(32)]
        for i in range(3):
            client.async_infer(callback=finished("bulk"), **request([f"{i}: {text}" for text in texts], bulk=True))
        client.async_infer(callback=finished("interactive"), **request(["now, please"]))
        assert done.wait(60)
    assert sorted(order) == ["bulk", "bulk", "bulk", "interactive"]
    assert order[-1] == "bulk", "it came last; how many bulk texts were running by then is the machine's affair"


def test_the_cache_answers_what_was_answered_before(server, client):
    hits = total(server, "luxe_cache_hits_total")
    first = client.classify(MODEL, "is this coat the one from the cover, or its sister?")
    for _ in range(5):
        assert client.classify(MODEL, "is this coat the one from the cover, or its sister?").scores == first.scores
    assert wait_until(lambda: total(server, "luxe_cache_hits_total") >= hits + 5, timeout_s=10)


def test_the_cache_knows_which_outputs_were_asked_for(server):
    given = request(["a coat that is asked for twice"])
    outputs = [triton.InferRequestedOutput(name) for name in ("scores", "truncated")]
    with triton.InferenceServerClient(server.address.grpc) as client:
        few = client.infer(**given, outputs=outputs[:1])
        more = client.infer(**given, outputs=outputs)
        every = client.infer(**given)
    assert few.as_numpy("truncated") is None
    assert more.as_numpy("truncated").tolist() == [[False]]
    assert every.as_numpy("labels").shape == every.as_numpy("scores").shape
    np.testing.assert_array_equal(few.as_numpy("scores"), every.as_numpy("scores"))


def test_our_metrics_add_up(server, client):
    names = ("luxe_texts_total", "luxe_request_seconds_count", "luxe_queue_seconds_count", "luxe_micro_batch_size_sum")
    time.sleep(1.5 * EVERY_S)  # what came before has been handed on
    before = {name: total(server, name) for name in names}
    client.classify(MODEL, [f"a text of seven words, number {number}" for number in range(20)])
    time.sleep(1.5 * EVERY_S)
    after = {name: total(server, name) - before[name] for name in names}
    assert after["luxe_texts_total"] == after["luxe_queue_seconds_count"] == after["luxe_micro_batch_size_sum"] == 20
    assert after["luxe_request_seconds_count"] == 1
    buckets = metrics(server, "luxe_request_seconds_bucket")
    assert buckets["+Inf",] == total(server, "luxe_request_seconds_count")
    assert sorted(buckets.values()) == [buckets[bound] for bound in sorted(buckets, key=lambda b: float(b[0]))]
