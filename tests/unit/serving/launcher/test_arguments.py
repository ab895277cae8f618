import re
from pathlib import Path

import pytest

from luxe_serving.launcher import arguments
from luxe_serving.launcher.arguments import Address


def launcher(**changes):
    values = {
        "key": "opensesame",
        "backends": Path("/backends"),
        "shm_prefix": "luxe-1-",
        **changes,
    }
    options = arguments.launcher(Path("/repository"), Address("127.0.0.1", 18000, 18001, 18002), **values)
    assert all(option.startswith("--") for option in options)
    return options


def test_the_address():
    address = Address("::1", 1, 2, 3)
    assert (address.http, address.grpc, address.metrics) == ("::1:1", "::1:2", "::1:3")
    assert Address().host == "127.0.0.1"  # loopback, unless somebody says otherwise


def test_the_launcher_gives_everything_on():
    options = launcher()
    assert set(arguments.everywhere("/repository", control="explicit")) < set(options)
    for option in (
        "--model-repository=/repository",
        "--backend-directory=/backends",
        "--backend-config=python,shm-region-prefix-name=luxe-1-",
        "--http-port=18000",
        "--grpc-port=18001",
        "--metrics-port=18002",
        "--http-address=127.0.0.1",
        "--grpc-address=127.0.0.1",
        "--metrics-address=127.0.0.1",
    ):
        assert options.count(option) == 1


def test_the_administrative_protocols_want_the_key():
    restricted = [option for option in launcher() if "restricted" in option]
    assert {o.partition("=")[0] for o in restricted} == {"--grpc-restricted-protocol", "--http-restricted-api"}
    for protocol in ("shared-memory", "model-repository", "model-config", "trace", "logging"):
        assert all(protocol in option for option in restricted)
    assert all(option.endswith(f":{arguments.ADMIN_HEADER}=opensesame") for option in restricted)


def test_the_repository_is_never_polled():
    assert "--model-control-mode=none" in arguments.everywhere("/repository")
    assert "--model-control-mode=explicit" in launcher()


def test_nothing_is_loaded_by_the_command_line():
    assert not [option for option in launcher() if "load-model" in option]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize(
    ("header", "forwarded"),
    [
        ("traceparent", True),
        ("Tracestate", True),
        ("X-Request-ID", True),
        ("x-request-id-2", False),
        ("authorization", False),
        ("luxe-admin", False),
    ],
)
def test_the_headers_of_a_trace_reach_the_backends_and_no_others(protocol, header, forwarded):
    (option,) = [
        o for o in arguments.everywhere("/repository") if o.startswith(f"--{protocol}-header-forward-pattern=")
    ]
    # Triton asks for a match of the whole name, with RE2, which reads this one as Python does.
    assert bool(re.fullmatch(option.partition("=")[2], header)) is forwarded


def test_traces_are_sent_only_where_somebody_asked():
    assert not [option for option in launcher() if "trace-config" in option]
    options = [
        option.partition("=")[2] for option in launcher(otlp="http://c:4318/v1/traces") if "trace-config" in option
    ]
    assert options == [
        "mode=opentelemetry",
        "opentelemetry,url=http://c:4318/v1/traces",
        "opentelemetry,resource=service.name=luxe",
        "level=TIMESTAMPS",
        "rate=1",
    ]
