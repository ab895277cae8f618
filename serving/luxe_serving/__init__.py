"""Serving: the launcher of tritonserver, and the code that runs inside it.

Modules that run inside Triton (`text_model` and what it imports, `onnx_engine`) need only numpy, tokenizers and
onnxruntime; they are imported by the thin adapters in ``backends/``. The export uses `answers`, `words` and `tensors`
too, to judge and to declare what the server replies.
"""
