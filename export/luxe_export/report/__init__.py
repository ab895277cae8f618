"""The report of an export: ``index.html`` for people, in one file that needs no network, and ``report.json``.

facts ─► report.json ─► view: what each cell says ─► report.html.j2, with figures as SVG inside
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luxe_export.report.confusion import confusion
from luxe_export.report.figures import quality_and_speed, reliability
from luxe_export.report.view import ladder, page

__all__ = ["REFUSED", "write"]

REFUSED = "refused"
"""Folder of the report of an export that published nothing."""
_TEMPLATE = "report.html.j2"


def write(reports: Path, facts: Mapping[str, Any]) -> Path:
    """Write both files into ``reports/MODEL/VERSION/``, or ``…/refused/`` without a version; return the page's path.

    The same facts give the same bytes. A number that is none is None in both files.

    Args:
        reports: the project's folder of reports.
        facts: what `json.dumps` takes:
            ``model``, ``task``, ``target``, ``metric_name``, ``cpu``: str; ``version``: int or None;
            ``texts``: rows of the evaluation; ``seconds``: what the export took;
            ``pytorch``: ``metric`` and ``calibration_error``, None where answers are no probabilities;
            ``quality``: the catalogue's thresholds, by their names there;
            ``candidates``: `luxe_export.gate.choice.Verdict.to_json` of each, in the ladder's order;
            ``winner``: a candidate's name or None; ``explain``: the lines of `luxe_export.gate.choice.explain`;
            ``details``: by candidate, `luxe_export.gate.details.Details.to_json` or None;
            ``about``: by candidate, what it is in a line; ``tools``: versions by name;
            ``labels``: names of the confusion's rows; may be left out.

    Raises:
        OSError: the folder cannot be written.
    """
    text = json.dumps(_finite(facts), indent=2, allow_nan=False) + "\n"
    # Rendered from what was written, so that the two never differ.
    rendered = _render(json.loads(text))
    folder: Path = reports / facts["model"] / (REFUSED if facts["version"] is None else str(facts["version"]))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(text, encoding="utf-8")
    # A text of the data may hold half a surrogate pair, which no encoding takes.
    (folder / "index.html").write_bytes(rendered.encode("utf-8", "replace"))
    return folder / "index.html"


def _render(facts: dict[str, Any]) -> str:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = page(facts)
    details = shown.details
    return environment.get_template(_TEMPLATE).render(
        facts=facts,
        page=shown,
        ladder=ladder(facts),
        speed=quality_and_speed(facts),
        confusion=confusion(facts.get("labels"), details["confusion_before"], details["confusion_after"]),
        reliability=reliability(details["reliability_before"], details["reliability_after"], shown.name),
        before=details["reliability_before"] or (),
        after=details["reliability_after"] or (),
    )


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(own) for key, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
