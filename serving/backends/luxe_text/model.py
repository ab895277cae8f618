"""Triton adapter: the `luxe_text` backend. Translates requests and answers; `TextModel` does the work."""

import json
import logging
import math
from pathlib import Path

import triton_python_backend_utils as pb_utils

from luxe_serving.monitoring.metrics_sink import MetricsSink
from luxe_serving.text import tensors
from luxe_serving.text.pending import Refused, Request
from luxe_serving.text.questions import InvalidText
from luxe_serving.text.text_model import TextModel


class TritonPythonModel:
    def initialize(self, args):  # noqa: ANN001, ANN201
        # Standard error is the server's log.
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        self._version = int(args["model_version"])
        folder = Path(args["model_repository"]) / args["model_version"]
        self._families = {}
        self._model = TextModel(folder, self._run_engine)
        self._inputs = [tensor.name for tensor in tensors.inputs(self._model.settings)]
        labels = {"model": args["model_name"], "version": args["model_version"]}
        self._sink = MetricsSink(self._model.metrics, labels, self._new_counter)

    def execute(self, requests):  # noqa: ANN001, ANN201
        # Answers go out through response senders as their micro-batches end. Refusals are returned, all in one message
        # to tritonserver: under overload they are most of what it is told.
        taken, returned = [], []
        for request in requests:
            timeout_us = request.timeout()
            timeout_s = timeout_us / 1e6 if timeout_us else math.inf
            error = self._model.refusal(timeout_s, ahead=sum(not one.bulk for one in taken))
            if error is None:
                try:
                    taken.append(self._unpack(request, timeout_s))
                    returned.append(None)
                    continue
                except Exception as unreadable:
                    # Triton's HTTP lets through what is not UTF-8; raised here, it would fail the whole batch.
                    error = InvalidText(f"the request cannot be read: {unreadable}")
                    self._model.metrics.count("luxe_refusals_total", reason="invalid")
            returned.append(self._response(error, ()))
        self._model.submit(taken)
        return returned

    def finalize(self):  # noqa: ANN201
        self._model.close()
        self._sink.close()

    def _unpack(self, request, timeout_s):  # noqa: ANN001, ANN202
        sender = request.get_response_sender()
        given = {name: pb_utils.get_input_tensor_by_name(request, name) for name in self._inputs}
        wanted = set(request.requested_output_names())
        parameters = json.loads(request.parameters() or "{}")
        return Request(
            arrays={name: tensor.as_numpy() for name, tensor in given.items() if tensor is not None},
            reply=lambda answer: sender.send(
                self._response(answer, wanted), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
            ),
            timeout_s=timeout_s,
            bulk=parameters.get("bulk") is True,
            cancelled=sender.is_cancelled,
            id=request.request_id(),
            traceparent=str(parameters.get("traceparent", "")),
        )

    def _response(self, answer, wanted):  # noqa: ANN001, ANN202
        if isinstance(answer, Exception):
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(answer), _code(answer)))
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

    def _new_counter(self, name, description, labels):  # noqa: ANN001, ANN202
        if name not in self._families:
            self._families[name] = pb_utils.MetricFamily(
                name=name, description=description, kind=pb_utils.MetricFamily.COUNTER
            )
        return self._families[name].Metric(labels=labels).increment


def _code(error):  # noqa: ANN001, ANN202
    if isinstance(error, InvalidText):
        return pb_utils.TritonError.INVALID_ARG
    if isinstance(error, Refused):
        return pb_utils.TritonError.CANCELLED if error.reason == "cancelled" else pb_utils.TritonError.UNAVAILABLE
    return pb_utils.TritonError.INTERNAL
