"""The tritonserver inside the wheel nvidia-pytriton, and a backend directory that it can use."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shutil
import sys
from pathlib import Path

import luxe_serving
from luxe.errors import UserError
from luxe_serving.launcher.system import require_libpython

__all__ = ["Runtime", "find"]


@dataclasses.dataclass(frozen=True)
class Runtime:
    """Where the parts of an embedded Triton lie."""

    binary: Path
    native_backends: Path
    stub: Path
    """Executable that hosts Python backends for the running Python version."""
    libraries: Path
    libpython: Path
    """Folder of a shared libpython, or ``Path()`` where the loader knows it."""

    def environment(self) -> dict[str, str]:
        """Return the server's environment: this Python's virtual environment, and the wheel's libraries.

        From Python 3.11 on, the stub's interpreter is isolated and ignores PYTHONPATH and PYTHONHOME. It still
        looks for ``python3`` on PATH to find its prefix, as any interpreter does, and so finds the virtual
        environment with all that is installed there (CPython, Modules/getpath.py).
        """
        libraries = [self.libraries, self.libpython] if self.libpython != Path() else [self.libraries]
        return {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
            "TOKENIZERS_PARALLELISM": "false",
        }

    def make_backends(self, folder: Path) -> None:
        """Fill ``folder`` with the backends: Triton's own, ours, and onnxruntime only where no native one is."""
        # Copies, not links: Triton refuses a backend library whose real path lies outside the directory.
        for backend in (*self.native_backends.iterdir(), *own_backends()):
            if not (folder / backend.name).exists():
                shutil.copytree(backend, folder / backend.name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(self.stub, folder / "python")


def own_backends() -> list[Path]:
    """Return the folders of luxe's backends: in the wheel beside this module, in a checkout one level up."""
    here = Path(luxe_serving.__file__).parent
    folder = next(f for f in (here / "backends", here.parent / "backends") if f.is_dir())
    return sorted(f for f in folder.iterdir() if (f / "model.py").is_file())


def find() -> Runtime:
    """Locate the embedded Triton.

    Raises:
        UserError: the wheel, its stub for this Python, or the shared libpython is missing.
    """
    spec = importlib.util.find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise UserError("no embedded Triton: install it with `pip install 'luxe[serve]'`")
    package = Path(spec.origin).parent
    root = package / "tritonserver"
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = root / "python_backend_stubs" / minor / "triton_python_backend_stub"
    if not stub.is_file():
        have = ", ".join(sorted(p.name for p in (root / "python_backend_stubs").iterdir()))
        raise UserError(f"the embedded Triton has no stub for Python {minor}, only for {have}")
    return Runtime(
        binary=root / "bin" / "tritonserver",
        native_backends=root / "backends",
        stub=stub,
        libraries=package.parent / "nvidia_pytriton.libs",
        libpython=require_libpython(),
    )
