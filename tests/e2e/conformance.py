"""What PyTorch says of a small model's test set, and the same questions on the wire."""

import contextlib
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tritonclient.grpc
import tritonclient.utils
from architectures import MAX_LENGTH
from scipy.special import expit, softmax
from small_models import Brought

__all__ = [
    *("answers", "change", "encode", "entities", "expected", "few_words", "pipeline", "question", "truncated"),
]


def question(brought: Brought):
    """The test set as one request's arrays, by input name: [N, ...]."""
    rows = brought.rows
    if brought.kind.task == "zero-shot-classification":
        labels = brought.kind.catalogue["labels"]
        texts = [text for text, _ in rows[:: len(labels)]]
        return {"text": _bytes([[text] for text in texts]), "candidate_labels": _bytes([labels] * len(texts))}
    if isinstance(rows[0], str):
        return {"text": _bytes([[row] for row in rows])}
    return {name: _bytes([[row[i]] for row in rows]) for i, name in enumerate(("text", "text_pair"))}


def expected(brought: Brought, *, multi_label=False):
    """What the server should answer, by PyTorch: scores [N, ...], embeddings [N, D], or a list of entities a text."""
    kind = brought.kind
    if kind.task == "token-classification":
        return entities(brought)
    raw = np.stack(brought.raw).astype(np.float64)
    if kind.task == "zero-shot-classification":
        logits = raw.reshape(-1, len(kind.catalogue["labels"]), len(kind.labels))
        yes, no = (logits[..., kind.labels.index(name)] for name in ("entailment", "contradiction"))
        return expit(yes - no) if multi_label else softmax(yes, axis=1)
    if kind.task == "text-ranking" or kind.catalogue.get("problem_type") == "multi_label_classification":
        return expit(raw)
    is_label = kind.task == "text-classification" and "problem_type" not in kind.catalogue
    return softmax(raw, axis=1) if is_label else raw


def entities(brought: Brought):
    """By transformers' pipeline on the PyTorch model: (start, end, label, score) of each text."""
    with few_words():
        found = pipeline(brought)(brought.rows)
    return [[_entity(text, e) for e in of_text] for text, of_text in zip(brought.rows, found, strict=True)]


@contextlib.contextmanager
def few_words():
    """transformers says that it guesses where words begin, unless the tokenizer is WordPiece; luxe guesses the same."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tokenizer does not support real words", UserWarning)
        yield


def _entity(text, found):
    # DeBERTa's tokenizer counts the space before a word to it, and so does the pipeline.
    start, end = found["start"], found["end"]
    start += len(text[start:end]) - len(text[start:end].lstrip())
    return start, end, found["entity_group"], float(found["score"])


def pipeline(brought: Brought):
    """transformers' own pipeline on the checkpoint."""
    import transformers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch, when transformers imports DeBERTa
        model = getattr(transformers, brought.kind.model).from_pretrained(brought.folder)
    options = {}
    if brought.kind.task == "token-classification":
        options["aggregation_strategy"] = brought.kind.catalogue["aggregation_strategy"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(brought.folder)
    return transformers.pipeline(brought.kind.task, model=model, tokenizer=tokenizer, **options)


def encode(brought: Brought, names, rows):
    """An engine's inputs [N, T] by name for some rows, padded, by transformers alone."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(brought.folder)
    given = _cut(brought, tokenizer, rows, padding=True, return_tensors="np")
    nothing = np.zeros_like(given["input_ids"])
    return {name: given.get(name, nothing).astype(np.int64) for name in names}


def truncated(brought: Brought):
    """Whether each text of the request is longer than the model reads. [N, 1]"""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(brought.folder, model_max_length=10**6)
    texts = list(zip(*brought.rows, strict=True)) if isinstance(brought.rows[0], tuple) else [brought.rows]
    cut = [len(ids) > MAX_LENGTH for ids in tokenizer(*map(list, texts))["input_ids"]]
    per_text = len(brought.kind.catalogue["labels"]) if brought.kind.task == "zero-shot-classification" else 1
    return np.array(cut).reshape(-1, per_text).any(axis=1, keepdims=True)


def _cut(brought, tokenizer, rows, **options):
    cut = "only_first" if brought.kind.task == "zero-shot-classification" else "longest_first"
    texts = zip(*rows, strict=True) if isinstance(rows[0], tuple) else [rows]
    return tokenizer(*map(list, texts), truncation=cut, max_length=MAX_LENGTH, **options)


def change(brought: Brought, theirs, ours):
    """How far answers are from PyTorch's, in the unit of the task's ``max_change``; the largest of all texts."""
    kind = brought.kind
    if kind.task == "token-classification":
        scores = [
            (dict(zip(_spans(a), _scores(a), strict=True)), dict(zip(_spans(b), _scores(b), strict=True)))
            for a, b in zip(theirs, ours, strict=True)
        ]
        return max(abs(a[span] - b[span]) for a, b in scores for span in a.keys() & b.keys())
    moved = np.abs(theirs - ours)
    if kind.task == "feature-extraction":
        return float((np.linalg.norm(moved, axis=1) / np.linalg.norm(theirs, axis=1)).max())
    unit = theirs.std(axis=0) if kind.catalogue.get("problem_type") == "regression" else 1.0
    return float((moved / unit).max())


def _spans(of_text):
    return [entity[:3] for entity in of_text]


def _scores(of_text):
    return [entity[3] for entity in of_text]


def answers(address, name, arrays, groups, *, threads=1):
    """Ask in requests of the given rows; returns each output by name, a row a text in the order of ``groups``.

    Entities are there as ``entities``: (start, end, label, score) of each text.

    Args:
        groups: indices of each request's texts.
        threads: how many ask at a time, each over a connection of its own.
    """

    def ask(own):
        with tritonclient.grpc.InferenceServerClient(address) as client:
            return [_ask(client, name, {key: array[group] for key, array in arrays.items()}) for group in own]

    with ThreadPoolExecutor(threads) as pool:
        shares = list(pool.map(ask, [groups[i::threads] for i in range(threads)]))
    replies = [shares[i % threads][i // threads] for i in range(len(groups))]
    return {
        key: [row for reply in replies for row in reply[key]] if key == "entities" else np.concatenate(parts)
        for key, parts in ((key, [reply[key] for reply in replies]) for key in replies[0])
    }


def _ask(client, name, arrays):
    inputs = []
    for key, array in arrays.items():
        kind = tritonclient.utils.np_to_triton_dtype(array.dtype)
        inputs.append(tritonclient.grpc.InferInput(key, list(array.shape), kind))
        inputs[-1].set_data_from_numpy(array)
    response = client.infer(name, inputs, client_timeout=60.0)
    reply = {output.name: response.as_numpy(output.name) for output in response.get_response().outputs}
    if "starts" not in reply:
        return reply
    places = [reply[key].tolist() for key in ("starts", "ends", "labels", "scores")]
    rows = [list(zip(*row, strict=True)) for row in zip(*places, strict=True)]
    for row in rows:  # unused places are at the end, and say so
        assert all((s, e, label, p) == (-1, -1, b"", 0.0) for s, e, label, p in row if s < 0), row
        assert [s < 0 for s, *_ in row] == sorted(s < 0 for s, *_ in row), row
    found = [[(s, e, label.decode(), p) for s, e, label, p in row if s >= 0] for row in rows]
    return {"entities": found, "truncated": reply["truncated"], "timings": reply["timings"]}


def _bytes(table):
    return np.array([[text.encode() for text in row] for row in table], dtype=np.object_)
