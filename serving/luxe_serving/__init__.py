"""Serving: the launcher of tritonserver, and the code that runs inside it.

What runs inside Triton (`text`, `scheduling`, `monitoring`, `onnx_engine`) needs only numpy, tokenizers and
onnxruntime; the thin adapters in ``backends/`` import it. The export uses `text.answers`, `text.words` and
`text.tensors` too, to judge and to declare what the server replies.
"""
