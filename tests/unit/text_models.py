"""What tests of the code inside Triton share: a tokenizer of a few words, settings, and how to ask."""

import threading

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Replace
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing

from luxe_serving.settings import Settings

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
    engine_instances=1,
)


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
