"""A process of our own that speaks JSON, a line a message: what it measures, nothing of us disturbs."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from luxe.errors import UserError

__all__ = ["Worker", "last_line", "say"]


class Worker:
    """``python -m MODULE ARGUMENTS`` until the end of the ``with`` block.

    Args:
        log: receives its standard error.
    """

    def __init__(self, module: str, arguments: Sequence[str], log: Path) -> None:
        self._module, self._log = module, log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):  # a message that it never took
                    pipe.close()

    def send(self, message: Any) -> None:
        """Give it a message.

        Raises:
            UserError: it has ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise UserError(f"{self._module} ended: {last_line(self._log)}") from None

    def receive(self, *, timeout_s: float) -> Any:
        """Return its next message.

        Raises:
            UserError: it ended, or it says nothing for too long.
        """
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise UserError(f"{self._module} said nothing for {timeout_s:.0f} s") from None
        if not line:
            raise UserError(f"{self._module} ended: {last_line(self._log)}")
        return json.loads(line)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")


def say(message: Any) -> None:
    """Answer, from inside such a process."""
    print(json.dumps(message), flush=True)


def last_line(log: Path) -> str:
    """Return what a process said last."""
    return (log.read_text(errors="replace").strip().splitlines() or ["no output"])[-1]
