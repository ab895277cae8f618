"""SIGINT and SIGTERM: noticed at once, obeyed where it is safe.

A server is stopped in order at any moment, so nothing that starts, loads or ends one is cut off in its middle: it waits
with `Signals.sleep`, and only that raises. Reading files may be cut off anywhere.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from typing import Any

__all__ = ["Signals"]

_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_STEP_S = 0.1


class Signals:
    """Takes both signals from now on; a further one changes nothing."""

    def __init__(self) -> None:
        self._came = False
        self._raise = False
        for number in _NUMBERS:
            signal.signal(number, self._note)

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            KeyboardInterrupt: a signal came.
        """
        deadline = time.monotonic() + seconds
        while True:
            # A flag and short waits: a handler may not touch a lock that the code below it may hold.
            if self._came:
                raise KeyboardInterrupt
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _STEP_S))

    @contextlib.contextmanager
    def anywhere(self) -> Iterator[None]:
        """Raise KeyboardInterrupt wherever the code below is when a signal comes."""
        self._raise = True
        try:
            self.sleep(0)
            yield
        finally:
            self._raise = False

    def _note(self, number: int, frame: Any) -> None:
        self._came = True
        if self._raise:
            self._raise = False  # once: what is cleaned up is not cut off
            raise KeyboardInterrupt
