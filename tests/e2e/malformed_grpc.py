"""Malformed gRPC requests. Each kind makes one from a random generator, and from nothing else."""

import math
import struct

from e2e_support import MODEL
from tritonclient.grpc import service_pb2
from wire import Call

ENGINE = f"{MODEL}-engine"
TEXT = "where can i get those boots, i need them for saturday"
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
MOST_TEXTS = 32
HUGE = (2**31, 2**32, 2**40, 2**62, 2**63 - 1)
WORDS = ("", "\0", "nope", "text\0", "../text", "x" * 5000, "字" * 300, '"\\\n', "%s%n", "-1")
BAD_TEXTS = (b"", b" \n\t", b"\xff", b"fine\xc3", b"\xed\xa0\x80", b"x" * 16385, b"x " * 50_000)


def strings(*texts):
    """BYTES as they are in raw contents."""
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def good(*texts):
    """A request that is fine."""
    texts = texts or (TEXT.encode(),)
    request = service_pb2.ModelInferRequest(model_name=MODEL)
    request.inputs.add(name="text", datatype="BYTES", shape=[len(texts), 1])
    request.raw_input_contents.append(strings(*texts))
    return request


def tokens(rows=1, length=4, *, values=(2003,)):
    """A request of the engine that is fine."""
    request = service_pb2.ModelInferRequest(model_name=ENGINE)
    for name in INPUTS:
        ids = [values[i % len(values)] if name == "input_ids" else int(name[0] == "a") for i in range(rows * length)]
        request.inputs.add(name=name, datatype="INT64", shape=[rows, length])
        request.raw_input_contents.append(struct.pack(f"<{rows * length}q", *ids))
    return request


def _shape(request, tensor, shape):
    del request.inputs[tensor].shape[:]
    request.inputs[tensor].shape.extend(shape)


def shape(random):
    """Ranks, negative and huge dimensions, and more texts than there are."""
    number = random.choice([-(2**63), -2, -1, 0, 1, 2, 3, 31, 32, 33, *HUGE])
    choices = [[], [1], [number], [1, 1, 1], [1] * 500, [number, 1], [1, number], [number, number], [number, 1, number]]
    request = good()
    _shape(request, 0, random.choice(choices))
    return request


def datatype(random):
    request = good()
    request.inputs[0].datatype = random.choice(["INT64", "FP32", "BOOL", "FP16", "BF16", "bytes", "STRING", *WORDS])
    return request


def contents(random):
    """Raw contents that do not match the shape, or lie about the length of a string."""
    request = good()
    whole = request.raw_input_contents[0]
    length = random.choice([*range(20), 2**31, 2**32 - 1])
    request.raw_input_contents[0] = random.choice(
        [
            whole[: random.randrange(len(whole))],
            whole + random.randbytes(random.randrange(1, 9)),
            struct.pack("<I", length) + b"too short",
            whole * random.randrange(2, 50),
            b"\0" * random.randrange(8, 400, 4),
        ]
    )
    return request


def inputs(random):
    """Missing, doubled, unknown; with contents, without, and with those of another."""
    request = good()
    match random.randrange(6):
        case 0:
            del request.inputs[:]
        case 1:
            del request.raw_input_contents[:]
        case 2:
            request.inputs.add().CopyFrom(request.inputs[0])
            request.raw_input_contents.append(request.raw_input_contents[0])
        case 3:
            request.inputs[0].name = random.choice(WORDS)
        case 4:
            request.inputs.add(name=random.choice(WORDS), datatype="INT64", shape=[1, 1])
            request.raw_input_contents.append(bytes(8))
        case 5:
            request.inputs[0].contents.bytes_contents.append(b"twice")
    return request


def typed(random):
    """Contents that are typed, of another type or another number."""
    request = good()
    del request.raw_input_contents[:]
    given = request.inputs[0].contents
    field = random.choice(["bool", "int", "int64", "uint", "uint64", "fp32", "fp64", "bytes"])
    count = random.choice([0, 2, 5, 1000]) if field == "bytes" else random.choice([0, 1, 3])
    getattr(given, f"{field}_contents").extend([b"x" if field == "bytes" else 1] * count)
    return request


def outputs(random):
    """Unknown, doubled, with silly parameters. A classification of ``labels`` ends Triton: see test_deadly.py."""
    request = good()
    name = random.choice(["scores", "needs_review", "truncated", *WORDS])
    wanted = request.outputs.add(name=name)
    match random.randrange(4):
        case 0:
            request.outputs.add(name=name)
        case 1:
            wanted.parameters["classification"].int64_param = random.choice([-(2**63), -1, 0, 1, 3, 100, *HUGE])
        case 2:
            wanted.parameters["classification"].string_param = random.choice(WORDS)
        case 3:
            wanted.parameters["binary_data"].int64_param = 7
    return request


def truncated(random):
    whole = good().SerializeToString()
    return whole[: random.randrange(len(whole))]


def noise(random):
    return random.randbytes(random.choice([1, 10, 100, 1000, 20_000]))


