"""What tests of the code inside Triton share: a tokenizer of a few words, settings, and how to ask."""

import threading
import time

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Replace
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing

from luxe_serving.text.pending import Request
from luxe_serving.text.settings import Settings

WAIT_S = 15.0
WORDS = [f"w{i}" for i in range(40)]
SPECIAL = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "bad", "hold"]
VOCAB = {word: i for i, word in enumerate([*SPECIAL, *WORDS])}
LABELS = ("red", "green", "blue")
SETTINGS = Settings(
    engine="colours-engine",
    engine_inputs=("input_ids", "attention_mask", "token_type_ids"),
    engine_output="logits",
    engine_width=3,
    task="text-classification",
    problem_type="single_label_classification",
    text_pairs=False,
    labels=LABELS,
    max_length=12,
    padding_id=3,
    review_threshold=0.6,
    aggregation_strategy="simple",
    hypothesis_template="w30 {} w31",
    entailment_id=None,
    contradiction_id=None,
    ranking_activation="sigmoid",
    max_batch_size=4,
    max_micro_batch=4,
    max_padding_share=0.3,
    max_text_bytes=200,
    auto_truncate=True,
    max_wait_ms=60_000,
    bulk_patience_ms=1000,
    cache_bytes=0,
    engine_instances=1,
    intra_op_threads=1,
)
# Logits of a text: the mean of its tokens' rows.
TABLE = np.random.default_rng(1).normal(scale=3.0, size=(len(VOCAB), len(LABELS)))


def engine(tensors):
    mask = tensors["attention_mask"]
    return (TABLE[tensors["input_ids"]] * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)


def direct(text):
    """What a text must get, computed alone and without the code under test."""
    words = text.split()[: SETTINGS.max_length - 2]
    ids = [VOCAB["[CLS]"], *(VOCAB.get(word, VOCAB["[UNK]"]) for word in words), VOCAB["[SEP]"]]
    exps = np.exp(TABLE[ids].mean(axis=0))
    return exps / exps.sum()


def assert_answers(answer, texts):
    assert isinstance(answer, dict), answer
    np.testing.assert_allclose(answer["scores"], [direct(t) for t in texts], rtol=1e-5)


def tokenizer(*, special=True):
    result = Tokenizer(WordLevel(VOCAB, unk_token="[UNK]"))
    result.pre_tokenizer = WhitespaceSplit()
    result.normalizer = Replace("dropped", "")
    if special:
        marks = [(mark, VOCAB[mark]) for mark in ("[CLS]", "[SEP]")]
        result.post_processor = TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=marks
        )
    return result


def column(texts):
    """Texts as a request carries them, [N, 1]."""
    return table([[text] for text in texts], width=1)


def table(rows, *, width):
    """Rows of as many texts each as a request carries them, [N, width]."""
    encoded = [[text if isinstance(text, bytes) else text.encode() for text in row] for row in rows]
    return np.array(encoded, dtype=object).reshape(len(rows), width)


class Replies:
    """Collects the replies to numbered requests."""

    def __init__(self):
        self.by_request = {}
        self._changed = threading.Condition()

    def __call__(self, request):
        def reply(answer):
            with self._changed:
                self.by_request.setdefault(request, []).append(answer)
                self._changed.notify_all()

        return reply

    def wait(self, count, *, timeout_s=WAIT_S):
        with self._changed:
            done = self._changed.wait_for(lambda: len(self.by_request) >= count, timeout_s)
        assert done, f"{len(self.by_request)} of {count} requests were answered"
        return [self.only(request) for request in range(count)]

    def only(self, request):
        (answer,) = self.by_request[request]
        return answer


def submit(model, requests, **options):
    """Submit requests together, each its texts and its reply; options are of every `Request`."""
    model.submit([Request({"text": column(texts)}, reply, **options) for texts, reply in requests])


def ask(model, *requests, **options):
    """Submit requests, each a list of texts, together; return their answers."""
    replies = Replies()
    submit(model, [(texts, replies(i)) for i, texts in enumerate(requests)], **options)
    return replies.wait(len(requests))


class Gate:
    """An engine that stands still at a text with the word "hold" until it is opened."""

    def __init__(self, then=engine):
        self.batches = []
        self.reached = threading.Event()
        self.opened = threading.Event()
        self._then = then

    def __call__(self, tensors):
        self.batches.append(tensors)
        if (tensors["input_ids"] == VOCAB["hold"]).any():
            self.reached.set()
            assert self.opened.wait(WAIT_S)
        return self._then(tensors)

    def hold(self, model, replies, request=0, **options):
        submit(model, [(["hold"], replies(request))], **options)
        assert self.reached.wait(WAIT_S)

    def seen(self):
        """The texts that came, batch by batch, special tokens left out."""
        names = {number: word for word, number in VOCAB.items() if word not in ("[CLS]", "[SEP]", "[PAD]")}
        rows = [[[names.get(i) for i in row] for row in batch["input_ids"].tolist()] for batch in self.batches]
        return [[" ".join(filter(None, row)) for row in batch] for batch in rows]


def eventually(condition):
    """Wait until something is so that happens in another thread, after what a test can wait for."""
    until = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)
