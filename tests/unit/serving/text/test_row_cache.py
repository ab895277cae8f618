import threading

import numpy as np
from text_models import SETTINGS, tokenizer

from luxe_serving.text.encoded import Encoded, Encoder
from luxe_serving.text.questions import Question
from luxe_serving.text.row_cache import RowCache


def row(text, tokens=4):
    return Encoded(text, list(range(tokens)), [0] * tokens, truncated=False)


def output(value, width=3):
    return np.full(width, value, dtype=np.float32)


def test_what_was_kept():
    cache = RowCache(10_000)
    cache.put(row("a"), output(1))
    found = cache.get("a")
    assert found.text == "a" and not found.truncated
    assert found.output.tolist() == [1, 1, 1]
    assert cache.get("b") is None
    assert cache.get(("a", "b")) is None


def test_a_pair_is_no_text():
    cache = RowCache(10_000)
    cache.put(row(("a", "b")), output(1))
    assert cache.get("a") is None
    assert cache.get(("b", "a")) is None
    assert cache.get(("a", "b")).output.tolist() == [1, 1, 1]


def test_nothing_is_kept_without_room():
    cache = RowCache(0)
    cache.put(row("a"), output(1))
    assert cache.get("a") is None


def test_a_batch_is_not_kept_for_one_of_its_rows():
    batch = np.zeros((64, 3), dtype=np.float32)
    cache = RowCache(10_000)
    cache.put(row("a"), batch[5])
    assert cache.get("a").output.base is None
    batch[5] = 9
    assert cache.get("a").output.tolist() == [0, 0, 0]


def test_the_least_recently_used_is_forgotten_first():
    cache = RowCache(4 * 900)
    for text in "abcd":
        cache.put(row(text), output(1))
    assert cache.get("a")
    cache.put(row("e"), output(1))
    assert [text for text in "abcde" if cache.get(text)] == ["a", "c", "d", "e"]


def test_a_row_that_comes_again_counts_once():
    cache = RowCache(2 * 900)
    for _ in range(50):
        cache.put(row("a"), output(1))
    cache.put(row("b"), output(1))
    assert cache.get("a") and cache.get("b")


def test_the_bound_counts_texts_and_outputs():
    large = RowCache(30_000)
    large.put(row("x" * 20_000), output(1))
    large.put(row("a"), output(1, width=5_000))
    assert large.get("x" * 20_000) is None
    assert large.get("a").output.nbytes == 20_000


def test_the_bound_counts_encodings_that_are_kept():
    encoder = Encoder(SETTINGS, tokenizer(), truncation="longest_first", per_token=True)
    (rows,) = encoder.encode([(Question(["w1 w2 w3 w4 w5 w6 w7 w8"], 1, []), [0])])
    assert rows[0].encoding is not None
    room = RowCache(1_500)
    room.put(rows[0], output(1))
    assert room.get("w1 w2 w3 w4 w5 w6 w7 w8") is None
    room = RowCache(3_000)
    room.put(rows[0], output(1))
    assert room.get("w1 w2 w3 w4 w5 w6 w7 w8").encoding is rows[0].encoding


def test_threads():
    cache = RowCache(20 * 900)
    wrong = []

    def work(seed):
        chance = np.random.default_rng(seed)
        for number in chance.integers(0, 60, 3000):
            found = cache.get(str(number))
            if found is None:
                cache.put(row(str(number)), output(number))
            elif found.output[0] != number:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    kept = sum(cache.get(str(number)) is not None for number in range(60))
    assert 15 <= kept <= 22
