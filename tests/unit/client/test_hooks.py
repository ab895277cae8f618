"""Records, headers and traces."""

import logging
import sys
import types

import grpc
import pytest

from luxe_client import CallRecord, LuxeError


@pytest.fixture
def records():
    return []


def test_a_record_of_every_request(triton, make, records):
    client = make(triton.address, timeout_s=15.0, batch_size=2, on_call=records.append)
    client.classify("colours", ["a", "b", "c"])
    assert len(records) == 2
    for record in records:
        assert isinstance(record, CallRecord)
        assert (record.model, record.replica, record.tries, record.outcome) == ("colours", triton.address, 1, "ok")
        assert 0 < record.seconds < 15


def test_a_record_of_a_failure(triton, make, records):
    client = make(triton.address, timeout_s=15.0, on_call=records.append)
    triton.fail(grpc.StatusCode.UNAVAILABLE, "gone")
    with pytest.raises(LuxeError):
        client.classify("colours", "a")
    (record,) = records
    assert (record.outcome, record.tries, record.replica) == ("Unavailable", 3, triton.address)


def test_a_hook_that_fails_is_no_calls_fault(triton, make, caplog):
    def hook(_record):
        raise RuntimeError("no metrics today")

    client = make(triton.address, timeout_s=15.0, on_call=hook)
    with caplog.at_level(logging.ERROR, "luxe_client"):
        assert client.classify("colours", "a").model == "colours"
    assert "no metrics today" in caplog.text


def test_headers_of_the_client_and_of_the_call(triton, make):
    client = make(triton.address, timeout_s=15.0, headers={"X-Team": "web", "x-both": "client"})
    client.classify("colours", "a", headers={"X-Both": "call", "x-request-id": "abc"})
    sent = triton.metadata[0]
    assert (sent["x-team"], sent["x-both"], sent["x-request-id"]) == ("web", "call", "abc")
    assert triton.requests[0].id == "abc"


def test_every_request_of_a_call_has_an_id_of_its_own(triton, make):
    client = make(triton.address, timeout_s=15.0, batch_size=1)
    answers = client.classify("colours", ["a", "b"], headers={"x-request-id": "abc"})
    assert [answer.request_id for answer in answers] == ["abc", "abc-1"]


@pytest.fixture
def span(monkeypatch):
    """A current span, as OpenTelemetry would have it."""
    context = types.SimpleNamespace(
        is_valid=True,
        trace_id=0x1234,
        span_id=0xAB,
        trace_flags=1,
        trace_state=types.SimpleNamespace(to_header=lambda: "vendor=1"),
    )
    trace = types.ModuleType("opentelemetry.trace")
    trace.get_current_span = lambda: types.SimpleNamespace(get_span_context=lambda: context)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", trace)
    return context


PARENT = f"00-{0x1234:032x}-{0xAB:016x}-01"


def test_the_current_trace_goes_along(client, triton, span):
    client.classify("colours", "a")
    assert (triton.metadata[0]["traceparent"], triton.metadata[0]["tracestate"]) == (PARENT, "vendor=1")


def test_the_callers_own_trace_counts_more(client, triton, span):
    client.classify("colours", "a", headers={"traceparent": "00-1-2-00"})
    assert triton.metadata[0]["traceparent"] == "00-1-2-00"
    assert "tracestate" not in triton.metadata[0]


def test_without_a_span_nothing_goes_along(client, triton, span):
    span.is_valid = False
    client.classify("colours", "a")
    assert "traceparent" not in triton.metadata[0]


def test_opentelemetry_itself(client, triton):
    trace = pytest.importorskip("opentelemetry.trace")
    context = trace.SpanContext(0x1234, 0xAB, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        # asyncio hands the context on where a task is made; the fixture's thread has another.
        from luxe_client._hooks import trace_headers

        assert trace_headers() == [("traceparent", PARENT)]
    assert trace_headers() == []
