"""Rewriting a graph: what other parts of the ladder rely on."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from luxe_export.ladder.editing import Editing


@pytest.fixture
def editing():
    value = helper.make_tensor_value_info
    graph = helper.make_graph([], "empty", [value("x", TensorProto.FLOAT, [1])], [value("y", TensorProto.FLOAT, [1])])
    return Editing(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))


def test_a_constant_is_made_once(editing, tmp_path):
    editing.constant("scale", np.float32(0.5))
    assert editing.constant("scale", np.float32(0.5)) == "scale"
    editing.add("Mul", ["x", "scale"], "y")
    editing.save(tmp_path / "model.onnx")
    assert [constant.name for constant in onnx.load(str(tmp_path / "model.onnx")).graph.initializer] == ["scale"]


def test_a_name_is_not_given_to_another_value(editing):
    editing.constant("scale", np.float32(0.5))
    with pytest.raises(ValueError, match="another constant of the name scale"):
        editing.constant("scale", np.float32(0.25))
    assert editing.array("scale") == np.float32(0.5)
