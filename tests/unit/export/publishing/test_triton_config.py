import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from luxe.verify import LOADED
from luxe_export.publishing import triton_config
from luxe_serving.launcher.override import AUTO_INSTANCES

INPUTS = ["input_ids", "attention_mask", "token_type_ids"]

# What NVIDIA's backend reads from `parameters` (onnxruntime_backend: src/onnxruntime.cc and README).
NATIVE_PARAMETERS = {
    "execution_mode",
    "intra_op_thread_count",
    "inter_op_thread_count",
    "enable_mem_arena",
    "enable_mem_pattern",
    "memory.enable_memory_arena_shrinkage",
    "session.use_device_allocator_for_initializers",
    "share_session_between_instances",
}


@pytest.fixture
def odd(entry):
    """An entry whose numbers all differ, so that none can stand in for another."""
    numbers = {
        "max_batch_size": 33,
        "max_micro_batch": 7,
        "max_queue": 501,
        "engine_instances": 3,
        "intra_op_threads": 5,
    }
    serving = entry.serving.model_copy(update=numbers)
    return entry.model_copy(update={"name": "colours", "serving": serving, "labels": ("red", "green", "blue")})


@pytest.fixture
def engine(odd):
    return read(triton_config.engine(odd, INPUTS))


@pytest.fixture
def text(odd):
    return read(triton_config.text(odd))


def read(config):
    """What Triton reads from the file that is written."""
    written = triton_config.to_text(config)
    back = text_format.Parse(written, pb.ModelConfig())
    assert back == config
    return back


def tensors(items):
    return [(i.name, i.data_type, list(i.dims)) for i in items]


def test_the_engine(engine):
    assert engine.name == "colours-engine"
    assert engine.backend == "onnxruntime"
    assert engine.default_model_filename == triton_config.ENGINE_FILE
    assert engine.max_batch_size == 33
    assert tensors(engine.input) == [(name, pb.TYPE_INT64, [-1]) for name in INPUTS]
    assert tensors(engine.output) == [("logits", pb.TYPE_FP32, [3])]
    assert [(g.kind, g.count) for g in engine.instance_group] == [(pb.ModelInstanceGroup.KIND_CPU, 3)]


def test_the_engine_takes_the_inputs_of_its_file(odd):
    config = triton_config.engine(odd, ["input_ids", "attention_mask"])
    assert [i.name for i in config.input] == ["input_ids", "attention_mask"]


def test_the_engine_keeps_two_versions(engine, text):
    """Else a text model of version N loses the engine of version N in the middle of an update."""
    assert engine.version_policy.latest.num_versions == LOADED
    assert text.version_policy.latest.num_versions == 1


def test_the_engines_parameters_are_the_native_backends(engine):
    parameters = {name: value.string_value for name, value in engine.parameters.items()}
    assert parameters.keys() <= NATIVE_PARAMETERS
    assert parameters["intra_op_thread_count"] == "5"
    assert parameters["inter_op_thread_count"] == "1"


def test_the_engine_makes_no_batches_of_its_own(engine):
    assert not engine.HasField("dynamic_batching")


def test_the_text_model(text):
    assert text.name == "colours"
    assert text.backend == "luxe_text"
    assert text.max_batch_size == 33
    assert tensors(text.input) == [("text", pb.TYPE_STRING, [1])]
    assert tensors(text.output) == [
        ("scores", pb.TYPE_FP32, [3]),
        ("labels", pb.TYPE_STRING, [3]),
        ("needs_review", pb.TYPE_BOOL, [1]),
        ("truncated", pb.TYPE_BOOL, [1]),
        ("timings", pb.TYPE_FP32, [3]),
    ]
    assert [o.label_filename for o in text.output] == [triton_config.LABELS_FILE, "", "", "", ""]
    assert [(g.kind, g.count) for g in text.instance_group] == [(pb.ModelInstanceGroup.KIND_CPU, 1)]


def of(odd, task, **changes):
    """The entry as one of another task."""
    return odd.model_copy(update={"task": task, "labels": (), **changes})


TAGS = {"labels": ("O", "B-PER", "I-PER")}
TEXT, PAIR = ("text", pb.TYPE_STRING, [1]), ("text_pair", pb.TYPE_STRING, [1])
OF_EVERY_TASK = ("truncated", pb.TYPE_BOOL, [1]), ("timings", pb.TYPE_FP32, [3])


