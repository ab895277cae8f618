"""Small models of every architecture: a transformers config, a fast tokenizer of the architecture's own kind, weights.

Weights are random and far from degenerate: embeddings stand out of the normalisations, every bias and every gain is
moved, so that a fusion which drops one is seen. See `small_models` for heads, data and what PyTorch says of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

__all__ = ["ARCHITECTURES", "MAX_LENGTH", "WORDS", "Architecture", "initialise"]

MAX_LENGTH = 48
WORDS = [f"{a}{b}{c}" for a in "bdkmst" for b in "aeiou" for c in "lnrx"]
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SIGNS = ".,:?!-0123456789"
_SHAPE = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}


@dataclasses.dataclass(frozen=True)
class Architecture:
    """How to make one; both are called anew for each model."""

    config: Callable[..., Any]
    """Takes the tokenizer's size as ``vocab_size`` and whatever a transformers config takes."""
    tokenizer: Callable[[], Any]


def initialise(model: Any, *, gain: float = 1.0, seed: int = 20) -> None:
    """Set all weights of a transformers model. At ``gain`` 1 little is lost in 8 bits; more makes texts interact."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "word_embeddings" in name:
                parameter.copy_(noise)
            elif "embeddings" in name and parameter.dim() == 2:  # positions, absolute or relative, and types
                parameter.copy_(0.4 * noise)
            elif parameter.dim() == 1 and name.endswith("weight"):  # of a normalisation
                parameter.copy_(1.0 + 0.1 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(0.1 * noise)
            else:
                fan_in = parameter[0].numel()
                parameter.copy_(gain * noise / fan_in**0.5)


def _word_piece(special: list[str], unknown: str) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    pieces = [*special, *_LETTERS, *(f"##{c}" for c in _LETTERS), *_SIGNS, *WORDS]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _unigram(special: list[str], unknown: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    pieces = [(piece, 0.0) for piece in special]
    pieces += [("▁", -3.0), *((c, -9.0) for c in _LETTERS + _SIGNS)]
    pieces += [(f"▁{word}", -5.0 - i / 100) for i, word in enumerate(WORDS)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=special.index(unknown)))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def _template(tokenizer: Any, one: str, two: str, *special: str) -> None:
    from tokenizers import processors

    tokenizer.post_processor = processors.TemplateProcessing(
        single=one, pair=two, special_tokens=[(piece, tokenizer.token_to_id(piece)) for piece in special]
    )


def _bert_tokenizer(kind: str) -> Any:
    import transformers

    tokenizer = _word_piece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "[UNK]")
    _template(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", "[CLS]", "[SEP]")
    return getattr(transformers, kind)(tokenizer_object=tokenizer, model_max_length=MAX_LENGTH)


def _roberta_tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import RobertaTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],  # RoBERTa's order: its padding is 1, not 0
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS[i::3]) for i in range(3)], trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return RobertaTokenizerFast(tokenizer_object=tokenizer, model_max_length=MAX_LENGTH)


def _xlm_roberta_tokenizer() -> Any:
    from transformers import XLMRobertaTokenizerFast

    tokenizer = _unigram(["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<unk>")
    _template(tokenizer, "<s> $A </s>", "<s> $A </s> </s> $B </s>", "<s>", "</s>")
    return XLMRobertaTokenizerFast(tokenizer_object=tokenizer, model_max_length=MAX_LENGTH)


def _deberta_tokenizer() -> Any:
    from transformers import DebertaV2TokenizerFast

    tokenizer = _unigram(["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"], "[UNK]")
    _template(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", "[CLS]", "[SEP]")
    return DebertaV2TokenizerFast(tokenizer_object=tokenizer, model_max_length=MAX_LENGTH)


def _albert_tokenizer() -> Any:
    from transformers import AlbertTokenizerFast

    tokenizer = _unigram(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], "<unk>")
    _template(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", "[CLS]", "[SEP]")
    return AlbertTokenizerFast(tokenizer_object=tokenizer, model_max_length=MAX_LENGTH)


def _mpnet_tokenizer() -> Any:
    from tokenizers import processors
    from transformers import MPNetTokenizerFast

    tokenizer = _word_piece(["<s>", "<pad>", "</s>", "[UNK]", "<mask>"], "[UNK]")
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return MPNetTokenizerFast(tokenizer_object=tokenizer, model_max_length=MAX_LENGTH)


def _bert(**given: Any) -> Any:
    from transformers import BertConfig

    return BertConfig(**_SHAPE, max_position_embeddings=MAX_LENGTH, **given)


def _distilbert(**given: Any) -> Any:
    from transformers import DistilBertConfig

    return DistilBertConfig(dim=64, n_layers=2, n_heads=4, hidden_dim=128, max_position_embeddings=MAX_LENGTH, **given)


def _roberta(**given: Any) -> Any:
    from transformers import RobertaConfig

    return RobertaConfig(**_SHAPE, **_ROBERTA, **given)


def _xlm_roberta(**given: Any) -> Any:
    from transformers import XLMRobertaConfig

    return XLMRobertaConfig(**_SHAPE, **_ROBERTA, **given)


# The first position is the padding id + 1.
_ROBERTA = {
    "max_position_embeddings": MAX_LENGTH + 2,
    "type_vocab_size": 1,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}


def _deberta(**given: Any) -> Any:
    from transformers import DebertaV2Config

    return DebertaV2Config(
        **_SHAPE,
        max_position_embeddings=MAX_LENGTH,
        relative_attention=True,
        max_relative_positions=-1,
        position_buckets=8,  # few, so that distant tokens share one
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        type_vocab_size=0,
        pad_token_id=0,
        pooler_hidden_size=64,
        pooler_dropout=0.0,
        pooler_hidden_act="gelu",
        **given,
    )


def _deberta_v2(**given: Any) -> Any:
    """As DeBERTa-v2 XLarge: a convolution beside the first layer."""
    return _deberta(conv_kernel_size=3, conv_act="gelu", **given)


def _electra(**given: Any) -> Any:
    from transformers import ElectraConfig

    return ElectraConfig(**_SHAPE, embedding_size=32, max_position_embeddings=MAX_LENGTH, **given)


def _albert(**given: Any) -> Any:
    from transformers import AlbertConfig

    return AlbertConfig(
        **_SHAPE,
        embedding_size=32,
        max_position_embeddings=MAX_LENGTH,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        **given,
    )


def _mpnet(**given: Any) -> Any:
    from transformers import MPNetConfig

    return MPNetConfig(**_SHAPE, max_position_embeddings=MAX_LENGTH + 2, **given)


ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture(_bert, lambda: _bert_tokenizer("BertTokenizerFast")),
    "distilbert": Architecture(_distilbert, lambda: _bert_tokenizer("DistilBertTokenizerFast")),
    "roberta": Architecture(_roberta, _roberta_tokenizer),
    "xlm-roberta": Architecture(_xlm_roberta, _xlm_roberta_tokenizer),
    "deberta-v2": Architecture(_deberta_v2, _deberta_tokenizer),
    "deberta-v3": Architecture(_deberta, _deberta_tokenizer),
    "electra": Architecture(_electra, lambda: _bert_tokenizer("ElectraTokenizerFast")),
    "albert": Architecture(_albert, _albert_tokenizer),
    "mpnet": Architecture(_mpnet, _mpnet_tokenizer),
}
