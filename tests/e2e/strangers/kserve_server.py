"""The model `comments`, as KServe's own server runs it: `kserve_server.py PORT`, gRPC on loopback only.

That is kserve's servicer and data plane, without the command around them, which listens on every address.
"""

import asyncio
import sys

from comments import answer
from grpc import aio
from kserve import InferOutput, InferResponse, Model, ModelRepository
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension


class Comments(Model):
    def __init__(self):
        super().__init__("comments")
        self.ready = True

    async def predict(self, payload, headers=None, response_headers=None):
        texts = [text.decode() for text in payload.inputs[0].as_numpy().ravel()]
        outputs = [InferOutput(n, s, d, values) for n, d, s, values in answer(texts)]
        return InferResponse(payload.id, self.name, outputs, model_version="v3")


async def main(port):
    models = ModelRepository()
    models.update(Comments())
    servicer = InferenceServicer(DataPlane(models), ModelRepositoryExtension(models))
    server = aio.server()
    grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


asyncio.run(main(sys.argv[1]))
