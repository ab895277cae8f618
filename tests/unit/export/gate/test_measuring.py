"""How a candidate is measured: stopped when it is hopeless, the same numbers each time, and what changed most."""

import copy
import dataclasses
import json

import numpy as np
import pytest
from onnx_faults import batch_mixed, broken, labels_swapped, not_a_number
from trained_classifier import QUALITY, TEXTS

from luxe_export.gate import measurement
from luxe_export.gate.answering import Candidate


@pytest.mark.parametrize("fault", [labels_swapped, not_a_number])
def test_a_hopeless_candidate_is_stopped_and_says_so(measured, right, intact, fault):
    stopped, whole = measured(fault, quality=QUALITY), measured(fault)
    assert whole.rows_alone == TEXTS
    assert stopped.rows_alone == 32
    assert measurement.findings(stopped, QUALITY)[0].startswith("stopped: a batched answer is ")
    assert "32 of 240 rows were also answered alone" in measurement.findings(stopped, QUALITY)[0]
    # The verdict is that of measuring everything.
    assert set(measurement.findings(whole, QUALITY)) <= {
        f.replace(", of those seen,", "") for f in measurement.findings(stopped, QUALITY)
    }


def test_what_is_not_a_number_is_told_from_what_has_no_unit(measured, right):
    """Changes are counted in spreads or lengths, which may be 0."""
    assert measured(not_a_number, quality=QUALITY).stopped.startswith("stopped: a batched answer is not a number; ")
    endless = copy.copy(right.evaluation)
    endless.change = lambda before, after, reference=None: np.full(TEXTS, np.inf)
    m = measured(labels_swapped, quality=QUALITY, against=dataclasses.replace(right, evaluation=endless))
    assert m.stopped.startswith("stopped: a batched answer moved where PyTorch's answers never vary")


@pytest.mark.parametrize("fault", [None, batch_mixed])
def test_a_candidate_that_may_pass_is_not_stopped(measured, fault):
    m = measured(fault, quality=QUALITY)
    assert m.stopped is None
    assert m.rows_alone == TEXTS


@pytest.mark.parametrize("fault", [None, labels_swapped])
def test_progress_ends_at_what_was_announced(intact, right, tmp_path, fault):
    path = broken(intact, fault, tmp_path / "broken.onnx") if fault else intact
    steps = []
    measurement.measure("tiny", path, right, lambda: steps.append(None), quality=QUALITY)
    assert len(steps) == measurement.passes(right)


@pytest.mark.parametrize("which", ["intact", "int8"])
@pytest.mark.parametrize("batch", [1, 8])
def test_answers_do_not_depend_on_the_number_of_cores(request, right, which, batch):
    path = request.getfixturevalue(which)
    given = []
    for at_once in (1, 2, 5):
        with Candidate(path, right, at_once=at_once) as engine:
            given.append(np.stack(engine.answer(range(60), batch=batch, advance=lambda: None)))
    assert (given[0] == given[1]).all()
    assert (given[0] == given[2]).all()


def test_measuring_twice_gives_the_same_numbers(measured):
    first, second = measured(labels_swapped).to_json(), measured(labels_swapped).to_json()
    assert {**first, "memory_bytes": 0} == {**second, "memory_bytes": 0}


def test_details_show_what_changed_most(right, intact, tmp_path):
    path = broken(intact, labels_swapped, tmp_path / "broken.onnx")
    _, details = measurement.measure("tiny", path, right, lambda: None)
    assert [x.change for x in details.changed] == sorted((x.change for x in details.changed), reverse=True)
    assert len(details.changed) == 10
    swapped = {frozenset((x.before.split()[0], x.after.split()[0])) for x in details.changed}
    assert swapped == {frozenset({"north", "east"})}
    before, after = np.array(details.confusion_before), np.array(details.confusion_after)
    assert (after[:, [1, 0, 2, 3]] == before).all()
    assert before.sum() == sum(b.count for b in details.reliability_after) == TEXTS
    json.dumps(details.to_json(), allow_nan=False)
