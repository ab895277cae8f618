import pytest

from luxe.errors import UserError
from luxe_serving.launcher import log_file
from luxe_serving.launcher.log_file import LogFile


def write(log, text):
    with log.open() as file:
        file.write(text.encode())


def test_a_start_appends_and_knows_its_own_part(tmp_path):
    path = tmp_path / "runs" / "triton.log"
    first = LogFile(path)
    write(first, "a I fine\nb E 1 broken\nc E 2 more\n")
    second = LogFile(path)
    write(second, "d I fine\n")
    assert path.read_text().splitlines() == ["a I fine", "b E 1 broken", "c E 2 more", "d I fine"]
    assert first.first_error() == "b E 1 broken"
    assert second.first_error() == "d I fine", "the last line where there is no error"
    assert second.first_error(first.start) == "b E 1 broken"


def test_no_output(tmp_path):
    assert LogFile(tmp_path / "log").first_error() == "no output"


def test_what_every_server_without_a_gpu_says_is_no_error(tmp_path):
    log = LogFile(tmp_path / "log")
    write(log, "a E CudaDriverHelper has not been initialized\nb E 1 broken\n")
    assert log.first_error() == "b E 1 broken"


def test_a_large_log_is_put_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(log_file, "_MOST", 10)
    path = tmp_path / "log"
    path.write_text("more than ten\n")
    log = LogFile(path)
    assert log.start == 0
    assert (tmp_path / "log.1").read_text() == "more than ten\n"


def test_a_log_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match="cannot write the server's log"):
        LogFile(tmp_path / "runs" / "triton.log")
