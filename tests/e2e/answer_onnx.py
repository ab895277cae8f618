"""Run ONNX files with whatever onnxruntime is on the path: ``python answer_onnx.py FOLDER``.

FOLDER holds pairs of ``NAME.onnx`` and ``NAME.inputs.npz``; writes ``NAME.output.npy``, or ``NAME.error.txt``.
Prints the version of onnxruntime.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime

from luxe_serving.onnx_engine import session

for path in sorted(Path(sys.argv[1]).glob("*.onnx")):
    try:
        with np.load(path.with_suffix(".inputs.npz")) as inputs:
            (output,) = session(path).run(None, dict(inputs))
        np.save(path.with_suffix(".output.npy"), output)
    except Exception as error:
        path.with_suffix(".error.txt").write_text(str(error), encoding="utf-8")
print(onnxruntime.__version__)
