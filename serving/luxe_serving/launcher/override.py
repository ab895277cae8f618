"""The config that a model is loaded with, where it is not the published one.

Triton reads ``config.pbtxt`` beside the versions, which is the newest version's. The load API takes another in its
place. Three things need that: instances by the cores that are there, one version and no other, and its labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from luxe.errors import UserError
from luxe_serving import cores

__all__ = ["AUTO_INSTANCES", "override"]

AUTO_INSTANCES = "engine_instances"
_THREADS = "intra_op_thread_count"


def override(entry: Path, versions: Sequence[int] = (), *, always: bool = False) -> str | None:
    """Return the config to load an entry with, as JSON; None where the published one will do.

    Args:
        entry: its folder in the repository.
        versions: load these and no other; the last one's own copy of the config is used.
        always: return the published config rather than None.

    Raises:
        UserError: the config cannot be read.
    """
    path = entry / "config.pbtxt"
    if versions and (own := entry / str(versions[-1]) / path.name).is_file():
        path = own
    config = _read(path)
    automatic = _set_instances(config)
    if not versions and not automatic and not always:
        return None
    if versions:
        config.version_policy.specific.versions[:] = versions
        for output in config.output:
            # Triton looks beside the versions, where the newest version's are.
            if output.label_filename and (entry / str(versions[-1]) / output.label_filename).is_file():
                output.label_filename = f"{versions[-1]}/{output.label_filename}"
    return str(json_format.MessageToJson(config, preserving_proto_field_name=True, indent=None))


def _set_instances(config: Any) -> bool:
    """Give an engine that leaves it open as many instances as there are cores for their threads."""
    # Asking a protobuf map for a key that it lacks would add it.
    given = {name: config.parameters[name].string_value for name in config.parameters}
    if given.get(AUTO_INSTANCES) != "auto":
        return False
    group = model_config_pb2.ModelInstanceGroup
    if config.instance_group and config.instance_group[0].kind == group.KIND_GPU:
        return False
    if not config.instance_group:
        config.instance_group.add(kind=group.KIND_CPU)
    config.instance_group[0].count = cores.instances(int(given.get(_THREADS, "1")))
    return True


def _read(path: Path) -> Any:
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise UserError(f"cannot read {path}: {reason}") from None
