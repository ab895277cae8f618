import pytest
from fake_triton import FakeTriton

from luxe_client import Client


@pytest.fixture
def triton():
    server = FakeTriton()
    yield server
    server.stop()


@pytest.fixture
def client(triton):
    with Client(triton.address, timeout_s=15.0) as client:
        yield client
