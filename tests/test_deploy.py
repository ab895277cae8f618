"""What can be known about the containers without their images: the files agree with the code and with each
other, and HAProxy does with real gRPC calls what its configuration is meant to do."""

import ast
import concurrent.futures
import contextlib
import http.server
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import numpy
import pytest
import tokenizers
import yaml
from tritonclient.grpc import service_pb2

from luxe.project import Project
from luxe_serving.launcher import arguments, runtime

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "deploy" / "haproxy.cfg"
SERVICE = "inference.GRPCInferenceService"


# --- the files, and each other ---


def without_comments(text):
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


@pytest.fixture(scope="module")
def compose():
    """The services, with every variable at its default."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    return yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))["services"]


@pytest.fixture(scope="module")
def dockerfile():
    """The instructions as (name, arguments), with continued lines joined."""
    text = without_comments((ROOT / "Dockerfile").read_text(encoding="utf-8")).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def balancer_config():
    return without_comments(CONFIG.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def scrape_jobs():
    text = (ROOT / "deploy" / "prometheus.yml").read_text(encoding="utf-8")
    return {job["job_name"]: job for job in yaml.safe_load(text)["scrape_configs"]}


@pytest.fixture(scope="module")
def listening(balancer_config):
    """Which ports each service listens on, from where they are settled."""
    return {
        "triton": {arguments.HTTP_PORT, arguments.GRPC_PORT, arguments.METRICS_PORT},
        "balancer": {int(port) for port in re.findall(r"^\s*bind :(\d+)", balancer_config, re.MULTILINE)},
        "prometheus": {9090},
    }


def in_git(path):
    """Whether git has the path, or would take it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", path]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return bool(listed) and (ROOT / path).exists()


def mounts(service):
    """(source, target, read-only) of each path of the host."""
    for volume in service.get("volumes", []):
        if isinstance(volume, dict):
            yield volume["source"], volume["target"], volume["read_only"]
        elif volume.startswith("."):
            source, target, *mode = volume.split(":")
            yield source, target, mode == ["ro"]


def seconds(duration):
    number, unit = re.fullmatch(r"(\d+)([sm])", duration).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


def test_the_services_are_there(compose):
    assert set(compose) == {"triton", "balancer", "prometheus"}


def test_triton_gets_the_arguments_of_the_launcher(compose):
    assert compose["triton"]["command"] == ["tritonserver", *arguments.everywhere("/models")]


def test_triton_gets_the_environment_of_the_launcher(dockerfile, tmp_path):
    given = dict(pair.split("=") for name, rest in dockerfile if name == "ENV" for pair in rest.split())
    launcher = runtime.Runtime(tmp_path, tmp_path, tmp_path, tmp_path, Path()).environment()
    own = set(launcher) - set(os.environ) - {"LD_LIBRARY_PATH"}
    assert own <= set(given)
    assert all(given[name] == launcher[name] for name in own - {"PYTHONPATH"})


def test_triton_can_be_scaled(compose, balancer_config):
    triton = compose["triton"]
    assert not {"container_name", "ports", "network_mode", "hostname"} & set(triton)
    assert re.search(r"^\s*server-template \S+ 1-16 triton:", balancer_config, re.MULTILINE)


def test_what_is_mounted_exists_and_is_read_only(compose):
    found = {}
    for name, service in compose.items():
        for source, target, read_only in mounts(service):
            assert read_only, f"{name}: {source}"
            found[target] = source
    repository = found.pop("/models")
    generated = Project(ROOT).repository
    assert ROOT / repository == generated
    ignored = subprocess.run(["git", "check-ignore", "-q", f"{generated.name}/x"], cwd=ROOT, check=False)
    assert ignored.returncode == 0
    assert found == {
        "/usr/local/etc/haproxy/haproxy.cfg": "./deploy/haproxy.cfg",
        "/etc/prometheus/prometheus.yml": "./deploy/prometheus.yml",
    }
    for source in found.values():
        assert in_git(source), source


