"""From raw outputs of an engine to answers: what the server replies, and what the gate judges. Pure numpy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Entity", "activate", "entities", "needs_review", "zero_shot"]

_NOT_AN_ENTITY = "O"


class _Facts(Protocol):
    """What of `luxe_serving.text.settings.Settings` decides on the activation."""

    @property
    def task(self) -> str: ...
    @property
    def problem_type(self) -> str: ...
    @property
    def ranking_activation(self) -> str: ...


def activate(facts: _Facts, raw: NDArray[Any]) -> NDArray[np.float32]:
    """Turn an engine's output into what its task calls an answer, of the same shape.

    Probabilities over the last axis, or of each number alone, or the numbers as they are (regression, embeddings,
    and the logits of zero-shot-classification, which `zero_shot` reads).

    Args:
        facts: settings, or anything with their ``task``, ``problem_type`` and ``ranking_activation``.
        raw: [..., classes]
    """
    kind = _activation(facts)
    if kind == "softmax":
        return _softmax(raw)
    if kind == "sigmoid":
        # Not 1 / (1 + exp(-x)), which overflows, and not tanh, which makes small probabilities equal.
        result: NDArray[np.float32] = np.exp(-np.logaddexp(0.0, -raw)).astype(np.float32)
        return result
    return raw.astype(np.float32)


def needs_review(problem_type: str, scores: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """Return which answers of a text-classification are unsure. [N, L] → [N, 1]

    A single label is unsure when the best probability is under the threshold; several, when for any of them the
    likelier of yes and no is. A regression has no probabilities, and is never marked.
    """
    if problem_type == "regression":
        return np.zeros((len(scores), 1), dtype=bool)
    if problem_type == "multi_label_classification":
        surest = np.maximum(scores, 1 - scores).min(axis=1, keepdims=True)
    else:
        surest = scores.max(axis=1, keepdims=True)
    unsure: NDArray[np.bool_] = surest < threshold
    return unsure


def zero_shot(
    logits: NDArray[Any], *, entailment_id: int, contradiction_id: int, multi_label: bool
) -> NDArray[np.float32]:
    """Return the probability of each candidate label of one text. [K, classes] → [K]

    With ``multi_label``, and for a single candidate, each label is judged alone: entailment against contradiction.
    Otherwise the entailments compete, and the probabilities sum to 1.
    """
    if multi_label or len(logits) == 1:
        return _softmax(logits[:, [contradiction_id, entailment_id]])[:, 1]
    return _softmax(logits[:, entailment_id])


@dataclasses.dataclass(frozen=True)
class Entity:
    """A named stretch of a text."""

    label: str
    """Without the ``B-`` or ``I-`` of the model's own labels."""
    score: float
    start: int
    """Characters of the text as Python counts them; ``text[start:end]`` is the entity."""
    end: int


@dataclasses.dataclass(frozen=True)
class _Piece:
    """A token, or a word of several, with one label of the model."""

    label: str
    score: float
    start: int
    end: int


def entities(
    scores: NDArray[np.float32],
    encoding_offsets: Sequence[tuple[int, int]],
    special_tokens_mask: Sequence[int],
    word_ids: Sequence[int | None],
    text: str,
    labels: Sequence[str],
    strategy: str,
) -> list[Entity]:
    """Return the entities of one text, as transformers' token-classification pipeline groups them.

    Other than there, an entity does not begin with a space.

    Args:
        scores: [T, L] probabilities of one text, without padding.
        encoding_offsets: [T] where each token starts and ends, in characters.
        special_tokens_mask: [T] 1 for tokens that are not of the text.
        word_ids: [T] tokens that follow each other with the same number are one word; see `luxe_serving.text.words`.
        text: what the offsets point into.
        labels: the model's, with or without ``B-`` and ``I-``; ``O`` is none.
        strategy: ``simple`` groups tokens; the others first give a word the label of its ``first`` token, of its
            ``average`` probabilities, or of its surest token (``max``).
    """
    own = [i for i, special in enumerate(special_tokens_mask) if not special]
    groups = [[i] for i in own] if strategy == "simple" else _words(own, word_ids)
    pieces = []
    for group in groups:
        row = _of_word(scores[group], strategy)
        best = int(row.argmax())
        start, end = encoding_offsets[group[0]][0], encoding_offsets[group[-1]][1]
        pieces.append(_Piece(labels[best], float(row[best]), int(start), int(end)))
    merged = [_merge(run, text) for run in _runs(pieces)]
    return [entity for entity in merged if entity.label != _NOT_AN_ENTITY]


def _words(tokens: Sequence[int], word_ids: Sequence[int | None]) -> list[list[int]]:
    groups: list[list[int]] = []
    for token in tokens:
        word = word_ids[token]
        if groups and word is not None and word_ids[groups[-1][-1]] == word:
            groups[-1].append(token)
        else:
            groups.append([token])
    return groups


def _of_word(scores: NDArray[np.float32], strategy: str) -> NDArray[np.float32]:
    """[tokens of a word, L] → [L]"""
    row: NDArray[np.float32] = scores[0]  # simple, first
    if strategy == "max":
        row = scores[scores.max(axis=1).argmax()]
    elif strategy == "average":
        row = scores.mean(axis=0)
    return row


def _runs(pieces: Sequence[_Piece]) -> list[list[_Piece]]:
    """Group neighbours with the same tag; ``B-`` starts a new group."""
    runs: list[list[_Piece]] = []
    for piece in pieces:
        begins = piece.label.startswith("B-")
        if runs and not begins and _tag(runs[-1][-1].label) == _tag(piece.label):
            runs[-1].append(piece)
        else:
            runs.append([piece])
    return runs


def _tag(label: str) -> str:
    return label[2:] if label.startswith(("B-", "I-")) else label


def _merge(run: Sequence[_Piece], text: str) -> Entity:
    # Whatever stands before the first hyphen is dropped, as transformers does.
    label = run[0].label.split("-", 1)[-1]
    start, end = run[0].start, run[-1].end
    # Some SentencePiece tokenizers (DeBERTa-v3) count the space before a word to it.
    bare = text[start:end].lstrip()
    start = end - len(bare) if bare else start
    return Entity(label, sum(piece.score for piece in run) / len(run), start, end)


def _activation(facts: _Facts) -> str:
    if facts.task == "token-classification":
        return "softmax"
    if facts.task == "text-ranking":
        return facts.ranking_activation
    if facts.task == "text-classification":
        kinds = {"single_label_classification": "softmax", "multi_label_classification": "sigmoid"}
        return kinds.get(facts.problem_type, "identity")
    return "identity"


def _softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float32] = (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)
    return result
