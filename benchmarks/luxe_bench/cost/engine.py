"""The engine alone, in a process of its own: no server, no waiting, batches of like length.

    python -m luxe_bench.cost.engine TEXT-MODEL'S-VERSION ENGINE'S-VERSION

reads a JSON job a line and answers each with a line; texts and scores go through files.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import queue
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer
from tritonclient.grpc import model_config_pb2

from luxe_bench.cost.worker import say
from luxe_serving.onnx_engine import OnnxEngine
from luxe_serving.text.answers import activate
from luxe_serving.text.settings import Settings

__all__ = ["Engine", "main"]


class Engine:
    """As many sessions as cores, each as it is served.

    Args:
        text: version's folder of the text model.
        engine: version's folder of the engine.
    """

    def __init__(self, text: Path, engine: Path) -> None:
        self.settings = Settings.read(text / "luxe.json")
        self._tokenizer = Tokenizer.from_file(str(text / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.settings.max_length)
        config = text_format.Parse(
            (engine / "config.pbtxt").read_text(encoding="utf-8"), model_config_pb2.ModelConfig()
        )
        parameters = {name: value.string_value for name, value in config.parameters.items()}
        path = engine / (config.default_model_filename or "model.onnx")
        self._threads = len(os.sched_getaffinity(0))
        self._sessions: queue.SimpleQueue[OnnxEngine] = queue.SimpleQueue()
        for _ in range(self._threads):
            self._sessions.put(OnnxEngine(path, parameters))

    def tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the length of each text in tokens, as the engine sees it."""
        return [len(encoding.ids) for encoding in self._tokenizer.encode_batch(list(texts))]

    def batches(self, texts: Sequence[str], size: int) -> NDArray[np.float32]:
        """Return the raw outputs [N, classes]: all texts sorted by length, ``size`` at a time, on all cores."""
        encodings = self._tokenizer.encode_batch(list(texts))
        order = sorted(range(len(texts)), key=lambda i: len(encodings[i].ids), reverse=True)
        outputs = np.empty((len(texts), self.settings.engine_width), np.float32)

        def run(batch: Sequence[int]) -> None:
            outputs[batch] = self._run([encodings[i] for i in batch])

        with concurrent.futures.ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(run, (order[i : i + size] for i in range(0, len(order), size))))
        return outputs

    def alone(self, text: str) -> tuple[float, float, NDArray[np.float32]]:
        """Return the milliseconds of one text with its tokenisation, and without, and its raw output [classes]."""
        began = time.perf_counter()
        encoding = self._tokenizer.encode(text)
        tokenised = time.perf_counter()
        output = self._run([encoding])[0]
        done = time.perf_counter()
        return (done - began) * 1e3, (done - tokenised) * 1e3, output

    def _run(self, batch: Sequence[Encoding]) -> NDArray[np.float32]:
        shape = (len(batch), max(len(encoding.ids) for encoding in batch))
        tensors: dict[str, NDArray[np.int64]] = {
            "input_ids": np.full(shape, self.settings.padding_id, dtype=np.int64),
            "attention_mask": np.zeros(shape, dtype=np.int64),
            "token_type_ids": np.zeros(shape, dtype=np.int64),
        }
        for i, encoding in enumerate(batch):
            length = len(encoding.ids)
            tensors["input_ids"][i, :length] = encoding.ids
            tensors["attention_mask"][i, :length] = 1
            tensors["token_type_ids"][i, :length] = encoding.type_ids
        session = self._sessions.get()
        try:
            (output,) = session.run(
                [self.settings.engine_output], {name: tensors[name] for name in self.settings.engine_inputs}
            )
        finally:
            self._sessions.put(session)
        return output


def main() -> None:
    """Do the jobs of standard input until it ends."""
    engine = Engine(*map(Path, sys.argv[1:]))
    say({"ready": True})
    for line in sys.stdin:
        job = json.loads(line)
        texts = json.loads(Path(job["texts"]).read_text(encoding="utf-8"))
        say(_do(engine, job, texts))


def _do(engine: Engine, job: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    if job["do"] == "tokens":
        return {"tokens": engine.tokens(texts)}
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    if job["do"] == "alone":
        taken = [engine.alone(text) for text in texts]
        raw = np.array([output for *_, output in taken])
    else:
        taken = []
        raw = engine.batches(texts, job["size"])
    answer: dict[str, Any] = {"cpu_s": time.process_time() - cpu_s, "wall_s": time.perf_counter() - wall_s}
    answer["with_tokens_ms"] = [one[0] for one in taken]
    answer["engine_ms"] = [one[1] for one in taken]
    np.save(job["scores"], activate(engine.settings, raw))
    return answer


if __name__ == "__main__":
    main()
