import numpy as np
import pytest
from architectures import ARCHITECTURES, MAX_LENGTH
from small_kinds import KINDS
from small_models import bring, build, one_thread

from luxe import catalog
from luxe.project import Project
from luxe_export import graph
from luxe_export.checkpoint import source

EXACT = 1e-4


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with one_thread():
        yield


def session(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def tokens_of(brought, loaded):
    cut = "only_first" if brought.kind.task == "zero-shot-classification" else "longest_first"
    rows = [(row,) if isinstance(row, str) else row for row in brought.rows]
    return [dict(loaded.tokenizer(*row, truncation=cut, max_length=MAX_LENGTH)) for row in rows]


def ask(engine, rows, length, padding):
    """The engine's answers to rows padded to ``length``; what it says of padding itself is cut off."""
    names = [value.name for value in engine.get_inputs()]
    feed = {name: np.full((len(rows), length), padding if name == "input_ids" else 0, np.int64) for name in names}
    for i, row in enumerate(rows):
        for name in names:
            feed[name][i, : len(row["input_ids"])] = row[name]
    (answers,) = engine.run(None, feed)
    return [a[: len(r["input_ids"])] if a.ndim == 2 else a for a, r in zip(answers, rows, strict=True)]


def largest_change(path, rows, originals, padding):
    """Against PyTorch: alone, in batches of several sizes, and padded to all that the model reads."""
    engine = session(path)
    padded = [(size, length) for size in (1, 2, 3, 8, len(rows)) for length in (None, MAX_LENGTH)]
    changes = []
    for size, length in padded:
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            answers = ask(engine, batch, length or max(len(row["input_ids"]) for row in batch), padding)
            for answer, original in zip(answers, originals[start:], strict=False):
                assert answer.shape == original.shape
                changes.append(np.abs(answer - original).max())
    return max(changes)


def fuse(path, target, config, *, multi_head_attention=False):
    """As the fp32 candidate is made."""
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    fusions = FusionOptions("bert")
    fusions.use_multi_head_attention = multi_head_attention
    with graph.quiet():
        optimizer.optimize_model(
            str(path),
            model_type="bert",
            num_heads=config.num_attention_heads,
            hidden_size=config.hidden_size,
            optimization_options=fusions,
            opt_level=0,
        ).save_model_to_file(str(target))
    return target


def operators(path):
    import onnx

    return [node.op_type for node in onnx.load(str(path)).graph.node]


def exported(folder, architecture, kind, **changes):
    brought = bring(folder, architecture, kind, "small", tests=24, trains=24)
    loaded = source.load(catalog.load(Project.open(folder), "small"), brought.folder)
    return brought, loaded, graph.to_onnx(loaded, folder / "scratch")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_graph_is_the_model_whatever_the_batch(architecture, tmp_path):
    """Raw and fused; a shape frozen while tracing or a forgotten mask would show in one of the batches."""
    brought, loaded, raw = exported(tmp_path, architecture, "single-label")
    rows = tokens_of(brought, loaded)
    assert len({len(row["input_ids"]) for row in rows}) > 8
    assert max(len(row["input_ids"]) for row in rows) == MAX_LENGTH
    padding = loaded.tokenizer.pad_token_id
    assert largest_change(raw, rows, brought.raw, padding) < EXACT
    fused = fuse(raw, tmp_path / "fused.onnx", loaded.config)
    assert largest_change(fused, rows, brought.raw, padding) < EXACT
    assert len(operators(fused)) < len(operators(raw))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "single-label"])
def test_every_task_has_one_output(kind, tmp_path):
    brought, loaded, raw = exported(tmp_path, "bert", kind)
    rows = tokens_of(brought, loaded)
    outputs = [value.name for value in session(raw).get_outputs()]
    assert outputs == ["embeddings" if kind == "feature-extraction" else "logits"]
    assert largest_change(raw, rows, brought.raw, loaded.tokenizer.pad_token_id) < EXACT
    for row, original in zip(rows, brought.raw, strict=True):
        assert np.abs(loaded.answer(row) - original).max() < 1e-5


