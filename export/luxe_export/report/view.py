"""What the page says: every number as text, and whether it fails its threshold."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Cell", "Ladder", "Line", "Page", "Text", "ladder", "number", "page"]

_LONGEST = 600
"""Characters of a text that the page shows; report.json has all."""
_NO_NUMBER = 1e9
"""What `luxe_export.gate.details` says of a change that is not a number."""
_NONE = "–"


@dataclasses.dataclass(frozen=True)
class Cell:
    """A number of the ladder."""

    text: str
    note: str = ""
    """Beneath it: an interval, a difference."""
    fails: bool = False


@dataclasses.dataclass(frozen=True)
class Line:
    """A candidate of the ladder, and why it won or lost."""

    name: str
    about: str
    cells: tuple[Cell, ...]
    verdict: str
    """"wins", "passes" or "refused"."""
    reasons: tuple[str, ...]
    drawn: bool
    """Has a time and a metric, so that it is in the picture."""


@dataclasses.dataclass(frozen=True)
class Ladder:
    """The table: ``heads`` with ``bounds`` beneath, PyTorch's cells, then the candidates."""

    heads: tuple[str, ...]
    bounds: tuple[str, ...]
    pytorch: tuple[Cell, ...]
    lines: tuple[Line, ...]


@dataclasses.dataclass(frozen=True)
class Text:
    """A row whose answer changed."""

    parts: tuple[str, ...]
    """One text, or two."""
    truth: str
    before: str
    after: str
    change: str


@dataclasses.dataclass(frozen=True)
class Page:
    """What is said once."""

    title: str
    verdict: str
    name: str
    """The candidate whose answers are looked at: the winner, or the least bad; "" without any."""
    wins: bool
    details: dict[str, Any]
    """Its details; every key is there."""
    changed: tuple[Text, ...] | None
    """Rows with another answer than before; None where nothing is known of them."""
    probabilities: bool
    """Answers are probabilities."""


def page(facts: Mapping[str, Any]) -> Page:
    """Return what stands around the ladder."""
    name, empty = _looked_at(facts), dict.fromkeys(_DETAILS)
    details = {**empty, **((facts["details"].get(name) if name else None) or {})}
    version = "" if facts["version"] is None else f", version {facts['version']}"
    return Page(
        title=f"{facts['model']}{version}",
        verdict=_sentence(facts),
        name=name,
        wins=name == facts["winner"],
        details=details,
        changed=None
        if details["changed"] is None
        else tuple(_text(row) for row in details["changed"] if row["change"]),
        probabilities=facts["pytorch"]["calibration_error"] is not None,
    )


def ladder(facts: Mapping[str, Any]) -> Ladder:
    """Return the table of all candidates."""
    quality, pytorch = facts["quality"], facts["pytorch"]
    shapes: list[dict[str, Any]] = next((c["latency"]["shapes"] for c in facts["candidates"] if c["latency"]), [])
    timed = [f"{shape['batch']} × {shape['tokens']} tokens" for shape in shapes]
    heads = (
        *(facts["metric_name"], "drop", "agreement", "largest change", "change in a batch", "calibration error"),
        *("ms a text", "of fp32’s time", *timed, "file, MB", "memory, MB"),
    )
    rise = f"rise ≤ {quality['max_calibration_error_rise']:g}" if pytorch["calibration_error"] is not None else ""
    bounds = (
        *(f"≥ {quality['min_metric']:g}", f"≤ {quality['max_metric_drop']:g}", f"≥ {quality['min_agreement']:g}"),
        *(f"≤ {quality['max_change']:g}", f"≤ {quality['max_batch_change']:g}", rise),
        *[""] * (4 + len(timed)),
    )
    original = [Cell("")] * len(heads)
    original[0], original[5] = Cell(number(pytorch["metric"])), Cell(number(pytorch["calibration_error"]))
    return Ladder(heads, bounds, tuple(original), tuple(_line(facts, c, len(timed)) for c in facts["candidates"]))


def number(value: float | None, *, digits: int = 4, sign: bool = False) -> str:
    """Return digits behind the point, with a minus as wide as a plus; a dash for None."""
    if value is None:
        return _NONE
    if value == 0 and not sign:
        return "0"
    rounded = f"{value:{'+' if sign else ''}.{digits}f}"
    if float(rounded):
        return rounded.replace("-", "−")
    # A sign would promise more than the digits hold.
    return rounded.lstrip("+-") if sign or value < 0 else f"< {10**-digits:.{digits}f}"


