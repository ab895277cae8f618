"""Asks a server with KServe's clients: `kserve_client.py GRPC HTTP MODEL`, texts as JSON on standard input.

Prints what each of them got, as JSON.
"""

import asyncio
import json
import sys

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

ID = "page-17"


def request(model, texts, *, packed):
    tensor = InferInput("text", [len(texts), 1], "BYTES", data=None if packed else texts)
    if packed:
        tensor.set_data_from_numpy(np.array([[text.encode()] for text in texts], dtype=object), binary_data=True)
    return InferRequest(model_name=model, request_id=ID, infer_inputs=[tensor])


def said(response):
    """What both protocols say of the texts."""
    outputs = {output.name: output.as_numpy() for output in response.outputs}
    return {
        "id": response.id,
        "model": [response.model_name, response.model_version],
        "scores": outputs["scores"].tolist(),
        "labels": [label.decode() if isinstance(label, bytes) else label for label in outputs["labels"][0]],
        "needs_review": outputs["needs_review"].ravel().tolist(),
    }


async def over_grpc(address, model, texts):
    async with InferenceGRPCClient(address, retries=0) as client:
        found = {
            "server": [await client.is_server_live(), await client.is_server_ready()],
            "model": [await client.is_model_ready(model), await client.is_model_ready("nobody-has-this")],
            "in lists": said(await client.infer(request(model, texts, packed=False))),
            "packed": said(await client.infer(request(model, texts, packed=True))),
        }
        for name, bad in (("empty", (model, [" "])), ("unknown", ("nobody-has-this", texts))):
            try:
                await client.infer(request(*bad, packed=False))
            except grpc.RpcError as error:
                found[name] = error.code().name
        return found


async def json_or_nothing(answer):
    """KServe's client reads JSON in an answer whose body Triton leaves empty."""
    try:
        return await answer
    except json.JSONDecodeError:
        return None


async def over_rest(address, model, texts):
    url = f"http://{address}"
    async with InferenceRESTClient(RESTConfig(protocol="v2", retries=0)) as client:
        found = {
            "server": [
                await json_or_nothing(client.is_server_live(url)),
                await json_or_nothing(client.is_server_ready(url)),
            ],
            "model": [await client.is_model_ready(url, model), await client.is_model_ready(url, "nobody-has-this")],
            "in lists": said(await client.infer(url, request(model, texts, packed=False), model_name=model)),
            "packed": said(await client.infer(url, request(model, texts, packed=True), model_name=model)),
        }
        for name, bad in (("empty", (model, [" "])), ("unknown", ("nobody-has-this", texts))):
            try:
                await client.infer(url, request(*bad, packed=False), model_name=bad[0])
            except httpx.HTTPStatusError as error:
                found[name] = error.response.status_code
        return found


async def main(grpc_address, http_address, model):
    texts = json.load(sys.stdin)
    print(
        json.dumps(
            {
                "grpc": await over_grpc(grpc_address, model, texts),
                "rest": await over_rest(http_address, model, texts),
            }
        )
    )


asyncio.run(main(*sys.argv[1:]))
