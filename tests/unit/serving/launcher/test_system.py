import ctypes
import shutil
import sys

import pytest

from luxe.errors import UserError
from luxe_serving.launcher import system

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def missing(monkeypatch):
    monkeypatch.setattr(system, "LIBPYTHON", "libpython-that-nobody-has.so.1.0")


def test_the_name_is_that_of_the_running_python():
    assert f"libpython{MINOR}.so.1.0" == system.LIBPYTHON


def test_it_is_found_here():
    folder = system.find_libpython()
    assert folder is not None, system.install_command()
    library = ctypes.CDLL(str(folder / system.LIBPYTHON))
    library.Py_GetVersion.restype = ctypes.c_char_p
    assert library.Py_GetVersion().decode().startswith(f"{MINOR}.")
    assert system.require_libpython() == folder


def test_nothing_is_installed_where_it_is_found(monkeypatch):
    monkeypatch.setattr(system, "install_command", lambda: pytest.fail("asked for the command"))
    system.install()


def test_its_absence_names_the_command(missing):
    assert system.find_libpython() is None
    with pytest.raises(UserError) as caught:
        system.require_libpython()
    assert system.LIBPYTHON in str(caught.value)
    assert system.install_command() in str(caught.value)


@pytest.mark.parametrize(
    ("manager", "command"),
    [("apt-get", f"apt-get install -y libpython{MINOR}"), ("dnf", f"dnf install -y python{MINOR}-libs")],
)
def test_the_command_is_the_systems_own(monkeypatch, tmp_path, manager, command):
    program = tmp_path / manager
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which(manager) == str(program)
    assert system.install_command() == command


def test_a_system_without_a_known_package_manager(monkeypatch, tmp_path, missing):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert system.LIBPYTHON in system.install_command()
    with pytest.raises(UserError, match="libpython-that-nobody-has"):
        system.install()


@pytest.mark.parametrize("failing", ["update", "install"])
def test_a_failed_installation_says_why(monkeypatch, tmp_path, missing, failing):
    program = tmp_path / "apt-get"
    program.write_text(f'#!/bin/sh\n[ "$1" = {failing} ] && echo "E: no network" >&2 && exit 100\nexit 0\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(system.os, "geteuid", lambda: 0)
    with pytest.raises(UserError, match=f"apt-get {failing}.*E: no network"):
        system.install()


def test_an_installation_that_brings_nothing_is_an_error(monkeypatch, tmp_path, missing):
    program = tmp_path / "apt-get"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(system.os, "geteuid", lambda: 0)
    with pytest.raises(UserError, match="libpython-that-nobody-has"):
        system.install()