def test_what_is_copied_exists_and_passes_the_dockerignore(dockerfile):
    sources = [part for name, rest in dockerfile if name == "COPY" for part in rest.split()[:-1]]
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in allowed
    assert {f"!{source}" for source in sources} == {line for line in allowed if line.startswith("!")}
    for source in sources:
        assert in_git(source), source
    assert not any("backends/onnxruntime" in source for source in sources)


def test_every_port_is_one_that_somebody_listens_on(compose, balancer_config, scrape_jobs, listening):
    for name, service in compose.items():
        for port in service.get("ports", []):
            address, _, inside = port.rsplit(":", 2)
            assert address == "127.0.0.1", f"{name} publishes {port}"
            assert int(inside) in listening[name], f"{name} publishes {port}"
        (probed,) = re.findall(r"http://127\.0\.0\.1:(\d+)/", service["healthcheck"]["test"][-1])
        assert int(probed) in listening[name]
    published = {int(p.rsplit(":", 1)[1]) for p in compose["balancer"]["ports"]}
    assert published == listening["balancer"]

    (target,) = re.findall(r"server-template .* triton:(\d+)", balancer_config)
    (checked,) = re.findall(r"http-check connect port (\d+)", balancer_config)
    assert (int(target), int(checked)) == (arguments.GRPC_PORT, arguments.HTTP_PORT)
    assert arguments.GRPC_PORT in listening["balancer"]  # a client sees the same port as without a balancer
    named = {int(n) for pair in re.findall(r":(\d+)\b|\bport (\d+)", balancer_config) for n in pair if n}
    assert named <= listening["triton"] | listening["balancer"] | {53}

    (names,) = scrape_jobs["triton"]["dns_sd_configs"]
    assert (names["names"], names["type"], names["port"]) == (["triton"], "A", arguments.METRICS_PORT)
    (static,) = scrape_jobs["balancer"]["static_configs"]
    for address in static["targets"]:
        service, port = address.split(":")
        assert int(port) in listening[service]


def test_requests_have_time_to_finish(compose, balancer_config):
    # HTTP may use up the exit timeout before the requests get theirs.
    assert seconds(compose["triton"]["stop_grace_period"]) > 2 * arguments.EXIT_TIMEOUT_S
    (hard_stop,) = re.findall(r"hard-stop-after (\w+)", balancer_config)
    assert seconds(compose["balancer"]["stop_grace_period"]) > seconds(hard_stop) > arguments.EXIT_TIMEOUT_S
    assert "on-marked-down" not in balancer_config