@pytest.mark.parametrize(
    ("task", "changes", "width", "engine_output", "inputs", "outputs"),
    [
        (
            "token-classification",
            TAGS,
            None,
            ("logits", [-1, 3]),
            [TEXT],
            [
                ("labels", pb.TYPE_STRING, [-1]),
                ("scores", pb.TYPE_FP32, [-1]),
                ("starts", pb.TYPE_INT32, [-1]),
                ("ends", pb.TYPE_INT32, [-1]),
                *OF_EVERY_TASK,
            ],
        ),
        (
            "feature-extraction",
            {},
            384,
            ("embeddings", [384]),
            [TEXT],
            [("embeddings", pb.TYPE_FP32, [384]), *OF_EVERY_TASK],
        ),
        (
            "zero-shot-classification",
            {"labels": ("sad", "glad")},
            3,
            ("logits", [3]),
            [TEXT, ("candidate_labels", pb.TYPE_STRING, [-1]), ("multi_label", pb.TYPE_BOOL, [1])],
            [("scores", pb.TYPE_FP32, [-1]), *OF_EVERY_TASK],
        ),
        ("text-ranking", {}, None, ("logits", [1]), [TEXT, PAIR], [("scores", pb.TYPE_FP32, [1]), *OF_EVERY_TASK]),
        (
            "text-classification",
            {"text_pairs": True, "labels": ("yes", "no")},
            None,
            ("logits", [2]),
            [TEXT, PAIR],
            [
                ("scores", pb.TYPE_FP32, [2]),
                ("labels", pb.TYPE_STRING, [2]),
                ("needs_review", pb.TYPE_BOOL, [1]),
                *OF_EVERY_TASK,
            ],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_tensors_of_each_task(odd, task, changes, width, engine_output, inputs, outputs):
    entry = of(odd, task, **changes)
    engine, text = read(triton_config.engine(entry, INPUTS, width=width)), read(triton_config.text(entry, width=width))
    name, dims = engine_output
    assert tensors(engine.output) == [(name, pb.TYPE_FP32, dims)]
    assert name == triton_config.output_name(entry)
    assert tensors(text.input) == inputs
    assert tensors(text.output) == outputs
    named = [o.name for o in text.output if o.label_filename]
    assert named == (["scores"] if task == "text-classification" else [])
    assert [i.name for i in text.input if i.optional] == (["multi_label"] if "zero-shot" in task else [])
    # Requests with other numbers of candidate labels are batched together all the same.
    ragged = [i.name for i in text.input if i.allow_ragged_batch]
    assert ragged == (["candidate_labels"] if "zero-shot" in task else [])


@pytest.mark.parametrize("task", ["feature-extraction", "zero-shot-classification"])
def test_an_engine_whose_width_the_catalogue_does_not_know(odd, task):
    for config in (lambda e: triton_config.engine(e, INPUTS), triton_config.text):
        with pytest.raises(ValueError, match=f"how wide the engine of a {task} model is"):
            config(of(odd, task))


def test_the_text_model_is_not_decoupled(text):
    """A decoupled model cannot be batched dynamically by unary callers, nor cached."""
    assert not text.model_transaction_policy.decoupled


def test_the_queue(text):
    assert text.HasField("dynamic_batching")
    policy = text.dynamic_batching.default_queue_policy
    assert policy.max_queue_size == 501
    assert policy.timeout_action == pb.ModelQueuePolicy.REJECT
    assert policy.allow_timeout_override
    assert policy.default_timeout_microseconds == 0
    assert text.dynamic_batching.max_queue_delay_microseconds == 0


def test_the_entry_of_the_shipped_catalogue(entry):
    engine, text = read(triton_config.engine(entry, INPUTS)), read(triton_config.text(entry))
    assert engine.max_batch_size == text.max_batch_size == entry.serving.max_batch_size
    assert (entry.serving.engine_instances, engine.parameters[AUTO_INSTANCES].string_value) == (None, "auto")
    assert list(engine.output[0].dims) == list(text.output[0].dims) == [len(entry.labels)]
    assert engine.max_batch_size >= entry.serving.max_micro_batch
