import json

import pytest
from text_models import SETTINGS

from luxe_serving.text.settings import Settings


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "luxe.json"
    path.write_text(SETTINGS.to_json(), encoding="utf-8")
    assert Settings.read(path) == SETTINGS


@pytest.mark.parametrize(("gone", "new"), [("cache_bytes", {}), (None, {"temperature": 1.0}), ("task", {"kind": "x"})])
def test_another_release_says_so_in_a_line(tmp_path, gone, new):
    values = {**json.loads(SETTINGS.to_json()), **new}
    values.pop(gone, None)
    path = tmp_path / "luxe.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ValueError, match="was written by another release of luxe") as caught:
        Settings.read(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message and "export the model again" in message
    assert all(key in message for key in [gone, *new] if key)
