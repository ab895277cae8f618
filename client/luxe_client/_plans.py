"""What each method of a client asks, and how the answers are put together. Without I/O: both clients use it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from luxe_client._errors import InvalidInput
from luxe_client._parts import Asked, Part, Plan, batches, inference, shaped
from luxe_client._types import Answer, Classification, Labels, Model, Ranked, Ranking, RawAnswer, Score, Tags
from luxe_client._wire import messages, raw
from luxe_client._wire.classification import classifications
from luxe_client._wire.embeddings import cosines, embeddings
from luxe_client._wire.entities import tags
from luxe_client._wire.requests import Input, bytes_tensor, encode_text, encode_texts
from luxe_client._wire.scores import pair_scores, zero_shots

__all__ = [
    "Texts",
    "classify",
    "classify_batch",
    "embed",
    "models",
    "rank",
    "raw_infer",
    "ready",
    "score_pairs",
    "similarity",
    "tag",
    "zero_shot",
]

_A = TypeVar("_A", bound=Answer)

Texts = str | Sequence[str]

_KINDS = {Classification: "a single-label model", Labels: "a multi-label model", Score: "a regression"}


def classify(asked: Asked, texts: Texts, text_pair: Texts | None, expect: type[_A]) -> Plan[list[_A], Any]:
    """Plan `Client.classify`."""
    columns = [("text", _encoded(asked, texts))]
    if text_pair is not None:
        columns.append(("text_pair", _encoded(asked, text_pair, "text_pair")))
        if isinstance(texts, str) != isinstance(text_pair, str) or len(columns[0][1]) != len(columns[1][1]):
            message = f"{len(columns[1][1])} text_pairs to {len(columns[0][1])} texts: each text needs its own"
            raise InvalidInput(message, model=asked.model)
    return Plan(batches(asked, columns, _expecting(expect)), shaped(isinstance(texts, str)))


def classify_batch(asked: Asked, number: int, texts: Sequence[str], expect: type[_A]) -> Part[list[_A]]:
    """Return the request number ``number`` of `Client.iter_classify`."""
    first = number * asked.batch_size
    encoded = [encode_text(text, first + i, model=asked.model) for i, text in enumerate(texts)]
    return inference(asked, number, slice(first, first + len(texts)), [("text", encoded)], _expecting(expect))


def tag(asked: Asked, texts: Texts) -> Plan[list[Tags], Any]:
    """Plan `Client.tag`."""
    encoded = _encoded(asked, texts)
    given = [texts] if isinstance(texts, str) else texts

    def decode(rows: slice, request: Any, response: Any, address: str) -> list[Tags]:
        return tags(request, response, address=address, texts=given[rows])

    return Plan(batches(asked, [("text", encoded)], decode), shaped(isinstance(texts, str)))


def embed(asked: Asked, texts: Texts) -> Plan[NDArray[np.float32], NDArray[np.float32]]:
    """Plan `Client.embed`."""
    columns = [("text", _encoded(asked, texts))]

    def finish(found: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return found[0][0].copy() if isinstance(texts, str) else _stacked(asked, found)

    return Plan(batches(asked, columns, _vectors), finish)


def similarity(asked: Asked, left: Texts, right: Texts) -> Plan[NDArray[np.float32], Any]:
    """Plan `Client.similarity`: every text is embedded once."""
    rows: dict[bytes, int] = {}
    at = [
        [rows.setdefault(text, len(rows)) for text in _encoded(asked, side, name)]
        for side, name in ((left, "left text"), (right, "right text"))
    ]

    def finish(found: list[NDArray[np.float32]]) -> Any:
        vectors = _stacked(asked, found)
        table = cosines(vectors[at[0]], vectors[at[1]])
        if isinstance(left, str):
            return float(table[0, 0]) if isinstance(right, str) else table[0]
        return table[:, 0] if isinstance(right, str) else table

    return Plan(batches(asked, [("text", list(rows))], _vectors), finish)


def score_pairs(asked: Asked, pairs: Sequence[tuple[str, str]]) -> Plan[list[Score], list[Score]]:
    """Plan `Client.score_pairs`."""
    if isinstance(pairs, str) or not isinstance(pairs, Sequence):
        raise InvalidInput(f"pairs is {type(pairs).__name__}, not a list of pairs", model=asked.model)
    for position, pair in enumerate(pairs):
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise InvalidInput(f"pair {position} is not two texts", model=asked.model)
    columns = [
        ("text", _encoded(asked, [first for first, _ in pairs])),
        ("text_pair", _encoded(asked, [second for _, second in pairs], "text_pair")),
    ]
    return Plan(batches(asked, columns, _scores), shaped(one=False))


def rank(asked: Asked, query: str, documents: Sequence[str]) -> Plan[list[Score], Ranking]:
    """Plan `Client.rank`."""
    if not isinstance(query, str) or isinstance(documents, str) or not documents:
        raise InvalidInput("rank needs one query and a list of documents, at least one", model=asked.model)
    encoded = _encoded(asked, documents, "document")
    columns = [("text", _encoded(asked, query, "query") * len(encoded)), ("text_pair", encoded)]

    def finish(found: list[list[Score]]) -> Ranking:
        scores = [score for batch in found for score in batch]
        order = sorted(range(len(scores)), key=lambda i: -scores[i].value)
        first = scores[0]
        return Ranking(
            documents=tuple(
                Ranked(index=i, text=documents[i], score=scores[i].value, truncated=scores[i].truncated) for i in order
            ),
            model=first.model,
            version=first.version,
            request_id=first.request_id,
            truncated=any(score.truncated for score in scores),
            timings=first.timings,
        )

    return Plan(batches(asked, columns, _scores), finish)


def zero_shot(asked: Asked, texts: Texts, labels: Sequence[str], multi_label: bool) -> Plan[list[Any], Any]:
    """Plan `Client.zero_shot`."""
    if isinstance(labels, str) or not labels:
        raise InvalidInput("labels is not a list of candidate labels, at least one", model=asked.model)
    candidates = encode_texts(labels, model=asked.model, name="label")
    if len({label.strip() for label in labels}) != len(labels):
        raise InvalidInput("the candidate labels repeat", model=asked.model)
    width = len(candidates)

    def more(count: int) -> list[Input]:
        return [
            ("candidate_labels", "BYTES", (count, width), bytes_tensor(candidates) * count),
            ("multi_label", "BOOL", (count, 1), bytes([multi_label]) * count),
        ]

    def decode(_rows: slice, request: Any, response: Any, address: str) -> list[Any]:
        return list(zero_shots(request, response, address=address, candidates=labels, multi_label=multi_label))

    # A server takes at most 8 pairs of text and label for each text of its batch.
    batch_size = max(1, min(asked.batch_size, 8 * asked.batch_size // width))
    smaller = Asked(asked.model, batch_size, asked.request_id, asked.bulk)
    return Plan(batches(smaller, [("text", _encoded(asked, texts))], decode, more), shaped(isinstance(texts, str)))


def raw_infer(
    asked: Asked,
    inputs: Mapping[str, NDArray[Any]],
    outputs: Sequence[str],
    parameters: Mapping[str, bool | int | str],
    version: str,
) -> Plan[RawAnswer, RawAnswer]:
    """Plan `Client.raw_infer`."""
    request = raw.raw_request(
        asked.model, inputs, outputs=outputs, parameters=parameters, version=version, request_id=asked.request_id
    )
    read: Callable[[Any, str], RawAnswer] = lambda response, address: raw.raw_answer(  # noqa: E731
        request, response, address=address
    )
    return Plan([Part(asked.model, "ModelInfer", request, read)], lambda found: found[0])


def models() -> Plan[list[Model], list[Model]]:
    """Plan `Client.models`."""
    request = messages.service_pb2.RepositoryIndexRequest()
    part = Part("", "RepositoryIndex", request, lambda response, address: raw.models(response, address=address))
    return Plan([part], lambda found: found[0])


def ready(model: str) -> Plan[bool, bool]:
    """Plan `Client.ready`; of the server itself where ``model`` is empty."""
    if model:
        part = Part(model, "ModelReady", messages.service_pb2.ModelReadyRequest(name=model), lambda r, _: bool(r.ready))
    else:
        part = Part(model, "ServerReady", messages.service_pb2.ServerReadyRequest(), lambda r, _: bool(r.ready))
    return Plan([part], lambda found: found[0])


def _encoded(asked: Asked, texts: Texts, name: str = "text") -> list[bytes]:
    return encode_texts([texts] if isinstance(texts, str) else texts, model=asked.model, name=name)


def _expecting(expect: type[_A]) -> Callable[[slice, Any, Any, str], list[_A]]:
    return functools.partial(_expected, expect)


def _expected(expect: type[_A], _rows: slice, request: Any, response: Any, address: str) -> list[_A]:
    found = classifications(request, response, address=address)
    for answer in found:
        if not isinstance(answer, expect):
            name = type(answer).__name__
            message = f"{answer.model} is {_KINDS[type(answer)]}: ask it with expect={name}"
            raise InvalidInput(message, model=answer.model, address=address)
    return found


def _scores(_rows: slice, request: Any, response: Any, address: str) -> list[Score]:
    return pair_scores(request, response, address=address)


def _vectors(_rows: slice, request: Any, response: Any, address: str) -> NDArray[np.float32]:
    return embeddings(request, response, address=address)


def _stacked(asked: Asked, found: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    if not found:
        return np.zeros((0, 0), dtype=np.float32)
    if len({vectors.shape[1] for vectors in found}) != 1:
        raise InvalidInput("the model changed during the call: its vectors have two sizes", model=asked.model)
    return np.concatenate(found)
