"""Parts of a model, published file by file, and what a server must find there at any moment."""

from published import ENGINE, TEXT

from luxe_export.publishing import publish
from luxe_export.publishing.publish import Parts

__all__ = ["WAIT_S", "assert_servable", "engine_parts", "files", "put", "text_parts"]

WAIT_S = 30.0
"""For a publisher in a process of its own."""


def engine_parts(content=b"onnx 1", config=b"engine config"):
    return Parts(ENGINE, {"config.pbtxt": config}, {"model.onnx": content})


def text_parts(content=b"settings 1", config=b"text config"):
    shared = {"config.pbtxt": config, "labels.txt": b"red\ngreen\n"}
    return Parts(TEXT, shared, {"luxe.json": content, "tokenizer.json": b"{}"})


def put(repository, engine=None, text=None, **manifest):
    return publish.publish(repository, engine or engine_parts(), text or text_parts(), manifest)


def files(folder):
    """Every file and folder below, with content; the lock is not data."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in folder.rglob("*")
        if p.name != ".lock"
    }


def assert_servable(repository):
    """Everything that Triton would load is complete: every folder is a model, every number a version."""
    wanted = {
        ENGINE: {"model.onnx", "config.pbtxt"},
        TEXT: {"luxe.json", "tokenizer.json", "manifest.json", "config.pbtxt", "labels.txt"},
    }
    for folder in (p for p in repository.iterdir() if p.is_dir()):
        assert folder.name in wanted
        assert (folder / "config.pbtxt").read_bytes().endswith(b"config")
        versions = [p for p in folder.iterdir() if p.name.isdecimal()]
        assert versions, "Triton fails to start on a model without versions"
        for version in versions:
            assert {p.name for p in version.iterdir()} == wanted[folder.name]
        if folder.name == TEXT:
            assert (folder / "labels.txt").read_bytes() == b"red\ngreen\n"
            newest = max(int(version.name) for version in versions)
            engines = sorted(int(p.name) for p in (repository / ENGINE).iterdir() if p.name.isdecimal())
            # The engine's version policy keeps two loaded, and the text model calls its own version.
            assert newest in engines[-2:]
