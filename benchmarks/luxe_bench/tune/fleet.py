"""The servers of one comparison."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack

from luxe.console import console
from luxe.errors import UserError
from luxe_bench.cost.servers import Target

__all__ = ["fleet"]

_TRIES = 3
"""A search starts a dozen servers, and ends with the first that does not: another try is cheaper."""


@contextlib.contextmanager
def fleet(starts: Sequence[Callable[[], AbstractContextManager[Target]]]) -> Iterator[list[Target]]:
    """Run several servers.

    They start one after the other, since each times its engine meanwhile, and stop at once: that is mostly waiting.

    Args:
        starts: each makes a context manager that starts a server and stops it at the end.

    Raises:
        UserError: one does not start, however often it is tried.
    """
    stacks: list[ExitStack] = []
    try:
        targets = []
        for start in starts:
            stacks.append(ExitStack())
            targets.append(_started(stacks[-1], start))
        yield targets
    finally:
        with concurrent.futures.ThreadPoolExecutor(max(1, len(stacks))) as pool:
            list(pool.map(ExitStack.close, stacks))


def _started(stack: ExitStack, start: Callable[[], AbstractContextManager[Target]]) -> Target:
    for left in reversed(range(_TRIES)):
        try:
            return stack.enter_context(start())
        except UserError as error:
            if not left:
                raise
            console.print(f"{error}; once more", markup=False, soft_wrap=True)
    raise AssertionError
