"""Export: checkpoint ─► ONNX ─► optimise ─► quantise ─► gate ─► model repository."""
