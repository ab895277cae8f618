"""The report's page and its facts in JSON: who won and why, for every task, and nothing from elsewhere."""

import copy
import json
import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from report_facts import LATENCY, Page, facts, read, verdict

from luxe_export.gate.choice import Verdict
from luxe_export.gate.details import Changed, Details
from luxe_export.report import write


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


def test_facts_are_left_as_they_were(tmp_path):
    given = facts()
    before = copy.deepcopy(given)
    write(tmp_path, given)
    assert given == before


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


def test_a_winner_that_was_not_timed(tmp_path):
    """An export for a GPU on a machine without one."""
    write(tmp_path, facts(verdict("fp16", None), verdict("fp32", None), winner="fp16", target="cuda"))
    page = Page((tmp_path / "mail" / "7" / "index.html").read_text(encoding="utf-8"))
    assert "fp16 is published as version 7: not timed" in page.sections[""]
    assert [row[0][1] for row in page.table("ladder")[3:]] == ["fp16 wins", "fp32 passes"]


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
