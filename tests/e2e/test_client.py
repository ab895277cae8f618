"""Both clients against the real server: answers, order, neighbours, and the PyTorch original."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from e2e_support import MODEL, manifest

from luxe_client import (
    AsyncClient,
    Classification,
    Client,
    DeadlineExceeded,
    InvalidInput,
    Labels,
    LuxeError,
    ModelNotFound,
    Overloaded,
    PermissionDenied,
    ProtocolError,
)

CLEAR = {
    "where can i get those boots, i need them for saturday 😭": "purchase_interest",
    "Three weeks and my subscription copy still hasn't arrived. Can someone look into it?": "support_request",
    "We run a small perfume house in Porto and would love to work on a scent with you.": "collaboration",
    "DM @grow.fast.now to get 10k followers today 🚀🚀": "spam",
    "who shot this cover?": "question",
    "absolutely stunning cover, the best one this year, I love it": "praise",
}

SAME = 1e-6
"""Two answers to the same text: the published engine is exact about neighbours, floats print to seven digits."""


def probabilities(answers):
    return np.array([list(answer.scores.values()) for answer in answers])


@pytest.fixture
def hundred(texts):
    return texts[:100]


@pytest.fixture(scope="module")
def alone(server, texts):
    """The answers to the first hundred texts, each asked by itself."""
    with Client(server.address.grpc, timeout_s=30.0) as client:
        return [client.classify(MODEL, text) for text in texts[:100]]


def test_one_text_has_one_answer(client, project, entry):
    text, label = next(iter(CLEAR.items()))
    answer = client.classify(MODEL, text)
    assert isinstance(answer, Classification)
    assert answer.label == label
    assert answer.score == max(answer.scores.values())
    assert tuple(answer.scores) == entry.labels
    assert sum(answer.scores.values()) == pytest.approx(1.0, abs=1e-5)
    assert answer.model == MODEL
    assert answer.version == str(manifest(project)["version"])
    assert answer.request_id
    assert answer.truncated is False


def test_clear_comments_get_their_labels(client):
    answers = client.classify(MODEL, list(CLEAR))
    assert [answer.label for answer in answers] == list(CLEAR.values())


def test_a_connection_outlives_its_calls(server):
    port = int(server.address.grpc.rpartition(":")[2])

    def ours():
        sockets = [one for one in psutil.Process().net_connections("tcp") if one.status == "ESTABLISHED"]
        return {one.laddr.port for one in sockets if one.raddr.port == port}

    before, ends = ours(), time.monotonic() + 2
    with Client(server.address.grpc, timeout_s=30.0) as client:
        client.classify(MODEL, "is this still on")
        opened = ours() - before
        while time.monotonic() < ends:
            client.classify(MODEL, f"is this still on, at {time.monotonic()}")
        assert opened and opened <= ours(), "Triton's --grpc-max-connection-age is in milliseconds"


def test_no_texts_have_no_answers(client):
    assert client.classify(MODEL, []) == []


def test_the_scores_of_every_text_are_probabilities(alone):
    scores = probabilities(alone)
    assert scores.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    assert scores.min() >= 0


def test_review_is_asked_for_under_the_catalogues_threshold(alone, entry):
    assert [a.needs_review for a in alone] == [a.score < entry.review_threshold for a in alone]
    assert {a.needs_review for a in alone} == {True, False}, "both sides of the threshold must be seen"


def test_a_text_that_is_longer_than_the_model_reads_is_truncated_and_says_so(client, entry):
    long = "where can I buy these boots? " * (entry.serving.max_text_bytes // 30)
    short, cut = client.classify(MODEL, ["where can I buy these boots?", long])
    assert (short.truncated, cut.truncated) == (False, True)


def test_the_byte_limit_is_the_catalogues(client, entry):
    limit = entry.serving.max_text_bytes
    assert client.classify(MODEL, "a" * limit).label in entry.labels
    with pytest.raises(InvalidInput, match=f"{limit + 1} bytes; this model takes at most {limit}"):
        client.classify(MODEL, "a" * (limit + 1))


def test_a_list_over_several_requests_keeps_its_order(client, hundred, alone):
    distances = np.abs(probabilities(alone)[:, None] - probabilities(alone)[None]).max(axis=2)
    assert (distances[np.triu_indices(100, k=1)] > 10 * SAME).mean() > 0.99, "else a wrong order would not show"
    together = client.classify(MODEL, hundred)
    assert np.abs(probabilities(together) - probabilities(alone)).max() <= SAME
    assert len({answer.request_id for answer in together}) > 1, "the list must take several requests"


def test_sixteen_threads_get_the_answers_to_their_own_texts(client, hundred, alone):
    expected = probabilities(alone)

    def ask(thread):
        order = np.random.default_rng(thread).permutation(100)[:60]
        if thread % 2:
            answers = client.classify(MODEL, [hundred[i] for i in order])
        else:
            answers = [client.classify(MODEL, hundred[i]) for i in order]
        return np.abs(probabilities(answers) - expected[order]).max()

    with ThreadPoolExecutor(16) as pool:
        changes = list(pool.map(ask, range(16)))
    assert max(changes) <= SAME


def test_answers_are_those_of_the_pytorch_original(client, project, entry, texts):
    import torch

    from luxe_export.checkpoint import source

    some = texts[:: len(texts) // 40][:40]
    original = source.load(entry, project.checkpoint(MODEL))
    with torch.inference_mode():
        rows = [
            original.model(**original.tokenizer(t, truncation=True, max_length=entry.max_length, return_tensors="pt"))
            for t in some
        ]
        wanted = torch.cat([row.logits for row in rows]).softmax(dim=1).numpy()
    got = probabilities(client.classify(MODEL, some))
    published = manifest(project)
    measured = next(c["measurement"] for c in published["candidates"] if c["candidate"] == published["precision"])
    assert np.abs(got - wanted).max() <= measured["change"] + 1e-4
    # These texts are of the test set, so that the gate has seen each of them.
    differing = int((got.argmax(axis=1) != wanted.argmax(axis=1)).sum())
    assert differing <= round((1 - measured["agreement"]) * measured["rows"])


def test_the_server_knows_which_models_are_ready(client):
    assert client.ready(MODEL)
    assert client.ready(f"{MODEL}-engine")
    assert not client.ready("nobody-has-this")


def test_an_unknown_model_is_not_found(client, server):
    with pytest.raises(ModelNotFound, match="nobody-has-this") as caught:
        client.classify("nobody-has-this", "hello")
    assert caught.value.address == server.address.grpc
    assert "\n" not in str(caught.value)


def test_more_texts_than_the_server_takes_in_one_request_are_refused(server, entry):
    most = entry.serving.max_batch_size
    with Client(server.address.grpc, batch_size=most + 1) as client, pytest.raises(InvalidInput, match=f"<= {most}"):
        client.classify(MODEL, ["hello"] * (most + 1))


def test_asyncio_gets_the_same_answers(server, hundred, alone):
    async def ask():
        async with AsyncClient(server.address.grpc, timeout_s=30.0) as client:
            each = asyncio.gather(*(client.classify(MODEL, text) for text in hundred))
            return await asyncio.gather(each, client.classify(MODEL, hundred))

    for answers in asyncio.run(ask()):
        assert np.abs(probabilities(answers) - probabilities(alone)).max() <= SAME


def test_a_stream_gets_the_same_answers(client, hundred, alone):
    done = []
    answers = list(client.iter_classify(MODEL, iter(hundred), window=3, progress=done.append))
    assert np.abs(probabilities(answers) - probabilities(alone)).max() <= SAME
    assert done[-1] == 100


def test_an_asyncio_stream_gets_the_same_answers(server, hundred, alone):
    async def ask():
        async with AsyncClient(server.address.grpc) as client:
            return [answer async for answer in client.iter_classify(MODEL, hundred)]

    assert np.abs(probabilities(asyncio.run(ask())) - probabilities(alone)).max() <= SAME


def test_a_request_has_the_id_that_its_caller_gave(client):
    assert client.classify(MODEL, "hello", headers={"x-request-id": "page-17"}).request_id == "page-17"


def test_the_server_tells_where_the_time_went(client):
    before = time.monotonic()
    timings = client.classify(MODEL, "nobody has asked this before, so that no cache knows it").timings
    lasted = time.monotonic() - before
    assert None not in (timings.queue_s, timings.tokenize_s, timings.engine_s)
    assert timings.engine_s > 0
    assert min(timings.queue_s, timings.tokenize_s) >= 0
    assert timings.queue_s + timings.engine_s < lasted


def test_a_model_of_one_label_is_none_of_several(client):
    with pytest.raises(InvalidInput, match="expect=Classification"):
        client.classify(MODEL, "hello", expect=Labels)


def test_a_model_of_another_task_is_no_answer(client):
    with pytest.raises(ProtocolError, match="not a feature-extraction answer: no output 'embeddings'"):
        client.embed(MODEL, "hello")


def test_any_model_can_be_asked_for_its_tensors(client, entry):
    answer = client.raw_infer(MODEL, {"text": np.array([["hello"], ["you"]], dtype=object)}, outputs=["scores"])
    assert answer["scores"].shape == (2, len(entry.labels))
    assert set(answer.outputs) == {"scores"}


def test_the_list_of_models_is_the_key_holders(client):
    with pytest.raises(PermissionDenied, match="restricted"):
        client.models()


def test_waiting_until_it_is_ready(server):
    with Client(server.address.grpc) as client:
        client.wait_ready(30.0, models=[MODEL])
        with pytest.raises(DeadlineExceeded, match="nobody-has-this is not ready"):
            client.wait_ready(0.3, models=["nobody-has-this"])


@pytest.mark.parametrize("timeout_s", [0.0005, 0.003])
def test_many_late_calls_leave_the_server_alive(server, client, timeout_s):
    """Triton 2.51 may crash on a deadline that passes on the wire, or a cancellation (server issues 7368 and 8034)."""

    async def ask(number):
        before = time.monotonic()
        try:
            await late.classify(MODEL, f"too late, number {number} " * 20, timeout_s=timeout_s)
        except (DeadlineExceeded, Overloaded) as error:
            return type(error).__name__, time.monotonic() - before
        return "in time", 0.0

    async def all_of_them():
        async with late:
            return [await ask(number) for number in range(100)]

    late = AsyncClient(server.address.grpc)
    outcomes = asyncio.run(all_of_them())
    assert sum(kind != "in time" for kind, _ in outcomes) > 50
    assert client.classify(MODEL, "still there?").model == MODEL


def test_a_server_that_is_not_there_is_left_for_one_that_is(server, hundred):
    outcomes = []
    nobody = "127.0.0.1:1"
    with Client([nobody, server.address.grpc], timeout_s=30.0, on_call=outcomes.append) as client:
        for text in hundred[:30]:
            client.classify(MODEL, text)
    assert {record.outcome for record in outcomes} == {"ok"}
    assert sum(record.tries for record in outcomes) <= 33


def test_errors_say_where_and_how_often(server):
    with Client("127.0.0.1:1", timeout_s=5.0) as client, pytest.raises(LuxeError) as caught:
        client.classify(MODEL, "hello")
    error = caught.value
    assert (error.model, error.replica, error.tries) == (MODEL, "127.0.0.1:1", 3)
    assert 0 < error.elapsed_s < 5
