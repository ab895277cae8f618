"""What the catalogue holds: entries that load, files that cannot be read, and names that lead nowhere."""

import pytest
from catalogue import ENTRY, refusal, write

from luxe import catalog
from luxe.errors import UserError
from luxe.project import Project


def test_the_shipped_catalogue_loads(shipped):
    entries = catalog.load_all(shipped)
    assert [f"{e.name}.toml" for e in entries] == sorted(p.name for p in shipped.catalog.iterdir())
    assert entries
    assert [catalog.load(shipped, e.name) for e in entries] == entries


def test_a_full_entry(project):
    entry = catalog.load(project, "colours")
    assert entry.name == "colours"
    assert entry.labels == ("red", "green", "blue")
    assert entry.base.revision == "main"
    assert entry.base.package is None
    assert entry.slo.p50_ms == 100.0


def test_base_and_training_are_optional(project):
    start, end = ENTRY.index("[base]"), ENTRY.index("[quality]")
    write(project.root, ENTRY[:start] + ENTRY[end:])
    entry = catalog.load(project, "colours")
    assert entry.base is None
    assert entry.training is None


def test_an_entry_cannot_be_changed(project):
    with pytest.raises(ValueError, match="frozen"):
        catalog.load(project, "colours").max_length = 8


@pytest.mark.parametrize("text", ["labels = [", "a = 1\na = 2", "= 3", "max_length = 64\x00"])
def test_bad_toml(project, text):
    assert "not valid TOML" in refusal(project, text)


def test_a_file_that_is_not_utf8(project):
    (project.catalog / "colours.toml").write_bytes('description = "café"'.encode("latin-1"))
    with pytest.raises(UserError, match=r"catalog/colours\.toml: not valid TOML"):
        catalog.load(project, "colours")


@pytest.mark.parametrize("name", ["Colours", "two_words", "a--b", "-a", "a-", "a.b", "ä"])
def test_a_bad_file_name(project, name):
    write(project.root, ENTRY, name)
    with pytest.raises(UserError) as caught:
        catalog.load_all(project)
    assert f"catalog/{name}.toml" in str(caught.value)
    assert "name" in str(caught.value)
    with pytest.raises(UserError) as caught:
        catalog.load(project, name)
    # Not "unknown model 'X': the catalogue has X".
    assert f"the catalogue has {name}" not in str(caught.value)
    assert f", {name}" not in str(caught.value)


def test_an_unknown_model_lists_the_known_ones(project):
    write(project.root, ENTRY, "shapes")
    with pytest.raises(UserError) as caught:
        catalog.load(project, "sounds")
    assert str(caught.value) == "unknown model 'sounds': the catalogue has colours, shapes"


def test_an_empty_catalogue(tmp_path):
    (tmp_path / "catalog").mkdir()
    with pytest.raises(UserError, match="the catalogue has none"):
        catalog.load(Project.open(tmp_path), "colours")
    assert catalog.load_all(Project.open(tmp_path)) == []


@pytest.mark.parametrize(
    "name", ["../outside", "../catalog/colours", "./colours", "", ".", "..", "colours/", "colours\n", "colours.toml"]
)
def test_a_name_leaves_the_catalogue_never(project, name):
    (project.root / "outside.toml").write_text(ENTRY, encoding="utf-8")
    with pytest.raises(UserError, match="unknown model"):
        catalog.load(project, name)


def test_an_absolute_path_is_no_name(project):
    (project.root / "outside.toml").write_text(ENTRY, encoding="utf-8")
    with pytest.raises(UserError, match="unknown model"):
        catalog.load(project, str(project.root / "outside"))
