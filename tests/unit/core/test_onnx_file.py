import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from luxe import onnx_file
from luxe.onnx_file import MAX_IR_VERSION, MAX_OPSET


def tensor(name="weights", *, external=False):
    result = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), name)
    if external:
        result.ClearField("raw_data")
        result.data_location = TensorProto.EXTERNAL
        result.external_data.add(key="location", value="../../secret")
    return result


def graph(nodes=(), initializers=(), name="g"):
    return helper.make_graph(list(nodes), name, [], [], list(initializers))


def model(body, **fields):
    fields = {"opset_imports": [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 99)], **fields}
    return helper.make_model(body, **{"ir_version": 8, **fields})


def problems(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    return onnx_file.problems(path)


def holders(weights):
    """A model for every place where a tensor can lie."""
    sparse = onnx.SparseTensorProto(values=weights, dims=[2])
    attributes = {
        "tensor": helper.make_attribute("value", weights),
        "tensors": helper.make_attribute("value", [weights]),
        "graph": helper.make_attribute("body", graph([], [weights])),
        "graphs": helper.make_attribute("body", [graph([], [weights])]),
        "sparse": helper.make_attribute("value", sparse),
        "sparses": helper.make_attribute("value", [sparse]),
    }
    for name, attribute in attributes.items():
        node = helper.make_node("Constant", [], ["x"])
        node.attribute.append(attribute)
        yield name, model(graph([node]))
        function = helper.make_function("luxe", "f", [], ["x"], [node], [helper.make_opsetid("", 18)])
        yield f"function {name}", model(graph(), functions=[function])
    function.attribute_proto.append(attributes["tensor"])
    function.ClearField("node")
    yield "function's attribute", model(graph(), functions=[function])
    yield "initializer", model(graph([], [weights]))
    indices = onnx.SparseTensorProto(indices=weights)
    for name, value in (("sparse values", sparse), ("sparse indices", indices)):
        body = graph()
        body.sparse_initializer.append(value)
        yield name, model(body)
    for field in ("initialization", "algorithm"):
        whole = model(graph())
        getattr(whole.training_info.add(), field).CopyFrom(graph([], [weights]))
        yield field, whole


PLACES = [place for place, _ in holders(tensor())]


@pytest.mark.parametrize("place", PLACES)
def test_external_data_is_found_wherever_it_lies(tmp_path, place):
    found = dict(holders(tensor(external=True)))[place]
    assert "external data" in " ".join(problems(tmp_path, found))


@pytest.mark.parametrize("place", PLACES)
def test_a_model_that_holds_its_weights_is_fine(tmp_path, place):
    assert problems(tmp_path, dict(holders(tensor()))[place]) == []


@pytest.mark.parametrize("field", ["data_location", "external_data"])
def test_half_of_the_external_fields_is_enough(tmp_path, field):
    weights = tensor()
    whole = tensor(external=True)
    if field == "data_location":
        weights.data_location = TensorProto.EXTERNAL
    else:
        weights.external_data.extend(whole.external_data)
    assert "external data" in " ".join(problems(tmp_path, model(graph([], [weights]))))


def varint(number):
    last, more = number & 0x7F, number >> 7
    return bytes([last | 0x80]) + varint(more) if more else bytes([last])


def field(tag, content):
    return varint(tag) + (varint(content) if isinstance(content, int) else varint(len(content)) + content)


@pytest.mark.parametrize("beyond", [2**32, 2**34, 2**35])
@pytest.mark.parametrize("name", ["data_location", "external_data"])
def test_a_tag_of_more_than_32_bits_hides_nothing(tmp_path, name, beyond):
    """ONNX Runtime's protobuf cuts such a tag to 32 bits, and reads what we would skip as a field we do not know."""
    location = onnx.StringStringEntryProto(key="location", value="../../secret").SerializeToString()
    tag, content = {"data_location": (14 << 3, 1), "external_data": (13 << 3 | 2, location)}[name]
    whole = model(graph()).SerializeToString()
    for add, words in ((0, "external data"), (beyond, "not an ONNX model")):
        weights = tensor().SerializeToString() + field(tag + add, content)
        assert words in problems(tmp_path, whole + field(0x3A, field(0x2A, weights)))[0]


def test_a_field_of_more_than_31_bits_is_none(tmp_path):
    path = tmp_path / "model.onnx"
    head = model(graph()).SerializeToString() + varint(0x52) + varint(2**31)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + 2**31)
    with pytest.raises(onnx_file.MalformedOnnx):
        onnx_file.read(path)


