import base64
import copy
import html.parser
import json
import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from luxe_export.evaluation import Bin
from luxe_export.gate.choice import Verdict, explain
from luxe_export.gate.details import Changed, Details
from luxe_export.gate.latency import Latency, Shape
from luxe_export.gate.measurement import Measurement
from luxe_export.report import labels, view, write
from luxe_export.report.confusion import confusion
from luxe_export.report.labels import Box

QUALITY = {
    "min_metric": 0.8,
    "max_metric_drop": 0.01,
    "min_agreement": 0.98,
    "max_change": 0.25,
    "max_batch_change": 0.01,
    "max_calibration_error_rise": 0.02,
}
GOOD = {
    "candidate": "fp32",
    "metric_name": "macro-F1",
    "metric": 0.9,
    "metric_interval": (0.88, 0.92),
    "metric_drop": 0.001,
    "metric_drop_interval": (-0.002, 0.004),
    "agreement": 1.0,
    "change": 0.05,
    "batch_change": 0.0,
    "calibration_error": 0.02,
    "calibration_error_rise": -0.01,
    "rows": 100,
    "rows_alone": 100,
    "stopped": None,
    "file_bytes": 91_000_000,
    "memory_bytes": 146_500_000,
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
    return Verdict(name, Measurement(**{**GOOD, "candidate": name, **changes}), latency, tuple(findings))


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


def test_it_says_who_won_and_shows_every_part(tmp_path):
    page = read(tmp_path, facts())
    assert list(page.sections) == ["", "ladder", "speed", "why", "confusion", "reliability", "changed", "how"]
    assert "int8 is published as version 7: 3.90 ms a text, 0.60× fp32’s time" in page.sections[""]
    assert len(list(page.pictures())) == 2
    assert "A CPU (x86_64)" in page.sections["how"]
    assert "onnxruntime 1.2.3" in page.sections["how"]


def test_both_files_lie_in_a_folder_of_the_version(tmp_path):
    given = facts()
    assert write(tmp_path, given) == tmp_path / "mail" / "7" / "index.html"
    assert json.loads((tmp_path / "mail" / "7" / "report.json").read_text("utf-8")) == json.loads(json.dumps(given))
    assert sorted(p.name for p in (tmp_path / "mail" / "7").iterdir()) == ["index.html", "report.json"]


def test_the_same_facts_give_the_same_bytes(tmp_path):
    first, second = (write(tmp_path / name, facts()) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert first.with_name("report.json").read_bytes() == second.with_name("report.json").read_bytes()


def test_the_ladder_marks_the_number_that_fails(tmp_path):
    table = read(tmp_path, facts()).table("ladder")
    heads, bounds, pytorch, fp32, int8, dynamic, int4 = table
    assert {len(row) for row in table} == {len(heads)}
    agreement = [text for _, text in heads].index("agreement")
    assert bounds[agreement][1] == "≥ 0.98"
    assert pytorch[1][1] == "0.9010"
    assert dynamic[agreement] == ("n fails", "0.9000")
    assert [kind for row in (fp32, int8, int4) for kind, _ in row if "fails" in kind] == []
    assert [row[0][1] for row in (fp32, int8, dynamic, int4)] == [
        "fp32 passes",
        "int8 winsone scale a token",
        "int8-dynamic refused",
        "int4 refused",
    ]
    assert int8[1][1] == "0.90000.880…0.920"
    assert int8[2][1] == "+0.0010−0.002…+0.004"
    assert [text for _, text in int8[7:]] == ["3.90", "0.60×", "0.50×2 ms", "0.60×18 ms", "0.70×84 ms", "91.0", "146.5"]
    assert {text for _, text in int4[1:]} == {"–"}


@pytest.mark.parametrize(
    ("field", "value", "column"),
    [
        ("metric", 0.79, 0),
        ("metric_drop", 0.011, 1),
        ("agreement", 0.979, 2),
        ("change", 0.26, 3),
        ("batch_change", 0.011, 4),
        ("calibration_error_rise", 0.021, 5),
    ],
)
@pytest.mark.parametrize("broken", [False, True])
def test_each_rule_is_marked_in_its_own_cell(field, value, column, broken):
    spoilt = verdict("fp32", findings=["why"], **{field: math.nan if broken else value})
    given = json.loads(json.dumps(facts(spoilt, winner=None)))
    (line,) = view.ladder(given).lines
    assert [cell.fails for cell in line.cells] == [i == column for i in range(len(line.cells))]


def test_the_bounds_themselves_are_not_marked():
    bounds = {"metric": 0.8, "metric_drop": 0.01, "agreement": 0.98, "change": 0.25, "batch_change": 0.01}
    (line,) = view.ladder(facts(verdict("fp32", **bounds, calibration_error_rise=0.02), winner="fp32")).lines
    assert not any(cell.fails for cell in line.cells)


def test_why_each_lost(tmp_path):
    said = read(tmp_path, facts()).sections["why"]
    for reason in (
        "agreement with PyTorch 0.9000 is under 0.98",
        "not built: ValueError: no",
        "1.67x the fastest's time",
    ):
        assert reason in said


def test_a_text_is_text_whatever_it_says(tmp_path):
    evil = '<script>alert(1)</script><img src="https://evil.example/x">&amp;"\''
    given = facts(labels=[evil, "ham"], cpu=evil, tools={evil: evil}, about={"int8": evil}, metric_name=evil)
    given["details"]["int8"]["changed"][0] |= {"row": evil, "truth": evil, "before": evil, "after": evil}
    given["details"]["int8"]["changed"][1]["row"] = [evil, "a pair"]
    given["candidates"][3]["findings"] = [evil]
    given["explain"].append(f"int4: {evil}")
    page = read(tmp_path, given)
    assert not {tag for tag, _ in page.elements} & {"script", "iframe", "link", "object"}
    assert all(attributes["src"].startswith("data:") for tag, attributes in page.elements if tag == "img")
    for section in ("ladder", "why", "confusion", "changed", "how"):
        assert evil in page.sections[section]


def test_nothing_is_fetched(tmp_path):
    path = write(tmp_path, facts())
    page = Page(path.read_text("utf-8"))
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    for tag, attributes in page.elements:
        assert not attributes.keys() & {"href", "srcset", "action", "onload", "onclick"}
        assert attributes.get("src", "data:").startswith("data:"), tag
    style = path.read_text("utf-8").split("<style>")[1].split("</style>")[0]
    assert not re.search(r"https?:|@import|url\(", style)
    for picture in page.pictures():
        for element in ElementTree.fromstring(picture).iter():
            assert not element.tag.endswith(("}script", "}image", "}foreignObject"))
            links = [value for key, value in element.items() if key.endswith("href")]
            assert all(link.startswith("#") for link in links)


def test_when_none_passes_the_least_bad_is_looked_at(tmp_path):
    given = facts(
        verdict("fp32", LATENCY, ["one", "two"]),
        verdict("int8", None, ["one"]),
        Verdict("int4", None, None, ()),
        winner=None,
        version=None,
    )
    path = write(tmp_path, given)
    page = Page(path.read_text("utf-8"))
    assert path == tmp_path / "mail" / "refused" / "index.html"
    assert "None of 3 candidates passed; nothing was published." in page.sections[""]
    assert "“after” is int8, which was refused but broke the fewest rules" in " ".join(page.sections["why"].split())
    assert "Not drawn, for want of a time or a metric: int8, int4." in " ".join(page.sections["speed"].split())


def test_when_nothing_could_be_built_the_reasons_are_there(tmp_path):
    given = facts(Verdict("int4", None, None, ("not built: no",)), winner=None, version=None)
    page = read(tmp_path, given)
    assert list(page.sections) == ["", "ladder", "why", "how"]
    assert "not built: no" in page.sections["why"]


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("text-classification", "Spearman"),
        ("token-classification", "entity F1"),
        ("feature-extraction", "Spearman"),
        ("zero-shot-classification", "macro-F1"),
        ("text-ranking", "NDCG@10"),
    ],
)
def test_a_task_without_labels_and_probabilities_has_a_report(tmp_path, task, metric):
    plain = {"calibration_error": None, "calibration_error_rise": None, "metric_name": metric}
    bare = Details(None, None, None, None, (Changed(("a query", "a document"), None, "0.5", "0.7", 0.2),))
    given = facts(
        verdict("fp32", LATENCY, **plain),
        verdict("int8", **plain),
        details=bare,
        task=task,
        metric_name=metric,
        pytorch={"metric": 0.901, "calibration_error": None},
    )
    del given["labels"]
    page = read(tmp_path, given)
    assert list(page.sections) == ["", "ladder", "speed", "why", "changed", "how"]
    assert "docs/export.md says in which unit" in page.sections["how"]
    assert not any("fails" in kind for row in page.table("ladder") for kind, _ in row)
    (text,) = page.table("changed")[1:]
    assert [value for _, value in text] == ["a querya document", "–", "0.5", "0.7", "0.2000"]


