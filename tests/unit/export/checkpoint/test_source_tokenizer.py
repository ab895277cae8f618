"""A tokenizer that is none, asks for remote code, or is another model's."""

import pytest
from checkpoint_files import refusal
from json_files import change_json


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": "1.0"}', '{"model": {"type": "Nothing"}}'])
def test_a_tokenizer_that_is_none(colours, folder, text):
    (folder / "tokenizer.json").write_text(text)
    message = refusal(colours, folder)
    assert "tokenizer" in message
    assert "\n" not in message


def test_a_tokenizer_that_asks_for_remote_code(colours, folder):
    auto_map = {"AutoTokenizer": ["evil.Evil", None]}
    change_json(folder / "tokenizer_config.json", lambda config: config.update(auto_map=auto_map))
    assert "auto_map" in refusal(colours, folder)


def test_a_tokenizer_of_another_model(colours, folder):
    change_json(folder / "tokenizer.json", lambda table: table["model"]["vocab"].update(pink=8))
    assert "ids reach 8, the model knows 8" in refusal(colours, folder)
