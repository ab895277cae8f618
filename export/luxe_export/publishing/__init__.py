"""A version's way into the model repository, whole or not at all: its parts and configs, publish, rollback, prune."""
