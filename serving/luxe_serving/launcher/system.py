"""What the operating system must have: a shared libpython of the running minor version.

Triton's Python backend starts a stub that is linked against ``libpython3.X.so.1.0``; Python builds that
link statically (most of them) do not bring one.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from luxe.console import fail, step
from luxe.errors import UserError

__all__ = ["LIBPYTHON", "find_libpython", "install", "install_command"]

LIBPYTHON = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"


def find_libpython() -> Path | None:
    """Return the folder of the shared libpython; ``Path()`` when the loader finds it by itself; None without."""
    own = Path(sysconfig.get_config_var("LIBDIR") or "/nonexistent")
    if (own / LIBPYTHON).exists():
        return own
    try:
        ctypes.CDLL(LIBPYTHON)
    except OSError:
        return None
    return Path()


def install_command() -> str:
    """Return the command that installs libpython on this system."""
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    if shutil.which("apt-get"):
        return f"apt-get install -y libpython{minor}"
    if shutil.which("dnf"):
        return f"dnf install -y python{minor}-libs"
    return f"(with your system's package manager) the package that holds {LIBPYTHON}"


def require_libpython() -> Path:
    """Return what `find_libpython` does.

    Raises:
        UserError: there is none; names the command that installs it.
    """
    folder = find_libpython()
    if folder is None:
        raise UserError(f"Triton needs the shared library {LIBPYTHON}; install it: {install_command()}")
    return folder


def install() -> None:
    """Install libpython where it is missing, as root on Debian; elsewhere say how.

    Raises:
        UserError: it is missing and cannot be installed from here.
    """
    if find_libpython() is not None:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        require_libpython()
    step(f"installing {LIBPYTHON}: {install_command()}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-q"], install_command().split()):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UserError(f"`{' '.join(command)}` failed: {reason}")
    require_libpython()


if __name__ == "__main__":
    try:
        install()
    except UserError as problem:
        fail(str(problem))
        sys.exit(problem.exit_status)
