"""What one would write without luxe: FastAPI and ONNX Runtime, one text a request, no batching.

`--threads 1` is the tuned variant: one ONNX Runtime thread, and a worker process a core.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from tokenizers import Tokenizer

app = FastAPI()


class Comment(BaseModel):
    text: str


if "ENGINE" in os.environ:  # in a worker
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["THREADS"] or 0)  # 0 is the default
    session = onnxruntime.InferenceSession(os.environ["ENGINE"], options)
    tokenizer = Tokenizer.from_file(os.environ["TOKENIZER"])
    tokenizer.enable_truncation(int(os.environ["MAX_LENGTH"]))
    tokenizer.no_padding()
    labels = Path(os.environ["LABELS"]).read_text(encoding="utf-8").splitlines()


@app.post("/classify")
def classify(comment: Comment) -> dict[str, float]:
    encoding = tokenizer.encode(comment.text)
    columns = {
        "input_ids": encoding.ids,
        "attention_mask": encoding.attention_mask,
        "token_type_ids": encoding.type_ids,
    }
    tokens = {node.name: np.array([columns[node.name]], dtype=np.int64) for node in session.get_inputs()}
    (logits,) = session.run(None, tokens)[0]
    powers = np.exp(logits - logits.max())
    return dict(zip(labels, (powers / powers.sum()).tolist(), strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs=3, help="ENGINE TOKENIZER LABELS")
    parser.add_argument("--max-length", default="128")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--threads", default="")
    given = parser.parse_args()
    os.environ.update(zip(("ENGINE", "TOKENIZER", "LABELS"), given.files, strict=True))
    os.environ.update(THREADS=given.threads, MAX_LENGTH=given.max_length)
    workers = len(os.sched_getaffinity(0)) if given.threads else 1
    uvicorn.run("fastapi_server:app", port=given.port, workers=workers, log_level="warning", access_log=False)
