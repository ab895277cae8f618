"""Triton adapter: the `onnxruntime` backend, where the server has no native one."""

import json
import os
from pathlib import Path

import triton_python_backend_utils as pb_utils

from luxe_serving.onnx_engine import OnnxEngine

_BEHIND = 5


class TritonPythonModel:
    def initialize(self, args):  # noqa: ANN001, ANN201
        # Under load engines take all cores; what accepts, refuses and answers needs few moments, but at once.
        os.nice(_BEHIND)
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        file = config["default_model_filename"] or "model.onnx"
        folder = Path(args["model_repository"]) / args["model_version"]
        gpu = int(args["model_instance_device_id"]) if args["model_instance_kind"] == "GPU" else None
        accelerators = config.get("optimization", {}).get("execution_accelerators", {})
        names = [a["name"] for a in accelerators.get("gpu_execution_accelerator", [])] if gpu is not None else []
        self._engine = OnnxEngine(folder / file, parameters, gpu=gpu, accelerators=names)

    def execute(self, requests):  # noqa: ANN001, ANN201
        return [self._answer(request) for request in requests]

    def _answer(self, request):  # noqa: ANN001, ANN202
        try:
            names = request.requested_output_names()
            inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            outputs = self._engine.run(names, inputs)
        except Exception as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        return pb_utils.InferenceResponse([pb_utils.Tensor(n, o) for n, o in zip(names, outputs, strict=True)])
