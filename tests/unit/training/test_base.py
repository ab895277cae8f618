import hashlib

import pytest

from luxe.errors import UserError
from luxe.schema import Base
from luxe_training import base

CONTENT = b"weights" * 300_000  # more than one block
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(CONTENT)
    return folder


def test_sha256(folder):
    assert base.sha256(folder / "model.safetensors") == SHA


def test_the_shipped_base_is_found_in_its_package(entry):
    folder = base.locate(entry.base)
    assert entry.base.package in folder.parts
    assert base.sha256(folder / "model.safetensors") == entry.base.sha256
    assert (folder / "tokenizer.json").is_file()


def test_the_shipped_base_with_another_hash(entry):
    wanted = "0" * 64
    with pytest.raises(UserError) as caught:
        base.locate(entry.base.model_copy(update={"sha256": wanted}))
    assert wanted in str(caught.value)
    assert entry.base.sha256 in str(caught.value)


def test_a_local_folder(folder):
    assert base.locate(Base(hub_id=str(folder), sha256=SHA)) == folder


def test_a_local_folder_with_other_weights(folder):
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"!")
    found = base.sha256(folder / "model.safetensors")
    with pytest.raises(UserError) as caught:
        base.locate(Base(hub_id=str(folder), sha256=SHA))
    assert found != SHA
    assert found in str(caught.value)
    assert SHA in str(caught.value)


def test_a_folder_without_safe_weights(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"holds no model\.safetensors"):
        base.locate(Base(hub_id=str(folder), sha256=SHA))


@pytest.mark.parametrize("package", ["no_such_package_of_anybody", "no_such_parent.child"])
def test_a_package_that_is_not_installed(folder, package):
    assert base.locate(Base(hub_id=str(folder), package=package, sha256=SHA)) == folder


def test_a_package_comes_before_the_rest(folder, tmp_path, monkeypatch):
    package = tmp_path / "packages" / "carries_an_encoder"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('a package is only looked at')")
    (package / "model" / "model.safetensors").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(package.parent)
    located = base.locate(Base(hub_id=str(folder), package="carries_an_encoder", sha256=SHA))
    assert located == package / "model"
