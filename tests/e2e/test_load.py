"""`luxe serve NAME`, `luxe load` and `luxe unload`: what is served changes while the server runs."""

import json
import shutil
import signal
import threading

import pytest
from e2e_support import MODEL, Steady, assert_refused, luxe, publish_again, wait_until

from luxe_client import Client, LuxeError

ENGINE = f"{MODEL}-engine"
TEXT = "where can i get those boots, i need them for saturday"
END_S = 40.0


def version(serving):
    with Client(serving.address.grpc, timeout_s=30.0) as client:
        return client.classify(MODEL, TEXT).version


def newest(project):
    return max(int(p.parent.name) for p in (project.repository / MODEL).glob("[0-9]*/manifest.json"))


def ended(serving):
    serving.signal(signal.SIGTERM)
    assert serving.end(timeout_s=END_S) == 0, serving.err
    assert serving.left() == []
    assert "sick" not in serving.err, serving.err


def test_a_new_version_goes_live_without_a_failed_call(serve, copy):
    up = serve(copy.root).until_ready()
    old = newest(copy)
    with Steady(up.address.grpc, TEXT) as load:
        assert wait_until(lambda: len(load.answers) > 20, timeout_s=30)
        new = publish_again(copy.repository)
        done = luxe("load", MODEL, "--root", copy.root, "--json")
        assert done.status == 0, done.err
        assert json.loads(done.out) == {"model": MODEL, "before": old, "after": new}
        count = len(load.answers)
        assert wait_until(lambda: len(load.answers) > count + 50, timeout_s=30)
    assert load.errors == []
    versions = [int(answer.version) for _, answer in load.answers]
    assert set(versions) == {old, new}
    assert {int(answer.version) for _, answer in load.answers[count + 8 :]} == {new}
    print(f"{len(load.answers)} calls, none failed")
    # The supervisor goes on with it, also after a restart, and does not take a still newer one that nobody loaded.
    publish_again(copy.repository)
    up.triton().kill()
    assert wait_until(lambda: "ready again" in up.err, timeout_s=60), up.err
    assert version(up) == str(new)
    done = luxe("load", MODEL, "--root", copy.root)
    assert done.status == 0, done.err
    assert done.out.splitlines()[-1].split() == [MODEL, str(new), str(new + 1)]
    assert version(up) == str(new + 1)
    up.signal(signal.SIGTERM)
    assert up.end(timeout_s=END_S) == 0, up.err
    assert up.left() == []


def test_two_versions_ahead(serve, copy):
    """The published config of the engine keeps two versions, and the one that is called is not among them."""
    up = serve(copy.root).until_ready()
    publish_again(copy.repository)
    new = publish_again(copy.repository)
    with Steady(up.address.grpc, TEXT) as load:
        assert luxe("load", MODEL, "--root", copy.root).status == 0
        assert wait_until(lambda: load.answers and load.answers[-1][1].version == str(new), timeout_s=30)
    assert load.errors == []
    ended(up)


def test_a_version_that_does_not_load_leaves_the_old_one(serve, copy):
    up = serve(copy.root).until_ready()
    old = newest(copy)
    new = publish_again(copy.repository)
    with Steady(up.address.grpc, TEXT) as load:
        (copy.repository / ENGINE / str(new) / "model.onnx").write_bytes(b"")
        assert_refused(luxe("load", MODEL, "--root", copy.root), f"{ENGINE}/{new}/model.onnx")
        # Now its manifest says so too, and Triton is the first to see it.
        path = copy.repository / MODEL / str(new) / "luxe.json"
        shutil.copy(copy.repository / ENGINE / str(old) / "model.onnx", copy.repository / ENGINE / str(new))
        spoil(copy.repository, path, b'{"engine": 1}')
        assert_refused(luxe("load", MODEL, "--root", copy.root), MODEL, "does not load")
        count = len(load.answers)
        assert wait_until(lambda: len(load.answers) > count + 20, timeout_s=30)
    assert load.errors == []
    assert version(up) == str(old)
    ended(up)


