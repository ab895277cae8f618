"""The catalogue: one TOML file a model, and the only place where its facts are written.

Every step of the line (train, export, serve, bench) reads its numbers from here.
"""

from __future__ import annotations

import re
import sys
import typing
from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from luxe.errors import UserError
from luxe.project import Project

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Base", "Entry", "Quality", "Serving", "Slo", "Training", "load", "load_all"]

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


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
    """What a quantized candidate must keep, measured on the model's test set. See docs/export.md."""

    min_macro_f1: Share
    max_macro_f1_drop: Share
    """Largest loss of macro-F1 against the PyTorch original."""
    min_label_agreement: Share
    """Smallest share of texts that get the label which PyTorch gives."""
    max_probability_change: Share
    """Largest change of any probability of any text against PyTorch."""
    max_batch_probability_change: Share
    """Largest change of any probability when the same text is batched or padded instead of alone."""


class Serving(_Table):
    """How Triton runs the model."""

    max_batch_size: Annotated[int, Field(ge=32)]
    """Most texts in one request, and in one dynamic batch; clients may count on 32."""
    max_micro_batch: Count
    """Most texts of like length that the engine is given at once."""
    max_padding_share: Share
    """Most padded tokens over all tokens of a micro-batch."""
    max_text_bytes: Count
    """A longer text is refused before it costs a tokenisation."""
    max_queue: Count
    """Requests waiting in Triton before new ones are refused."""
    engine_instances: Count
    """Engine processes; times ``intra_op_threads`` it should not exceed the cores."""
    intra_op_threads: Count

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


class Entry(_Table):
    """One model of the catalogue."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    """The file's name without ``.toml``; never written in the file."""
    description: str
    task: Literal["text-classification"]
    labels: Annotated[tuple[str, ...], Field(min_length=2, strict=False)]
    max_length: Annotated[int, Field(ge=8, le=512)]
    """Tokens a text is cut to, special tokens included."""
    review_threshold: Share
    """An answer whose best probability is lower is marked ``needs_review``."""
    base: Base | None = None
    """Needed to train, and to export an adapter; a whole model's checkpoint does without."""
    training: Training | None = None
    quality: Quality
    serving: Serving
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
        return labels


def load(project: Project, name: str) -> Entry:
    """Read and check ``catalog/NAME.toml``.

    Raises:
        UserError: no such model, or the file is not valid; names file, key and what is allowed.
    """
    path = project.catalog / f"{name}.toml"
    if not _NAME.fullmatch(name) or not path.is_file():
        stems = (p.stem for p in project.catalog.glob("*.toml"))
        known = ", ".join(sorted(s for s in stems if _NAME.fullmatch(s))) or "none"
        raise UserError(f"unknown model {name!r}: the catalogue has {known}")
    return _read(path, project)


def load_all(project: Project) -> list[Entry]:
    """Read and check the whole catalogue, by name."""
    return [_read(path, project) for path in sorted(project.catalog.glob("*.toml"))]


def _read(path: Path, project: Project) -> Entry:
    where = path.relative_to(project.root)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{where}: not valid TOML: {error}") from None
    if "name" in table:
        raise UserError(f"{where}: unknown key 'name': the file's name is the model's name")
    try:
        return Entry(name=path.stem, **table)
    except pydantic.ValidationError as error:
        raise UserError(f"{where}: " + "; ".join(_explain(e) for e in error.errors())) from None


def _explain(error: object) -> str:
    """One finding of pydantic as "key 'slo.p50_ms': ..."."""
    assert isinstance(error, dict)
    location = [str(part) for part in error["loc"]]
    key = ".".join(location)
    if error["type"] == "extra_forbidden":
        allowed = ", ".join(_keys(location[:-1]))
        return f"unknown key {key!r}: allowed here are {allowed}"
    if error["type"] == "missing":
        return f"missing key {key!r}"
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"key {key!r}: {message}, not {error['input']!r}"


def _keys(tables: list[str]) -> list[str]:
    model: type[pydantic.BaseModel] = Entry
    for table in tables:
        annotation = model.model_fields[table].annotation
        kinds = [annotation, *typing.get_args(annotation)]  # a table, or a table or None
        model = next(k for k in kinds if isinstance(k, type) and issubclass(k, pydantic.BaseModel))
    return [key for key in model.model_fields if key != "name"]
