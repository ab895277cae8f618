"""Files of a checkpoint that a test changes, and what is said of one that is refused."""

import pytest
from json_files import change_json

from luxe.errors import UserError
from luxe_export.checkpoint import source

__all__ = ["LABELS", "change_config", "drop_weights", "refusal"]

LABELS = ("red", "green", "blue")


def change_config(folder, **changes):
    """Set keys of config.json; those that are None are left out."""

    def change(config):
        config.update(changes)
        for key in [key for key, value in config.items() if value is None]:
            del config[key]

    change_json(folder / "config.json", change)


def drop_weights(path, part):
    """Leave out the weights whose names hold ``part``."""
    from safetensors.torch import load_file, save_file

    weights = load_file(path)
    kept = {name: value for name, value in weights.items() if part not in name}
    assert len(kept) < len(weights)
    save_file(kept, path, metadata={"format": "pt"})


def refusal(entry, folder):
    with pytest.raises(UserError) as caught:
        source.load(entry, folder)
    assert str(folder) in str(caught.value)
    return str(caught.value)
