"""What can be known about the containers without their images: the files agree with the code and with each other."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from checkout import ROOT

from luxe.project import Project
from luxe_serving.launcher import arguments, runtime


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
    return without_comments((ROOT / "deploy" / "haproxy.cfg").read_text(encoding="utf-8"))


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
