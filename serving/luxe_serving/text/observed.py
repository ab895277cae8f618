"""What became of a request: counted always, and said in a line of JSON when something failed or all are wanted."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import time
from datetime import datetime, timezone

from luxe_serving.monitoring.metrics import Metrics
from luxe_serving.text.pending import Refused, Request
from luxe_serving.text.questions import InvalidText
from luxe_serving.text.tasks import Answer

__all__ = ["ACCESS_LOG", "Observer"]

_LOG = logging.getLogger(__name__)
ACCESS_LOG = "LUXE_ACCESS_LOG"
"""Environment variable; "1" for a line of every request. A failure of ours always gets one."""


class Observer:
    """Watches the replies of one model's requests.

    Args:
        metrics: gets the counts.
        model: name and version, for the log.
        every: log every request, not only those that failed.
    """

    def __init__(self, metrics: Metrics, model: str, *, every: bool | None = None) -> None:
        self._metrics = metrics
        self._model = model
        self._every = os.environ.get(ACCESS_LOG) == "1" if every is None else every

    def watch(self, request: Request, arrived_s: float) -> Request:
        """Return the request with a reply that is observed, and that never raises.

        Args:
            request: as it came.
            arrived_s: when, by the monotonic clock.
        """
        reply = request.reply

        def observed(answer: Answer | Exception) -> None:
            seconds = time.monotonic() - arrived_s
            outcome = self._count(answer, seconds)
            if self._every or outcome == "failed":
                self._say(request, answer, outcome, seconds)
            try:
                reply(answer)
            except Exception:  # a caller who cannot be reached is no reason to fail others
                _LOG.exception("a caller could not be replied to")

        return dataclasses.replace(request, reply=observed)

    def _count(self, answer: Answer | Exception, seconds: float) -> str:
        if isinstance(answer, Exception):
            outcome = _outcome(answer)
            self._metrics.count("luxe_refusals_total", reason=outcome)
            return outcome
        self._metrics.observe("luxe_request_seconds", seconds)
        self._metrics.count("luxe_texts_total", len(answer["truncated"]))
        self._metrics.count("luxe_truncated_texts_total", int(answer["truncated"].sum()))
        if "needs_review" in answer:
            self._metrics.count("luxe_review_texts_total", int(answer["needs_review"].sum()))
        return "answered"

    def _say(self, request: Request, answer: Answer | Exception, outcome: str, seconds: float) -> None:
        said = {
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "model": self._model,
            "request_id": request.id,
            "traceparent": request.traceparent,
            "outcome": outcome,
            "ms": round(seconds * 1000, 1),
        }
        if isinstance(answer, Exception):
            said["error"] = str(answer)
        else:
            said["texts"] = len(answer["truncated"])
        line = json.dumps({key: value for key, value in said.items() if value != ""})
        _LOG.log(logging.ERROR if outcome == "failed" else logging.INFO, "%s", line)


def _outcome(error: Exception) -> str:
    if isinstance(error, Refused):
        return error.reason
    return "invalid" if isinstance(error, InvalidText) else "failed"
