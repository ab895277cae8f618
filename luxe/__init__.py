"""luxe: fine-tuned Hugging Face models as a gated, quantized, batched Triton service."""

__version__ = "0.1.0"
