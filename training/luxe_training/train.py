"""LoRA fine-tuning of a text classifier with transformers' Trainer and peft."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, TaskType, get_peft_model
from sklearn.metrics import f1_score, precision_recall_fscore_support
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.utils import logging as transformers_logging

from luxe.console import console, progress
from luxe.errors import UserError
from luxe.schema import Entry
from luxe_training import base, calibration
from luxe_training.data import SPLITS, Split, load

__all__ = ["Metrics", "Result", "train"]


@dataclasses.dataclass(frozen=True)
class Metrics:
    """How good the calibrated model is on one split."""

    macro_f1: float
    accuracy: float
    expected_calibration_error: float
    review_share: float
    """Share of answers under the review threshold."""
    accuracy_without_review: float
    """Accuracy of the answers at or over the threshold."""


@dataclasses.dataclass(frozen=True)
class Result:
    """A trained model in memory, with what its card says."""

    model: Any
    """peft model, in evaluation mode."""
    tokenizer: Any
    temperature: float
    epochs: int
    """After which the validation data was answered best; later epochs are not in the model."""
    metrics: dict[str, Metrics]
    """By split."""
    sha256: dict[str, str]
    """Hash of the data file, by split."""
    test_by_label: list[tuple[str, float, float, float]]
    """Label, precision, recall and F1 on the test split."""


def train(entry: Entry, data: Path, work: Path) -> Result:
    """Fine-tune ``entry``'s base on ``data``; scratch files go to ``work``.

    Raises:
        UserError: data or base are not usable.
    """
    recipe = entry.training
    if recipe is None or entry.base is None:
        raise UserError(f"catalog/{entry.name}.toml needs the tables [base] and [training] to be trained")
    splits = {name: load(data, name, entry.labels) for name in SPLITS}
    transformers_logging.set_verbosity_error()
    torch.manual_seed(recipe.seed)
    folder = base.locate(entry.base)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder,
        num_labels=len(entry.labels),
        id2label=dict(enumerate(entry.labels)),
        label2id={label: i for i, label in enumerate(entry.labels)},
        use_safetensors=True,
    )
    lora = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=list(recipe.lora_targets),
        modules_to_save=list(recipe.head),
    )
    model = get_peft_model(model, lora)
    encoded = {name: _encode(split, tokenizer, entry.max_length) for name, split in splits.items()}
    with progress() as bar:
        trainer = Trainer(
            model=model,
            args=_arguments(entry, work),
            train_dataset=encoded["train"],
            eval_dataset=encoded["validation"],
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=lambda p: {"macro_f1": f1_score(p.label_ids, p.predictions.argmax(-1), average="macro")},
            callbacks=[EarlyStoppingCallback(recipe.patience), _Progress(bar, recipe.max_epochs)],
        )
        # The Trainer's own record of the losses goes to the progress bar, not to standard output.
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    model.eval()
    # Grouped by length, the Trainer answers in an order of its own; its labels come in the same order.
    answers = {name: trainer.predict(encoded[name]) for name in ("validation", "test")}
    temperature = calibration.fit_temperature(answers["validation"].predictions, answers["validation"].label_ids)
    return Result(
        model=model,
        tokenizer=tokenizer,
        temperature=temperature,
        epochs=trainer.state.best_global_step * recipe.max_epochs // trainer.state.max_steps,
        metrics={n: _measure(a.predictions / temperature, a.label_ids, entry) for n, a in answers.items()},
        sha256={name: split.sha256 for name, split in splits.items()},
        test_by_label=_by_label(answers["test"], entry.labels),
    )


def _arguments(entry: Entry, work: Path) -> TrainingArguments:
    recipe = entry.training
    assert recipe is not None
    return TrainingArguments(
        output_dir=str(work),
        seed=recipe.seed,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        warmup_ratio=recipe.warmup_share,
        lr_scheduler_type="cosine",
        label_smoothing_factor=recipe.label_smoothing,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=16,
        num_train_epochs=recipe.max_epochs,
        group_by_length=True,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
        report_to=[],
        logging_strategy="epoch",
        dataloader_pin_memory=False,
    )


class _Progress(TrainerCallback):
    """Shows steps, loss and macro-F1 while the Trainer works."""

    def __init__(self, bar: Any, epochs: int) -> None:
        self._bar = bar
        self._epochs = epochs

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._task = self._bar.add_task("fine-tuning", total=state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._bar.update(self._task, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        if "eval_macro_f1" in logs:
            console.print(
                f"  epoch {round(logs['epoch']):2d} of {self._epochs}   validation loss {logs['eval_loss']:.3f}   "
                f"macro-F1 {logs['eval_macro_f1']:.3f}"
            )


def _encode(split: Split, tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
    encoded = tokenizer(list(split.texts), truncation=True, max_length=max_length)
    return [
        {**{k: encoded[k][i] for k in encoded}, "labels": label, "length": len(encoded["input_ids"][i])}
        for i, label in enumerate(split.labels)
    ]


def _measure(logits: NDArray[np.float32], labels: NDArray[np.int64], entry: Entry) -> Metrics:
    probabilities = calibration.softmax(logits)
    predicted = probabilities.argmax(axis=1)
    confidence, right = probabilities.max(axis=1), predicted == labels
    sure = confidence >= entry.review_threshold
    return Metrics(
        macro_f1=float(f1_score(labels, predicted, average="macro")),
        accuracy=float(right.mean()),
        expected_calibration_error=calibration.expected_calibration_error(calibration.reliability(confidence, right)),
        review_share=float(1 - sure.mean()),
        accuracy_without_review=float(right[sure].mean()) if sure.any() else 0.0,
    )


def _by_label(answers: Any, labels: tuple[str, ...]) -> list[tuple[str, float, float, float]]:
    precision, recall, f1, _ = precision_recall_fscore_support(
        answers.label_ids, answers.predictions.argmax(axis=1), labels=range(len(labels)), zero_division=0
    )
    return list(zip(labels, precision.tolist(), recall.tolist(), f1.tolist(), strict=True))