def test_details_may_be_missing(tmp_path):
    assert list(read(tmp_path, facts(details=None)).sections) == ["", "ladder", "speed", "why", "how"]


def test_a_number_that_is_none_is_null_in_json_and_nan_on_the_page(tmp_path):
    broken = {"metric": math.nan, "metric_interval": (math.nan, math.nan), "metric_drop": math.nan}
    broken |= {"metric_drop_interval": (math.nan, math.nan), "agreement": math.nan, "change": math.inf}
    given = facts(verdict("fp32", LATENCY), verdict("int8", findings=["broken"], **broken), winner="fp32")
    given["pytorch"]["metric"] = math.nan
    given["details"]["fp32"]["changed"][0]["change"] = 1e9
    path = write(tmp_path, given)
    page = Page(path.read_text("utf-8"))
    cells = page.table("ladder")[4]
    assert cells[1] == ("n fails", "nan")
    assert "not a number" in page.sections["changed"]
    assert json.loads(path.with_name("report.json").read_text("utf-8"))["pytorch"]["metric"] is None


def test_a_candidate_stopped_early_says_how_many_rows_were_looked_at(tmp_path):
    stopped = verdict("int8-dynamic", findings=["stopped: why"], stopped="why", rows_alone=32, batch_change=0.5)
    page = read(tmp_path, facts(verdict("fp32", LATENCY), stopped, winner="fp32"))
    assert ("n fails", "0.500032 of 100 rows") in page.table("ladder")[4]