def test_every_way_to_a_tensor_is_known():
    """Held against onnx's own descriptors, so that a later onnx with more places fails here."""
    numbers = {
        message: {number: child for number, child in fields.items() if child != "OperatorSetIdProto"}
        for message, fields in onnx_file._MESSAGES.items()
    }
    assert numbers.pop("OperatorSetIdProto") == {}
    leads, todo = {}, [onnx.ModelProto.DESCRIPTOR]
    while todo:
        message = todo.pop()
        if message.name not in leads:
            leads[message.name] = {f.number: f.message_type.name for f in message.fields if f.message_type}
            todo += [f.message_type for f in message.fields if f.message_type]
    reaches = {"TensorProto"}
    while more := {m for m, fields in leads.items() if m not in reaches and reaches & set(fields.values())}:
        reaches |= more
    wanted = {m: {n: c for n, c in leads[m].items() if c in reaches} for m in reaches}
    assert numbers == wanted
    fields = onnx.TensorProto.DESCRIPTOR.fields_by_name
    assert fields["external_data"].number == onnx_file._EXTERNAL_DATA
    assert fields["data_location"].number == onnx_file._DATA_LOCATION


@pytest.mark.parametrize(
    ("ir_version", "opset", "words"),
    [
        (MAX_IR_VERSION, MAX_OPSET, None),
        (MAX_IR_VERSION + 1, MAX_OPSET, f"IR {MAX_IR_VERSION + 1}"),
        (MAX_IR_VERSION, MAX_OPSET + 1, f"opset {MAX_OPSET + 1}"),
    ],
)
@pytest.mark.parametrize("domain", ["", "ai.onnx"])
def test_what_the_server_reads(tmp_path, domain, ir_version, opset, words):
    imports = [helper.make_opsetid("com.microsoft", 99), helper.make_opsetid(domain, opset)]
    found = problems(tmp_path, model(graph(), ir_version=ir_version, opset_imports=imports))
    assert (found == []) if words is None else (len(found) == 1 and words in found[0])


def test_a_functions_own_opset_counts(tmp_path):
    function = helper.make_function("luxe", "f", [], [], [], [helper.make_opsetid("", MAX_OPSET + 1)])
    assert "opset" in problems(tmp_path, model(graph(), functions=[function]))[0]


def test_facts(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model(graph([], [tensor()])).SerializeToString())
    facts = onnx_file.read(path)
    assert (facts.ir_version, facts.opset, facts.external_data) == (8, 18, False)


@pytest.mark.parametrize("content", [b"", b"no model at all", b"\x08\x08", b"\x3a\x7f", b"\x80" * 20, b"\x0b\x08"])
def test_what_is_no_model(tmp_path, content):
    assert "not an ONNX model" in problems(tmp_path, content)[0]


def test_a_cut_model_is_none(tmp_path):
    whole = model(graph([], [tensor()])).SerializeToString()
    for end in range(1, len(whole)):
        path = tmp_path / "cut"
        path.write_bytes(whole[:end])
        onnx_file.problems(path)  # a finding or, between two fields, none; never an error of another kind


def test_depth_ends(tmp_path):
    deep = b""
    for _ in range(60):  # graph ► node ► attribute ► graph
        for tag in (b"\x32", b"\x2a", b"\x0a"):
            length, count = b"", len(deep)
            while True:
                count, low = count >> 7, count & 0x7F
                length += bytes([low | (0x80 if count else 0)])
                if not count:
                    break
            deep = tag + length + deep
    size = len(deep)
    head = bytes([0x3A, size & 0x7F | 0x80, size >> 7]) if size > 127 else bytes([0x3A, size])
    assert "nested" in problems(tmp_path, b"\x08\x08" + head + deep + b"\x42\x02\x10\x12")[0]


def test_over_two_gigabytes_is_not_even_opened(tmp_path):
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(onnx_file.MAX_BYTES + 1)
    assert "2 GiB" in onnx_file.problems(path)[0]
