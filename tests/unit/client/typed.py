"""What type checkers make of the client's methods; never run: `make check` reads it."""

from collections.abc import AsyncIterator, Iterator

import numpy as np
from numpy.typing import NDArray
from typing_extensions import assert_type

import luxe_client
from luxe_client import (
    AsyncClient,
    Classification,
    Client,
    Labels,
    Model,
    Ranking,
    RawAnswer,
    Score,
    Tags,
    ZeroShot,
    ZeroShotLabels,
)

Vectors = NDArray[np.float32]


def of_a_client(client: Client, some: list[str]) -> None:
    assert_type(client.classify("m", "a"), Classification)
    assert_type(client.classify("m", some), list[Classification])
    assert_type(client.classify("m", "a", text_pair="b"), Classification)
    assert_type(client.classify("m", "a", expect=Labels), Labels)
    assert_type(client.classify("m", some, expect=Score), list[Score])
    assert_type(client.iter_classify("m", some), Iterator[Classification])
    assert_type(client.iter_classify("m", some, expect=Labels), Iterator[Labels])
    assert_type(client.tag("m", "a"), Tags)
    assert_type(client.tag("m", some), list[Tags])
    assert_type(client.embed("m", some), Vectors)
    assert_type(client.similarity("m", "a", "b"), float)
    assert_type(client.similarity("m", "a", some), Vectors)
    assert_type(client.rank("m", "a", some), Ranking)
    assert_type(client.score_pairs("m", [("a", "b")]), list[Score])
    assert_type(client.zero_shot("m", "a", some), ZeroShot)
    assert_type(client.zero_shot("m", some, some), list[ZeroShot])
    assert_type(client.zero_shot("m", "a", some, multi_label=True), ZeroShotLabels)
    assert_type(client.zero_shot("m", some, some, multi_label=True), list[ZeroShotLabels])
    assert_type(client.raw_infer("m", {}), RawAnswer)
    assert_type(client.models(), list[Model])
    assert_type(client.ready("m"), bool)
    client.classify("m", "a").above(0.5)  # type: ignore[attr-defined]  # one label has no threshold
    client.classify("m", "a", expect=Labels).label  # type: ignore[attr-defined]  # noqa: B018  # and several no label
    luxe_client.Clent  # type: ignore[attr-defined]  # noqa: B018  # a name that is not ours


async def of_an_async_client(client: AsyncClient, some: list[str], coming: AsyncIterator[str]) -> None:
    assert_type(await client.classify("m", "a"), Classification)
    assert_type(await client.classify("m", some), list[Classification])
    assert_type(await client.classify("m", some, expect=Labels), list[Labels])
    assert_type(client.iter_classify("m", coming), AsyncIterator[Classification])
    assert_type(client.iter_classify("m", some, expect=Score), AsyncIterator[Score])
    assert_type(await client.tag("m", some), list[Tags])
    assert_type(await client.embed("m", "a"), Vectors)
    assert_type(await client.similarity("m", "a", "b"), float)
    assert_type(await client.rank("m", "a", some), Ranking)
    assert_type(await client.score_pairs("m", [("a", "b")]), list[Score])
    assert_type(await client.zero_shot("m", some, some), list[ZeroShot])
    assert_type(await client.zero_shot("m", "a", some, multi_label=True), ZeroShotLabels)
    assert_type(await client.raw_infer("m", {}), RawAnswer)
    assert_type(await client.ready("m"), bool)