def _line(facts: Mapping[str, Any], candidate: Mapping[str, Any], shapes: int) -> Line:
    name, latency = candidate["candidate"], candidate["latency"]
    fails = candidate["findings"] or candidate["measurement"] is None
    said = [line.removeprefix(f"{name}: ") for line in facts["explain"] if line.startswith(f"{name}: ")]
    return Line(
        name=name,
        about=facts["about"].get(name) or "",
        cells=(*_quality(facts, candidate["measurement"]), *_speed(latency, shapes), *_size(candidate["measurement"])),
        verdict="wins" if name == facts["winner"] else "refused" if fails else "passes",
        reasons=tuple(said or candidate["findings"]),
        drawn=latency is not None and (candidate["measurement"] or {}).get("metric") is not None,
    )


def _quality(facts: Mapping[str, Any], m: Mapping[str, Any] | None) -> list[Cell]:
    if m is None:
        return [Cell(_NONE)] * 6
    quality, claims = facts["quality"], facts["pytorch"]["calibration_error"] is not None

    def least(value: float | None, bound: str) -> bool:
        return value is None or value < quality[bound]

    def most(value: float | None, bound: str) -> bool:
        return value is None or value > quality[bound]

    rise = m["calibration_error_rise"]
    return [
        _judged(m["metric"], _interval(m["metric_interval"]), least(m["metric"], "min_metric")),
        _judged(
            m["metric_drop"],
            _interval(m["metric_drop_interval"], sign=True),
            most(m["metric_drop"], "max_metric_drop"),
            sign=True,
        ),
        _judged(m["agreement"], "", least(m["agreement"], "min_agreement")),
        _judged(m["change"], "", most(m["change"], "max_change")),
        _judged(
            m["batch_change"],
            f"{m['rows_alone']} of {m['rows']} rows" if m["stopped"] else "",
            most(m["batch_change"], "max_batch_change"),
        ),
        _judged(
            m["calibration_error"],
            "" if rise is None else number(rise, sign=True),
            claims and most(rise, "max_calibration_error_rise"),
        ),
    ]


def _judged(value: float | None, note: str, fails: bool, *, sign: bool = False) -> Cell:
    return Cell("nan" if value is None and fails else number(value, sign=sign), note, fails)


def _speed(latency: Mapping[str, Any] | None, shapes: int) -> list[Cell]:
    if latency is None:
        return [Cell(_NONE)] * (2 + shapes)
    timed = [Cell(_times(shape["ratio"]), f"{shape['ms']:.3g} ms") for shape in latency["shapes"]]
    return [Cell(f"{latency['ms_per_text']:.2f}"), Cell(_times(latency["ratio"])), *timed]


def _size(m: Mapping[str, Any] | None) -> list[Cell]:
    return [Cell(_NONE)] * 2 if m is None else [Cell(f"{m[key] / 1e6:.1f}") for key in ("file_bytes", "memory_bytes")]


def _interval(bounds: Sequence[float | None], *, sign: bool = False) -> str:
    low, high = bounds
    return (
        "" if low is None or high is None else f"{number(low, digits=3, sign=sign)}…{number(high, digits=3, sign=sign)}"
    )


def _times(ratio: float | None) -> str:
    return _NONE if ratio is None else f"{ratio:.2f}×"


_DETAILS = ("confusion_before", "confusion_after", "reliability_before", "reliability_after", "changed")


def _looked_at(facts: Mapping[str, Any]) -> str:
    known = [c for c in facts["candidates"] if facts["details"].get(c["candidate"])]
    if facts["winner"] is not None or not known:
        return facts["winner"] or ""
    least_bad: str = min(known, key=lambda c: len(c["findings"]))["candidate"]
    return least_bad


def _sentence(facts: Mapping[str, Any]) -> str:
    winner, metric = facts["winner"], facts["metric_name"]
    if winner is None:
        many = len(facts["candidates"])
        return (
            f"None of {many} candidates passed; nothing was published."
            if many != 1
            else ("The only candidate did not pass; nothing was published.")
        )
    won = next(c for c in facts["candidates"] if c["candidate"] == winner)
    latency, m = won["latency"], won["measurement"]
    speed = "not timed" if latency is None else f"{latency['ms_per_text']:.2f} ms a text"
    if latency is not None and latency["ratio"] is not None:
        speed += f", {latency['ratio']:.2f}× fp32’s time"
    as_what = "wins" if facts["version"] is None else f"is published as version {facts['version']}"
    return (
        f"{winner} {as_what}: {speed}, with a {metric} of {number(m['metric'])}"
        f" where PyTorch has {number(facts['pytorch']['metric'])}."
    )


def _text(row: Mapping[str, Any]) -> Text:
    parts = [row["row"]] if isinstance(row["row"], str) else row["row"]
    return Text(
        parts=tuple(part if len(part) <= _LONGEST else f"{part[:_LONGEST]} …" for part in parts),
        truth=row["truth"] or _NONE,
        before=row["before"],
        after=row["after"],
        change="not a number" if row["change"] >= _NO_NUMBER else number(row["change"]),
    )
