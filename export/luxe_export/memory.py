"""Memory: how much a session adds, in a process of its own, and giving back what nobody needs any more.

``python -m luxe_export.memory FILE BATCH TOKENS`` prints the bytes that a session adds.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import subprocess
import sys
from pathlib import Path

import numpy as np

from luxe_serving.onnx_engine import session

__all__ = ["peak_bytes", "release"]

_TIMEOUT_S = 300


def peak_bytes(path: Path, batch: int, tokens: int) -> int:
    """Return the resident bytes at the peak of loading an ONNX file and running one batch, less those before it.

    Raises:
        RuntimeError: the process failed; with the last line of what it said.
    """
    command = [sys.executable, "-m", "luxe_export.memory", str(path), str(batch), str(tokens)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise RuntimeError(f"memory was not measured: {said[-1]}")
    return int(done.stdout)


def release() -> None:
    """Give back what Python has let go of: graphs hold each other in circles, and the heap keeps the room they had."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # not the GNU C library
        ctypes.CDLL(None).malloc_trim(0)


def _main(path: str, batch: str, tokens: str) -> None:
    import onnxruntime  # noqa: F401  # what is imported is not the session's

    before = _resident("VmRSS")
    engine = session(Path(path))
    shape = (int(batch), int(tokens))
    # Values do not matter: token 1 is in every vocabulary, and the mask hides nothing.
    ones = {"input_ids", "attention_mask"}
    engine.run(None, {i.name: np.full(shape, int(i.name in ones), dtype=np.int64) for i in engine.get_inputs()})
    sys.stdout.write(f"{_resident('VmHWM') - before}\n")


def _resident(key: str) -> int:
    """Return ``VmRSS`` or ``VmHWM`` in bytes; unlike getrusage's, the peak is not inherited from the parent process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    raise RuntimeError(f"/proc/self/status has no {key}")


if __name__ == "__main__":
    _main(*sys.argv[1:])
