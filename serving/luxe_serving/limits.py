"""Limits that hold for every model: what the catalogue accepts is what the server takes."""

from __future__ import annotations

__all__ = ["MAX_CANDIDATE_LABELS"]

MAX_CANDIDATE_LABELS = 64
"""Of zero-shot-classification, a text. Each costs a run of the model."""
