import shutil

import pytest
from checkpoint_files import LABELS
from small_models import bring

from luxe import catalog
from luxe.project import Project


@pytest.fixture
def colours(entry):
    return entry.model_copy(update={"name": "colours", "labels": LABELS, "base": None, "max_length": 16})


@pytest.fixture(scope="package")
def whole(tmp_path_factory):
    """A whole model's checkpoint, a thousand weights small and untrained."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("whole")
    config = BertConfig(
        vocab_size=8,
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=4,
        max_position_embeddings=16,
        id2label=dict(enumerate(LABELS)),
        label2id={label: i for i, label in enumerate(LABELS)},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    words = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "red", "green"])}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "checkpoint")


@pytest.fixture(scope="package")
def tasks(tmp_path_factory):
    """A folder and an entry by kind."""
    root = tmp_path_factory.mktemp("tasks")

    def made(kind, folder):
        if not (root / "checkpoints" / kind).exists():
            bring(root, "bert", kind, kind, tests=24, trains=4)
        shutil.copytree(root / "checkpoints" / kind, folder)
        return catalog.load(Project.open(root), kind), folder

    return made
