import pytest
from typer.testing import CliRunner

from luxe.cli import app
from luxe.errors import UserError


@pytest.mark.parametrize("arguments", [["nobody"], ["load", "nobody"], ["--rate", "3", "nobody"], ["load", "export"]])
def test_a_name_is_a_model_to_load(arguments, tmp_path):
    """`luxe bench NAME` and `luxe bench load NAME` are the same."""
    (tmp_path / "catalog").mkdir()
    done = CliRunner().invoke(app, ["bench", *arguments, "--root", str(tmp_path)])
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == f"unknown model '{arguments[-1]}': the catalogue has none"


@pytest.mark.parametrize("arguments", [["--help"], []])
def test_the_measurements_are_listed(arguments):
    done = CliRunner().invoke(app, ["bench", *arguments])
    assert "load" in done.output and "export" in done.output


def test_an_export_is_measured_in_a_project(tmp_path):
    done = CliRunner().invoke(app, ["bench", "export", "--root", str(tmp_path)])
    assert isinstance(done.exception, UserError)
    assert "no catalogue" in str(done.exception)
