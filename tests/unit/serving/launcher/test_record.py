import dataclasses
import json
import threading

import pytest

from luxe.errors import UserError
from luxe_serving.launcher.arguments import Address
from luxe_serving.launcher.record import Record, find

HERE = Address("127.0.0.1", 1, 2, 3)


@pytest.fixture
def record(tmp_path):
    return Record.create(tmp_path, HERE, key="opensesame", public_key=None)


def another(record, **changed):
    """A record of another server of the same launcher, which is enough to be taken for one that runs."""
    path = record.path.with_name("serving-0.json")
    path.write_text(json.dumps({**dataclasses.asdict(record.read()), **changed}))
    return Record(path)


def test_only_its_owner_may_read_it(record):
    assert record.path.stat().st_mode & 0o777 == 0o600
    assert record.read().key == "opensesame"
    assert record.read().grpc == "127.0.0.1:2"


def test_the_only_one_is_found_without_an_address(tmp_path, record):
    assert find(tmp_path, None).path == record.path
    assert find(tmp_path, "127.0.0.1:2").path == record.path


def test_none_runs(tmp_path):
    with pytest.raises(UserError, match=r"no server of this project runs here.*luxe serve"):
        find(tmp_path, None)


def test_another_address_is_no_server_of_ours(tmp_path, record):
    with pytest.raises(UserError, match=r"127\.0\.0\.1:9 is no server of this project.*127\.0\.0\.1:2"):
        find(tmp_path, "127.0.0.1:9")


def test_several_want_an_address(tmp_path, record):
    other = another(record, grpc="127.0.0.1:7")
    with pytest.raises(UserError, match=r"several.*--address.*127\.0\.0\.1:2, 127\.0\.0\.1:7"):
        find(tmp_path, None)
    assert find(tmp_path, "127.0.0.1:7").path == other.path


@pytest.mark.parametrize("spoilt", [{"started": 1}, {"pid": 2**22 + 1}, {"nobody": "knows"}])
def test_a_launcher_that_was_killed_is_not_found_and_swept(tmp_path, record, spoilt):
    stale = another(record, **spoilt)
    assert find(tmp_path, None).path == record.path
    Record.create(tmp_path, HERE, key="new", public_key=None)
    assert not stale.path.exists()
    assert find(tmp_path, None).read().key == "new"


def test_half_a_record_is_none(tmp_path, record):
    record.path.write_text(record.path.read_text()[:40])
    assert record.read() is None


def test_a_change_is_seen_while_it_lasts_and_counted(record):
    with record.quiet() as changes:
        assert changes == 0
    with record.changing() as running:
        assert running.grpc == "127.0.0.1:2"
        with record.quiet() as changes:
            assert changes is None
    with record.quiet() as changes:
        assert changes == 1


def test_changes_wait_for_each_other(record):
    order = []

    def change():
        with record.changing():
            order.append("second")

    with record.changing():
        thread = threading.Thread(target=change)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_no_change_of_a_server_that_has_ended(record):
    record.remove()
    with pytest.raises(UserError, match="has ended"), record.changing():
        pass
    with record.quiet() as changes:
        assert changes == 0
