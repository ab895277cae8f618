"""Models of the Hugging Face hub, and of its cache on this machine: safetensors, tokenizer and config files only."""

from __future__ import annotations

import re
from pathlib import Path

from luxe.errors import UserError

__all__ = ["COMMIT", "FILES", "commit", "root", "snapshot"]

COMMIT = re.compile(r"[0-9a-f]{40}")
"""What a model of the hub is pinned to; tags and branches move."""

FILES = (
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    "adapter_config.json",
    "adapter_model.safetensors",
    "training.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spm.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "*_Pooling/config.json",
    "*_Normalize/config.json",
)
"""Patterns of the files of a checkpoint that may be read; no pickle, no code."""


def snapshot(repository: str, revision: str) -> Path:
    """Return the folder of a model in the hub's cache; what is missing there is downloaded.

    Raises:
        UserError: no such model or revision, or it is not cached and the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(FILES)))
    except RevisionNotFoundError:
        raise UserError(f"{repository} has no revision {revision} on the hub") from None
    except GatedRepoError:
        raise UserError(f"{repository} is gated: ask for access on its page, then run `hf auth login`") from None
    except RepositoryNotFoundError:
        raise UserError(f"the hub has no model {repository}, or keeps it from this account") from None
    except HFValidationError:
        raise UserError(f"{repository!r} is not a name on the hub; one is like organisation/model") from None
    except LocalEntryNotFoundError:
        raise UserError(
            f"{repository} at {revision} is not in the hub's cache on this machine, and the hub cannot be reached"
        ) from None
    except Exception as error:  # it has a dozen kinds more; to the user they are one
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"cannot load {repository} from the hub: {type(error).__name__}: {reason}") from None


def commit(folder: Path) -> str | None:
    """Return the commit of a folder in the hub's cache, and None for any other folder."""
    folder = folder.resolve()
    return folder.name if COMMIT.fullmatch(folder.name) and folder.parent.name == "snapshots" else None


def root(folder: Path) -> Path:
    """Return the folder that a checkpoint's files may not leave: the hub's cache links from snapshots to blobs."""
    folder = folder.resolve()
    model = folder.parent.parent
    return model if commit(folder) and model.name.startswith("models--") else folder
