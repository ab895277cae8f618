"""Which tokens make a word, as transformers' token-classification pipeline sees it."""

from __future__ import annotations

import json

from tokenizers import Encoding, Tokenizer

__all__ = ["Words"]


class Words:
    """Numbers the words of a text, for `luxe_serving.text.answers.entities`.

    WordPiece knows its words. Of byte-level BPE and Unigram transformers assumes that a word begins after a space
    or at an unknown token, and so punctuation belongs to the word before it; a model is used here as it is there.

    Args:
        tokenizer: of the tokenizers library (``backend_tokenizer`` of a transformers one).
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        model = tokenizer.model
        self._own = bool(getattr(model, "continuing_subword_prefix", None))
        self._unknown_id: int | None = None
        if self._own:
            return
        if hasattr(model, "unk_token"):
            self._unknown_id = tokenizer.token_to_id(model.unk_token) if model.unk_token else None
        else:  # Unigram shows it in its file only
            self._unknown_id = json.loads(tokenizer.to_str())["model"].get("unk_id")

    def __call__(self, encoding: Encoding, text: str) -> list[int | None]:
        """Return the number of each token's word; None for tokens that are not of the text."""
        if self._own:
            own: list[int | None] = encoding.word_ids
            return own
        words: list[int | None] = []
        word = 0
        tokens = zip(encoding.ids, encoding.offsets, encoding.special_tokens_mask, strict=True)
        for token, (start, _), special in tokens:
            if special:
                words.append(None)
                continue
            if start == 0 or " " in text[start - 1 : start + 1] or token == self._unknown_id:
                word += 1
            words.append(word)
        return words