@pytest.mark.parametrize("architecture", ["roberta", "mpnet"])
def test_tokens_are_labelled_whatever_the_batch(architecture, tmp_path):
    brought, loaded, raw = exported(tmp_path, architecture, "token-classification")
    rows = tokens_of(brought, loaded)
    fused = fuse(raw, tmp_path / "fused.onnx", loaded.config, multi_head_attention=True)
    for path in (raw, fused):
        assert largest_change(path, rows, brought.raw, loaded.tokenizer.pad_token_id) < EXACT


def test_inputs_are_the_models_own(tmp_path):
    for architecture, more in (("bert", ["token_type_ids"]), ("mpnet", []), ("deberta-v3", [])):
        model, _ = build(architecture, KINDS["feature-extraction"])
        traced = graph.trace(model, "feature-extraction", tmp_path / architecture)
        assert graph.input_names(traced) == ["input_ids", "attention_mask", *more]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """An unpooled graph, its PyTorch model, and tokens of three texts that share a batch."""
    import torch

    model, tokenizer = build("bert", KINDS["feature-extraction"])
    batch = tokenizer(["bal", "kun ten sox bel", "dir " * 60], truncation=True, max_length=MAX_LENGTH, padding=True)
    feed = {name: np.array(ids, np.int64) for name, ids in batch.items()}
    with torch.inference_mode():
        hidden = model(**{name: torch.from_numpy(ids) for name, ids in feed.items()}).last_hidden_state.numpy()
    raw = graph.trace(model, "feature-extraction", tmp_path_factory.mktemp("encoder"))
    return raw, model.config, feed, hidden


def pooled(hidden, mask, pooling, normalize):
    """By hand, text by text."""
    texts = [text[: int(count)] for text, count in zip(hidden, mask.sum(axis=1), strict=True)]
    rows = [text.mean(axis=0) if pooling == "mean" else text[0] for text in texts]
    return np.stack([row / np.linalg.norm(row) if normalize else row for row in rows])


@pytest.mark.parametrize("fused_first", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_pooling(encoder, tmp_path, pooling, normalize, fused_first):
    """Before the fusions or after, the graph ends up as small and as right."""
    raw, config, feed, hidden = encoder
    target = tmp_path / "target.onnx"
    if fused_first:
        graph.pool(fuse(raw, target, config), target, pooling=pooling, normalize=normalize)
    else:
        graph.pool(raw, tmp_path / "pooled.onnx", pooling=pooling, normalize=normalize)
        fuse(tmp_path / "pooled.onnx", target, config)
    (answers,) = session(target).run(["embeddings"], feed)
    assert np.abs(answers - pooled(hidden, feed["attention_mask"], pooling, normalize)).max() < 1e-5
    assert operators(target).count("Attention") == 2
    assert operators(target).count("SkipLayerNormalization") == 4


def test_a_text_of_no_tokens_is_no_division_by_zero(encoder, tmp_path):
    raw, _, feed, _ = encoder
    graph.pool(raw, tmp_path / "pooled.onnx", pooling="mean", normalize=True)
    (answers,) = session(tmp_path / "pooled.onnx").run(None, feed | {"attention_mask": feed["attention_mask"] * 0})
    assert np.isfinite(answers).all()


@pytest.mark.parametrize(("architecture", "kind"), [("bert", "feature-extraction"), ("deberta-v3", "single-label")])
def test_the_same_model_gives_the_same_bytes(architecture, kind, tmp_path):
    brought, loaded, first = exported(tmp_path, architecture, kind)
    again = source.load(loaded.entry, brought.folder)
    assert graph.to_onnx(again, tmp_path / "elsewhere").read_bytes() == first.read_bytes()
