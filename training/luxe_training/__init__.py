"""Fine-tuning and evaluation: data ─► LoRA ─► checkpoints/NAME/."""
