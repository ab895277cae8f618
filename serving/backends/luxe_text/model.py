"""Triton adapter: the `luxe_text` backend. Translates requests and answers; `TextModel` does the work."""

from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from luxe_serving.text_model import InvalidText, TextModel


class TritonPythonModel:
    def initialize(self, args):  # noqa: ANN001, ANN201
        self._version = int(args["model_version"])
        folder = Path(args["model_repository"]) / args["model_version"]
        self._model = TextModel(folder, self._run_engine)
        self._labels = np.array([label.encode() for label in self._model.settings.labels], dtype=object)

    def execute(self, requests):  # noqa: ANN001, ANN201
        # Answers go out through response senders as their micro-batches end, so nothing is returned here.
        self._model.submit([self._unpack(request) for request in requests])

    def finalize(self):  # noqa: ANN201
        self._model.close()

    def _unpack(self, request):  # noqa: ANN001, ANN202
        texts = pb_utils.get_input_tensor_by_name(request, "text").as_numpy().reshape(-1).tolist()
        sender, wanted = request.get_response_sender(), set(request.requested_output_names())
        return texts, lambda answer: sender.send(
            self._response(answer, wanted), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
        )

    def _response(self, answer, wanted):  # noqa: ANN001, ANN202
        if isinstance(answer, Exception):
            invalid = isinstance(answer, InvalidText)
            code = pb_utils.TritonError.INVALID_ARG if invalid else pb_utils.TritonError.INTERNAL
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(answer), code))
        outputs = {
            "scores": answer.scores,
            "labels": np.tile(self._labels, (len(answer.scores), 1)),
            "needs_review": answer.needs_review,
            "truncated": answer.truncated,
        }
        return pb_utils.InferenceResponse([pb_utils.Tensor(n, o) for n, o in outputs.items() if n in wanted])

    def _run_engine(self, tensors):  # noqa: ANN001, ANN202
        """Call the same version of the engine, inside the server (business logic scripting)."""
        response = pb_utils.InferenceRequest(
            model_name=self._model.settings.engine,
            model_version=self._version,
            requested_output_names=["logits"],
            inputs=[pb_utils.Tensor(name, tensor) for name, tensor in tensors.items()],
        ).exec()
        if response.has_error():
            raise RuntimeError(f"engine: {response.error().message()}")
        return pb_utils.get_output_tensor_by_name(response, "logits").as_numpy()
