"""Tests of a service without a model server: `luxe_client.testing` stands in for it."""

import asyncio
import logging

import grpc
import pytest
from fastapi.testclient import TestClient
from fastapi_service.app import from_environment, make_app, refuse

from luxe_client import LuxeError
from luxe_client.testing import FakeTriton

MODEL = "comment-intent"


@pytest.fixture
def triton():
    with FakeTriton() as triton:
        triton.classify(MODEL, {"praise": 0.75, "spam": 0.25}, needs_review=lambda text: "?" in text, version="3")
        yield triton


@pytest.fixture
def service(triton):
    with TestClient(make_app(triton.address, timeout_s=10.0)) as service:
        yield service


def test_a_comment_gets_its_label(service):
    answer = service.post("/classify", json={"text": "lovely"})
    assert answer.status_code == 200
    assert answer.json() == {"label": "praise", "score": 0.75, "needs_review": False, "version": "3"}
    assert service.post("/classify", json={"text": "lovely?"}).json()["needs_review"] is True


def test_the_client_lives_as_long_as_the_service(triton):
    app = make_app(triton.address, timeout_s=10.0)
    with TestClient(app) as service:
        client = app.state.client
        for _ in range(3):
            assert service.post("/classify", json={"text": "lovely"}).status_code == 200
        assert app.state.client is client
    with pytest.raises(LuxeError, match="is closed"):
        asyncio.run(client.classify(MODEL, "lovely"))


def test_the_trace_and_the_id_go_along(service, triton):
    trace = {"traceparent": f"00-{1:032x}-{2:016x}-01", "tracestate": "vendor=1"}
    answer = service.post("/classify", json={"text": "a"}, headers={**trace, "X-Request-ID": "page-17", "x-more": "1"})
    assert answer.headers["x-request-id"] == "page-17"
    assert triton.requests[0].id == "page-17"
    sent = triton.metadata[0]
    assert {name: sent.get(name) for name in trace} == trace
    assert "x-more" not in sent


def test_a_request_without_an_id_gets_one(service, triton):
    answer = service.post("/classify", json={"text": "a"})
    assert answer.headers["x-request-id"] == triton.requests[0].id != ""


def test_an_id_that_cannot_be_sent_on_is_the_callers_mistake(service, triton):
    answer = service.post("/classify", json={"text": "a"}, headers={"x-request-id": "page é".encode("latin-1")})
    assert answer.status_code == 422
    assert "x-request-id" in answer.json()["detail"]
    assert triton.requests == []


@pytest.mark.parametrize("body", [{}, {"text": 5}, {"text": "   "}])
def test_what_is_no_comment_is_refused_and_never_asked(service, triton, body):
    answer = service.post("/classify", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert triton.requests == []


@pytest.mark.parametrize(
    ("status", "details", "wanted", "name"),
    [
        (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size", 503, "Overloaded"),
        (grpc.StatusCode.UNAVAILABLE, "Server is stopping", 503, "Unavailable"),
        (grpc.StatusCode.UNAVAILABLE, "Request timeout expired", 504, "DeadlineExceeded"),
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model", 503, "ModelNotFound"),
        (grpc.StatusCode.INTERNAL, "out of memory", 502, "ServerError"),
        (grpc.StatusCode.UNAUTHENTICATED, "who are you?", 502, "PermissionDenied"),
    ],
)
def test_a_failure_is_a_status_and_a_line_in_the_log(service, triton, caplog, status, details, wanted, name):
    triton.fail(status, details)
    with caplog.at_level(logging.WARNING, "uvicorn.error"):
        answer = service.post("/classify", json={"text": "lovely"})
    assert answer.status_code == wanted
    assert answer.json() == {"detail": f"the model gave no answer: {name}"}
    assert answer.headers.get("retry-after") == ("1" if wanted == 503 else None)
    assert details in caplog.text and triton.address in caplog.text
    triton.recover()
    assert service.post("/classify", json={"text": "lovely"}).status_code == 200


def test_a_slow_model_is_a_timeout(triton):
    triton.delay(0.5)
    with TestClient(make_app(triton.address, timeout_s=0.1)) as service:
        assert service.post("/classify", json={"text": "lovely"}).status_code == 504


def test_the_model_servers_own_refusal_of_a_text_is_told(service, triton):
    triton.fail(grpc.StatusCode.INVALID_ARGUMENT, "text 0 has 9000 bytes; this model takes at most 4096")
    answer = service.post("/classify", json={"text": "long"})
    assert answer.status_code == 422
    assert "at most 4096" in answer.json()["detail"]


def test_every_error_has_a_status():
    def kinds(root):
        return {root}.union(*map(kinds, root.__subclasses__()))

    said = {
        kind.__name__: asyncio.run(refuse(None, kind("the script says so", model=MODEL))).status_code
        for kind in kinds(LuxeError)
    }
    assert said == {
        "LuxeError": 500,
        "InvalidInput": 422,
        "ModelNotFound": 503,
        "Unavailable": 503,
        "Overloaded": 503,
        "DeadlineExceeded": 504,
        "PermissionDenied": 502,
        "ServerError": 502,
        "ProtocolError": 502,
    }


def test_it_is_ready_while_the_model_is(service, triton):
    assert service.get("/ready").status_code == 200
    triton.remove(MODEL)
    assert service.get("/ready").status_code == 503
    triton.stop()
    assert service.get("/ready").status_code == 503
    assert service.get("/live").status_code == 200


def test_it_starts_before_its_model_server(triton):
    triton.stop()
    with TestClient(make_app(triton.address)) as service:
        assert service.get("/live").status_code == 200
        assert service.get("/ready").status_code == 503
        assert service.post("/classify", json={"text": "lovely"}).status_code == 503


def test_the_addresses_come_from_the_environment(triton, monkeypatch):
    monkeypatch.setenv("LUXE_TARGETS", f"127.0.0.1:1,{triton.address}")
    with TestClient(from_environment()) as service:
        assert service.post("/classify", json={"text": "lovely"}).json()["label"] == "praise"
