"""What is published of a model: configs, settings, tokenizer, engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from luxe import onnx_file
from luxe.errors import UserError
from luxe.manifest import engine_name
from luxe.schema import Entry
from luxe_export import graph
from luxe_export.gpu import profiles
from luxe_export.publishing import publish, triton_config
from luxe_export.publishing.triton_config import Target
from luxe_serving.text.settings import Settings

if TYPE_CHECKING:
    from luxe_export.checkpoint.source import Source
    from luxe_export.gate.reference import Reference

__all__ = ["onnx_facts", "parts"]

_CLASSES = ("text-classification", "token-classification")


def parts(
    entry: Entry, source: Source, engine: Path, reference: Reference, target: Target, scratch: Path
) -> tuple[publish.Parts, publish.Parts]:
    """Return the engine's and the text model's entry of the repository."""
    inputs = graph.input_names(engine)
    width = source.answer(reference.tokens[0]).shape[-1]
    shapes = profiles.profiles(reference.lengths.tolist(), entry.serving.max_batch_size, entry.max_length)
    if target == "tensorrt":
        from luxe_export.gpu import tensorrt_plan

        plan = engine.with_name("model.plan")
        try:
            tensorrt_plan.build(engine, plan, shapes, scratch / "timing.cache")
        except ValueError as error:  # what TensorRT makes of a graph that passed the gate
            raise UserError(f"{entry.name}: {error}") from None
        engine = plan
    accelerators = entry.serving.execution_accelerators if target == "cuda" else ()
    config = triton_config.engine(entry, inputs, target, width=width, accelerators=accelerators, profiles=shapes)
    labels = entry.labels if entry.task in _CLASSES else ()
    shared = {"config.pbtxt": triton_config.to_text(triton_config.text(entry, width=width)).encode()}
    if entry.task == "text-classification":
        shared[triton_config.LABELS_FILE] = "".join(f"{label}\n" for label in labels).encode()
    return (
        publish.Parts(
            name=engine_name(entry.name),
            shared={"config.pbtxt": triton_config.to_text(config).encode()},
            version={triton_config.engine_file(target): engine},
        ),
        publish.Parts(
            name=entry.name,
            shared=shared,
            version={
                "luxe.json": _settings(entry, source, inputs, width, labels, target).to_json().encode(),
                "tokenizer.json": source.tokenizer.backend_tokenizer.to_str().encode(),
            },
        ),
    )


def onnx_facts(engine: Path) -> dict[str, Any]:
    """Return the versions that the server's ONNX Runtime must know."""
    facts = onnx_file.read(engine)
    return {"ir_version": facts.ir_version, "opset": facts.opset}


def _settings(
    entry: Entry, source: Source, inputs: list[str], width: int, labels: tuple[str, ...], target: Target
) -> Settings:
    serving = entry.serving
    return Settings(
        engine=engine_name(entry.name),
        engine_inputs=tuple(inputs),
        engine_output=triton_config.output_name(entry),
        engine_width=width,
        task=entry.task,
        problem_type=entry.problem_type,
        text_pairs=entry.text_pairs,
        labels=labels,
        max_length=entry.max_length,
        padding_id=source.tokenizer.pad_token_id,
        review_threshold=entry.review_threshold,
        aggregation_strategy=entry.aggregation_strategy,
        hypothesis_template=entry.hypothesis_template,
        entailment_id=source.entailment_id,
        contradiction_id=source.contradiction_id,
        ranking_activation=source.ranking_activation,
        max_batch_size=serving.max_batch_size,
        max_micro_batch=serving.max_micro_batch,
        max_padding_share=serving.max_padding_share,
        max_text_bytes=serving.max_text_bytes,
        auto_truncate=entry.auto_truncate,
        max_wait_ms=serving.max_wait_ms,
        bulk_patience_ms=serving.bulk_patience_ms,
        cache_bytes=serving.cache_bytes,
        engine_instances=triton_config.instances(entry, target),
        intra_op_threads=serving.intra_op_threads,
    )
