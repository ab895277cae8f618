"""The gate: every candidate beside PyTorch on the model's own evaluation data, and the choice among those that pass."""
