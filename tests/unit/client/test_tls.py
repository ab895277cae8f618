"""TLS and mutual TLS, with certificates made for the test."""

import datetime
import ipaddress

import grpc
import pytest
from colours import colours
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from luxe_client import TLS, LuxeError, PermissionDenied
from luxe_client.testing import FakeTriton

NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates and writes them to a folder."""

    def __init__(self, folder, name):
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        folder.mkdir()
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.path = folder / "ca.pem"
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        self._sign(self.path, self.name, self.key, constraints)

    def issue(self, name, *hosts):
        """Return the paths of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        cert, path = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self._sign(cert, subject, key, x509.SubjectAlternativeName([_general(host) for host in hosts or (name,)]))
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return cert, path

    def _sign(self, path, subject, key, extension):
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(NOW - DAY).not_valid_after(NOW + DAY).add_extension(extension, critical=True)
        path.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def _general(host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "ours", "ours")


def serving(authority, *hosts, mutual=False):
    cert, key = authority.issue("server", *hosts)
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), cert.read_bytes())],
        root_certificates=authority.path.read_bytes() if mutual else None,
        require_client_auth=mutual,
    )
    return FakeTriton(credentials=credentials)


def test_a_server_that_is_trusted(authority, make):
    with serving(authority, "127.0.0.1") as triton:
        colours(triton)
        assert make(triton.address, tls=TLS(ca=authority.path), timeout_s=15.0).classify("colours", "a")


def test_a_server_that_is_not_trusted(authority, make, tmp_path):
    other = Authority(tmp_path / "theirs", "theirs")
    with serving(authority, "127.0.0.1") as triton:
        client = make(colours(triton).address, tls=TLS(ca=other.path), timeout_s=15.0)
        with pytest.raises(PermissionDenied, match="CERTIFICATE_VERIFY_FAILED") as caught:
            client.classify("colours", "a")
    assert caught.value.tries == 1


def test_a_certificate_for_another_name(authority, make):
    with serving(authority, "triton.example") as triton:
        colours(triton)
        with pytest.raises(LuxeError):
            make(triton.address, tls=TLS(ca=authority.path), timeout_s=15.0).classify("colours", "a")
        named = TLS(ca=authority.path, server_name="triton.example")
        assert make(triton.address, tls=named, timeout_s=15.0).classify("colours", "a")


def test_a_name_that_was_looked_up_is_what_the_certificate_must_show(authority, make, monkeypatch):
    with serving(authority, "triton.example") as triton:
        client = make("triton.example:8001", tls=TLS(ca=authority.path), timeout_s=15.0)
        monkeypatch.setattr(client._transport, "_look_up", lambda _host, _port: [colours(triton).address])
        assert client.classify("colours", "a")


def test_a_server_that_wants_to_know_its_clients(authority, make):
    cert, key = authority.issue("client")
    with serving(authority, "127.0.0.1", mutual=True) as triton:
        colours(triton)
        known = TLS(ca=authority.path, cert=cert, key=key)
        assert make(triton.address, tls=known, timeout_s=15.0).classify("colours", "a")
        with pytest.raises(LuxeError):
            make(triton.address, tls=TLS(ca=authority.path), timeout_s=15.0).classify("colours", "a")


def test_a_client_without_tls(authority, make):
    with serving(authority, "127.0.0.1") as triton, pytest.raises(LuxeError):
        make(triton.address, timeout_s=15.0).classify("colours", "a")
