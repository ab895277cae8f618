"""What each task makes of the engine's rows: one class a task, and nothing of queues or threads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from luxe_serving.text import answers, questions
from luxe_serving.text.encoded import Encoded
from luxe_serving.text.questions import Question
from luxe_serving.text.settings import Settings
from luxe_serving.text.words import Words

__all__ = ["Answer", "Task", "of"]

Answer = dict[str, NDArray[Any]]
"""The outputs of `luxe_serving.text.tensors.outputs` by name, for the texts of one request."""


class Task(ABC):
    """A task's way from a request's arrays to its answer; safe for threads, since it keeps nothing of a request.

    Args:
        settings: of the model.
        tokenizer: of the model.
    """

    truncation = "longest_first"
    """As the tokenizers library calls it."""
    per_token = False
    """The engine's output has a place for every token: [N, T, classes] instead of [N, classes]."""

    def __init__(self, settings: Settings, tokenizer: Tokenizer) -> None:
        self._settings = settings
        self._tokenizer = tokenizer

    def read(self, arrays: Mapping[str, NDArray[Any]]) -> Question:
        """Return the rows of a request.

        Raises:
            InvalidText: the request cannot be answered.
        """
        return questions.read(self._settings, arrays)

    def answer(self, question: Question, rows: Sequence[Encoded]) -> Answer:
        """Return the answer to a question.

        Args:
            question: what `read` made of the request.
            rows: each with the engine's raw output: [classes], or [tokens of the row, classes].
        """
        cut = np.array([[row.truncated] for row in rows])
        if question.rows_per_text > 1:
            cut = cut.reshape(-1, question.rows_per_text).any(axis=1, keepdims=True)
        return {**self._answer(question, rows), "truncated": cut}

    @abstractmethod
    def _answer(self, question: Question, rows: Sequence[Encoded]) -> Answer:
        """Return the outputs, but for `truncated`."""


class _TextClassification(Task):
    def __init__(self, settings: Settings, tokenizer: Tokenizer) -> None:
        super().__init__(settings, tokenizer)
        self._labels = _bytes([settings.labels])

    def _answer(self, question: Question, rows: Sequence[Encoded]) -> Answer:
        s = self._settings
        scores = answers.activate(s, _outputs(rows))
        answer = {
            "scores": scores,
            "labels": self._labels if len(scores) == 1 else np.tile(self._labels, (len(scores), 1)),
            "needs_review": answers.needs_review(s.problem_type, scores, s.review_threshold),
        }
        if s.problem_type != "single_label_classification":
            answer["problem_type"] = _bytes([[s.problem_type]] * len(scores))
        return answer


class _TokenClassification(Task):
    per_token = True

    def __init__(self, settings: Settings, tokenizer: Tokenizer) -> None:
        super().__init__(settings, tokenizer)
        self._words = Words(tokenizer)

    def _answer(self, question: Question, rows: Sequence[Encoded]) -> Answer:
        found = [self._entities(row) for row in rows]
        most = max(len(of_text) for of_text in found)
        shape = (len(found), most)
        labels = [[e.label for e in of_text] + [""] * (most - len(of_text)) for of_text in found]
        scores, starts = np.zeros(shape, dtype=np.float32), np.full(shape, -1, dtype=np.int32)
        ends = starts.copy()
        for i, of_text in enumerate(found):
            scores[i, : len(of_text)] = [e.score for e in of_text]
            starts[i, : len(of_text)] = [e.start for e in of_text]
            ends[i, : len(of_text)] = [e.end for e in of_text]
        return {"labels": _bytes(labels).reshape(shape), "scores": scores, "starts": starts, "ends": ends}

    def _entities(self, row: Encoded) -> list[answers.Entity]:
        text, encoding = row.text, row.encoding
        assert isinstance(text, str) and encoding is not None and row.output is not None
        return answers.entities(
            answers.activate(self._settings, row.output),
            encoding.offsets,
            encoding.special_tokens_mask,
            self._words(encoding, text),
            text,
            self._settings.labels,
            self._settings.aggregation_strategy,
        )


class _FeatureExtraction(Task):
    def _answer(self, question: Question, rows: Sequence[Encoded]) -> Answer:
        return {"embeddings": answers.activate(self._settings, _outputs(rows))}


class _ZeroShotClassification(Task):
    truncation = "only_first"  # a hypothesis without its label would be another question

    def _answer(self, question: Question, rows: Sequence[Encoded]) -> Answer:
        s = self._settings
        assert s.entailment_id is not None and s.contradiction_id is not None
        logits = answers.activate(s, _outputs(rows)).reshape(-1, question.rows_per_text, s.engine_width)
        ids = {"entailment_id": s.entailment_id, "contradiction_id": s.contradiction_id}
        of_texts = zip(logits, question.multi_label, strict=True)
        return {"scores": np.stack([answers.zero_shot(rows, **ids, multi_label=multi) for rows, multi in of_texts])}


class _TextRanking(Task):
    def _answer(self, question: Question, rows: Sequence[Encoded]) -> Answer:
        return {"scores": answers.activate(self._settings, _outputs(rows))}


_TASKS: dict[str, type[Task]] = {
    "text-classification": _TextClassification,
    "token-classification": _TokenClassification,
    "feature-extraction": _FeatureExtraction,
    "zero-shot-classification": _ZeroShotClassification,
    "text-ranking": _TextRanking,
}


def of(settings: Settings, tokenizer: Tokenizer) -> Task:
    """Return the task that a model's settings name."""
    return _TASKS[settings.task](settings, tokenizer)


def _outputs(rows: Sequence[Encoded]) -> NDArray[np.float32]:
    return np.stack([row.output for row in rows if row.output is not None])


def _bytes(table: Sequence[Sequence[str]]) -> NDArray[Any]:
    """Return texts as Triton wants them. [N, K]"""
    return np.array([[text.encode() for text in row] for row in table], dtype=object)
