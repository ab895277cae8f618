"""A run that starts servers ends in order, however it is told to."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

__all__ = ["ended_in_order"]


@contextlib.contextmanager
def ended_in_order() -> Iterator[None]:
    """Let SIGTERM end the run as Ctrl-C does, so that every process that was started is stopped."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
