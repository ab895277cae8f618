"""`iter_classify`: order, bounded memory, progress, and streams that end early."""

import itertools

import grpc
import pytest
from colours import scores_of

from luxe_client import AsyncClient, InvalidInput, Labels, LuxeError, Score
from luxe_client.testing import texts_of


def numbered(count):
    return [f"text {n}" for n in range(count)]


def scores(answers):
    return [list(answer.scores.values()) for answer in answers]


@pytest.mark.parametrize("count", [0, 1, 4, 5, 37])
def test_answers_come_in_order(triton, make, count):
    client = make(triton.address, batch_size=4)
    answers = list(client.iter_classify("colours", iter(numbered(count)), window=3))
    assert scores(answers) == [scores_of(text).tolist() for text in numbered(count)]
    assert {tuple(texts_of(request)) for request in triton.requests} == {
        tuple(numbered(count)[i : i + 4]) for i in range(0, count, 4)
    }


def test_texts_are_read_as_they_are_needed(triton, make):
    client = make(triton.address, batch_size=4)
    read = itertools.count()
    endless = (f"text {next(read)}" for _ in itertools.count())
    answers = client.iter_classify("colours", endless, window=3)
    for _ in range(20):
        next(answers)
    # 20 answered, and at most 3 requests of 4 in flight and as many waiting.
    assert next(read) <= 20 + 4 * 6


def test_progress_counts_texts(triton, make):
    done = []
    client = make(triton.address, batch_size=4)
    list(client.iter_classify("colours", numbered(10), progress=done.append))
    assert done == [4, 8, 10]


def test_others_may_overtake(client, triton):
    list(client.iter_classify("colours", ["text"]))
    assert triton.requests[0].parameters["bulk"].bool_param is True


def test_requests_of_a_call_have_its_id(triton, make):
    client = make(triton.address, batch_size=1)
    list(client.iter_classify("colours", ["a", "b"], headers={"X-Request-Id": "job"}))
    assert {request.id for request in triton.requests} == {"job", "job-1"}


def test_other_kinds(client, triton):
    triton.classify("topics", {"new": 0.9}, problem_type="multi_label_classification")
    triton.classify("warmth", {"warm": 0.9}, problem_type="regression")
    assert isinstance(next(client.iter_classify("topics", ["a"], expect=Labels)), Labels)
    assert isinstance(next(client.iter_classify("warmth", ["a"], expect=Score)), Score)


def test_a_bad_text_is_named_by_its_place_in_the_stream(triton, make):
    client = make(triton.address, batch_size=4)
    with pytest.raises(InvalidInput, match="text 9 is empty"):
        list(client.iter_classify("colours", [*numbered(9), " "]))


def test_an_error_ends_the_stream(triton, make):
    client = make(triton.address, batch_size=1)
    triton.fail(grpc.StatusCode.INTERNAL, "broken")
    with pytest.raises(LuxeError, match="broken"):
        list(client.iter_classify("colours", numbered(20)))
    triton.recover()
    assert client.classify("colours", "after").model == "colours"


def test_a_stream_that_nobody_reads_to_its_end(triton, make):
    client = make(triton.address, batch_size=1)
    answers = client.iter_classify("colours", numbered(100))
    next(answers)
    answers.close()
    assert not triton.cancelled.is_set()
    assert client.classify("colours", "after").model == "colours"


@pytest.mark.parametrize("options", [{"window": 0}, {"timeout_s": 0}, {"headers": {"a b": "c"}}])
def test_bad_options_of_a_stream(client, options):
    with pytest.raises(InvalidInput):
        client.iter_classify("colours", ["text"], **options)


async def from_an_async_source(address):
    async def source():
        for text in numbered(10):
            yield text

    async with AsyncClient(address, batch_size=4) as client:
        return [answer async for answer in client.iter_classify("colours", source())]


def test_texts_that_come_asynchronously(triton, run):
    answers = run(from_an_async_source(triton.address))
    assert scores(answers) == [scores_of(text).tolist() for text in numbered(10)]