def test_without_fp32_times_are_in_milliseconds(tmp_path):
    alone = Latency(tuple(Shape(s.batch, s.tokens, s.ms, None) for s in FAST.shapes), 3.9, None)
    page = read(tmp_path, facts(verdict("int8", alone)))
    assert "3.90 ms a text, with a macro-F1" in " ".join(page.sections[""].split())
    assert page.table("ladder")[3][8][1] == "–"


def test_a_far_worse_candidate_does_not_squeeze_the_others(tmp_path):
    near = read(tmp_path / "a", facts(verdict("fp32", LATENCY), verdict("int8")))
    far = verdict("int4", findings=["macro-F1 0.1000 is under 0.8"], metric=0.1, metric_interval=(0.08, 0.12))
    squeezed = read(tmp_path / "b", facts(verdict("fp32", LATENCY), verdict("int8"), far))
    assert _grid(next(near.pictures())) == _grid(next(squeezed.pictures()))


def _grid(picture):
    """The numbers of the y axis and where they stand."""
    return re.findall(r'id="ytick_\d+".*?use xlink:href="[^"]*" x="[^"]*" y="([^"]*)"', picture, re.DOTALL)


def test_long_texts_are_cut_and_half_a_character_is_written(tmp_path):
    given = facts()
    given["details"]["int8"]["changed"][0]["row"] = "x" * 5000 + "end"
    given["details"]["int8"]["changed"][1]["row"] = "half \ud83d"
    path = write(tmp_path, given)
    said = Page(path.read_text("utf-8")).sections["changed"]
    assert "x" * 600 + " …" in said
    assert "end" not in said
    assert "half ?" in said
    assert json.loads(path.with_name("report.json").read_text("utf-8")) == json.loads(json.dumps(given))


def test_confusions_have_shares_and_say_what_moved():
    found = confusion(["spam", "ham"], [[40, 2], [3, 55]], [[41, 1], [4, 54]])
    assert (found.before.right, found.after.right, found.texts, found.folded) == (95, 95, 100, 0)
    assert [[cell.percent for cell in row] for row in found.before.rows] == [[95, 5], [5, 95]]
    assert all(cell.moved for row in found.after.rows for cell in row)
    assert not any(cell.moved for row in found.before.rows for cell in row)
    assert [(m.truth, m.answer, m.before, m.after, m.better) for m in found.moves] == [
        ("spam", "spam", 40, 41, True),
        ("spam", "ham", 2, 1, True),
        ("ham", "spam", 3, 4, False),
        ("ham", "ham", 55, 54, False),
    ]


