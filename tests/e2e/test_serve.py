"""`luxe serve` from start to end, however it ends: nothing of it stays."""

import dataclasses
import json
import shutil
import signal
import socket
import threading
import time

import psutil
import pytest
from e2e_support import MODEL, luxe, running, wait_until

from luxe_client import Client, LuxeError, Unavailable
from luxe_serving.launcher.server import free_address
from luxe_training.base import sha256

TEXT = "where can i get those boots, i need them for saturday"
END_S = 40.0
"""The exit timeout, and what the launcher takes on top."""


@pytest.fixture
def up(serve, project):
    """`luxe serve` on the shipped model, answering."""
    return serve(project.root).until_ready()


def last_line(text):
    return text.strip().splitlines()[-1]


def occupy():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def test_it_prints_its_addresses_and_answers_there(up):
    assert up.out.splitlines() == [
        f"grpc     {up.address.grpc}",
        f"http     http://{up.address.http}",
        f"metrics  http://{up.address.metrics}/metrics",
    ]
    assert f"ready {MODEL}, {MODEL}-engine" in up.err
    with Client(up.address.grpc) as client:
        assert client.classify(MODEL, TEXT).label == "purchase_interest"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(up, number):
    up.signal(number)
    assert up.end(timeout_s=END_S) == 0, up.err
    assert last_line(up.err) == "stopped"
    assert "Traceback" not in up.err
    assert up.left() == []


def test_a_signal_while_it_starts_ends_it_in_order(serve, project):
    starting = serve(project.root)
    assert wait_until(lambda: any(p.name() == "tritonserver" for p in running(starting.family())), timeout_s=30)
    starting.signal(signal.SIGTERM)
    assert starting.end(timeout_s=END_S) == 0, starting.err
    assert "Traceback" not in starting.err
    assert starting.left() == []


def test_impatient_signals_do_not_break_the_orderly_end(up):
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        up.signal(number)
        time.sleep(0.2)
    assert up.end(timeout_s=END_S) == 0, up.err
    assert up.left() == []


def test_accepted_requests_are_answered_after_sigterm(up, texts):
    """Fifty calls are under way when the signal comes. None may hang, and none may be lost."""
    outcomes = []
    first = threading.Event()

    def call(number):
        # Not so many that the model refuses to let them wait.
        batch = [" ".join(texts[(number * 8 + i * 4) % 400 :][:3]) for i in range(2)]
        try:
            outcomes.append(client.classify(MODEL, batch))
        except Exception as error:
            outcomes.append(error)
        first.set()

    with Client(up.address.grpc, timeout_s=60.0) as client:
        threads = [threading.Thread(target=call, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        assert first.wait(timeout=30)
        early = len(outcomes)
        up.signal(signal.SIGTERM)
        for thread in threads:
            thread.join(timeout=END_S)
        assert not any(thread.is_alive() for thread in threads), "a call hangs"
        assert early < 40, "the signal must come while most calls are under way"
        with pytest.raises(LuxeError):
            client.classify(MODEL, TEXT)
    assert up.end(timeout_s=END_S) == 0, up.err
    assert up.left() == []
    assert len(outcomes) == 50
    failed = [o for o in outcomes if isinstance(o, Exception)]
    assert not [e for e in failed if not isinstance(e, Unavailable)], f"{len(failed)} failed, not as Unavailable"
    assert not failed, f"{len(failed)} of 50 accepted calls were not answered"


def test_new_calls_after_sigterm_are_told_that_the_server_is_away(up):
    """A caller must be able to tell a server that stops, where another replica helps, from its own mistake."""
    errors = []
    with Client(up.address.grpc, timeout_s=10.0) as client:
        client.classify(MODEL, TEXT)
        up.signal(signal.SIGTERM)
        while up.process.poll() is None:
            try:
                client.classify(MODEL, TEXT)
            except LuxeError as error:
                errors.append(error)
            time.sleep(0.02)
    assert up.end(timeout_s=END_S) == 0
    assert errors
    assert {type(error).__name__ for error in errors} == {"Unavailable"}, {str(error) for error in errors}


def test_kill_9_of_the_launcher_takes_triton_along(up):
    family = list(up.family())
    up.process.kill()
    up.process.wait()
    assert wait_until(lambda: not running(family), timeout_s=END_S), running(family)
    ports = [entry for entry in up.left() if "port" in entry]
    assert ports == []


@pytest.mark.parametrize("port", ["http", "grpc", "metrics"])
def test_a_busy_port_is_named_with_its_option(serve, project, port):
    with occupy() as listener:
        number = listener.getsockname()[1]

        address = dataclasses.replace(free_address(), **{f"{port}_port": number})
        refused = serve(project.root, address=address)
        assert refused.end(timeout_s=20) == 2
    assert refused.out == ""
    assert len(refused.err.splitlines()) == 1, refused.err
    assert f"127.0.0.1:{number}" in refused.err
    assert f"--{port}-port" in refused.err
    assert list(refused.temporary.glob("luxe-serve-*")) == []


def test_an_empty_repository_is_refused(tmp_path, project):
    shutil.copytree(project.catalog, tmp_path / "empty" / "catalog")
    done = luxe("serve", "--root", tmp_path / "empty")
    assert done.status == 2
    assert len(done.err.splitlines()) == 1, done.err
    assert "nothing to serve" in done.err
    assert "luxe export" in done.err


def test_a_corrupt_engine_is_refused_with_a_reason_in_bounded_time(serve, copy):
    (engine,) = copy.repository.glob(f"{MODEL}-engine/*/model.onnx")
    with engine.open("r+b") as file:
        file.truncate(100_000)
    refused = serve(copy.root)
    assert refused.end(timeout_s=60) == 2
    (line,) = refused.err.splitlines()
    assert str(engine.relative_to(copy.repository)) in line
    assert "100000 bytes; the manifest says" in line
    assert refused.left() == []


def test_an_engine_that_does_not_load_is_refused_with_a_reason_in_bounded_time(serve, copy):
    """Published like that: its manifest is right, and Triton meets it first."""
    import onnx

    (engine,) = copy.repository.glob(f"{MODEL}-engine/*/model.onnx")
    model = onnx.load(engine)
    model.graph.node[-1].op_type = "NobodyHasThis"
    onnx.save(model, engine)
    (path,) = copy.repository.glob(f"{MODEL}/*/manifest.json")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    facts = manifest["files"][str(engine.relative_to(copy.repository))]
    facts["sha256"], facts["size"] = sha256(engine), engine.stat().st_size
    path.write_text(json.dumps(manifest), encoding="utf-8")
    start = time.monotonic()
    refused = serve(copy.root)
    assert refused.end(timeout_s=60) == 2
    assert time.monotonic() - start < 30
    assert refused.out == ""
    assert len(refused.err.splitlines()) == 1, refused.err
    assert f"{MODEL}-engine" in refused.err
    assert "triton.log" in refused.err
    # The reason itself, not only that there was one.
    assert "onnx" in refused.err.lower()
    assert refused.left() == []


def test_two_servers_share_a_repository(serve, project, server):
    beside = serve(project.root).until_ready()
    with Client(beside.address.grpc) as one, Client(server.address.grpc) as other:
        assert one.classify(MODEL, TEXT).scores == pytest.approx(other.classify(MODEL, TEXT).scores, abs=1e-6)
    beside.signal(signal.SIGTERM)
    assert beside.end(timeout_s=END_S) == 0
    assert beside.left() == []
    # The end of one swept nothing of the other.
    assert psutil.pid_exists(server.pid)
    with Client(server.address.grpc) as other:
        assert other.classify(MODEL, TEXT).label == "purchase_interest"
