"""What tests of the scheduler share: how to draw texts and costs, and what is right, computed the long way."""

import math

from hypothesis import strategies as st

from luxe_serving.scheduling.cost import CostModel
from luxe_serving.scheduling.scheduler import Scheduler, Text

PATIENCE_S = 5.0
LENGTHS = st.lists(st.integers(1, 512), min_size=1, max_size=60)
BATCH = st.integers(1, 16)
SHARE = st.floats(0, 1)
COSTS = st.builds(CostModel, st.floats(0, 0.1), st.floats(1e-6, 1e-3), st.floats(0, 1e-5))
MOMENTS = st.floats(0, 20)
DEADLINES = MOMENTS | st.just(math.inf)
# Few lengths, so that there are neighbours; any, so that there are not.
LENGTH = st.integers(20, 30) | st.integers(1, 512)


def texts_of(most, *, deadlines=DEADLINES):
    """Lists of texts, interactive and bulk ones, that arrive in order; the payload is the number."""
    drawn = st.tuples(LENGTH, MOMENTS, deadlines, st.booleans())

    def number(rows):
        arrivals = sorted(arrived_s for _, arrived_s, _, _ in rows)
        return [
            Text(i, length, arrivals[i], max(arrivals[i], deadline_s), bulk)
            for i, (length, _, deadline_s, bulk) in enumerate(rows)
        ]

    return st.lists(drawn, min_size=1, max_size=most).map(number)


def scheduler(**changes):
    usual = {"cost": CostModel(), "instances": 1, "max_batch": 8, "max_padding_share": 0.12, "patience_s": PATIENCE_S}
    return Scheduler(**{**usual, **changes})


def padding_share(lengths):
    """Padded tokens over all tokens, counted token by token."""
    width = max(lengths)
    tokens = sum(width for _ in lengths)
    return sum(width - length for length in lengths) / tokens if tokens else 0.0


def urgency(text):
    """When it came, or counts as having come."""
    return text.arrived_s + (PATIENCE_S if text.bulk else 0.0)


def own_s(cost, text, max_batch):
    """What a text adds to the wait of those behind it: its own work and its share of a full batch's start."""
    return cost.per_token * text.length + cost.per_pair * text.length**2 + cost.per_run / max_batch