def spoil(repository, path, content):
    """Change a published file, and its manifest with it."""
    import hashlib

    path.write_bytes(content)
    manifest = path.parent / "manifest.json"
    facts = json.loads(manifest.read_text(encoding="utf-8"))
    facts["files"][str(path.relative_to(repository))].update(
        sha256=hashlib.sha256(content).hexdigest(), size=len(content)
    )
    manifest.write_text(json.dumps(facts), encoding="utf-8")


def test_unload_answers_what_was_accepted(serve, copy, texts):
    up = serve(copy.root).until_ready()
    outcomes = []
    first = threading.Event()

    def call(number):
        try:
            batch = [f"{number} {text}" for text in texts[number * 4 : number * 4 + 4]]
            outcomes.append(client.classify(MODEL, batch))
        except LuxeError as error:
            outcomes.append(error)
        first.set()

    with Client(up.address.grpc, timeout_s=60.0) as client:
        threads = [threading.Thread(target=call, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        assert first.wait(timeout=30)
        done = luxe("unload", MODEL, "--root", copy.root)
        for thread in threads:
            thread.join(timeout=END_S)
        assert done.status == 0, done.err
        assert done.out.splitlines()[-1].split() == [MODEL, str(newest(copy)), "-"]
        assert [o for o in outcomes if isinstance(o, LuxeError)] == []
        with pytest.raises(LuxeError, match="unknown model"):
            client.classify(MODEL, TEXT)
    assert up.triton().children() == [], "the engine has gone too"
    assert_refused(luxe("unload", MODEL, "--root", copy.root), "does not serve", "it serves nothing")
    # What is not loaded is not loaded by a restart.
    up.triton().kill()
    assert wait_until(lambda: "ready again nothing" in up.err, timeout_s=60), up.err
    done = luxe("load", MODEL, "--root", copy.root, "--json", "--address", up.address.grpc)
    assert json.loads(done.out)["before"] is None, done.err
    assert version(up) == str(newest(copy))
    up.signal(signal.SIGTERM)
    assert up.end(timeout_s=END_S) == 0
    assert up.left() == []


def test_only_those_named_are_served(serve, copy):
    for name in ("", "-engine"):
        other = copy.repository / f"other{name}"
        shutil.copytree(copy.repository / f"{MODEL}{name}", other)
    # Not a published model; `luxe serve` without a name would refuse the repository.
    up = serve(copy.root, arguments=[MODEL]).until_ready()
    assert f"ready {MODEL}, {ENGINE}\n" in up.err
    assert version(up) == str(newest(copy))
    ended(up)
    assert_refused(luxe("serve", "nobody", "--root", copy.root), "nobody is not in", MODEL)


def test_what_cannot_be_changed_is_one_line(serve, copy, server):
    for command in ("load", "unload"):
        assert_refused(luxe(command, MODEL, "--root", copy.root), "no server of this project", "luxe serve")
    up = serve(copy.root).until_ready()
    records = list(copy.runs.glob("serving-*.json"))
    assert [path.stat().st_mode & 0o777 for path in records] == [0o600]
    assert_refused(luxe("load", "nobody", "--root", copy.root), "nobody is not published", "luxe export nobody")
    assert_refused(luxe("unload", "nobody", "--root", copy.root), "does not serve nobody", MODEL)
    for command in ("load", "unload"):
        done = luxe(command, MODEL, "--root", copy.root, "--address", server.address.grpc)
        assert_refused(done, f"{server.address.grpc} is no server of this project", up.address.grpc)
    beside = serve(copy.root).until_ready()
    assert_refused(luxe("unload", MODEL, "--root", copy.root), "--address", up.address.grpc, beside.address.grpc)
    done = luxe("unload", MODEL, "--root", copy.root, "--address", beside.address.grpc)
    assert done.status == 0, done.err
    assert version(up) == str(newest(copy))
    ended(beside)
    ended(up)
    assert list(copy.runs.glob("serving-*.json")) == []
