"""Signatures: of this manifest, of all of it, by this key."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from published import TEXT, lines, put

from luxe.verify import verify


def test_signatures(repository):
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    put(repository, key=key)
    unsigned = [f"{TEXT}/{number}/manifest.json.sig: not signed" for number in (1, 2, 3)]
    assert lines(repository, key=key.public_key()) == unsigned
    assert lines(repository) == []
    wrong = f"{TEXT}/4/manifest.json.sig: not the signature of this manifest by this key"
    assert lines(repository, key=other.public_key()) == [*unsigned, wrong]
    assert [v.signed for v in verify(repository).versions] == [False, False, False, True]


@pytest.mark.parametrize("signature", [b"", b"x", bytes(64), bytes(65)])
def test_a_signature_that_is_none(tmp_path, signature):
    key = Ed25519PrivateKey.generate()
    put(tmp_path, key=key)
    (tmp_path / TEXT / "1" / "manifest.json.sig").write_bytes(signature)
    assert "not the signature" in lines(tmp_path, key=key.public_key())[0]


def test_a_signature_covers_the_whole_manifest(tmp_path):
    key = Ed25519PrivateKey.generate()
    put(tmp_path, key=key, precision="int8")
    path = tmp_path / TEXT / "1" / "manifest.json"
    content = bytearray(path.read_bytes())
    for at in range(0, len(content), 7):
        content[at] ^= 1
        path.write_bytes(content)
        assert [line for line in lines(tmp_path, key=key.public_key()) if "manifest" in line], at
        content[at] ^= 1
    path.write_bytes(content)
    assert lines(tmp_path, key=key.public_key()) == []
    path.write_bytes(content + b"\n")
    assert len(lines(tmp_path, key=key.public_key())) == 1


def test_a_signature_of_another_version_is_none(tmp_path):
    key = Ed25519PrivateKey.generate()
    for _ in range(2):
        put(tmp_path, key=key)
    old = tmp_path / TEXT / "1" / "manifest.json.sig"
    (tmp_path / TEXT / "2" / "manifest.json.sig").write_bytes(old.read_bytes())
    assert "not the signature" in lines(tmp_path, key=key.public_key())[0]
