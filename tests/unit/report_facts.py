"""Facts of an export as a report gets them, and its page, read."""

import base64
import dataclasses
import html.parser
import json

from measurements import GOOD

from luxe_export.evaluation import Bin
from luxe_export.gate.choice import Verdict, explain
from luxe_export.gate.details import Changed, Details
from luxe_export.gate.latency import Latency, Shape
from luxe_export.report import write

__all__ = ["FAST", "LATENCY", "QUALITY", "Page", "facts", "read", "verdict"]

QUALITY = {
    "min_metric": 0.8,
    "max_metric_drop": 0.01,
    "min_agreement": 0.98,
    "max_change": 0.25,
    "max_batch_change": 0.01,
    "max_calibration_error_rise": 0.02,
}
LATENCY = Latency((Shape(1, 6, 4.0, 1.0), Shape(8, 15, 30.0, 1.0), Shape(32, 15, 120.0, 1.0)), 6.5, 1.0)
FAST = Latency((Shape(1, 6, 2.0, 0.5), Shape(8, 15, 18.0, 0.6), Shape(32, 15, 84.0, 0.7)), 3.9, 0.6)
DETAILS = Details(
    confusion_before=((40, 2), (3, 55)),
    confusion_after=((41, 1), (4, 54)),
    reliability_before=(Bin(0.6, 0.5, 50), Bin(0.95, 0.98, 50)),
    reliability_after=(Bin(0.62, 0.5, 50), Bin(0.94, 0.96, 50)),
    changed=tuple(Changed(f"comment {i}", "spam", "spam 0.9", "ham 0.6", 0.3 - i / 100) for i in range(10)),
)


def verdict(name, latency=FAST, findings=(), **changes):
    return Verdict(name, dataclasses.replace(GOOD, candidate=name, **changes), latency, tuple(findings))


def facts(*verdicts, winner="int8", details=DETAILS, **changes):
    verdicts = verdicts or (
        verdict("fp32", LATENCY),
        verdict("int8"),
        verdict("int8-dynamic", findings=["agreement with PyTorch 0.9000 is under 0.98"], agreement=0.9),
        Verdict("int4", None, None, ("not built: ValueError: no",)),
    )
    return {
        "model": "mail",
        "version": 7,
        "task": "text-classification",
        "target": "cpu",
        "metric_name": "macro-F1",
        "pytorch": {"metric": 0.901, "calibration_error": 0.03},
        "texts": 100,
        "quality": QUALITY,
        "candidates": [v.to_json() for v in verdicts],
        "winner": winner,
        "explain": explain(verdicts),
        "details": {
            v.candidate: json.loads(json.dumps(details.to_json())) if v.measurement and details else None
            for v in verdicts
        },
        "cpu": "A CPU (x86_64)",
        "tools": {"luxe": "0.1.0", "onnxruntime": "1.2.3"},
        "seconds": 61.4,
        "about": {"int8": "one scale a token"},
        "labels": ["spam", "ham"],
        **changes,
    }


class Page(html.parser.HTMLParser):
    """Elements with their attributes, and texts by the section they stand in."""

    def __init__(self, source):
        super().__init__()
        self.open, self.elements, self.sections, self._section = [], [], {"": ""}, ""
        self.rows = []
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        if tag == "section":
            self._section = dict(attrs)["id"]
            self.sections[self._section] = ""
        elif tag == "tr":
            self.rows.append((self._section, []))
        elif tag in ("td", "th"):
            self.rows[-1][1].append([dict(attrs).get("class", ""), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.sections[self._section] += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][1][-1][1] += data

    def table(self, section):
        return [[(kind, " ".join(text.split())) for kind, text in row] for own, row in self.rows if own == section]

    def pictures(self):
        for tag, attributes in self.elements:
            if tag == "img":
                kind, _, data = attributes["src"].partition(";base64,")
                assert kind == "data:image/svg+xml"
                yield base64.b64decode(data).decode()


def read(folder, given):
    return Page(write(folder, given).read_text("utf-8"))
