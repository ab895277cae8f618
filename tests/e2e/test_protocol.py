"""Any V2 client: curl, tritonclient over gRPC and HTTP, and what is refused to all of them."""

import json
import re
import subprocess

import numpy as np
import psutil
import pytest
import tritonclient.grpc
import tritonclient.http
from e2e_support import MODEL, running, wait_until
from tritonclient.utils import InferenceServerException

from luxe_client import ModelNotFound

ENGINE = f"{MODEL}-engine"
TEXT = "where can i get those boots, i need them for saturday"
LABEL = "purchase_interest"


def curl(url, body=None):
    """Return status and content."""
    data = ["--data", json.dumps(body)] if body is not None else []
    command = ["curl", "--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}", *data, url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    content, _, status = done.stdout.rpartition("\n")
    return int(status), content


def counter(server, name, model):
    """A counter of Triton's metrics, summed over versions and reasons."""
    status, content = curl(f"http://{server.address.metrics}/metrics")
    assert status == 200
    values = re.findall(rf'(?m)^{name}\{{[^}}]*model="{model}"[^}}]*\}} (\S+)$', content)
    assert values, f"no {name} of {model}"
    return sum(map(float, values))


class Protocol:
    """tritonclient, over gRPC or HTTP, by the same few words."""

    def __init__(self, name, address):
        self.name = name
        self._module = getattr(tritonclient, name)
        self.raw = self._module.InferenceServerClient(getattr(address, name))

    def infer(self, model, tensors, *, outputs=None, version="", **options):
        inputs = []
        for name, (datatype, array) in tensors.items():
            tensor = self._module.InferInput(name, list(array.shape), datatype)
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        wanted = [self._module.InferRequestedOutput(name) for name in outputs] if outputs else None
        return self.raw.infer(model, inputs, outputs=wanted, model_version=version, **options)


@pytest.fixture(params=["grpc", "http"])
def protocol(request, server):
    protocol = Protocol(request.param, server.address)
    yield protocol
    # An idle keep-alive connection would hold up the server's end.
    protocol.raw.close()


@pytest.fixture
def unharmed(server, client):
    """Afterwards the same processes run, and answer."""
    before = {server.pid, *(p.pid for p in psutil.Process(server.pid).children(recursive=True))}
    yield
    root = psutil.Process(server.pid)
    assert {p.pid for p in running([root, *root.children(recursive=True)])} == before
    assert client.classify(MODEL, TEXT).label == LABEL
    assert curl(f"http://{server.address.http}/v2/health/ready")[0] == 200


def tokens(n=1, length=3, dtype=np.int64, triton="INT64", **replaced):
    """The engine's three inputs, [n, length]."""
    ones = np.ones((n, length), dtype)
    return {
        "input_ids": (triton, ones * 2003 % 2**15),
        "attention_mask": (triton, ones),
        "token_type_ids": (triton, ones * 0),
        **replaced,
    }


def text(*values):
    return {"text": ("BYTES", np.array([[v] for v in values], dtype=object))}


def test_curl_gets_labels_best_first_through_the_classification_extension(server, client, entry):
    body = {
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [TEXT]}],
        "outputs": [{"name": "scores", "parameters": {"classification": 3}}],
    }
    status, content = curl(f"http://{server.address.http}/v2/models/{MODEL}/infer", body)
    assert status == 200, content
    (output,) = json.loads(content)["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("scores", "BYTES", [1, 3])
    found = [row.split(":") for row in output["data"]]
    scores = [float(score) for score, _, _ in found]
    assert scores == sorted(scores, reverse=True)
    assert [entry.labels[int(index)] for _, index, _ in found] == [label for _, _, label in found]
    answer = client.classify(MODEL, TEXT)
    best = sorted(answer.scores, key=answer.scores.__getitem__, reverse=True)[:3]
    assert [label for _, _, label in found] == best
    assert scores == pytest.approx([answer.scores[label] for label in best], abs=1e-6)


@pytest.mark.parametrize("path", ["live", "ready"])
def test_health_is_200(server, path):
    assert curl(f"http://{server.address.http}/v2/health/{path}")[0] == 200


def test_counters_rise_by_the_number_of_requests(server, client):
    names = [("nv_inference_request_success", MODEL), ("nv_inference_request_success", ENGINE)]
    before = [counter(server, *name) for name in names]
    for number in range(7):
        client.classify(MODEL, f"{TEXT} {number}")  # each new: what was answered before needs no engine
    assert wait_until(lambda: [counter(server, *n) for n in names] == [b + 7 for b in before], timeout_s=5), [
        counter(server, *n) - b for n, b in zip(names, before, strict=True)
    ]


def test_the_engine_counts_texts(server, client):
    before = counter(server, "nv_inference_count", ENGINE)
    client.classify(MODEL, [f"{TEXT} ({number})" for number in range(20)])
    assert wait_until(lambda: counter(server, "nv_inference_count", ENGINE) == before + 20, timeout_s=5)


def test_refused_texts_are_counted(server, protocol):
    """As successes: see docs/serving.md. This test tells when a newer Triton counts them as what they are."""
    names = [("nv_inference_request_success", MODEL), ("nv_inference_request_failure", MODEL)]
    before = [counter(server, *name) for name in names]
    for _ in range(5):
        with pytest.raises(InferenceServerException, match="is empty"):
            protocol.infer(MODEL, text(b" "))
    wait_until(lambda: sum(counter(server, *n) for n in names) >= sum(before) + 5, timeout_s=5)
    assert [counter(server, *n) - b for n, b in zip(names, before, strict=True)] == [5, 0], "success, failure"


def test_tokens_straight_to_the_engine(protocol, client, project, entry):
    from tokenizers import Tokenizer

    version = client.classify(MODEL, TEXT).version
    tokenizer = Tokenizer.from_file(str(project.repository / MODEL / version / "tokenizer.json"))
    encoding = tokenizer.encode(TEXT)
    arrays = {"input_ids": encoding.ids, "attention_mask": encoding.attention_mask, "token_type_ids": encoding.type_ids}
    result = protocol.infer(ENGINE, {n: ("INT64", np.array([v], np.int64)) for n, v in arrays.items()}, version=version)
    logits = result.as_numpy("logits")
    assert logits.shape == (1, len(entry.labels))
    assert result.as_numpy("nothing") is None
    scores = np.exp(logits[0]) / np.exp(logits[0]).sum()
    assert scores == pytest.approx(list(client.classify(MODEL, TEXT).scores.values()), abs=1e-5)


INT32 = tokens(dtype=np.int32, triton="INT32")
RAGGED = tokens(token_type_ids=("INT64", np.zeros((1, 5), np.int64)))
UNKNOWN_TOKEN = tokens(input_ids=("INT64", np.full((1, 3), 10**9)))
NO_TYPES = {name: tensor for name, tensor in tokens().items() if name != "token_type_ids"}
EXTRA = tokens(more=("INT64", np.ones((1, 3), np.int64)))
UNCERTAIN = {"text": ("INT64", np.ones((1, 1), np.int64))}
FLAT = {"text": ("BYTES", np.array([b"a", b"b"], dtype=object))}
WIDE = {"text": ("BYTES", np.array([[b"a", b"b"]], dtype=object))}
NONE = {"text": ("BYTES", np.zeros((0, 1), dtype=object))}

# What Triton 2.51 answers: arguments of `infer`, then the status over gRPC and over HTTP, then words of the message.
BAD, MISSING, FAILED = ("INVALID_ARGUMENT", 400), ("NOT_FOUND", 404), ("INTERNAL", 500)
REFUSED = {
    "engine: wrong dtype": ((ENGINE, INT32), {}, BAD, "is 'INT32', but model .* expects 'INT64'"),
    "engine: no batch dimension": (
        (ENGINE, {n: (d, a[0]) for n, (d, a) in tokens().items()}),
        {},
        BAD,
        r"Expected \[-1,-1\], got \[3\]",
    ),
    "engine: missing input": ((ENGINE, NO_TYPES), {}, BAD, r"missing required input\(s\) \['token_type_ids'\]"),
    "engine: unknown input": ((ENGINE, EXTRA), {}, BAD, "expected 3 inputs but got 4"),
    "engine: unknown output": ((ENGINE, tokens()), {"outputs": ["nope"]}, BAD, "unexpected inference output 'nope'"),
    "engine: batch too large": ((ENGINE, tokens(n=33)), {}, BAD, "batch-size must be <= 32"),
    # The backend cannot tell what is the caller's fault here; neither does NVIDIA's own.
    "engine: ragged": ((ENGINE, RAGGED), {}, FAILED, "ONNXRuntimeError.* node"),
    "engine: unknown token": ((ENGINE, UNKNOWN_TOKEN), {}, FAILED, "ONNXRuntimeError.* node"),
    "engine: longer than its positions": ((ENGINE, tokens(length=600)), {}, FAILED, "ONNXRuntimeError.* node"),
    "engine: no tokens": ((ENGINE, tokens(length=0)), {}, FAILED, "ONNXRuntimeError"),
    "engine: unknown version": ((ENGINE, tokens()), {"version": "999"}, MISSING, "version 999 is not found"),
    "text: wrong dtype": ((MODEL, UNCERTAIN), {}, BAD, "is 'INT64', but model .* expects 'BYTES'"),
    "text: no batch dimension": ((MODEL, FLAT), {}, BAD, r"Expected \[-1,1\], got \[2\]"),
    "text: two in a row": ((MODEL, WIDE), {}, BAD, r"Expected \[-1,1\], got \[1,2\]"),
    "text: none": ((MODEL, NONE), {}, BAD, "expected 1 string elements .* got 0"),
    "text: missing": ((MODEL, {}), {}, BAD, r"missing required input\(s\) \['text'\]"),
    "text: unknown output": ((MODEL, text(b"a")), {"outputs": ["nope"]}, BAD, "unexpected inference output 'nope'"),
    "text: batch too large": ((MODEL, text(*[b"a"] * 33)), {}, BAD, "batch-size must be <= 32"),
    "text: not UTF-8": ((MODEL, text(b"fine", b"a\xff")), {}, BAD, r"text 1 is not UTF-8 \(byte 1\)"),
    "text: empty": ((MODEL, text(b"")), {}, BAD, "text 0 is empty"),
    "text: spaces": ((MODEL, text(b"fine", b" \n\t")), {}, BAD, "text 1 is empty"),
    "text: a megabyte": ((MODEL, text(b"a " * 2**19)), {}, BAD, "1048576 bytes; this model takes at most"),
    "text: unknown version": ((MODEL, text(b"a")), {"version": "999"}, MISSING, "version 999 is not found"),
    "unknown model": (("nope", text(b"a")), {}, MISSING, "unknown model: 'nope' is not found"),
}


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_clear_message(protocol, case):
    arguments, options, (grpc_status, http_status), words = REFUSED[case]
    with pytest.raises(InferenceServerException, match=words) as caught:
        protocol.infer(*arguments, **options)
    wanted = f"StatusCode.{grpc_status}" if protocol.name == "grpc" else str(http_status)
    assert caught.value.status() == wanted


def test_one_bad_request_among_good_ones_is_refused_alone(protocol, client):
    from concurrent.futures import ThreadPoolExecutor

    # They meet in one dynamic batch.
    with ThreadPoolExecutor(16) as pool:
        good = [pool.submit(client.classify, MODEL, TEXT) for _ in range(40)]
        for _ in range(5):
            with pytest.raises(InferenceServerException, match="not UTF-8"):
                protocol.infer(MODEL, text(b"\xff"))
        assert {future.result().label for future in good} == {LABEL}


def test_bytes_that_text_may_hold(protocol, entry):
    odd = ["\x00", "a\x00b", "🏳️‍🌈" * 50, "\u202e abc", "e\u0301", "字" * 300, "\ufeffhello", "<script>", "[PAD] [CLS]"]
    labels = protocol.infer(MODEL, text(*(t.encode() for t in odd))).as_numpy("scores")
    assert labels.shape == (len(odd), len(entry.labels))
    assert np.isfinite(labels).all()


@pytest.mark.parametrize("version", ["", "1x", "-1"])
def test_the_client_maps_an_unknown_model_to_model_not_found(client, version):
    with pytest.raises(ModelNotFound, match="unknown model"):
        client.classify(f"nope{version}", "hello")


# ---- administration

KEYS = [{}, {"luxe-admin": "guess"}, {"triton-grpc-protocol-luxe-admin": "guess"}]
ADMINISTRATION = {
    "repository index": lambda c, h: c.get_model_repository_index(headers=h),
    "unload": lambda c, h: c.unload_model(MODEL, headers=h),
    "load": lambda c, h: c.load_model(MODEL, headers=h),
    "model config": lambda c, h: c.get_model_config(MODEL, headers=h),
    "system shared memory status": lambda c, h: c.get_system_shared_memory_status(headers=h),
    "system shared memory": lambda c, h: c.register_system_shared_memory("x", "/luxe", 16, headers=h),
    "end of system shared memory": lambda c, h: c.unregister_system_shared_memory(headers=h),
    "cuda shared memory": lambda c, h: c.get_cuda_shared_memory_status(headers=h),
    "trace": lambda c, h: c.get_trace_settings(headers=h),
    "change of trace": lambda c, h: c.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}, headers=h),
    "trace of a model": lambda c, h: c.update_trace_settings(MODEL, {"trace_level": ["TIMESTAMPS"]}, headers=h),
    "logging": lambda c, h: c.get_log_settings(headers=h),
    "change of logging": lambda c, h: c.update_log_settings({"log_verbose_level": 1}, headers=h),
}


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("key", KEYS, ids=["no key", "HTTP key", "gRPC key"])
@pytest.mark.parametrize("call", ADMINISTRATION)
def test_administration_is_refused(protocol, call, key):
    with pytest.raises(InferenceServerException, match="restricted") as caught:
        ADMINISTRATION[call](protocol.raw, key)
    assert caught.value.status() == ("StatusCode.UNAVAILABLE" if protocol.name == "grpc" else "403")


def test_what_everybody_may_ask_is_answered(protocol):
    assert protocol.raw.is_server_live()
    assert protocol.raw.is_model_ready(MODEL)
    assert protocol.raw.get_model_metadata(MODEL)
    assert protocol.raw.get_server_metadata()


def test_the_server_listens_on_loopback_only(server):
    root = psutil.Process(server.pid)
    listening = {
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for process in [root, *root.children(recursive=True)]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    address = server.address
    assert listening == {("127.0.0.1", p) for p in (address.http_port, address.grpc_port, address.metrics_port)}
