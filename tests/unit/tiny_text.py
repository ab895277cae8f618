"""A tokenizer of a few words, built here and not downloaded."""

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

__all__ = ["tokenizer"]

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def tokenizer(words, max_length=512):
    """Return a fast tokenizer as BERT has it, for lower-case words."""
    vocabulary = {word: i for i, word in enumerate([*_SPECIAL, *words])}
    raw = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    raw.normalizer = normalizers.Lowercase()
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=max_length,
    )
