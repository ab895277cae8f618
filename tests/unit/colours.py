"""A model of colours for tests of the client: what it says of a text, and how an answer of it is bent."""

import numpy as np

from luxe_client.testing import add_output, bytes_tensor, response_to, texts_of

MODEL = "colours"
VERSION = "7"
LABELS = ("red", "green", "blue")
WAIT_S = 20.0
"""Bound on every wait: only a broken test gets there."""


def scores_of(text):
    """The probabilities that the model gives a text; most texts differ."""
    weights = np.array([1 + (sum(text.encode()) * k) % 17 for k in (3, 5, 7)], dtype="<f4")
    return weights / weights.sum()


def colours(triton):
    """Add the model to a fake: it asks for review at "?", and truncates texts of over 40 characters."""
    triton.classify(
        MODEL,
        lambda text: dict(zip(LABELS, scores_of(text).tolist(), strict=True)),
        needs_review=lambda text: "?" in text,
        version=VERSION,
        longest=40,
    )
    return triton


def answer_to(request):
    """The right answer to a request, as a message that a test may bend."""
    texts = texts_of(request)
    n = len(texts)
    response = response_to(request, version=VERSION)
    add_output(response, "scores", "FP32", [n, 3], b"".join(scores_of(t).tobytes() for t in texts))
    add_output(response, "labels", "BYTES", [n, 3], bytes_tensor(LABELS * n))
    add_output(response, "needs_review", "BOOL", [n, 1], bytes("?" in t for t in texts))
    add_output(response, "truncated", "BOOL", [n, 1], bytes(len(t) > 40 for t in texts))
    return response


def replace_output(response, name, datatype, shape, content):
    """Change one output of a response, in place."""
    index = [o.name for o in response.outputs].index(name)
    response.outputs[index].datatype = datatype
    del response.outputs[index].shape[:]
    response.outputs[index].shape.extend(shape)
    response.raw_output_contents[index] = content
