"""The tables of a catalogue file, and what each of their keys may be."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic
from pydantic import Field

from luxe_serving.limits import MAX_CANDIDATE_LABELS

__all__ = ["Base", "Entry", "ProblemType", "Quality", "Serving", "Slo", "Task", "Training"]

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]

Task = Literal[
    "text-classification", "token-classification", "feature-extraction", "zero-shot-classification", "text-ranking"
]
"""By their Hugging Face names."""
ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
"""As transformers' ``problem_type``."""


class _Table(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)


class Base(_Table):
    """The pretrained encoder that is fine-tuned."""

    hub_id: str
    """Hugging Face hub id, or a local folder."""
    revision: str = "main"
    package: str | None = None
    """Installed Python package that carries the same files under ``model/``; used before the hub."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of ``model.safetensors``; checked on every load, wherever the file came from."""


class Training(_Table):
    """LoRA fine-tuning (peft)."""

    seed: int
    lora_rank: Count
    lora_alpha: Count
    lora_dropout: Share
    lora_targets: Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
    """Names of the linear layers that get an adapter, as peft's ``target_modules``."""
    head: Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
    """Modules trained fully, as peft's ``modules_to_save``."""
    learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    label_smoothing: Share
    warmup_share: Share
    batch_size: Count
    max_epochs: Count
    patience: Count
    """Epochs without a better macro-F1 on the validation data before training stops."""


class Quality(_Table):
    """What a candidate must keep, measured on the model's test set. See docs/export.md for what each means by task."""

    min_metric: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """Smallest value of the task's own metric."""
    max_metric_drop: Share = 0.01
    """Largest loss of the metric against the PyTorch original, on the same texts."""
    min_agreement: Share = 0.98
    """Smallest share of answers that are the ones PyTorch gives."""
    max_change: Annotated[float, Field(ge=0)] = 0.25
    """Largest change of any answer against PyTorch."""
    max_batch_change: Annotated[float, Field(ge=0)] = 0.01
    """Largest change of any answer when the same text is batched or padded instead of alone."""
    max_calibration_error_rise: Share = 0.02
    """Largest rise of the expected calibration error against PyTorch; where answers are probabilities."""


class Serving(_Table):
    """How Triton runs the model."""

    max_batch_size: Annotated[int, Field(ge=32)] = 32
    """Most texts in one request, and in one dynamic batch; clients may count on 32."""
    max_micro_batch: Count = 16
    """Most texts of like length that the engine is given at once."""
    max_padding_share: Share = 0.12
    """Most padded tokens over all tokens of a micro-batch."""
    max_text_bytes: Count = 16384
    """A longer text is refused before it costs a tokenisation."""
    max_queue: Count = 1024
    """Requests waiting in Triton, before the backend takes them; more are refused. Bounds memory, not time."""
    max_queue_delay_us: Annotated[int, Field(ge=0, exclude_if=lambda value: value == 0)] = 0
    """Microseconds that Triton holds a request back for others to share its dynamic batch. 0: an idle server waits for
    nobody, and under load the queue itself makes the batches. At 0 left out of dumps, so that what was published
    before there was this key stays up to date."""
    max_wait_ms: Count = 2000
    """A request that would wait longer for an engine, or longer than its own timeout, is refused at once."""
    bulk_patience_ms: Count = 1000
    """Requests with the parameter ``bulk`` may be overtaken by those that come this much later, and no longer."""
    cache_bytes: Annotated[int, Field(ge=0)] = 16 * 2**20
    """Memory for answers to texts that come again, since every model of luxe is deterministic; 0 turns it off."""
    execution_accelerators: Annotated[tuple[Literal["tensorrt"], ...], Field(strict=False)] = ()
    """Of a GPU engine (`--target cuda`), by Triton's name; served by NVIDIA's image only."""
    engine_instances: Count | None = None
    """Engine processes; times ``intra_op_threads`` it should not exceed the cores. None: as many as the cores that the
    server is granted allow."""
    intra_op_threads: Count = 1

    @pydantic.model_validator(mode="after")
    def _engine_takes_a_micro_batch(self) -> Serving:
        if self.max_micro_batch > self.max_batch_size:
            raise ValueError("max_micro_batch must not exceed max_batch_size")
        return self


