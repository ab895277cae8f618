import grpc
import pytest

from luxe_client._errors import from_status
from luxe_client._policy.verdict import Verdict, unsent, verdict

S = grpc.StatusCode


def judge(status, details="", *, seen_ready=True):
    return verdict(from_status(status, details, model="m", address="a:1"), seen_ready=seen_ready)


@pytest.mark.parametrize(
    ("status", "details", "right"),
    [
        (S.UNAVAILABLE, "failed to connect to all addresses", Verdict.GONE),
        (S.UNAVAILABLE, "Server is stopping, scheduler for model has stopped", Verdict.GONE),
        (S.CANCELLED, "CANCELLED", Verdict.GONE),
        (S.UNKNOWN, "Stream removed", Verdict.GONE),
        (S.INTERNAL, "Server not ready", Verdict.GONE),
        (S.INTERNAL, "Stub process 'x' is not healthy.", Verdict.SICK),
        (S.NOT_FOUND, "Request for unknown model: 'm' has no available versions", Verdict.SICK),
        (S.NOT_FOUND, "Request for unknown model: 'm' is not found", Verdict.SICK),
        (S.UNAVAILABLE, "overloaded: a text would wait 900 ms", Verdict.BUSY),
        (S.RESOURCE_EXHAUSTED, "too much", Verdict.BUSY),
        (S.INTERNAL, "onnxruntime: out of memory", Verdict.FAULT),
        (S.INVALID_ARGUMENT, "text 0 is empty", Verdict.FINE),
        (S.DEADLINE_EXCEEDED, "", Verdict.FINE),
        (S.UNAVAILABLE, "expired: too late", Verdict.FINE),
        (S.PERMISSION_DENIED, "", Verdict.FINE),
        (S.CANCELLED, "Channel closed!", Verdict.FINE),
    ],
)
def test_who_is_to_blame(status, details, right):
    assert judge(status, details) is right


def test_a_model_that_was_never_there_is_the_callers_mistake():
    assert judge(S.NOT_FOUND, "is not found", seen_ready=False) is Verdict.FINE


@pytest.mark.parametrize("status", [s for s in S if s is not S.OK])
def test_every_status_has_a_verdict(status):
    assert isinstance(judge(status), Verdict)


@pytest.mark.parametrize(
    ("details", "right"),
    [
        ("failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: connection refused", True),
        ("connections to all backends failing; last error: UNAVAILABLE: ipv4:127.0.0.1:1: Socket closed", True),
        ("Socket closed", False),
        ("Server is stopping", False),
    ],
)
def test_what_reached_no_server(details, right):
    assert unsent(from_status(S.UNAVAILABLE, details, model="m", address="a:1")) is right


def test_only_what_is_unavailable_reached_no_server():
    assert not unsent(from_status(S.INTERNAL, "failed to connect to all addresses", model="m", address="a:1"))
