import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from published import ONNX

from luxe import verify_command
from luxe.errors import Rejected, UserError
from luxe.project import Project
from luxe_export.publishing.publish import Parts, publish


@pytest.fixture
def key():
    return Ed25519PrivateKey.generate()


@pytest.fixture
def project(tmp_path, key):
    (tmp_path / "catalog").mkdir()
    engine = Parts("colours-engine", {"config.pbtxt": b"engine"}, {"model.onnx": ONNX})
    text = Parts("colours", {"config.pbtxt": b"text"}, {"luxe.json": b"{}"})
    for signing in (None, key):
        publish(tmp_path / "model_repository", engine, text, {}, key=signing)
    return Project.open(tmp_path)


@pytest.fixture
def public(tmp_path, key):
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, kind)
    (tmp_path / "public.pem").write_bytes(pem)
    return tmp_path / "public.pem"


def test_an_intact_repository(project, capfd):
    verify_command.show(project, None, key=None, as_json=False)
    lines = capfd.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["colours", "1", "4", "0.0", "no", "-", "intact"],
        ["colours", "2", "4", "0.0", "not", "checked", "-", "intact"],
    ]


def test_findings(project, capfd):
    (project.repository / "colours" / "1" / "[red]").write_bytes(b"")
    with pytest.raises(Rejected, match=r"1 finding$"):
        verify_command.show(project, "colours", key=None, as_json=False)
    out = capfd.readouterr().out
    assert "colours/1/[red]: not in the manifest" in out.splitlines()
    assert out.count("fails") == 1 and out.count("intact") == 1


def test_json(project, public, capfd):
    with pytest.raises(Rejected):
        verify_command.show(project, None, key=public, as_json=True)
    report = json.loads(capfd.readouterr().out)
    assert report["findings"] == [{"path": "colours/1/manifest.json.sig", "reason": "not signed"}]
    version = {"model": "colours", "version": 2, "files": 4, "size": 20, "signed": True, "rollback_of": None}
    assert report["versions"][1] == version


def test_nothing_published(tmp_path):
    (tmp_path / "catalog").mkdir()
    with pytest.raises(UserError, match="luxe export"):
        verify_command.show(Project.open(tmp_path), None, key=None, as_json=False)
