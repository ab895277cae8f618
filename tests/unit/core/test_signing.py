import subprocess

import pytest

from luxe import signing
from luxe.errors import UserError


def openssl(*arguments, stdin=None):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, input=stdin).stdout


@pytest.fixture
def keys(tmp_path):
    """A pair of keys as the documentation makes them."""
    openssl("genpkey", "-algorithm", "ed25519", "-out", tmp_path / "private.pem")
    openssl("pkey", "-in", tmp_path / "private.pem", "-pubout", "-out", tmp_path / "public.pem")
    return tmp_path / "private.pem", tmp_path / "public.pem"


def test_what_the_one_signs_the_other_checks(keys):
    private, public = signing.private_key(keys[0]), signing.public_key(keys[1])
    signature = private.sign(b"content")
    assert signing.genuine(public, signature, b"content")
    assert not signing.genuine(public, signature, b"Content")


def test_openssl_can_check_it_too(keys, tmp_path):
    (tmp_path / "manifest.json").write_bytes(b"content")
    (tmp_path / "signature").write_bytes(signing.private_key(keys[0]).sign(b"content"))
    options = ("-pubin", "-inkey", keys[1], "-rawin", "-in", tmp_path / "manifest.json")
    assert b"Verified" in openssl("pkeyutl", "-verify", *options, "-sigfile", tmp_path / "signature")


@pytest.mark.parametrize("read", [signing.private_key, signing.public_key])
@pytest.mark.parametrize("content", [b"", b"no key", bytes(100), b"-----BEGIN PRIVATE KEY-----\nx\n"])
def test_what_is_no_key(tmp_path, read, content):
    (tmp_path / "key.pem").write_bytes(content)
    with pytest.raises(UserError, match=r"key\.pem: not a (private|public) key in PEM"):
        read(tmp_path / "key.pem")


@pytest.mark.parametrize("read", [signing.private_key, signing.public_key])
def test_no_file(tmp_path, read):
    for path in (tmp_path / "missing.pem", tmp_path):
        with pytest.raises(UserError, match=str(path)):
            read(path)


def test_the_wrong_half(keys):
    with pytest.raises(UserError, match="not a private key"):
        signing.private_key(keys[1])
    with pytest.raises(UserError, match="not a public key"):
        signing.public_key(keys[0])


@pytest.mark.parametrize("algorithm", ["x25519", "ed448", "rsa"])
def test_another_kind_of_key(tmp_path, algorithm):
    openssl("genpkey", "-algorithm", algorithm, "-out", tmp_path / "private.pem")
    openssl("pkey", "-in", tmp_path / "private.pem", "-pubout", "-out", tmp_path / "public.pem")
    for read, name in ((signing.private_key, "private.pem"), (signing.public_key, "public.pem")):
        with pytest.raises(UserError, match="not an Ed25519 key"):
            read(tmp_path / name)


def test_an_encrypted_key(keys, tmp_path):
    openssl("pkey", "-in", keys[0], "-aes256", "-passout", "pass:secret", "-out", tmp_path / "encrypted.pem")
    with pytest.raises(UserError, match="encrypted"):
        signing.private_key(tmp_path / "encrypted.pem")
