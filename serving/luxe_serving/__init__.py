"""Serving: the launcher of tritonserver, and the code that runs inside it.

Modules that run inside Triton (`text_model`, `scheduler`, `onnx_engine`) need only numpy, tokenizers and
onnxruntime; they are imported by the thin adapters in ``backends/``.
"""
