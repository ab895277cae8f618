import dataclasses
import threading

import pytest
from text_models import SETTINGS, WAIT_S, engine, tokenizer

from luxe_serving.text.text_model import TextModel


@pytest.fixture
def make(tmp_path):
    """Make a `TextModel` of a real tokenizer and an engine; none outlives its test. Without a warm-up, unless asked."""
    models = []

    def make(engine=engine, *, special=True, warm=False, **changes):
        written = dataclasses.replace(SETTINGS, **changes)
        (tmp_path / "luxe.json").write_text(written.to_json(), encoding="utf-8")
        tokenizer(special=special).save(str(tmp_path / "tokenizer.json"))
        models.append(TextModel(tmp_path, engine, warm=warm))
        return models[-1]

    yield make
    for model in models:
        closing = threading.Thread(target=model.close, daemon=True)
        closing.start()
        closing.join(WAIT_S)
        assert not closing.is_alive(), "close() hangs"
