"""Triton adapter: the `luxe_text` backend. Translates requests and answers; `TextModel` does the work."""

from pathlib import Path

import triton_python_backend_utils as pb_utils

from luxe_serving import tensors
from luxe_serving.questions import InvalidText
from luxe_serving.text_model import TextModel


class TritonPythonModel:
    def initialize(self, args):  # noqa: ANN001, ANN201
        self._version = int(args["model_version"])
        folder = Path(args["model_repository"]) / args["model_version"]
        self._model = TextModel(folder, self._run_engine)
        self._inputs = [tensor.name for tensor in tensors.inputs(self._model.settings)]

    def execute(self, requests):  # noqa: ANN001, ANN201
        # Answers go out through response senders as their micro-batches end, so nothing is returned here.
        self._model.submit([self._unpack(request) for request in requests])

    def finalize(self):  # noqa: ANN201
        self._model.close()

    def _unpack(self, request):  # noqa: ANN001, ANN202
        given = {name: pb_utils.get_input_tensor_by_name(request, name) for name in self._inputs}
        arrays = {name: tensor.as_numpy() for name, tensor in given.items() if tensor is not None}
        sender, wanted = request.get_response_sender(), set(request.requested_output_names())
        return arrays, lambda answer: sender.send(
            self._response(answer, wanted), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
        )

    def _response(self, answer, wanted):  # noqa: ANN001, ANN202
        if isinstance(answer, Exception):
            invalid = isinstance(answer, InvalidText)
            code = pb_utils.TritonError.INVALID_ARG if invalid else pb_utils.TritonError.INTERNAL
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(answer), code))
        return pb_utils.InferenceResponse([pb_utils.Tensor(n, o) for n, o in answer.items() if n in wanted])

    def _run_engine(self, tokens):  # noqa: ANN001, ANN202
        """Call the same version of the engine, inside the server (business logic scripting)."""
        output = self._model.settings.engine_output
        response = pb_utils.InferenceRequest(
            model_name=self._model.settings.engine,
            model_version=self._version,
            requested_output_names=[output],
            inputs=[pb_utils.Tensor(name, tensor) for name, tensor in tokens.items()],
        ).exec()
        if response.has_error():
            raise RuntimeError(f"engine: {response.error().message()}")
        return pb_utils.get_output_tensor_by_name(response, output).as_numpy()
