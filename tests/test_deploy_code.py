"""The Python code in Triton's image needs nothing that the image has not."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy
import tokenizers
from checkout import ROOT


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.module
            if node.module == "luxe_serving":
                yield from (f"luxe_serving.{alias.name}" for alias in node.names)


def test_the_backend_imports_only_what_the_image_has():
    # tomllib came with 3.11.
    provided = (set(sys.stdlib_module_names) | {"numpy", "tokenizers"}) - {"tomllib"}
    todo, seen = [ROOT / "serving/backends/luxe_text/model.py"], set()
    while todo:
        path = todo.pop()
        seen.add(path.stem)
        for name in imported(path):
            if name.startswith("luxe_serving"):
                module = ROOT / "serving" / Path(*name.split(".")).with_suffix(".py")
                if module.is_file() and module.stem not in seen:
                    todo.append(module)
            elif not (path.parent.name == "luxe_text" and name == "triton_python_backend_utils"):
                assert name.split(".")[0] in provided, f"{path.name} imports {name}"
    assert {"model", "text_model", "scheduler"} <= seen


def test_the_backend_runs_without_other_packages(tmp_path):
    # As in the image: no dependency of tokenizers is installed. (numpy.libs: shared libraries of its wheel.)
    for module in (numpy, tokenizers):
        package = Path(module.__file__).parent
        (tmp_path / package.name).symlink_to(package)
        if (libraries := package.with_name(f"{package.name}.libs")).is_dir():
            (tmp_path / libraries.name).symlink_to(libraries)
    (tmp_path / "luxe_serving").symlink_to(ROOT / "serving" / "luxe_serving")
    code = "import luxe_serving.text.text_model, tokenizers; tokenizers.Tokenizer(tokenizers.models.WordLevel({}))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_copied_code_is_python_3_10():
    folders = [ROOT / "serving" / "luxe_serving", ROOT / "serving" / "backends" / "luxe_text"]
    files = [file for folder in folders for file in folder.rglob("*.py")]
    assert len(files) > 3
    for file in files:
        ast.parse(file.read_text(encoding="utf-8"), filename=str(file), feature_version=(3, 10))
