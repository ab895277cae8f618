"""Strangers of the same protocol: KServe's clients ask our server; our client asks KServe's server and MLServer.

They live in environments of their own, which `make test-tools` makes: their dependencies contradict ours.
"""

import asyncio
import json
import os
import signal
import subprocess

import numpy as np
import pytest
from e2e_support import MODEL, ROOT

from luxe_client import AsyncClient, Client, InvalidInput, Labels, LuxeError, ProtocolError
from luxe_serving.launcher.server import free_address

STRANGERS = ROOT / "tests" / "e2e" / "strangers"
TEXTS = ["where can i get those boots?", "héllo 🏳️‍🌈", "x" * 150, "a\x00b"]
SAME = 1e-6


def python(name):
    """The Python of a stranger's environment."""
    path = ROOT / ".tools" / name / "bin" / "python"
    if not path.exists():
        pytest.fail(f"{name} is not in {path.parents[1]}: run `make test-tools`", pytrace=False)
    return path


# ---- KServe's clients ask our server


@pytest.fixture(scope="module")
def kserve(server):
    """What KServe's clients got from it."""
    command = [python("kserve"), STRANGERS / "kserve_client.py", server.address.grpc, server.address.http, MODEL]
    done = subprocess.run(command, input=json.dumps(TEXTS), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_kserves_client_knows_what_is_ready(kserve, protocol):
    # Over REST Triton 2.51 says it by its status alone, and KServe's client wants JSON.
    assert kserve[protocol]["server"] == ([True, True] if protocol == "grpc" else [None, None])
    assert kserve[protocol]["model"] == [True, False]


@pytest.mark.parametrize("way", ["in lists", "packed"])
@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_kserves_client_gets_our_answers(kserve, client, protocol, way):
    got = kserve[protocol][way]
    wanted = client.classify(MODEL, TEXTS)
    assert np.abs(np.array(got["scores"]) - [list(a.scores.values()) for a in wanted]).max() <= SAME
    assert got["labels"] == list(wanted[0].scores)
    assert got["needs_review"] == [a.needs_review for a in wanted]
    # Its REST client leaves the version out.
    assert got["model"] == [MODEL, wanted[0].version if protocol == "grpc" else None]
    assert got["id"] == "page-17"


def test_kserves_client_is_refused_as_we_are(kserve):
    assert (kserve["grpc"]["empty"], kserve["rest"]["empty"]) == ("INVALID_ARGUMENT", 400)
    assert (kserve["grpc"]["unknown"], kserve["rest"]["unknown"]) == ("NOT_FOUND", 404)


# ---- our client asks the servers of others


def kserve_server(address):
    return [python("kserve"), STRANGERS / "kserve_server.py", str(address.grpc_port)], {}


def mlserver(address):
    ports = {f"MLSERVER_{n.upper()}_PORT": str(getattr(address, f"{n}_port")) for n in ("http", "grpc", "metrics")}
    settings = {"MLSERVER_HOST": "127.0.0.1", "MLSERVER_PARALLEL_WORKERS": "0", **ports}
    return [python("mlserver").parent / "mlserver", "start", STRANGERS / "mlserver"], settings


@pytest.fixture(scope="module", params=[kserve_server, mlserver], ids=["KServe", "MLServer"])
def stranger(request, tmp_path_factory):
    """The address of a server that is not ours, with a model whose tensors are."""
    address = free_address()
    command, settings = request.param(address)
    folder = tmp_path_factory.mktemp("stranger")
    log = folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*map(str, command)],
            env={**os.environ, "PYTHONPATH": str(STRANGERS), **settings},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with Client(address.grpc) as client:
            try:
                client.wait_ready(60.0, models=["comments"])
            except LuxeError as error:
                raise AssertionError(f"{error}\n{log.read_text()[-3000:]}") from None
        yield address.grpc
        assert process.poll() is None, log.read_text()[-3000:]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def ask(stranger):
    with Client(stranger, timeout_s=20.0) as client:
        yield client


def wanted(text):
    return {"long": len(text) / (len(text) + 10), "short": 10 / (len(text) + 10)}


def assert_right(answers, texts):
    for answer, text in zip(answers, texts, strict=True):
        assert answer.scores == pytest.approx(wanted(text), abs=SAME)
        assert answer.label == max(wanted(text), key=wanted(text).get)
        assert (answer.needs_review, answer.truncated) == ("?" in text, len(text) > 100)
        assert (answer.model, answer.version) == ("comments", "v3")
        assert answer.timings.queue_s is None


def test_it_is_classified(ask):
    assert_right(ask.classify("comments", TEXTS), TEXTS)
    assert_right([ask.classify("comments", TEXTS[1])], TEXTS[1:2])


def test_many_texts_come_in_order(ask):
    texts = [f"{'text ' * (n % 30)}number {n}" for n in range(150)]
    assert_right(list(ask.iter_classify("comments", texts)), texts)


def test_asyncio_too(stranger):
    async def ask():
        async with AsyncClient(stranger, timeout_s=20.0) as client:
            return await asyncio.gather(*(client.classify("comments", text) for text in TEXTS))

    assert_right(asyncio.run(ask()), TEXTS)


def test_its_tensors(ask):
    given = {"text": np.array([[text] for text in TEXTS], dtype=object)}
    answer = ask.raw_infer("comments", given, headers={"x-request-id": "page-17"})
    assert answer["scores"].dtype == np.float32
    assert answer["scores"] == pytest.approx(np.array([list(wanted(t).values()) for t in TEXTS]), abs=SAME)
    assert answer["labels"].tolist() == [[b"long", b"short"]] * len(TEXTS)
    assert answer["truncated"].dtype == np.bool_
    assert answer["truncated"].ravel().tolist() == [len(t) > 100 for t in TEXTS]
    assert answer.request_id == "page-17"


def test_what_it_has(ask):
    assert ask.ready("comments")
    assert not ask.ready("nobody-has-this")
    ask.wait_ready(5.0)


def test_what_goes_wrong_there_is_an_error_of_ours(ask):
    with pytest.raises(LuxeError) as caught:
        ask.classify("nobody-has-this", "hello")
    assert caught.value.model == "nobody-has-this"
    with pytest.raises(InvalidInput, match="expect=Classification"):
        ask.classify("comments", "hello", expect=Labels)
    with pytest.raises(ProtocolError, match="no output 'embeddings'"):
        ask.embed("comments", "hello")
