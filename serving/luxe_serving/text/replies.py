"""Answers go out on a thread of their own, so that the engine does not wait for them."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

__all__ = ["Replies"]

_LOG = logging.getLogger(__name__)


class Replies:
    """A thread that makes calls in the order in which they were handed over. Safe for threads."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="replies", daemon=True)
        self._thread.start()

    def hand_over(self, call: Callable[[], object]) -> None:
        """Make a call soon; one that raises is logged."""
        self._calls.put(call)

    def close(self) -> None:
        """Make the calls that were handed over, then stop."""
        self._calls.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except Exception:  # others wait for their answers
                _LOG.exception("an answer could not be given")
