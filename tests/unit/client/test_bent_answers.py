"""Answers of a server that are none: whatever is bent is a `ProtocolError`."""

import numpy as np
import pytest
from colours import answer_to, replace_output

from luxe_client import ProtocolError
from luxe_client.testing import add_output, bytes_tensor


def fp32(*values):
    return np.array(values, dtype="<f4").tobytes()


def test_the_unbent_answer_is_understood(client, triton):
    """Else every test below would pass for the wrong reason."""
    triton.script = lambda request, _context: answer_to(request)
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
        # No probabilities, or not those of one label, which the server says of none but those of one.
        bent("scores", "FP32", [2, 3], fp32(0.9, 0.9, 0.9, 0.2, 0.3, 0.5)),
        bent("scores", "FP32", [2, 3], fp32(2.0, -0.5, -0.5, 0.2, 0.3, 0.5)),
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
        response = answer_to(request)
        bend(response)
        return response

    triton.script = script
    with pytest.raises(ProtocolError) as caught:
        client.classify("colours", ["one", "two"])
    assert caught.value.model == "colours"


@pytest.mark.parametrize(
    ("shape", "kinds"),
    [
        ([2, 1], [b"single", b"single"]),
        ([2, 1], [b"regression", b"multi_label_classification"]),
        ([2, 1], [b"\xff", b"\xff"]),
        ([1, 1], [b"regression"]),
        ([2, 1], [b"regression"]),
    ],
)
def test_a_problem_type_that_is_none(client, triton, shape, kinds):
    def script(request, _context):
        response = answer_to(request)
        add_output(response, "problem_type", "BYTES", shape, bytes_tensor(kinds))
        return response

    triton.script = script
    with pytest.raises(ProtocolError):
        client.classify("colours", ["one", "two"])


def test_an_output_that_nobody_asked_for_does_no_harm(client, triton):
    def script(request, _context):
        response = answer_to(request)
        add_output(response, "extra", "FP32", [1, 1], fp32(0.0))
        return response

    triton.script = script
    assert client.classify("colours", "one").model == "colours"
