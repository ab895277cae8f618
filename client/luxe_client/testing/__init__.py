"""A server for the tests of services that use the client: Triton's protocol in this process, answers from a script.

from luxe_client import Client
from luxe_client.testing import FakeTriton

with FakeTriton() as triton, Client(triton.address) as client:
    triton.classify("comment-intent", {"praise": 0.9, "spam": 0.1})
    assert client.classify("comment-intent", "lovely").label == "praise"
"""

from luxe_client.testing._messages import add_output, bytes_tensor, response_to, texts_of
from luxe_client.testing._server import FakeTriton, Script

__all__ = ["FakeTriton", "Script", "add_output", "bytes_tensor", "response_to", "texts_of"]
