"""A service that asks a luxe model: one client for its life, and the client's errors as HTTP statuses.

    LUXE_TARGETS=127.0.0.1:8001 uvicorn --app-dir docs/examples --factory fastapi_service.app:from_environment

How it is tested is beside it, in test_app.py.
"""

import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from luxe_client import (
    AsyncClient,
    DeadlineExceeded,
    InvalidInput,
    LuxeError,
    ModelNotFound,
    PermissionDenied,
    ServerError,
    Unavailable,
)

log = logging.getLogger("uvicorn.error")

STATUS: dict[type[LuxeError], int] = {
    InvalidInput: 422,
    DeadlineExceeded: 504,
    # Overloaded is one of these: another moment, or another replica of this service, may do better.
    Unavailable: 503,
    ModelNotFound: 503,
    # The model server's fault, or of how this service was set up. ProtocolError is a ServerError.
    ServerError: 502,
    PermissionDenied: 502,
    LuxeError: 500,
}
"""An error has the status of the nearest of its classes."""

RETRY_AFTER_S = 1

PASSED_ON = ("traceparent", "tracestate", "x-request-id")
"""Headers of the caller that go along to the model. Under OpenTelemetry's instrumentation of FastAPI only the last:
the client then sends the current span by itself."""


class Comment(BaseModel):
    text: str


class Verdict(BaseModel):
    label: str
    score: float
    needs_review: bool
    version: str


def make_app(targets: str | Sequence[str], *, model: str = "comment-intent", timeout_s: float = 1.0) -> FastAPI:
    """Return the service.

    Args:
        targets: gRPC addresses of the model server's replicas.
        model: a text-classification of one label.
        timeout_s: for an answer of the model; less than this service's own callers wait.
    """

    # Made here, each of uvicorn's workers has a client of its own, on its own event loop.
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncClient(targets, timeout_s=timeout_s) as client:
            app.state.client = client
            yield

    app = FastAPI(title="comments", lifespan=lifespan)
    app.add_exception_handler(LuxeError, refuse)

    @app.get("/live")
    async def live() -> None:
        """Whether this process answers; a restart would mend no model server."""

    @app.get("/ready", responses={503: {}})
    async def ready(client: Client) -> Response:
        """Whether callers should be sent here: a replica has the model loaded."""
        return Response(status_code=200 if await client.ready(model) else 503)

    @app.post("/classify")
    async def classify(comment: Comment, client: Client, headers: PassedOn, response: Response) -> Verdict:
        answer = await client.classify(model, comment.text, headers=headers)
        response.headers["x-request-id"] = answer.request_id
        return Verdict(label=answer.label, score=answer.score, needs_review=answer.needs_review, version=answer.version)

    return app


def from_environment() -> FastAPI:
    """Return the service of ``LUXE_TARGETS``: addresses with commas between them."""
    return make_app(os.environ["LUXE_TARGETS"].split(","))


async def refuse(_request: Request, error: Exception) -> Response:
    """Answer a `LuxeError`."""
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    headers = {"retry-after": str(RETRY_AFTER_S)} if status == 503 else None
    if status == 422:
        return JSONResponse({"detail": str(error)}, status)
    # The message names replicas, which is for those who run this service.
    log.warning("%s: %s", type(error).__name__, error)
    return JSONResponse({"detail": f"the model gave no answer: {type(error).__name__}"}, status, headers)


def _client(request: Request) -> AsyncClient:
    client: AsyncClient = request.app.state.client
    return client


def _passed_on(request: Request) -> dict[str, str]:
    return {name: request.headers[name] for name in PASSED_ON if name in request.headers}


Client = Annotated[AsyncClient, Depends(_client)]
PassedOn = Annotated[dict[str, str], Depends(_passed_on)]
