"""Which error a call fails with: by gRPC's status, by Triton's words, without a server."""

import re
import socket

import grpc
import pytest
from checkout import ROOT

import luxe_client
from luxe_client import (
    DeadlineExceeded,
    InvalidInput,
    LuxeError,
    ModelNotFound,
    Overloaded,
    ServerError,
    Unavailable,
    _errors,
)

FAILURES = [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK]


def test_the_table_is_total():
    assert set(_errors._BY_STATUS) == set(FAILURES)
    assert all(issubclass(kind, LuxeError) for kind in _errors._BY_STATUS.values())


@pytest.mark.parametrize("status", FAILURES, ids=lambda status: status.name)
def test_every_status_arrives_as_its_error(client, triton, status):
    triton.fail(status, "first line\nsecond  line")
    with pytest.raises(LuxeError) as caught:
        client.classify("colours", "a text")
    assert type(caught.value) is _errors._BY_STATUS[status]
    error = caught.value
    suffix = "" if error.tries == 1 else f" ({error.tries} tries in {error.elapsed_s:.2f} s)"
    assert str(error) == f"colours at {triton.address}: first line second line{suffix}"
    assert (error.model, error.address, error.replica) == ("colours", triton.address, triton.address)
    assert error.tries == len(triton.requests)
    assert 0 < error.elapsed_s < 15


@pytest.mark.parametrize("status", FAILURES, ids=lambda status: status.name)
def test_a_status_without_words_is_named(status):
    error = _errors.from_status(status, "", model="m", address="a:1")
    assert str(error) == f"m at a:1: {status.name}"


UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (UNAVAILABLE, "Request for unknown model: 'colours' is not found", ModelNotFound),
        (UNAVAILABLE, "[request id: x] Exceeds maximum queue size", Overloaded),
        (UNAVAILABLE, "Request timeout expired", DeadlineExceeded),
        (UNAVAILABLE, "Server is stopping, scheduler for model has stopped", Unavailable),
        # Words count only with their status.
        (grpc.StatusCode.INTERNAL, "unknown model in the pipeline", ServerError),
        # This client never cancels, so that a cancelled call says that the server is going away.
        (grpc.StatusCode.CANCELLED, "CANCELLED", Unavailable),
        (grpc.StatusCode.INVALID_ARGUMENT, "timeout expired is not a number", InvalidInput),
    ],
)
def test_tritons_words(client, triton, status, words, kind):
    triton.fail(status, words)
    with pytest.raises(LuxeError) as caught:
        client.classify("colours", "a text")
    assert type(caught.value) is kind
    assert words in str(caught.value)


@pytest.mark.parametrize("row", _errors._BY_WORDS, ids=lambda row: row[1])
def test_every_row_of_words_is_reached(row):
    status, words, kind = row
    assert type(_errors.from_status(status, f"so: {words}.", model="m", address="a:1")) is kind
    assert kind is not _errors._BY_STATUS[status]  # else the row would say nothing


def test_no_server(make):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"  # bound, so nobody else's; not listening
        with make(address, timeout_s=15.0) as client, pytest.raises(Unavailable) as caught:
            client.classify("colours", "a text")
    assert type(caught.value) is Unavailable
    assert caught.value.address == address


@pytest.mark.parametrize("drawing", ["the module", "docs/client/errors-and-retries.md"])
def test_every_error_says_what_to_do(drawing):
    text = _errors.__doc__ if drawing == "the module" else (ROOT / drawing).read_text(encoding="utf-8")
    public = [getattr(luxe_client, name) for name in luxe_client.__all__]
    kinds = [kind for kind in public if issubclass(kind, Exception)]
    assert len({kind.advice for kind in kinds}) == len(kinds)
    for kind in kinds:
        (said,) = re.findall(rf"(?m)^[│├└─ ]*{kind.__name__} .*?(?:: |  )([^:\n]+)$", text)
        assert said.strip() == kind.advice


def test_the_tree_is_as_drawn():
    public = [getattr(luxe_client, name) for name in luxe_client.__all__]
    kinds = [kind for kind in public if issubclass(kind, Exception)]
    assert {(kind.__name__, tuple(b.__name__ for b in kind.__bases__)) for kind in kinds} == {
        ("LuxeError", ("Exception",)),
        ("InvalidInput", ("LuxeError", "ValueError")),
        ("ModelNotFound", ("LuxeError",)),
        ("Unavailable", ("LuxeError",)),
        ("Overloaded", ("Unavailable",)),
        ("DeadlineExceeded", ("LuxeError", "TimeoutError")),
        ("PermissionDenied", ("LuxeError",)),
        ("ServerError", ("LuxeError",)),
        ("ProtocolError", ("ServerError",)),
    }