def flipped(random):
    """Some bits of a good request are others."""
    whole = bytearray(good().SerializeToString())
    for _ in range(random.randrange(1, 4)):
        whole[random.randrange(len(whole))] ^= 1 << random.randrange(8)
    return bytes(whole)


def nested(random):
    """Groups of an unknown field, as deep as you like."""
    depth = random.choice([99, 100, 101, 1000, 10_000])
    return good().SerializeToString() + b"\x9b\x06" * depth + b"\x9c\x06" * depth


def text(random):
    """One bad text among good ones."""
    texts = [b"a good one"] * random.randrange(4)
    return good(*texts, random.choice(BAD_TEXTS), *texts)


def count(random):
    """No texts, or too many."""
    return good(*[b"a"] * random.choice([33, 34, 100, 1000])) if random.random() < 0.7 else _none()


def _none():
    request = good()
    _shape(request, 0, [0, 1])
    request.raw_input_contents[0] = b""
    return request


def model(random):
    request = good()
    request.model_name = random.choice([f"{MODEL}/versions/1", MODEL.upper(), f"{MODEL} ", ".", "/", *WORDS[:5]])
    return request


def version(random):
    request = good()
    # Triton reads a number up to what is none, so "1.5" is version 1.
    request.model_version = random.choice(["0", "-1", "999999", "x", "77.5", "0x1", str(2**63), str(2**64), "9" * 400])
    return request


def parameters(random):
    """Of any type, Triton's own and ours. What is not Triton's nor ours is passed on, and ignored."""
    request = good()
    name = random.choice(["timeout", "priority", "bulk", "sequence_id", "sequence_start", "sequence_end", *WORDS])
    parameter = request.parameters[name]
    match random.randrange(6):
        case 0:
            parameter.int64_param = random.choice([-(2**63), -1, 0, 1, 2**40, 2**63 - 1])
        case 1:
            parameter.uint64_param = random.choice([0, 1, 2**64 - 1])
        case 2:
            parameter.double_param = random.choice([math.nan, math.inf, -0.0, 1e300, 0.5])
        case 3:
            parameter.string_param = random.choice(WORDS)
        case 4:
            parameter.bool_param = random.random() < 0.5
        case 5:
            parameter.SetInParent()
    return request


def hurried(random):
    """Microseconds for an answer, and a text that was not answered before: more spaces are the same tokens."""
    request = good(TEXT.encode() + b" " * random.randrange(10_000))
    request.parameters["timeout"].int64_param = random.choice([1, 10, 100])
    return request


def shared_memory(random):
    """Regions that nobody registered, or the names of the server's own."""
    request = good()
    region = random.choice(["nope", "/dev/shm", "", "triton_python_backend_shm_region_1", "../x"])
    if random.random() < 0.5:
        del request.raw_input_contents[:]
        where = request.inputs[0]
    else:
        where = request.outputs.add(name="scores")
    where.parameters["shared_memory_region"].string_param = region
    if random.random() < 0.8:
        where.parameters["shared_memory_byte_size"].int64_param = random.choice([-1, 0, 36, *HUGE])
        where.parameters["shared_memory_offset"].int64_param = random.choice([-1, 0, *HUGE])
    return request


def request_id(random):
    request = good()
    request.id = random.choice(["x", "字", "\0", '"\\\n'])[0] * 2 ** random.randrange(10, 16)
    return request


def engine(random):
    """Tokens straight to the engine. Shapes whose size overflows end its process: see test_deadly.py."""
    request = tokens()
    which = random.randrange(3)
    match random.randrange(6):
        case 0:
            _shape(request, which, random.choice([[], [4], [1, 1, 4], [33, 4], [2, 4], [1, 5], [1, -1], [1, 2**40]]))
        case 1:
            request.inputs[which].datatype = random.choice(["INT32", "FP32", "BYTES", *WORDS])
        case 2:
            request.raw_input_contents[which] = random.randbytes(random.randrange(32))
        case 3:
            del request.inputs[which], request.raw_input_contents[which]
        case 4:
            request = tokens(values=(random.choice([-(2**63), -1, 10**6, 2**40]),))
        case 5:
            request = tokens(length=random.choice([0, 600, 5000]))
    return request


def method(random):
    """Calls that do not exist, and others that get something else than they want."""
    name = random.choice(
        ["Nope", "ModelReady", "ModelMetadata", "ServerMetadata", "RepositoryIndex", "ModelStatistics"]
    )
    return Call(f"grpc {name}", "grpc", name, b"\xff" + random.randbytes(random.randrange(30)))


KINDS = (
    *(shape, datatype, contents, inputs, typed, outputs, truncated, noise, flipped, nested, text, count, model),
    *(version, parameters, hurried, shared_memory, request_id, engine, method),
)


def call(kind, random):
    """Make a call of a kind."""
    made = kind(random)
    if isinstance(made, Call):
        return made
    body = made if isinstance(made, bytes) else made.SerializeToString()
    return Call(f"grpc {kind.__name__}", "grpc", "ModelInfer", body)


def valid(text):
    """A call that is fine."""
    return Call("valid", "grpc", "ModelInfer", good(text.encode()).SerializeToString())
