"""Answers in lists of numbers beside each output: what servers other than Triton send."""

import numpy as np
import pytest
from colours import answer_to, scores_of

from luxe_client import ProtocolError
from luxe_client.testing import response_to

LISTS = {
    "BOOL": ("bool_contents", [True, False], np.bool_),
    "INT8": ("int_contents", [-128, 127], np.int8),
    "INT16": ("int_contents", [-(2**15), 5], np.int16),
    "INT32": ("int_contents", [-(2**31), 5], np.int32),
    "INT64": ("int64_contents", [-(2**63), 2**63 - 1], np.int64),
    "UINT8": ("uint_contents", [0, 255], np.uint8),
    "UINT16": ("uint_contents", [0, 2**16 - 1], np.uint16),
    "UINT32": ("uint_contents", [0, 2**32 - 1], np.uint32),
    "UINT64": ("uint64_contents", [0, 2**64 - 1], np.uint64),
    "FP32": ("fp32_contents", [0.1, -np.inf], np.float32),
    "FP64": ("fp64_contents", [0.1, np.nan], np.float64),
    "BYTES": ("bytes_contents", [b"", "é".encode()], object),
}
GIVEN = {"x": np.zeros((1, 1), np.float32)}


def listed(datatype, shape, field, values):
    """A script that answers one output, its content in a list."""

    def script(request, _context):
        response = response_to(request, version="1")
        output = response.outputs.add(name="out", datatype=datatype, shape=shape)
        getattr(output.contents, field).extend(values)
        return response

    return script


@pytest.mark.parametrize("datatype", LISTS)
def test_every_datatype(client, triton, datatype):
    field, values, dtype = LISTS[datatype]
    triton.script = listed(datatype, [2, 1], field, values)
    out = client.raw_infer("any", GIVEN)["out"]
    assert out.dtype == dtype
    assert np.array_equal(out, np.array(values, dtype).reshape(2, 1), equal_nan=datatype == "FP64")


def test_no_numbers(client, triton):
    triton.script = listed("FP32", [2, 0], "fp32_contents", [])
    assert client.raw_infer("any", GIVEN)["out"].shape == (2, 0)


@pytest.mark.parametrize(
    ("datatype", "shape", "field", "values", "words"),
    [
        ("INT8", [1], "int_contents", [128], "out holds what is no INT8"),
        ("UINT8", [1], "uint_contents", [256], "out holds what is no UINT8"),
        ("FP16", [1], "fp32_contents", [0.5], "out is FP16 without content"),
        ("FP32", [2], "fp32_contents", [0.5], "cannot reshape"),
        ("FP32", [1], "int_contents", [1], "cannot reshape"),
        ("BYTES", [2], "bytes_contents", [b"a"], "cannot reshape"),
    ],
)
def test_what_does_not_fit(client, triton, datatype, shape, field, values, words):
    triton.script = listed(datatype, shape, field, values)
    with pytest.raises(ProtocolError, match=words):
        client.raw_infer("any", GIVEN)


def test_a_classification(client, triton):
    def script(request, _context):
        response = answer_to(request)
        fields = {"FP32": "fp32_contents", "BYTES": "bytes_contents", "BOOL": "bool_contents"}
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
            if output.datatype == "BYTES":
                values = [b"red", b"green", b"blue"] * output.shape[0]
            else:
                values = np.frombuffer(raw, {"FP32": "<f4", "BOOL": "?"}[output.datatype]).tolist()
            getattr(output.contents, fields[output.datatype]).extend(values)
        del response.raw_output_contents[:]
        return response

    triton.script = script
    answers = client.classify("colours", ["red", "red?"])
    assert [list(answer.scores.values()) for answer in answers] == [scores_of(t).tolist() for t in ("red", "red?")]
    assert [answer.needs_review for answer in answers] == [False, True]


def test_both_ways_at_once(client, triton):
    def script(request, context):
        response = listed("FP32", [1], "fp32_contents", [0.5])(request, context)
        response.raw_output_contents.extend([b"", b""])
        return response

    triton.script = script
    with pytest.raises(ProtocolError, match="1 outputs with 2 contents"):
        client.raw_infer("any", GIVEN)
