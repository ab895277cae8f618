"""``luxe.json`` of a version: what the export settled, and the server only obeys."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

__all__ = ["Settings"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that `TextModel` needs to know besides the tokenizer. Tasks and keys have the catalogue's names."""

    engine: str
    """Name of the engine's repository entry; the same version of it is called."""
    engine_inputs: tuple[str, ...]
    engine_output: str
    """``logits`` or ``embeddings``."""
    engine_width: int
    """Last dimension of the engine's output: its classes, or the size of an embedding."""
    task: str
    problem_type: str
    text_pairs: bool
    labels: tuple[str, ...]
    """Of the answers, in the engine's order; empty where the task has none."""
    max_length: int
    padding_id: int
    review_threshold: float
    aggregation_strategy: str
    hypothesis_template: str
    entailment_id: int | None
    """Class of an NLI engine; None for other tasks."""
    contradiction_id: int | None
    ranking_activation: str
    """``sigmoid`` or ``identity``; of text-ranking."""
    max_batch_size: int
    max_micro_batch: int
    max_padding_share: float
    max_text_bytes: int
    auto_truncate: bool
    """A longer text is cut to max_length and marked; else it is refused."""
    max_wait_ms: int
    bulk_patience_ms: int
    cache_bytes: int
    engine_instances: int | None
    """None: as many as `luxe_serving.cores.instances` finds."""
    intra_op_threads: int

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Read the settings of a version.

        Raises:
            ValueError: another release of luxe wrote them.
        """
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        names = {field.name for field in dataclasses.fields(cls)}
        if names != values.keys():
            odd = ", ".join(sorted(names ^ values.keys()))
            raise ValueError(f"{path} was written by another release of luxe ({odd}): export the model again")
        lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **lists})

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"
