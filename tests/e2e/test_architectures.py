"""Whole models of other architectures, as an engineer brings them: exported, updated, and served beside each other."""

import json
import signal

import numpy as np
import pytest
import tritonclient.grpc
from e2e_support import Serving, luxe, manifest, set_key

from luxe import catalog
from luxe.project import Project
from luxe_client import Client

LABELS = ("red", "green", "blue")
WORDS = [f"{a}{b}{c}" for a in "bdkmst" for b in "aeiou" for c in "lnrx"]
MAX_LENGTH = 48
END_S = 40.0

CATALOGUE = f"""\
description = "Colours of words, for a test"
task = "text-classification"
labels = {json.dumps(LABELS)}
max_length = {MAX_LENGTH}
review_threshold = 0.5

[quality]
min_macro_f1 = 0.5
max_macro_f1_drop = 0.5
min_label_agreement = 0.5
max_probability_change = 0.9
max_batch_probability_change = 0.0001

[serving]
max_batch_size = 32
max_micro_batch = 8
max_padding_share = 0.9
max_text_bytes = 4096
max_queue = 64
engine_instances = 1
intra_op_threads = 1

[slo]
requests_per_s = 10
p50_ms = 1000
p95_ms = 1000
p99_ms = 1000
max_error_share = 0.0
"""


def texts():
    """Texts of two words to more than the model reads."""
    random = np.random.default_rng(20)
    return [" ".join(random.choice(WORDS, size)) for size in random.integers(2, 60, size=60)]


