import csv
import json
import signal
import subprocess
import sys
import threading

import pytest
import score_csv

from luxe_client.testing import FakeTriton, texts_of

MODEL = "comment-intent"
TEXTS = [f"comment {n}, with a comma\nand a second line" for n in range(150)]


def number(text):
    return int(text.split()[1].strip(","))


def scores(text):
    return {"even": 0.2, "odd": 0.8} if number(text) % 2 else {"even": 0.9, "odd": 0.1}


@pytest.fixture
def triton():
    with FakeTriton() as triton:
        add(triton, scores)
        yield triton


def add(triton, function):
    """Add the model, or replace it."""
    triton.classify(MODEL, function, needs_review=lambda text: text.startswith("comment 7"), version="3")


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "comments.csv", [{"id": str(n), "text": text} for n, text in enumerate(TEXTS)])


def write(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def run(source, triton, *, column="text", model=MODEL):
    target = source.with_name("scored.csv")
    score_csv.run(source, target, column=column, model=model, targets=[triton.address])
    return read(target)


def asked(triton):
    return [text for request in triton.requests for text in texts_of(request)]


def assert_right(rows):
    assert [row["text"] for row in rows] == TEXTS
    assert [row["id"] for row in rows] == [str(n) for n in range(len(TEXTS))]
    assert [row["label"] for row in rows] == ["even", "odd"] * (len(TEXTS) // 2)
    assert [row["needs_review"] for row in rows] == [str(text.startswith("comment 7")) for text in TEXTS]
    assert float(rows[1]["score"]) == pytest.approx(0.8)
    assert {row["version"] for row in rows} == {"3"}


def test_every_row_gets_its_answer(source, triton, tmp_path):
    assert_right(run(source, triton))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["comments.csv", "scored.csv"]


def test_a_run_after_a_failure_asks_only_for_what_is_missing(source, triton, tmp_path):
    def broken(text):
        if number(text) == 70:
            raise ValueError("the script says so")
        return scores(text)

    add(triton, broken)
    with pytest.raises(score_csv.Stop, match=r"\d+ of 150 rows are done, the next run .*: .*the script"):
        run(source, triton)
    assert not (tmp_path / "scored.csv").exists()
    done = len((tmp_path / "scored.csv.part").read_bytes().splitlines()) - 1
    with FakeTriton() as other:  # the first may still be getting what was on its way
        add(other, scores)
        assert_right(run(source, other))
        assert sorted(asked(other)) == sorted(TEXTS[done:])


def test_a_run_after_a_kill_goes_on(source, triton, tmp_path):
    """kill -9 while the server works at the second half, and a line that only half came to the disk."""
    reached, over = threading.Event(), threading.Event()

    def slow(text):
        if number(text) == 100:
            reached.set()
            over.wait(20)
        return scores(text)

    add(triton, slow)
    target, part = tmp_path / "scored.csv", tmp_path / "scored.csv.part"
    command = [sys.executable, score_csv.__file__, source, target, "--target", triton.address]
    process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE)
    try:
        assert reached.wait(20)
        # What was answered before is on its way to the file.
        while part.read_bytes().count(b"\n") < 65 and process.poll() is None:
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        over.set()
    assert not target.exists()
    with part.open("ab") as file:
        file.write(b'{"label": "ev')
    triton.requests.clear()
    assert_right(run(source, triton))
    assert 0 < len(asked(triton)) <= len(TEXTS) - 64


@pytest.mark.parametrize("tail", [b"", b"null", b'{"label": "e', b"\x00" * 50, b"\x00\x00\nnull\n"])
def test_what_a_crash_left_of_a_line_is_not_used(source, triton, tmp_path, tail):
    whole = run(source, triton)
    (tmp_path / "scored.csv").unlink()
    lines = [json.dumps(score_csv.identity(source, MODEL, "text"))]
    for row in whole[:10]:
        lines.append(json.dumps({name: row[name] for name in score_csv.COLUMNS}))
    (tmp_path / "scored.csv.part").write_bytes("".join(line + "\n" for line in lines).encode() + tail)
    triton.requests.clear()
    assert run(source, triton) == whole
    assert sorted(asked(triton)) == sorted(TEXTS[10:])


def test_answers_to_another_file_are_not_used(source, triton, tmp_path):
    (tmp_path / "scored.csv.part").write_text(json.dumps(score_csv.identity(source, MODEL, "text")) + "\nnull\n")
    write(source, [{"id": "0", "text": "comment 0"}])
    with pytest.raises(score_csv.Stop, match="is of another input, model or column"):
        run(source, triton)


def test_rows_without_text_get_no_answer(triton, tmp_path):
    texts = ["", "comment 1", "  ", "", "comment 2", ""]
    source = write(tmp_path / "comments.csv", [{"id": str(n), "text": text} for n, text in enumerate(texts)])
    assert [row["label"] for row in run(source, triton)] == ["", "odd", "", "", "even", ""]


def test_a_file_that_changes_under_the_run(source, triton, tmp_path):
    def meddling(text):
        source.write_text(source.read_text(encoding="utf-8") + "151,late\n", encoding="utf-8")
        return scores(text)

    add(triton, meddling)
    with pytest.raises(score_csv.Stop, match="was changed meanwhile"):
        run(source, triton)
    assert not (tmp_path / "scored.csv").exists()


def test_two_runs_at_once(source, triton, tmp_path):
    import fcntl

    with (tmp_path / "scored.csv.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(score_csv.Stop, match="another run is writing"):
            run(source, triton)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no column 'text', but none at all"),
        (b"id,comment\n1,a\n", "has no column 'text', but id, comment"),
        (b"text,label\na,b\n", "has a column 'label' already"),
        (b"id,text\n1\n", "line 2: not 2 columns"),
        (b"id,text\n1,a,b\n", "line 2: not 2 columns"),
        (b'id,text\n1,"a\n', "unexpected end of data"),
        (b"id,text\n1,\xff\n", "can't decode"),
        (b"id,text\n", "has no rows"),
    ],
)
def test_what_is_no_such_file_is_one_line(tmp_path, triton, monkeypatch, capsys, content, words):
    source = tmp_path / "comments.csv"
    source.write_bytes(content)
    said = main(monkeypatch, capsys, source, tmp_path / "scored.csv", "--target", triton.address)
    assert said.startswith("score_csv: ") and words in said
    assert triton.requests == []


def test_what_is_there_is_not_written_over(source, triton, tmp_path, monkeypatch, capsys):
    run(source, triton)
    assert "is there already" in main(monkeypatch, capsys, source, tmp_path / "scored.csv")
    assert "No such file" in main(monkeypatch, capsys, tmp_path / "no.csv", tmp_path / "other.csv")


def main(monkeypatch, capsys, *arguments):
    """Run the command, which has to fail with one line; returns that."""
    monkeypatch.setattr(sys, "argv", ["score_csv.py", *map(str, arguments)])
    assert score_csv.main() == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


def test_the_command_says_what_it_wrote(source, triton, tmp_path):
    target = tmp_path / "scored.csv"
    command = [sys.executable, "-W", "error", score_csv.__file__, source, target, "--target", triton.address]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == (f"150 rows in {target}\n", "")
    assert_right(read(target))
