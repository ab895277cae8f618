import pytest
from colours import colours

from luxe_client import Client
from luxe_client.testing import FakeTriton


@pytest.fixture
def triton():
    with FakeTriton() as server:
        yield colours(server)


@pytest.fixture
def client(triton):
    with Client(triton.address, timeout_s=15.0) as client:
        yield client
