"""`luxe predict` and `luxe models` as people call them: output, and one line where they cannot."""

import json

import pytest
from e2e_support import MODEL, assert_refused, luxe, manifest

from luxe_serving.launcher.server import free_address

TEXT = "where can i get those boots, i need them for saturday 😭"
LABEL = "purchase_interest"


@pytest.fixture
def address(server):
    return server.address.grpc


@pytest.fixture
def nobody():
    """An address where no server answers."""
    return free_address().grpc


def test_predict_prints_a_row_an_argument(address):
    done = luxe("predict", MODEL, TEXT, "who shot [bold]this[/bold] cover?", "--address", address)
    assert (done.status, done.err) == (0, "")
    header, *rows = done.out.splitlines()
    assert header.split() == ["label", "score", "review", "text"]
    assert len(rows) == 2
    assert rows[0].startswith(LABEL)
    assert rows[0].rstrip().endswith(TEXT)
    assert rows[1].rstrip().endswith("who shot [bold]this[/bold] cover?")


def test_predict_marks_what_a_person_should_see(address, client, texts):
    unsure = next(text for text in texts if client.classify(MODEL, text).needs_review)
    done = luxe("predict", MODEL, unsure, TEXT, "--address", address)
    assert done.status == 0, done.err
    assert ["needs review" in row for row in done.out.splitlines()[1:]] == [True, False]


def test_predict_reads_standard_input_and_prints_json_lines_in_order(address, client, texts):
    some = texts[:40]
    stdin = "".join(f"{text}\n" for text in some).encode()
    done = luxe("predict", MODEL, "--json", "--address", address, stdin=stdin)
    assert (done.status, done.err) == (0, "")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["text"] for row in rows] == some
    answers = client.classify(MODEL, some)
    assert [row["label"] for row in rows] == [answer.label for answer in answers]
    assert [row["score"] for row in rows] == pytest.approx([answer.score for answer in answers], abs=1e-6)
    assert [row["scores"] for row in rows] == [pytest.approx(dict(a.scores), abs=1e-6) for a in answers]
    assert {"needs_review", "truncated", "model", "version", "request_id"} <= set(rows[0])


def test_predict_reads_standard_input_into_a_table(address):
    done = luxe("predict", MODEL, "--address", address, stdin=f"{TEXT}\r\n{TEXT}".encode())
    assert (done.status, done.err) == (0, "")
    assert [row.split()[0] for row in done.out.splitlines()[1:]] == [LABEL, LABEL]


@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        (b"fine\n\xff\xfe\nfine\n", "line 2 is not UTF-8"),
        (b"fine\nfine\n \n", "line 3 is empty"),
        (b"", "no text"),
    ],
)
def test_predict_names_the_line_that_it_cannot_use(address, stdin, words):
    assert_refused(luxe("predict", MODEL, "--address", address, stdin=stdin), words)


def test_predict_without_a_server(nobody):
    assert_refused(luxe("predict", MODEL, TEXT, "--address", nobody, timeout_s=30), nobody)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_predict_with_an_unknown_model(address, form):
    assert_refused(luxe("predict", "nobody-has-this", TEXT, "--address", address, *form), "nobody-has-this")


@pytest.mark.parametrize("bad", ["nonsense", "127.0.0.1:99999", "http://127.0.0.1:8001"])
def test_predict_with_an_address_that_is_none(bad):
    assert_refused(luxe("predict", MODEL, TEXT, "--address", bad), bad, "host:port")


def test_predict_with_a_text_over_the_limit(address, entry):
    stdin = b"a" * (entry.serving.max_text_bytes + 1)
    assert_refused(luxe("predict", MODEL, "--address", address, stdin=stdin), entry.serving.max_text_bytes)


@pytest.mark.parametrize("there", [True, False], ids=["with a server", "without"])
def test_models_says_what_is_published_and_served(project, entry, address, nobody, there):
    asked = ("models", "--root", project.root, "--address", address if there else nobody)
    published = manifest(project)
    done = luxe(*asked, "--json")
    assert (done.status, done.err) == (0, "")
    (row,) = json.loads(done.out)
    assert row["name"] == MODEL
    assert row["task"] == entry.task
    assert row["base"] == entry.base.hub_id
    assert row["precision"] == published["precision"]
    assert row["version"] == published["version"]
    winner = next(c for c in published["candidates"] if c["candidate"] == published["precision"])
    assert (row["metric"], row["metric_name"]) == (winner["measurement"]["metric"], "macro-F1")
    assert row["served"] is there

    done = luxe(*asked)
    assert (done.status, done.err) == (0, "")
    header, row = done.out.splitlines()
    assert header.split()[0] == "model"
    cells = row.split()
    assert cells[0] == MODEL
    assert cells[-1] == ("yes" if there else "no")
    assert str(published["version"]) in cells
    assert published["precision"] in cells


def test_models_where_there_is_no_project(tmp_path):
    assert_refused(luxe("models", "--root", tmp_path), "no catalogue", tmp_path)
