"""What a command may end with. Each message is one line: what was wrong, where, what would be right.

CommandError
├── UserError   exit status 2: the input, the machine or the project cannot be used as it is
└── Rejected    exit status 1: everything ran, and a gate or a target said no
"""

from __future__ import annotations

__all__ = ["CommandError", "Rejected", "UserError"]


class CommandError(Exception):
    """Root of what a command reports without a traceback."""

    exit_status = 1


class UserError(CommandError):
    """The input, the machine or the project cannot be used as it is."""

    exit_status = 2


class Rejected(CommandError):
    """Everything ran, and the quality gate or a service level said no."""

    exit_status = 1
