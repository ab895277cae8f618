"""What changes a server or reaches into its memory is refused to all but the holder of the launcher's key."""

import psutil
import pytest
import tritonclient.grpc
import tritonclient.http
from e2e_support import MODEL
from tritonclient.utils import InferenceServerException

from luxe_serving.launcher.arguments import ADMIN_HEADER

CLIENTS = {"grpc": tritonclient.grpc, "http": tritonclient.http}
HEADERS = {"grpc": f"triton-grpc-protocol-{ADMIN_HEADER}", "http": ADMIN_HEADER}
# Of each restricted group one call that does no harm, so that it can be made with the right key as well.
READS = {
    "model-repository": lambda c, h: c.get_model_repository_index(headers=h),
    "model-config": lambda c, h: c.get_model_config(MODEL, headers=h),
    "shared-memory": lambda c, h: c.get_system_shared_memory_status(headers=h),
    "trace": lambda c, h: c.get_trace_settings(headers=h),
    "trace of a model": lambda c, h: c.get_trace_settings(MODEL, headers=h),
    "logging": lambda c, h: c.get_log_settings(headers=h),
}
# What test_protocol.py does not call.
CHANGES = {
    "region of a model": lambda c, h: c.get_system_shared_memory_status("x", headers=h),
    "cuda region": lambda c, h: c.register_cuda_shared_memory("x", b"x" * 64, 0, 16, headers=h),
    "end of cuda regions": lambda c, h: c.unregister_cuda_shared_memory(headers=h),
    "another config": lambda c, h: c.load_model(MODEL, headers=h, config='{"backend": "python"}'),
    "another file": lambda c, h: c.load_model(MODEL, headers=h, config="{}", files={"file:1/model.py": b"1"}),
    "config of a version": lambda c, h: c.get_model_config(MODEL, "1", headers=h),
}
WRONG = {
    "none": lambda header, key: {},
    "empty": lambda header, key: {header: ""},
    "guessed": lambda header, key: {header: "guess"},
    "a beginning": lambda header, key: {header: key[:-1]},
    "more": lambda header, key: {header: key + "0"},
    "other case": lambda header, key: {header: key.swapcase()},
    "other header": lambda header, key: {"authorization": key, f"x-{ADMIN_HEADER}": key},
}


@pytest.fixture(params=CLIENTS)
def protocol(request):
    return request.param


@pytest.fixture
def raw(server, protocol):
    with CLIENTS[protocol].InferenceServerClient(getattr(server.address, protocol)) as raw:
        yield raw


@pytest.fixture
def key(server):
    """From the command line of the server, where whoever may read it finds it (docs/serving.md)."""
    (found,) = (a for a in psutil.Process(server.pid).cmdline() if a.startswith("--http-restricted-api="))
    return found.rpartition("=")[2]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("call", {**READS, **CHANGES})
def test_refused_without_the_right_key(raw, protocol, key, call, wrong):
    with pytest.raises(InferenceServerException, match="restricted") as caught:
        {**READS, **CHANGES}[call](raw, WRONG[wrong](HEADERS[protocol], key))
    assert caught.value.status() == ("StatusCode.UNAVAILABLE" if protocol == "grpc" else "403")


@pytest.mark.parametrize("call", READS)
def test_answered_with_it(raw, protocol, key, call):
    """So it is the key that opens, and its absence that closes."""
    READS[call](raw, {HEADERS[protocol]: key})


def test_luxe_serve_listens_on_loopback_unless_told_otherwise(serve, project):
    up = serve(project.root).until_ready()  # without --host
    ips = {
        connection.laddr.ip.removeprefix("::ffff:")
        for process in up.family()
        if process.is_running()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert ips == {"127.0.0.1"}