class Slo(_Table):
    """The service level that ``luxe bench`` enforces; times from the intended start of a request."""

    requests_per_s: Positive
    """Offered load; at least 99 % of it must be answered."""
    p50_ms: Positive
    p95_ms: Positive
    p99_ms: Positive
    max_error_share: Share


# Keys that only some tasks know.
_TASK_KEYS: dict[str, tuple[str, ...]] = {
    "problem_type": ("text-classification",),
    "text_pairs": ("text-classification",),
    "review_threshold": ("text-classification",),
    "aggregation_strategy": ("token-classification",),
    "pooling": ("feature-extraction",),
    "normalize": ("feature-extraction",),
    "hypothesis_template": ("zero-shot-classification",),
    "training": ("text-classification",),
    "labels": ("text-classification", "token-classification", "zero-shot-classification"),
}


class Entry(_Table):
    """One model of the catalogue."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    """The file's name without ``.toml``; never written in the file."""
    description: str
    task: Task
    labels: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """The model's classes, in its own order; for zero-shot-classification the candidate labels of its test set."""
    max_length: Annotated[int, Field(ge=8, le=512)]
    """Tokens a text, or a pair of them, is cut to, special tokens included."""
    auto_truncate: bool = True
    """A longer one is cut and its answer marked ``truncated``; when false it is refused."""
    problem_type: ProblemType = "single_label_classification"
    text_pairs: bool = False
    """The model reads two texts, such as a premise and a hypothesis; text-ranking always does."""
    review_threshold: Share = 0.0
    """An answer whose probability is lower is marked ``needs_review``; of multi_label_classification, one where that
    of yes or no, whichever is likelier, is lower for any label."""
    aggregation_strategy: Literal["simple", "first", "average", "max"] = "simple"
    """How tokens become entities, as in transformers' token-classification pipeline."""
    pooling: Literal["mean", "cls"] = "mean"
    normalize: bool = True
    """Embeddings have length 1."""
    hypothesis_template: str = "This example is {}."
    """``{}`` stands for a candidate label."""
    base: Base | None = None
    """Needed to train, and to export an adapter; a whole model's checkpoint does without."""
    training: Training | None = None
    quality: Quality = Quality()
    serving: Serving = Serving()
    slo: Slo

    @pydantic.field_validator("name")
    @classmethod
    def _name_is_free(cls, name: str) -> str:
        if name.endswith("-engine"):
            raise ValueError("a name ending in -engine is kept for the engine of another model")
        return name

    @pydantic.field_validator("labels")
    @classmethod
    def _labels_differ(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) != len(labels):
            raise ValueError("labels must differ from each other")
        if not all(label == label.strip() and len(label.splitlines()) == 1 for label in labels):
            raise ValueError("a label must be one line of text without spaces around it")
        return labels

    @pydantic.field_validator("hypothesis_template")
    @classmethod
    def _template_takes_one_label(cls, template: str) -> str:
        if template.count("{}") != 1 or template.count("{") != 1 or template.count("}") != 1:
            raise ValueError("the template must hold {} once, where the label goes, and no other braces")
        return template

    @pydantic.model_validator(mode="after")
    def _keys_fit_the_task(self) -> Entry:
        for key, tasks in _TASK_KEYS.items():
            if key in self.model_fields_set and self.task not in tasks:
                raise ValueError(f"{key!r} is for {', '.join(tasks)}, not for {self.task}")
        fewest = 0 if self.task not in _TASK_KEYS["labels"] else 2
        if self.problem_type != "single_label_classification":
            fewest = 1
        if len(self.labels) < fewest:
            kind = f" and {self.problem_type}" if "problem_type" in self.model_fields_set else ""
            raise ValueError(f"'labels' needs {fewest} or more names for {self.task}{kind}, not {len(self.labels)}")
        if self.task == "zero-shot-classification" and len(self.labels) > MAX_CANDIDATE_LABELS:
            raise ValueError(f"'labels' has {len(self.labels)} names; the server takes {MAX_CANDIDATE_LABELS} a text")
        if self.problem_type == "regression" and "review_threshold" in self.model_fields_set:
            raise ValueError("'review_threshold' is for probabilities, which a regression has none of")
        if self.training and (self.text_pairs or self.problem_type != "single_label_classification"):
            raise ValueError("'training' is for single_label_classification of single texts")
        return self
