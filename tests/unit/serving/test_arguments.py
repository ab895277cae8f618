from pathlib import Path

from luxe_serving import arguments
from luxe_serving.arguments import Address


def launcher(**changes):
    values = {"backends": Path("/backends"), "shm_prefix": "luxe-1-", **changes}
    options = arguments.launcher(Path("/repository"), Address("127.0.0.1", 18000, 18001, 18002), **values)
    assert all(option.startswith("--") for option in options)
    return options


def test_the_address():
    address = Address("::1", 1, 2, 3)
    assert (address.http, address.grpc, address.metrics) == ("::1:1", "::1:2", "::1:3")
    assert Address().host == "127.0.0.1"  # loopback, unless somebody says otherwise


def test_the_launcher_gives_everything_on():
    options = launcher()
    assert set(arguments.everywhere("/repository")) < set(options)
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


def test_nobody_knows_the_key_of_the_administrative_protocols():
    def keys(options):
        restricted = [o for o in options if "restricted" in o]
        assert {o.partition("=")[0] for o in restricted} == {
            "--grpc-restricted-protocol",
            "--http-restricted-api",
        }
        for protocol in ("shared-memory", "model-repository", "model-config", "trace", "logging"):
            assert all(protocol in option for option in restricted)
        return {option.rpartition("luxe-admin=")[2] for option in restricted}

    first, second = keys(launcher()), keys(launcher())
    assert len(first) == 1
    assert len(next(iter(first))) == 32
    assert first.isdisjoint(second)


def test_the_repository_is_never_polled():
    assert "--model-control-mode=none" in launcher()
