import types

import numpy as np
import pytest
from onnx_faults import broken
from small_models import one_thread
from trained_classifier import ENTRY, TEXTS, Original, asked, examples

from luxe_export import graph
from luxe_export.gate import measurement
from luxe_export.ladder.int8 import quantize


@pytest.fixture(scope="package")
def original():
    with one_thread():
        return Original()


@pytest.fixture(scope="package")
def right(original, tmp_path_factory):
    """PyTorch's answers."""
    return asked(original, tmp_path_factory.mktemp("data"), examples(np.random.default_rng(1), TEXTS))


@pytest.fixture(scope="package")
def intact(original, tmp_path_factory):
    return graph.to_onnx(types.SimpleNamespace(model=original.model, entry=ENTRY), tmp_path_factory.mktemp("onnx"))


@pytest.fixture(scope="package")
def int8(intact, tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "per-token.onnx"
    quantize(intact, path, scheme="per-token", cpu="avx2")
    return path


@pytest.fixture
def measured(intact, right, tmp_path):
    """Measure the graph after something was done to it."""

    def measured(fault=None, path=intact, against=right, quality=None):
        if fault is not None:
            path = broken(path, fault, tmp_path / "broken.onnx")
        return measurement.measure("tiny", path, against, lambda: None, quality=quality)[0]

    return measured
