import os
import signal
import warnings

from luxe_client import Client, LuxeError


def test_a_client_from_before_a_fork_says_so(triton):
    client = Client(triton.address)
    out, into = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: this process has threads
        child = os.fork()
    if child == 0:  # pragma: no cover
        # Whatever happens, nothing of the parent's tests runs here.
        try:
            signal.alarm(20)
            try:
                client.classify("colours", "red")
            except LuxeError as error:
                os.write(into, str(error).encode())
            client.close()
        finally:
            os._exit(0)
    os.close(into)
    said = b""
    while part := os.read(out, 4096):
        said += part
    os.close(out)
    assert os.waitpid(child, 0)[1] == 0
    assert "was made in process" in said.decode() and "make one in each process" in said.decode()
    assert "\n" not in said.decode()
    assert client.classify("colours", "red").model == "colours"
    client.close()
