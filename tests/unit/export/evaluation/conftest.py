import numpy as np
import pytest
from evaluations import entry, evaluation


@pytest.fixture
def single(tmp_path):
    rows = [{"text": f"text {i}", "label": "abc"[i % 3]} for i in range(60)]
    return evaluation(tmp_path, entry(), rows)


@pytest.fixture
def guesses():
    return list(np.random.default_rng(1).dirichlet([1, 1, 1], size=60).astype(np.float32))
