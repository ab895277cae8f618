"""Malformed HTTP requests. Each kind makes one from a random generator, and from nothing else."""

import copy
import json

from e2e_support import MODEL
from malformed_grpc import BAD_TEXTS, ENGINE, HUGE, INPUTS, MOST_TEXTS, TEXT, WORDS, strings
from wire import Call

DEPTH = 10_000
"""Of nested JSON; 50,000 levels end Triton: see test_deadly.py."""
_INFER = f"POST /v2/models/{MODEL}/infer"
_SILLY = (None, True, 0, 1, -1, 1.5, 1e300, *HUGE, 2**64, [], {}, [[]], [{}], [None], {"": None}, *WORDS)


def good(*texts):
    """A request that is fine."""
    texts = texts or (TEXT,)
    return {"inputs": [{"name": "text", "shape": [len(texts), 1], "datatype": "BYTES", "data": list(texts)}]}


def full():
    """A request with everything that it may have."""
    scores = {"name": "scores", "parameters": {"classification": 3, "binary_data": False}}
    parameters = {"timeout": 10**9, "priority": 0, "bulk": True, "sequence_id": 1, "binary_data_output": False}
    return {"id": "mine", **good(), "outputs": [scores], "parameters": parameters}


def _tokens():
    return {"inputs": [{"name": n, "shape": [1, 4], "datatype": "INT64", "data": [1, 1, 1, 1]} for n in INPUTS]}


def _places(tree):
    """Every place of a JSON document, as its container and key."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield tree, key
        yield from _places(value)


def _replaced(random, tree):
    """Something in it is something else, is not there, or is there twice."""
    tree = copy.deepcopy(tree)
    container, key = random.choice(list(_places(tree)))
    match random.randrange(4):
        case 0:
            del container[key]
        case 1 if isinstance(container, list):
            container += [container[key]] * random.choice([1, 40])
        case _:
            container[key] = random.choice(_SILLY)
    return tree


def replaced(random):
    return _replaced(random, full())


def engine(random):
    # Triton takes as much memory as a shape declares, before it looks for data: see test_deadly.py.
    tree = _replaced(random, _tokens())
    sizes = [size for tensor in _list(tree.get("inputs")) for size in _list(_get(tensor, "shape"))]
    return tree if all(not isinstance(s, int) or s < 2**20 for s in sizes) else _tokens()["inputs"]


def _list(value):
    return value if isinstance(value, list) else []


def _get(value, key):
    return value.get(key) if isinstance(value, dict) else None


def other(random):
    """JSON of other types, and no JSON."""
    document = json.dumps(good()).encode()
    return random.choice(
        [
            *(json.dumps(silly).encode() for silly in _SILLY),
            *(b"", b"\0", b"NaN", b"{", b'{"inputs"', document + b"x", document.decode().encode("utf-16"), b"<xml/>"),
            document.replace(TEXT.encode(), random.choice([rb"\ud800", rb"\u00zz", rb"\x", b"\xff", rb"\udc00"])),
        ]
    )


def truncated(random):
    whole = json.dumps(full()).encode()
    return whole[: random.randrange(1, len(whole))]


def noise(random):
    return random.randbytes(random.choice([1, 10, 1000, 20_000]))


def flipped(random):
    whole = bytearray(json.dumps(full()).encode())
    for _ in range(random.randrange(1, 4)):
        whole[random.randrange(len(whole))] ^= 1 << random.randrange(8)
    return bytes(whole)


def deep(random):
    """Nested at any place of a request, closed or not."""
    tree = full()
    container, key = random.choice(list(_places(tree)))
    container[key] = "HERE"
    opening, closing = random.choice([(b"[", b"]"), (b'{"a":', b"}")])
    end = closing * DEPTH if random.random() < 0.8 else b""
    return json.dumps(tree).encode().replace(b'"HERE"', opening * DEPTH + b"1" + end)


def text(random):
    """One bad text among good ones; json.dumps escapes, so bytes that are no UTF-8 are put in after it."""
    texts = ["a good one"] * random.randrange(4)
    body = json.dumps(good(*texts, "HERE", *texts)).encode()
    return body.replace(b"HERE", random.choice(BAD_TEXTS).replace(b"\n", rb"\n").replace(b"\t", rb"\t"))


def count(random):
    number = random.choice([MOST_TEXTS + 1, 100, 1000])
    return random.choice([good(*["a"] * number), {"inputs": [{**good()["inputs"][0], "shape": [0, 1], "data": []}]}])


def not_utf8(random):
    """Names and ids that are no UTF-8, which Triton's reader of JSON lets through."""
    tree = full()
    where = random.choice(["id", "parameter", "name of a parameter", "input", "output"])
    match where:
        case "id":
            tree["id"] = "HERE"
        case "parameter":
            tree["parameters"]["anything"] = "HERE"
        case "name of a parameter":
            tree["parameters"]["HERE"] = 1
        case "input":
            tree["inputs"][0]["name"] = "HERE"
        case "output":
            tree["outputs"][0]["name"] = "HERE"
    bad = random.choice([b"\xff", b"\xed\xa0\x80", b"fine\xc3", b"\x80" * 1000])
    return json.dumps(tree).encode().replace(b"HERE", bad)


