import dataclasses
import math

import pytest

from luxe_client import TLS, Balancing, Client, Hedge, InvalidInput, Retry


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (Retry, {"tries": 0}, "tries is 0"),
        (Retry, {"tries": True}, "tries is True"),
        (Retry, {"budget": 1.5}, "budget is 1.5"),
        (Retry, {"budget": math.nan}, "budget is nan"),
        (Retry, {"reserve": "many"}, "reserve is 'many'"),
        (Retry, {"base_s": 2.0, "longest_s": 1.0}, "base_s is 2.0"),
        (Hedge, {"budget": -0.1}, "budget is -0.1"),
        (Hedge, {"quantile": 1.0}, "quantile is 1.0"),
        (Balancing, {"policy": "random"}, "policy is 'random'"),
        (Balancing, {"eject_after": 0}, "eject_after is 0"),
        (Balancing, {"eject_s": 20.0}, "eject_s is 20.0"),
        (Balancing, {"stall_s": 0}, "stall_s is 0"),
        (Balancing, {"resolve_s": math.inf}, "resolve_s is inf"),
        (TLS, {"cert": "x"}, "cert and key together"),
        (TLS, {"ca": "/no/such/file"}, "/no/such/file is not a file"),
    ],
)
def test_bad_options_are_one_line(kind, options, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        kind(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [Retry, Hedge, Balancing, TLS])
def test_options_are_frozen(kind):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(kind(), dataclasses.fields(kind)[0].name, 1)


def test_a_key_is_not_shown(tmp_path):
    for name in ("cert", "key"):
        (tmp_path / name).write_text("secret")
    assert "/key" not in repr(TLS(cert=tmp_path / "cert", key=tmp_path / "key"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"retry": 3}, "retry is int, not Retry"),
        ({"hedge": True}, "hedge is bool, not Hedge"),
        ({"tls": "ca.pem"}, "tls is str, not TLS"),
        ({"balancing": None}, "balancing is NoneType, not Balancing"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"headers": {"x": 1}}, "not a str with a str"),
        ({"headers": {"grpc-timeout": "1S"}}, "cannot be sent"),
        ({"headers": {"x-bin": "1"}}, "cannot be sent"),
        ({"headers": {"": "1"}}, "cannot be sent"),
        ({"headers": {"x": "é"}}, "not printable ASCII"),
        ({"headers": {"x": "a\nb"}}, "not printable ASCII"),
    ],
)
def test_bad_arguments_of_a_client(options, words):
    with pytest.raises(InvalidInput, match=words):
        Client("127.0.0.1:8001", **options)


@pytest.mark.parametrize("targets", [[], (), None, 5, b"127.0.0.1:8001", ["127.0.0.1:8001", "nowhere"], [5]])
def test_bad_targets(targets):
    with pytest.raises(InvalidInput, match="address"):
        Client(targets)
