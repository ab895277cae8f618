"""What others may watch: a record of every request for metrics, and the trace that a call belongs to."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Callable

__all__ = ["CallRecord", "OnCall", "report", "trace_headers"]


@dataclasses.dataclass(frozen=True, slots=True)
class CallRecord:
    """One request from the first try to its end. A list of texts that is split makes several.

    Attributes:
        model: that was asked.
        replica: that answered, or was asked last; None where none was.
        tries: how often it was sent.
        seconds: from the call to its end.
        outcome: "ok", or the name of the error's class, such as "DeadlineExceeded".
    """

    model: str
    replica: str | None
    tries: int
    seconds: float
    outcome: str


OnCall = Callable[[CallRecord], None]


def report(hook: OnCall, record: CallRecord) -> None:
    """Hand a record to a hook; what the hook raises is logged, and is no call's fault."""
    try:
        hook(record)
    except Exception:
        logging.getLogger("luxe_client").exception("on_call failed")


def trace_headers() -> list[tuple[str, str]]:
    """Return OpenTelemetry's current span as a W3C Trace Context; nothing where there is none.

    Nothing is imported: a program that never imported OpenTelemetry has no span.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None or not hasattr(trace, "get_current_span"):  # the latter while it is being imported
        return []
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return []
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    state = context.trace_state.to_header()
    return [("traceparent", parent), *([("tracestate", state)] if state else [])]