def header(random):
    """A header that is passed on as a parameter, with bytes that are no UTF-8."""
    name = random.choice([b"traceparent", b"tracestate", b"X-Request-Id"])
    return _call("header", good(), head=(name + b": " + random.choice([b"\xff", b"\xc3", b"00-\x80-01"]),))


def binary(random):
    """The binary extension: sizes that do not match, and headers that lie about the length of the JSON."""
    raw = strings(TEXT.encode())
    size = random.choice([-1, 0, 1, len(raw) - 1, len(raw) + 1, 2**31, *HUGE, "x", None, 1.5])
    tensor = {"name": "text", "shape": [1, 1], "datatype": "BYTES", "parameters": {"binary_data_size": size}}
    document = json.dumps({"inputs": [tensor]}).encode()
    tail = random.choice([raw, raw[:-1], raw + b"x", b"", b"\xff\xff\xff\xff" + raw[4:]])
    length = random.choice([len(document)] * 4 + [-1, 1, len(document) - 1, 10**6, 2**64, "1.5", "5 5"])
    return _call("binary", document + tail, head=(b"Inference-Header-Content-Length: " + str(length).encode(),))


def framing(random):
    """A wrong Content-Length, chunks that are none, and half a request. The connection is over after it."""
    body = json.dumps(good()).encode()
    head = random.choice(
        [
            *(b"Content-Length: " + v for v in (b"-1", b"x", b"1.5", b"5,5", b"0x10", b"9" * 25, b"5 5")),
            b"Content-Length: %d" % random.randrange(len(body)),
            b"Content-Length: %d" % (len(body) + random.choice([1, 10**9])),
            b"Content-Length: 5\r\nContent-Length: %d" % len(body),
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: chunked\r\nContent-Length: 5",
            b"X-Long: " + b"x" * 200_000,
        ]
    )
    return _call("framing", body, head=(head,), ends=True)


def encoding(random):
    name = random.choice([b"gzip", b"deflate", b"br", b"nope"])
    return _call("encoding", good(), head=(b"Content-Encoding: " + name,))


def path(random):
    """Models, versions and verbs that are not there."""
    names = ("nope", "", ".", "..%2f..", "%00", "x" * 2000, f"{MODEL}/nope", f"{MODEL}/generate", "\xff")
    versions = ("0", "-1", "999999", "x", "", str(2**63), str(2**64), "77.5")
    target = random.choice(
        [
            *(f"POST /v2/models/{name}/infer" for name in names),
            *(f"POST /v2/models/{MODEL}/versions/{version}/infer" for version in versions),
            *(f"{verb} /v2/models/{MODEL}/infer" for verb in ("GET", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS")),
            *("POST /", "POST /v3", f"POST /v2/models/{MODEL}", "POST /v2/models", f"POST /v2/models/{MODEL}/generate"),
        ]
    )
    return _call("path", good(), target=target)


def hurried(random):
    """As over gRPC."""
    return {**good(TEXT + " " * random.randrange(10_000)), "parameters": {"timeout": random.choice([1, 10, 100])}}


def request_id(random):
    return {**good(), "id": random.choice(["x", "\0", "字", '"']) * 65536}


KINDS = (
    *(replaced, engine, other, truncated, noise, flipped, deep, text, count, not_utf8, header, binary, framing),
    *(encoding, path, hurried, request_id),
)


def call(kind, random):
    """Make a call of a kind."""
    made = kind(random)
    if isinstance(made, Call):
        return made
    return _call(kind.__name__, made, target=f"POST /v2/models/{ENGINE}/infer" if kind is engine else _INFER)


def valid(text):
    """A call that is fine."""
    return _call("valid", good(text))


def _call(kind, body, *, target=_INFER, head=(), ends=False):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Call(f"http {kind}", "http", target, body, tuple(head), ends)
