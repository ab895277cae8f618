"""token-classification. For N texts with at most E entities:

in   text    BYTES [N, 1]
out  labels  BYTES [N, E]   "" in places that are not used
out  scores  FP32  [N, E]
out  starts  INT32 [N, E]   characters, as Python counts them
out  ends    INT32 [N, E]
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from luxe_client._types import Entity, Tags
from luxe_client._wire.tensors import Facts, Tensor, answers, probabilities, split

__all__ = ["tags"]

_WANTED = {"labels": "BYTES", "scores": "FP32", "starts": "INT32", "ends": "INT32"}


def tags(request: Any, response: Any, *, address: str, texts: Sequence[str]) -> list[Tags]:
    """Return the entities of each of the request's ``texts``, in order.

    Raises:
        ProtocolError: the response is not an answer to this request, or points outside of its texts.
    """
    read = functools.partial(_read, texts)
    return answers(request, response, address=address, what="token-classification", wanted=_WANTED, read=read)


def _read(texts: Sequence[str], found: dict[str, Tensor], count: int) -> list[Callable[[Facts], Tags]]:
    shapes = {tensor.shape for name, tensor in found.items() if name in _WANTED}
    labels = [label.decode() for label in split(found["labels"].content)]
    width = found["scores"].shape[1]
    if shapes != {(count, width)}:
        raise ValueError(f"labels, scores, starts and ends are not all of {count} texts with as many places")
    if len(labels) != count * width:
        raise ValueError(f"{len(labels)} labels for {count * width} places")
    probabilities(found["scores"].array())
    makers: list[Callable[[Facts], Tags]] = []
    numbers = zip(*(found[name].rows() for name in ("starts", "ends", "scores")), strict=True)
    for i, (text, columns) in enumerate(zip(texts, numbers, strict=True)):
        rows = zip(labels[i * width : (i + 1) * width], *columns, strict=True)
        entities = tuple(_entity(text, *row) for row in rows if row[0])
        makers.append(functools.partial(_tags, entities))
    return makers


def _entity(text: str, label: str, start: int, end: int, score: float) -> Entity:
    if not 0 <= start < end <= len(text):
        raise ValueError(f"an entity from {start} to {end} in a text of {len(text)} characters")
    return Entity(label=label, text=text[start:end], start=start, end=end, score=score)


def _tags(entities: tuple[Entity, ...], facts: Facts) -> Tags:
    return Tags(entities=entities, **facts)
