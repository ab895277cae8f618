"""HAProxy does with real gRPC calls what its configuration is meant to do."""

import contextlib
import os
import shutil
import subprocess
import time

import grpc
import pytest
from haproxy_fleet import CONFIG, Fleet
from tritonclient.grpc import service_pb2

from luxe_serving.launcher import arguments

A, B, C = "127.0.0.1", "127.0.0.2", "127.0.0.3"


@pytest.fixture(scope="session")
def haproxy():
    # Debian puts it where only root looks.
    found = shutil.which("haproxy", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"]))
    if found is None:
        pytest.fail("install haproxy: apt-get install -y haproxy")
    return found


@pytest.fixture
def fleet(haproxy, tmp_path):
    with contextlib.ExitStack() as stack:
        yield Fleet(haproxy, tmp_path, stack)


def test_haproxy_accepts_the_configuration(haproxy):
    done = subprocess.run([haproxy, "-c", "-f", str(CONFIG)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


def test_one_connection_reaches_every_replica(fleet):
    fleet.start(A, B, C)
    fleet.names.addresses = [A, B, C]
    fleet.wait_for({A, B, C})
    # All three are still there after their first health checks: each is checked over HTTP/1.
    end = time.monotonic() + 3.5
    while time.monotonic() < end:
        assert {fleet.call() for _ in range(3)} == {A, B, C}
        time.sleep(0.1)


def test_a_new_replica_costs_no_call(fleet):
    with pytest.raises(grpc.RpcError) as caught:
        fleet.begin(b"").result()
    # Said by the balancer's answer; gRPC's own reading of a plain 503 has the same code and other words.
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNAVAILABLE, "no replica is ready")
    assert fleet.get("/ready")[0] == 503
    fleet.start(A)
    fleet.names.addresses = [A]
    fleet.wait_for({A})
    assert fleet.get("/ready")[0] == 200
    # Docker's DNS names a container before its Triton listens.
    fleet.names.addresses = [A, B]
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert fleet.call() == A
        time.sleep(0.01)
    fleet.start(B)
    fleet.wait_for({A, B})


def test_a_draining_replica_finishes_its_calls_and_gets_no_new_ones(fleet):
    replicas = dict(zip((A, B), fleet.start(A, B), strict=True))
    fleet.names.addresses = [A, B]
    fleet.wait_for({A, B})
    open_calls = [fleet.begin(b"slow") for _ in range(2)]  # by turns: one on each
    replicas[A].ready = False
    fleet.wait_for({B})
    fleet.names.addresses = [B]
    assert not any(call.done() for call in open_calls)
    for replica in replicas.values():
        replica.let_go()
    assert {call.result().decode() for call in open_calls} == {A, B}


def test_only_the_callers_methods_pass(fleet):
    fleet.start(A)
    fleet.names.addresses = [A]
    fleet.wait_for({A})
    # As Triton groups them for --grpc-restricted-protocol.
    groups = {
        "shared-memory": ("SystemSharedMemory", "CudaSharedMemory"),
        "model-repository": ("Repository",),
        "model-config": ("ModelConfig",),
        "trace": ("TraceSetting",),
        "logging": ("LogSettings",),
    }
    assert set(groups) == set(arguments._ADMINISTRATIVE.split(","))
    administrative = tuple(prefix for prefixes in groups.values() for prefix in prefixes)
    for method in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
        refused = method.name.startswith(administrative)
        expected = grpc.StatusCode.PERMISSION_DENIED if refused else A
        assert fleet.call(method=method.name) == expected, method.name


def test_the_balancer_has_metrics(fleet):
    fleet.start(A)
    fleet.names.addresses = [A]
    fleet.wait_for({A})
    status, text = fleet.get("/metrics")
    assert status == 200
    assert 'haproxy_server_http_responses_total{proxy="replicas",server="triton1",code="2xx"}' in text
    assert fleet.get("/stats")[0] == 200
