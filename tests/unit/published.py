"""A model with next to nothing in it, as it is published, and what verifying it finds."""

from luxe.verify import verify
from luxe_export.publishing.publish import Parts, publish

__all__ = ["ENGINE", "ONNX", "TEXT", "lines", "put"]

TEXT, ENGINE = "colours", "colours-engine"
# A model with nothing in it: IR version 8, an empty graph, opset 18.
ONNX = b"\x08\x08\x3a\x00\x42\x02\x10\x12"


def put(repository, model=TEXT, onnx=ONNX, key=None, **manifest):
    engine = Parts(f"{model}-engine", {"config.pbtxt": b"engine config"}, {"model.onnx": onnx})
    shared = {"config.pbtxt": b"text config", "labels.txt": b"red\n"}
    text = Parts(model, shared, {"luxe.json": b"{}", "tokenizer.json": b"{}"})
    return publish(repository, engine, text, manifest, key=key)


def lines(repository, **options):
    return [finding.line for finding in verify(repository, **options).findings]