def test_many_labels_are_folded_and_no_text_is_lost():
    many = 50
    counts = [[10 if i == j else 0 for j in range(many)] for i in range(many)]
    counts[48][49] = 7
    found = confusion(None, counts, counts)
    assert len(found.labels) == 20
    assert found.labels[-1] == "31 others"
    assert {"48", "49"} <= set(found.labels)
    assert sum(cell.count for row in found.after.rows for cell in row) == found.texts == 507
    assert found.moves == ()


def test_a_label_without_texts_has_no_share():
    assert confusion(None, [[0, 0], [1, 1]], None).before.rows[0][0].percent == 0


def test_names_of_neighbours_do_not_lie_on_each_other():
    points = [(200 + 6 * (i % 4), 150 + 5 * (i // 4)) for i in range(12)]
    boxes = labels.place(points, [(110, 15)] * 12, [], Box(0, 0, 690, 400))
    assert max(a.overlap(b) for i, a in enumerate(boxes) for b in boxes[:i]) == 0
    assert all(box.overlap(Box(0, 0, 690, 400)) == pytest.approx(110 * 15) for box in boxes)
    assert not any(box.holds(point) for box in boxes for point in points)


def test_a_name_alone_stands_beside_its_point():
    (box,) = labels.place([(100, 100)], [(50, 12)], [], Box(0, 0, 690, 400))
    assert labels.line((100, 100), box) is None
    start, end = labels.line((0, 0), Box(30, 40, 60, 60))
    assert (start, end) == ((0, 0), (30, 40))


def test_facts_are_left_as_they_were(tmp_path):
    given = facts()
    before = copy.deepcopy(given)
    write(tmp_path, given)
    assert given == before


def test_a_winner_that_was_not_timed(tmp_path):
    """An export for a GPU on a machine without one."""
    write(tmp_path, facts(verdict("fp16", None), verdict("fp32", None), winner="fp16", target="cuda"))
    page = Page((tmp_path / "mail" / "7" / "index.html").read_text(encoding="utf-8"))
    assert "fp16 is published as version 7: not timed" in page.sections[""]
    assert [row[0][1] for row in page.table("ladder")[3:]] == ["fp16 wins", "fp32 passes"]


LEAST = "<!-- least that passes -->"
"""What matplotlib writes beside the outlines of these words."""


def dashed(picture):
    """Heights of the dashed red lines; the one in the legend stands above the frame."""
    found = [e.get("d").split() for e in ElementTree.fromstring(picture).iter() if "#b3261e" in e.get("style", "")]
    return sorted(float(path[2]) for path in found if path[2] == path[5])


@pytest.mark.parametrize(("min_metric", "drop"), [(0.8, 0.01), (0.97, 0.01), (0.0, 0.5)])
def test_the_legend_has_the_lines_that_are_drawn(tmp_path, min_metric, drop):
    """The least that passes may lie above all candidates, or too far below them to be shown."""
    given = facts(verdict("fp32", LATENCY), verdict("int8"))
    given["quality"] = {**QUALITY, "min_metric": min_metric, "max_metric_drop": drop}
    picture = next(read(tmp_path, given).pictures())
    assert (LEAST in picture) == (drop < 0.5)
    if drop == 0.5:
        assert dashed(picture) == []
    else:
        legend, line = dashed(picture)
        assert legend < 42 < line < 362, "within the frame"


def test_only_answers_that_changed_are_listed(tmp_path):
    given = facts()
    rows = given["details"]["int8"]["changed"]
    for row in rows[2:]:
        row["change"] = 0.0
    page = read(tmp_path / "two", given)
    assert "The 2 texts whose answer changed most" in page.sections["changed"]
    assert len(page.table("changed")) == 3
    for row in rows:
        row["change"] = 0.0
    page = read(tmp_path / "none", given)
    assert page.table("changed") == []
    assert "No answer changed" in page.sections["changed"]
