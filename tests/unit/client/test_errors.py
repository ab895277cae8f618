import socket
import threading

import grpc
import numpy as np
import pytest
from fake_triton import WAIT_S, add_output, bytes_tensor, replace_output, response_to

import luxe_client
from luxe_client import (
    Client,
    DeadlineExceeded,
    InvalidInput,
    LuxeError,
    ModelNotFound,
    Overloaded,
    ProtocolError,
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
    triton.fails_with(status, "first line\nsecond  line")
    with pytest.raises(LuxeError) as caught:
        client.classify("colours", "a text")
    assert type(caught.value) is _errors._BY_STATUS[status]
    assert str(caught.value) == f"colours at {triton.address}: first line second line"
    assert (caught.value.model, caught.value.address) == ("colours", triton.address)


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
    triton.fails_with(status, words)
    with pytest.raises(LuxeError) as caught:
        client.classify("colours", "a text")
    assert type(caught.value) is kind
    assert words in str(caught.value)


@pytest.mark.parametrize("row", _errors._BY_WORDS, ids=lambda row: row[1])
def test_every_row_of_words_is_reached(row):
    status, words, kind = row
    assert type(_errors.from_status(status, f"so: {words}.", model="m", address="a:1")) is kind
    assert kind is not _errors._BY_STATUS[status]  # else the row would say nothing


@pytest.mark.parametrize(
    "texts",
    [
        "",
        " \n\t ",
        "\ud800",
        [None],
        [3],
        [b"bytes"],
        b"bytes",
        None,
        5,
        ["fine", ""],
        ["fine", "\u2003"],
        ["fine", "half a pair \udc00"],
    ],
    ids=repr,
)
def test_a_bad_text_costs_no_call(client, triton, texts):
    with pytest.raises(InvalidInput):
        client.classify("colours", texts)
    assert triton.requests == []


@pytest.mark.parametrize("bad", ["", 5, "\ud800"], ids=repr)
def test_a_bad_text_is_named_by_its_position(client, bad):
    with pytest.raises(InvalidInput, match="text 2 "):
        client.classify("colours", ["a", "b", bad])


def test_no_batch_is_sent_when_a_later_one_is_bad(triton):
    with Client(triton.address, batch_size=1) as client, pytest.raises(InvalidInput):
        client.classify("colours", ["fine", "fine", ""])
    assert triton.requests == []


TIMEOUTS = [0, -1, 0.0, float("nan"), float("inf"), 86_400, 1e12]


@pytest.mark.parametrize("timeout_s", TIMEOUTS)
def test_a_bad_timeout_of_a_call(client, triton, timeout_s):
    with pytest.raises(InvalidInput, match="timeout_s"):
        client.classify("colours", "a text", timeout_s=timeout_s)
    assert triton.requests == []


@pytest.mark.parametrize("timeout_s", TIMEOUTS)
def test_a_bad_timeout_of_a_client(timeout_s):
    with pytest.raises(InvalidInput, match="timeout_s"):
        Client("127.0.0.1:8001", timeout_s=timeout_s)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "127.0.0.1",
        ":8001",
        "127.0.0.1:",
        "127.0.0.1:grpc",
        "127.0.0.1:-1",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:²",
        "http://127.0.0.1:8000",
    ],
)
def test_a_bad_address(address):
    with pytest.raises(InvalidInput, match="address"):
        Client(address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:65535", "[::1]:8001", "dns:///triton:8001"])
def test_a_good_address(address):
    with Client(address) as client:
        assert client.address == address


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_bad_batch_size(batch_size):
    with pytest.raises(InvalidInput, match="batch_size"):
        Client("127.0.0.1:8001", batch_size=batch_size)


def fp32(*values):
    return np.array(values, dtype="<f4").tobytes()


def test_the_unbent_answer_is_understood(client, triton):
    """Else every test below would pass for the wrong reason."""
    triton.script = lambda request, _: response_to(request)
    assert len(client.classify("colours", ["one", "two"])) == 2


def bend_id(response):
    response.id = "of-another-request"


def bend_missing(response):
    del response.outputs[-1], response.raw_output_contents[-1]


def bend_contents(response):
    del response.raw_output_contents[-1]


def bend_extra_content(response):
    response.raw_output_contents.append(b"")


def bend_twin_labels(response):
    replace_output(response, "labels", "BYTES", [2, 3], bytes_tensor([b"red", b"red", b"blue"] * 2))


def bend_no_outputs(response):
    del response.outputs[:], response.raw_output_contents[:]


def bend_to_nan(response):
    replace_output(response, "scores", "FP32", [2, 3], fp32(float("nan"), 0.5, 0.5, 1, 0, 0))


def bent(*arguments):
    def bend(response):
        replace_output(response, *arguments)

    bend.__name__ = f"{arguments[0]} {arguments[1]} {arguments[2]} {len(arguments[3])} bytes"
    return bend


SIX = fp32(*[1 / 3] * 6)
NAMES = bytes_tensor([b"red", b"green", b"blue"] * 2)


@pytest.mark.parametrize(
    "bend",
    [
        bend_id,
        bend_missing,
        bend_contents,
        bend_extra_content,
        bend_no_outputs,
        bend_twin_labels,
        bend_to_nan,
        # Wrong shapes: too few answers, too many, other labels than scores, flat, scalar, content too short.
        bent("scores", "FP32", [1, 3], SIX[:12]),
        bent("scores", "FP32", [3, 2], SIX),
        bent("scores", "FP32", [2, 2], SIX[:16]),
        bent("scores", "FP32", [6], SIX),
        bent("scores", "FP32", [], SIX[:4]),
        bent("scores", "FP32", [2, 3], SIX[:20]),
        bent("scores", "FP32", [2, 3], SIX[:21]),
        bent("scores", "FP32", [2, 3], b""),
        bent("scores", "FP32", [2, 0], b""),
        bent("labels", "BYTES", [2], bytes_tensor([b"red", b"green"])),
        bent("labels", "BYTES", [2, 3], NAMES[:-2]),
        bent("labels", "BYTES", [2, 3], bytes_tensor([b"\xff", b"green", b"blue"] * 2)),
        bent("needs_review", "BOOL", [2], bytes(2)),
        bent("truncated", "BOOL", [1, 1], bytes(1)),
        # Wrong types.
        bent("scores", "FP64", [2, 3], bytes(48)),
        bent("scores", "INT64", [2, 3], bytes(48)),
        bent("scores", "BOOL", [2, 3], bytes([1, 0, 0] * 2)),
        bent("scores", "BYTES", [2, 3], NAMES),
        bent("scores", "", [2, 3], SIX),
        bent("labels", "FP32", [2, 3], SIX),
        bent("needs_review", "BYTES", [2, 1], bytes_tensor([b"0", b"0"])),
        bent("truncated", "FP32", [2, 1], SIX[:8]),
    ],
    ids=lambda bend: bend.__name__,
)
def test_an_answer_that_is_none(client, triton, bend):
    def script(request, _context):
        response = response_to(request)
        bend(response)
        return response

    triton.script = script
    with pytest.raises(ProtocolError) as caught:
        client.classify("colours", ["one", "two"])
    assert caught.value.model == "colours"


def test_an_output_that_nobody_asked_for_does_no_harm(client, triton):
    def script(request, _context):
        response = response_to(request)
        add_output(response, "extra", "FP32", [1, 1], fp32(0.0))
        return response

    triton.script = script
    assert client.classify("colours", "one").model == "colours"


def test_no_server():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"  # bound, so nobody else's; not listening
        with Client(address, timeout_s=15.0) as client, pytest.raises(Unavailable) as caught:
            client.classify("colours", "a text")
    assert type(caught.value) is Unavailable
    assert caught.value.address == address


def test_a_closed_client(client, triton):
    client.classify("colours", "a text")
    client.close()
    with pytest.raises(LuxeError, match="closed"):
        client.classify("colours", "a text")
    assert len(triton.requests) == 1
    client.close()  # closing twice does no harm


def test_leaving_the_block_closes(triton):
    with Client(triton.address) as client:
        pass
    with pytest.raises(LuxeError, match="closed"):
        client.classify("colours", "a text")


def test_closing_fails_the_calls_in_flight(client, triton):
    arrived, release, caught = threading.Event(), threading.Event(), []

    def script(request, _context):
        arrived.set()
        release.wait(WAIT_S)
        return response_to(request)

    def call():
        try:
            client.classify("colours", "a text")
        except Exception as error:
            caught.append(error)

    triton.script = script
    thread = threading.Thread(target=call)
    thread.start()
    try:
        assert arrived.wait(WAIT_S)
        client.close()
        thread.join(WAIT_S)
        assert not thread.is_alive()
        assert [isinstance(error, LuxeError) for error in caught] == [True]
    finally:
        release.set()
        thread.join(WAIT_S)


def test_the_tree_is_as_drawn():
    public = {getattr(luxe_client, name) for name in luxe_client.__all__}
    kinds = public - {Client, luxe_client.Classification}
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
