import shutil

import pytest
from published import ENGINE, TEXT, put

from luxe import access
from luxe import repository as store
from luxe.errors import UserError
from luxe.verify import verify
from luxe_export.publishing.prune import prune
from luxe_export.publishing.rollback import rollback


def numbers(repository):
    return store.versions(repository / TEXT), store.versions(repository / ENGINE)


@pytest.fixture
def repository(tmp_path):
    for _ in range(4):
        put(tmp_path / "model_repository")
    return tmp_path / "model_repository"


@pytest.mark.parametrize("keep", [1, 2, 3, 4, 9])
def test_the_newest_stay(repository, keep):
    stay = [1, 2, 3, 4][-keep:]
    assert prune(repository, TEXT, keep=keep) == [v for v in (1, 2, 3, 4) if v not in stay]
    assert numbers(repository) == (stay, stay)
    assert verify(repository).findings == []
    assert {p.name for p in repository.iterdir()} == {TEXT, ENGINE, ".lock", ".colours.json"}
    assert [p.name for p in repository.parent.iterdir()] == [repository.name]


@pytest.mark.parametrize("keep", [0, -1])
def test_one_stays_at_least(repository, keep):
    with pytest.raises(UserError, match="at least"):
        prune(repository, TEXT, keep=keep)
    assert numbers(repository) == ([1, 2, 3, 4], [1, 2, 3, 4])


def test_other_models_stay(repository):
    for _ in range(2):
        put(repository, "shapes")
    prune(repository, TEXT, keep=1)
    assert store.versions(repository / "shapes") == store.versions(repository / "shapes-engine") == [1, 2]


def test_a_model_that_was_never_published(repository, tmp_path):
    for folder in (repository, tmp_path / "nowhere"):
        with pytest.raises(UserError, match="never published"):
            prune(folder, "shapes", keep=1)


@pytest.mark.parametrize("name", [ENGINE, "..", f"../model_repository/{TEXT}", ""])
def test_what_is_no_models_name(repository, name):
    with pytest.raises(UserError, match="no model's name"):
        prune(repository, name, keep=1)
    assert numbers(repository) == ([1, 2, 3, 4], [1, 2, 3, 4])


@pytest.mark.parametrize("entry", [TEXT, ENGINE])
def test_a_number_that_none_may_follow(repository, entry):
    (repository / entry / "99999999999999999999").mkdir()
    with pytest.raises(UserError, match=f"{entry}/99999999999999999999"):
        prune(repository, TEXT, keep=1)


def test_halves_without_the_other_go_and_numbers_stay_used(repository):
    shutil.rmtree(repository / TEXT / "4")
    shutil.rmtree(repository / TEXT / "2")
    assert prune(repository, TEXT, keep=2) == [2, 4]
    assert numbers(repository) == ([1, 3], [1, 3])
    assert put(repository) == 5


def test_a_version_of_before_there_were_hashes_can_go(repository):
    (repository / TEXT / "1" / "manifest.json").write_text('{"model": "colours", "version": 1}')
    assert verify(repository).findings != []
    prune(repository, TEXT, keep=3)
    assert verify(repository).findings == []


@pytest.mark.parametrize("gone", [(TEXT,), (ENGINE,), (TEXT, ENGINE)])
@pytest.mark.parametrize("whole", [True, False])
def test_a_number_is_never_given_again(repository, gone, whole):
    """Whatever is deleted by hand, the newest version's folders or the entries as a whole."""
    for entry in gone:
        shutil.rmtree(repository / entry if whole else repository / entry / "4")
    assert put(repository) == 5
    shutil.rmtree(repository / TEXT)
    shutil.rmtree(repository / ENGINE)
    assert put(repository) == 6


def test_neither_after_a_rollback(repository):
    assert rollback(repository, TEXT)[0] == 5
    prune(repository, TEXT, keep=1)
    for entry in (TEXT, ENGINE):
        shutil.rmtree(repository / entry)
    assert put(repository) == 6


@pytest.mark.parametrize("done", range(7))
def test_a_prune_that_was_cut_off_is_ended(repository, done):
    """By the next reader that may write; as if killed before, between and after its renames."""
    store.save_state(repository, TEXT, store.State(last=4, removing=(1, 2, 3)))
    steps = [(entry, version) for version in (1, 2, 3) for entry in (TEXT, ENGINE)]
    for entry, version in steps[:done]:
        shutil.rmtree(repository / entry / str(version))
    with access.reading(repository):
        assert verify(repository).findings == []
    assert numbers(repository) == ([4], [4])
    assert put(repository) == 5
