"""The report's figures: axes that show what matters, names that can be read, a legend of what is drawn."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
from report_facts import LATENCY, QUALITY, facts, read, verdict

from luxe_export.report import labels
from luxe_export.report.labels import Box


def test_a_far_worse_candidate_does_not_squeeze_the_others(tmp_path):
    near = read(tmp_path / "a", facts(verdict("fp32", LATENCY), verdict("int8")))
    far = verdict("int4", findings=["macro-F1 0.1000 is under 0.8"], metric=0.1, metric_interval=(0.08, 0.12))
    squeezed = read(tmp_path / "b", facts(verdict("fp32", LATENCY), verdict("int8"), far))
    assert _grid(next(near.pictures())) == _grid(next(squeezed.pictures()))


def _grid(picture):
    """The numbers of the y axis and where they stand."""
    return re.findall(r'id="ytick_\d+".*?use xlink:href="[^"]*" x="[^"]*" y="([^"]*)"', picture, re.DOTALL)


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
