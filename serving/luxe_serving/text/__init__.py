"""Texts in, answers out: everything of the `luxe_text` backend that knows texts."""
