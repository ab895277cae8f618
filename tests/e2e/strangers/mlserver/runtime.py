"""The model `comments`, as MLServer runs it. Its port comes from MLSERVER_GRPC_PORT."""

from comments import answer
from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceResponse, ResponseOutput


class Comments(MLModel):
    async def predict(self, payload):
        outputs = answer(StringCodec.decode_input(payload.inputs[0]))
        return InferenceResponse(
            id=payload.id,
            model_name=self.name,
            model_version=self.version,
            outputs=[ResponseOutput(name=n, datatype=d, shape=s, data=values) for n, d, s, values in outputs],
        )