def distilbert():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import DistilBertConfig, DistilBertForSequenceClassification, DistilBertTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz")]
    vocabulary = {word: i for i, word in enumerate([*special, *letters, *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    config = DistilBertConfig(
        vocab_size=len(vocabulary), dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=MAX_LENGTH
    )
    return DistilBertForSequenceClassification, config, DistilBertTokenizerFast(tokenizer_object=tokenizer)


def roberta():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import RobertaConfig, RobertaForSequenceClassification, RobertaTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    # The order that RoBERTa has: its padding is 1, not 0.
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts(), trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    config = RobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        # RoBERTa's first position is its padding id + 1.
        max_position_embeddings=MAX_LENGTH + 2,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    return RobertaForSequenceClassification, config, RobertaTokenizerFast(tokenizer_object=tokenizer)


BRING = {"tiny-distilbert": distilbert, "tiny-roberta": roberta}


def logits_of(model, tokenizer):
    """What PyTorch says, each text alone. [N, L]"""
    import torch

    with torch.inference_mode():
        return torch.cat(
            [model(**tokenizer(t, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")).logits for t in texts()]
        ).double()


def bring(project, name):
    """Write a checkpoint, its catalogue entry, and test data whose labels are its own answers."""
    import torch

    kind, config, tokenizer = BRING[name]()
    config.id2label = dict(enumerate(LABELS))
    config.label2id = {label: i for i, label in enumerate(LABELS)}
    torch.manual_seed(20)
    model = kind(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(0.0, 0.25)
        head = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m.out_features == len(LABELS)][-1]
        # Spread the answers over all labels, well apart.
        logits = logits_of(model, tokenizer)
        head.weight.mul_(3.0 / float(logits.std(dim=0).mean()))
        head.bias.zero_()
        head.bias.sub_(logits_of(model, tokenizer).mean(dim=0).float())
    logits = logits_of(model, tokenizer)
    answers = logits.argmax(dim=1).tolist()
    assert min(answers.count(i) for i in range(len(LABELS))) >= 5, "the test model must use all of its labels"
    model.save_pretrained(project.checkpoint(name))
    tokenizer.save_pretrained(project.checkpoint(name))
    (project.catalog / f"{name}.toml").write_text(CATALOGUE, encoding="utf-8")
    project.data(name).mkdir(parents=True)
    rows = [json.dumps({"text": t, "label": LABELS[a]}) for t, a in zip(texts(), answers, strict=True)]
    (project.data(name) / "test.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return torch.softmax(logits, dim=1).numpy()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """A project with two models of other architectures, both exported; and PyTorch's probabilities by name."""
    root = tmp_path_factory.mktemp("fleet")
    (root / "catalog").mkdir()
    project = Project.open(root)
    originals = {}
    for name in BRING:
        originals[name] = bring(project, name)
        done = luxe("export", name, "--root", root)
        assert done.status == 0, done.err
        assert f"published {name} version 1" in done.err
    return project, originals


@pytest.fixture(scope="module")
def both(fleet, tmp_path_factory):
    """Both served beside each other."""
    project, _ = fleet
    serving = Serving(project.root, tmp_path_factory.mktemp("both"))
    try:
        yield serving.until_ready()
        serving.signal(signal.SIGTERM)
        assert serving.end(timeout_s=END_S) == 0
        assert serving.left() == []
    finally:
        serving.kill()


def measured(project, name):
    """What the gate measured of the published candidate."""
    published = manifest(project, name)
    return next(c["measurement"] for c in published["candidates"] if c["candidate"] == published["precision"])


def probabilities(answers):
    return np.array([list(answer.scores.values()) for answer in answers])


@pytest.mark.parametrize("name", BRING)
def test_every_candidate_could_be_built(fleet, name):
    project, _ = fleet
    not_built = [c for c in manifest(project, name)["candidates"] if c["measurement"] is None]
    assert not_built == []


@pytest.mark.parametrize("name", BRING)
def test_the_graph_is_right_and_per_token_needs_no_neighbours(fleet, name):
    """How exact int8 is depends on the CPU (without VNNI, 8-bit weights saturate), so only fp32 is held to PyTorch."""
    project, _ = fleet
    by_name = {c["candidate"]: c["measurement"] for c in manifest(project, name)["candidates"]}
    assert by_name["fp32"]["max_probability_change"] < 1e-4
    assert by_name["int8-per-token"]["max_batch_probability_change"] < 1e-4


@pytest.mark.parametrize("name", BRING)
def test_served_answers_are_the_originals(fleet, both, name):
    project, originals = fleet
    with Client(both.address.grpc, timeout_s=30.0, batch_size=16) as client:
        got = probabilities(client.classify(name, texts()))
    assert np.abs(got - originals[name]).max() <= measured(project, name)["max_probability_change"] + 1e-4


@pytest.mark.parametrize("name", BRING)
def test_padding_changes_no_answer(both, name):
    """Short and long texts share a micro-batch here, so the padding token and its mask matter."""
    with Client(both.address.grpc, timeout_s=30.0, batch_size=16) as client:
        together = probabilities(client.classify(name, texts()))
        alone = probabilities([client.classify(name, text) for text in texts()])
    assert np.abs(together - alone).max() < 1e-4


@pytest.mark.parametrize("name", BRING)
def test_what_is_cut_says_so(both, fleet, name):
    from transformers import AutoTokenizer

    project, _ = fleet
    tokenizer = AutoTokenizer.from_pretrained(project.checkpoint(name))
    with Client(both.address.grpc, timeout_s=30.0, batch_size=16) as client:
        said = [answer.truncated for answer in client.classify(name, texts())]
    assert said == [len(tokenizer(text)["input_ids"]) > MAX_LENGTH for text in texts()]
    assert {True, False} == set(said)


def test_predict_takes_more_lines_than_the_model_takes_in_one_request(both):
    stdin = "\n".join(texts()).encode()
    done = luxe("predict", "tiny-roberta", "--json", "--address", both.address.grpc, stdin=stdin)
    assert done.status == 0, done.err
    assert len(done.out.splitlines()) == len(texts())


def test_a_new_version_is_served_after_a_restart_beside_the_old_engine(fleet, both, serve):
    """The running server keeps version 1; the next one serves 2, and the engine in both versions."""
    project, originals = fleet
    name = "tiny-distilbert"
    set_key(project.catalog / f"{name}.toml", "review_threshold", "0.99")
    done = luxe("export", name, "--root", project.root)
    assert done.status == 0, done.err
    assert f"published {name} version 2" in done.err
    assert catalog.load(project, name).review_threshold == 0.99
    with Client(both.address.grpc, timeout_s=30.0, batch_size=16) as client:
        assert {a.version for a in client.classify(name, texts())} == {"1"}

    after = serve(project.root).until_ready()
    with Client(after.address.grpc, timeout_s=30.0, batch_size=16) as client:
        answers = client.classify(name, texts())
        assert {a.version for a in answers} == {"2"}
        assert [a.needs_review for a in answers] == [a.score < 0.99 for a in answers]
        assert client.classify("tiny-roberta", "bal") is not None
    assert np.abs(probabilities(answers) - originals[name]).max() <= 0.9
    settings = json.loads((project.repository / name / "2" / "luxe.json").read_text(encoding="utf-8"))
    with tritonclient.grpc.InferenceServerClient(after.address.grpc) as raw:
        for version in ("1", "2"):
            inputs = []
            for tensor in settings["engine_inputs"]:
                inputs.append(tritonclient.grpc.InferInput(tensor, [1, 4], "INT64"))
                inputs[-1].set_data_from_numpy(np.ones((1, 4), np.int64))
            logits = raw.infer(settings["engine"], inputs, model_version=version).as_numpy("logits")
            assert logits.shape == (1, len(LABELS))
            assert np.isfinite(logits).all()
        assert not raw.is_model_ready(name, "1")
    after.signal(signal.SIGTERM)
    assert after.end(timeout_s=END_S) == 0
