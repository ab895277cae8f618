import json
import types

import pytest

import luxe_client
from luxe_client import _errors

HEAVY = ["torch", "transformers", "onnxruntime", "optimum", "peft", "pydantic", "rich", "typer", "luxe"]

IMPORTS = """
import json, sys
import luxe_client
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_all_is_what_the_package_shows():
    not_ours = {"Any", "TYPE_CHECKING", "import_module"}
    shown = {
        name
        for name in dir(luxe_client)
        if not name.startswith("_") and not isinstance(getattr(luxe_client, name), types.ModuleType)
    }
    assert shown - not_ours == set(luxe_client.__all__)


def test_one_client_does_not_wait_for_the_other(start_python):
    program = "import sys; from luxe_client import {0}; print({0}.__name__, 'luxe_client.{1}' in sys.modules)"
    for name, other in (("Client", "_async_client"), ("AsyncClient", "_client")):
        out, err = start_python(program.format(name, other)).communicate(timeout=60)
        assert out.split() == [name, "False"], err


def test_what_the_package_has_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'luxe_client' has no attribute 'Clent'"):
        luxe_client.Clent  # noqa: B018


def test_every_error_is_exported():
    def kinds(root):
        return {root}.union(*map(kinds, root.__subclasses__()))

    assert {kind.__name__ for kind in kinds(_errors.LuxeError)} <= set(luxe_client.__all__)


def test_importing_the_client_stays_light(start_python):
    out, err = start_python(IMPORTS).communicate(timeout=60)
    loaded = set(json.loads(out or "[]"))
    assert "luxe_client" in loaded, err
    assert loaded & {*HEAVY, "tritonclient", "google"} == set(), "the messages come with the first client"


def test_importing_the_client_starts_nothing(start_python):
    program = "import luxe_client, sys, threading; print(threading.active_count(), 'opentelemetry' in sys.modules)"
    out, err = start_python(program).communicate(timeout=60)
    assert out.split() == ["1", "False"], err


def test_the_client_says_that_it_has_types():
    from importlib import resources

    assert resources.files(luxe_client).joinpath("py.typed").is_file()