@pytest.mark.parametrize("name", ["triton", "balancer", "prometheus"])
def test_a_container_is_confined(compose, name):
    service = compose[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"] and service["cpus"]
    assert service["healthcheck"]["test"][0] == "CMD"


def test_triton_has_shared_memory_and_an_init(compose):
    size, unit = re.fullmatch(r"(\d+)(mb|gb)", compose["triton"]["shm_size"]).groups()
    assert int(size) * {"mb": 1, "gb": 1024}[unit] > 64
    assert compose["triton"]["init"] is True


def test_the_image_does_not_run_as_root(dockerfile):
    assert [rest for name, rest in dockerfile if name == "USER"] == ["1000:1000"]
    assert "COPY" not in dict(dockerfile[dockerfile.index(("USER", "1000:1000")) :])


def test_the_image_is_named_once(dockerfile, compose):
    defaults = [rest for name, rest in dockerfile if name == "ARG"]
    assert len(defaults) == 1 and defaults[0].startswith("TRITON_IMAGE=")
    assert dockerfile[:2] == [("ARG", defaults[0]), ("FROM", "${TRITON_IMAGE}")]
    assert compose["triton"]["build"]["args"] == ["TRITON_IMAGE"]
    assert "nvcr.io" not in (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


def test_what_the_image_installs_is_pinned(dockerfile):
    (install,) = (rest for name, rest in dockerfile if name == "RUN" and "pip install" in rest)
    assert "-c /tmp/constraints.txt numpy tokenizers" in install
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for package in ("numpy", "tokenizers"):
        assert re.search(rf"^{package}==", pins, re.MULTILINE), package


# --- the Python code in the image ---


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.module
            if node.module == "luxe_serving":
                yield from (f"luxe_serving.{alias.name}" for alias in node.names)


def test_the_backend_imports_only_what_the_image_has():
    # tomllib came with 3.11.
    provided = (set(sys.stdlib_module_names) | {"numpy", "tokenizers"}) - {"tomllib"}
    todo, seen = [ROOT / "serving/backends/luxe_text/model.py"], set()
    while todo:
        path = todo.pop()
        seen.add(path.stem)
        for name in imported(path):
            if name.startswith("luxe_serving"):
                module = ROOT / "serving" / Path(*name.split(".")).with_suffix(".py")
                if module.is_file() and module.stem not in seen:
                    todo.append(module)
            elif not (path.parent.name == "luxe_text" and name == "triton_python_backend_utils"):
                assert name.split(".")[0] in provided, f"{path.name} imports {name}"
    assert {"model", "text_model", "scheduler"} <= seen


def test_the_backend_runs_without_other_packages(tmp_path):
    # As in the image: no dependency of tokenizers is installed. (numpy.libs: shared libraries of its wheel.)
    for module in (numpy, tokenizers):
        package = Path(module.__file__).parent
        (tmp_path / package.name).symlink_to(package)
        if (libraries := package.with_name(f"{package.name}.libs")).is_dir():
            (tmp_path / libraries.name).symlink_to(libraries)
    (tmp_path / "luxe_serving").symlink_to(ROOT / "serving" / "luxe_serving")
    code = "import luxe_serving.text.text_model, tokenizers; tokenizers.Tokenizer(tokenizers.models.WordLevel({}))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_copied_code_is_python_3_10():
    folders = [ROOT / "serving" / "luxe_serving", ROOT / "serving" / "backends" / "luxe_text"]
    files = [file for folder in folders for file in folder.rglob("*.py")]
    assert len(files) > 3
    for file in files:
        ast.parse(file.read_text(encoding="utf-8"), filename=str(file), feature_version=(3, 10))


# --- HAProxy, run ---


@pytest.fixture(scope="session")
def haproxy():
    # Debian puts it where only root looks.
    found = shutil.which("haproxy", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"]))
    if found is None:
        pytest.fail("install haproxy: apt-get install -y haproxy")
    return found


def test_haproxy_accepts_the_configuration(haproxy):
    done = subprocess.run([haproxy, "-c", "-f", str(CONFIG)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


class Names:
    """A DNS server that answers any name with ``addresses``, as Docker's does for a service's replicas."""

    def __init__(self):
        self.addresses = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self):
        while True:
            query, sender = self._socket.recvfrom(4096)
            if not query:
                return
            question = query[12 : query.index(0, 12) + 5]
            wants_ipv4 = question.endswith(struct.pack("!HH", 1, 1))
            addresses = list(self.addresses) if wants_ipv4 else []
            # Response, authoritative, recursion desired and available (RFC 1035, 4.1); the name is a pointer.
            answer = query[:2] + struct.pack("!HHHHH", 0x8580, 1, len(addresses), 0, 0) + question
            for address in addresses:
                answer += struct.pack("!HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(address)
            self._socket.sendto(answer, sender)

    def close(self):
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()


class Replica:
    """As much of a Triton as a balancer sees: gRPC calls, and readiness on the HTTP port."""

    def __init__(self, address, grpc_port, http_port):
        self.ready = True
        self._let_go = threading.Event()
        replica = self

        def answer(request, _context):
            if request == b"slow":
                replica._let_go.wait(20)
            return address.encode()

        class Health(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked_well = self.path == "/v2/health/ready"
                self.send_response(200 if replica.ready and asked_well else 400)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        handlers = {
            method.name: grpc.unary_unary_rpc_method_handler(answer)
            for method in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
        }
        self._pool = concurrent.futures.ThreadPoolExecutor(8)
        self._grpc = grpc.server(self._pool, options=[("grpc.so_reuseport", 0)])
        self._grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        assert self._grpc.add_insecure_port(f"{address}:{grpc_port}")
        self._grpc.start()
        self._http = http.server.HTTPServer((address, http_port), Health)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def let_go(self):
        """Answer the slow calls."""
        self._let_go.set()

    def close(self):
        self.let_go()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        self._grpc.stop(None).wait()
        self._pool.shutdown()


class Fleet:
    """HAProxy with the configuration of the project, in front of replicas on loopback addresses."""

    def __init__(self, haproxy, folder, stack):
        self._stack = stack
        self._log = folder / "log"
        self.names = Names()
        stack.callback(self.names.close)
        front, monitoring, self._grpc_port, self._http_port = free_ports(4)
        config = folder / "haproxy.cfg"
        config.write_text(
            replaced(
                CONFIG.read_text(encoding="utf-8"),
                {
                    "bind :8001 ": f"bind 127.0.0.1:{front} ",
                    "bind :8404\n": f"bind 127.0.0.1:{monitoring}\n",
                    "nameserver docker 127.0.0.11:53": f"nameserver docker 127.0.0.1:{self.names.port}",
                    "http-check connect port 8000 ": f"http-check connect port {self._http_port} ",
                    " triton:8001 ": f" triton:{self._grpc_port} ",
                },
            ),
            encoding="utf-8",
        )
        log = stack.enter_context(self._log.open("wb"))
        # It ends with this process, also when that is killed.
        command = ["setpriv", "--pdeathsig", "TERM", haproxy, "-db", "-f", str(config)]
        self._process = subprocess.Popen(command, stdout=log, stderr=log)
        stack.callback(self._stop)
        self._monitoring = f"http://127.0.0.1:{monitoring}"
        options = [("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 100)]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{front}", options=options)
        stack.callback(self.channel.close)
        grpc.channel_ready_future(self.channel).result(10)

    def start(self, *addresses):
        """Start a replica on each address; return them. DNS does not know them yet."""
        replicas = [Replica(address, self._grpc_port, self._http_port) for address in addresses]
        for replica in replicas:
            self._stack.callback(replica.close)
        return replicas

    def call(self, request=b"", method="ModelInfer"):
        """Return the address of the replica that answered, or the gRPC status."""
        try:
            return self.begin(request, method).result().decode()
        except grpc.RpcError as error:
            return error.code()

    def begin(self, request, method="ModelInfer"):
        return self.channel.unary_unary(f"/{SERVICE}/{method}").future(request, timeout=20)

    def wait_for(self, wanted, *, calls=20, timeout_s=15):
        """Wait until that many calls in a row are answered by exactly ``wanted``."""
        deadline = time.monotonic() + timeout_s
        while (got := {self.call() for _ in range(calls)}) != set(wanted):
            assert time.monotonic() < deadline, f"{got}, not {wanted}\n{self._log.read_text()[-2000:]}"
            time.sleep(0.05)

    def get(self, path):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self._monitoring + path, timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def _stop(self):
        assert self._process.poll() is None, self._log.read_text()
        self._process.terminate()
        self._process.wait(10)


def replaced(text, replacements):
    for old, new in replacements.items():
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text


def free_ports(count):
    """Return ports that are free on every address of this machine."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind(("", 0))
        return [listener.getsockname()[1] for listener in sockets]


@pytest.fixture
def fleet(haproxy, tmp_path):
    with contextlib.ExitStack() as stack:
        yield Fleet(haproxy, tmp_path, stack)


A, B, C = "127.0.0.1", "127.0.0.2", "127.0.0.3"


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
