"""HAProxy with the project's configuration, between stand-ins for the replicas of Triton and for Docker's DNS."""

import concurrent.futures
import contextlib
import http.server
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.request

import grpc
from checkout import ROOT
from tritonclient.grpc import service_pb2

__all__ = ["CONFIG", "SERVICE", "Fleet"]

CONFIG = ROOT / "deploy" / "haproxy.cfg"
SERVICE = "inference.GRPCInferenceService"


class Names:
    """A DNS server that answers any name with ``addresses``, as Docker's does for a service's replicas."""

    def __init__(self):
        self.addresses = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self):
        while True:
            query, sender = self._socket.recvfrom(4096)
            if not query:
                return
            question = query[12 : query.index(0, 12) + 5]
            wants_ipv4 = question.endswith(struct.pack("!HH", 1, 1))
            addresses = list(self.addresses) if wants_ipv4 else []
            # Response, authoritative, recursion desired and available (RFC 1035, 4.1); the name is a pointer.
            answer = query[:2] + struct.pack("!HHHHH", 0x8580, 1, len(addresses), 0, 0) + question
            for address in addresses:
                answer += struct.pack("!HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(address)
            self._socket.sendto(answer, sender)

    def close(self):
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()


class Replica:
    """As much of a Triton as a balancer sees: gRPC calls, and readiness on the HTTP port."""

    def __init__(self, address, grpc_port, http_port):
        self.ready = True
        self._let_go = threading.Event()
        replica = self

        def answer(request, _context):
            if request == b"slow":
                replica._let_go.wait(20)
            return address.encode()

        class Health(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked_well = self.path == "/v2/health/ready"
                self.send_response(200 if replica.ready and asked_well else 400)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        handlers = {
            method.name: grpc.unary_unary_rpc_method_handler(answer)
            for method in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
        }
        self._pool = concurrent.futures.ThreadPoolExecutor(8)
        self._grpc = grpc.server(self._pool, options=[("grpc.so_reuseport", 0)])
        self._grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        assert self._grpc.add_insecure_port(f"{address}:{grpc_port}")
        self._grpc.start()
        self._http = http.server.HTTPServer((address, http_port), Health)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def let_go(self):
        """Answer the slow calls."""
        self._let_go.set()

    def close(self):
        self.let_go()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        self._grpc.stop(None).wait()
        self._pool.shutdown()


class Fleet:
    """HAProxy with the configuration of the project, in front of replicas on loopback addresses."""

    def __init__(self, haproxy, folder, stack):
        self._stack = stack
        self._log = folder / "log"
        self.names = Names()
        stack.callback(self.names.close)
        front, monitoring, self._grpc_port, self._http_port = free_ports(4)
        config = folder / "haproxy.cfg"
        config.write_text(
            replaced(
                CONFIG.read_text(encoding="utf-8"),
                {
                    "bind :8001 ": f"bind 127.0.0.1:{front} ",
                    "bind :8404\n": f"bind 127.0.0.1:{monitoring}\n",
                    "nameserver docker 127.0.0.11:53": f"nameserver docker 127.0.0.1:{self.names.port}",
                    "http-check connect port 8000 ": f"http-check connect port {self._http_port} ",
                    " triton:8001 ": f" triton:{self._grpc_port} ",
                },
            ),
            encoding="utf-8",
        )
        log = stack.enter_context(self._log.open("wb"))
        # It ends with this process, also when that is killed.
        command = ["setpriv", "--pdeathsig", "TERM", haproxy, "-db", "-f", str(config)]
        self._process = subprocess.Popen(command, stdout=log, stderr=log)
        stack.callback(self._stop)
        self._monitoring = f"http://127.0.0.1:{monitoring}"
        options = [("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 100)]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{front}", options=options)
        stack.callback(self.channel.close)
        grpc.channel_ready_future(self.channel).result(10)

    def start(self, *addresses):
        """Start a replica on each address; return them. DNS does not know them yet."""
        replicas = [Replica(address, self._grpc_port, self._http_port) for address in addresses]
        for replica in replicas:
            self._stack.callback(replica.close)
        return replicas

    def call(self, request=b"", method="ModelInfer"):
        """Return the address of the replica that answered, or the gRPC status."""
        try:
            return self.begin(request, method).result().decode()
        except grpc.RpcError as error:
            return error.code()

    def begin(self, request, method="ModelInfer"):
        return self.channel.unary_unary(f"/{SERVICE}/{method}").future(request, timeout=20)

    def wait_for(self, wanted, *, calls=20, timeout_s=15):
        """Wait until that many calls in a row are answered by exactly ``wanted``."""
        deadline = time.monotonic() + timeout_s
        while (got := {self.call() for _ in range(calls)}) != set(wanted):
            assert time.monotonic() < deadline, f"{got}, not {wanted}\n{self._log.read_text()[-2000:]}"
            time.sleep(0.05)

    def get(self, path):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self._monitoring + path, timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def _stop(self):
        assert self._process.poll() is None, self._log.read_text()
        self._process.terminate()
        self._process.wait(10)


def replaced(text, replacements):
    for old, new in replacements.items():
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text


def free_ports(count):
    """Return ports that are free on every address of this machine."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind(("", 0))
        return [listener.getsockname()[1] for listener in sockets]
