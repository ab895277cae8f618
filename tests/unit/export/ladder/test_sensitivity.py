import functools

import numpy as np
import onnx
from onnx import numpy_helper
from onnx_graphs import matrices

from luxe_export.ladder import int8, sensitivity


def spoil(source, target, site):
    """Make the first row of the matrix behind ``site`` so loud that 8 bits hold little of the others."""
    model = onnx.load(str(source))
    (name,) = [w for x, w in matrices(source) if x == site]
    tensor = next(i for i in model.graph.initializer if i.name == name)
    matrix = numpy_helper.to_array(tensor).copy()
    matrix[0] = 300 * np.abs(matrix).max()
    tensor.CopyFrom(numpy_helper.from_array(matrix, name))
    onnx.save(model, str(target))


def test_the_product_that_suffers_most_comes_first(small, tmp_path):
    shop = small("bert").workshop
    make = functools.partial(int8.quantize, scheme="per-token", cpu=shop.cpu)
    every = int8.sites(shop.open)
    before = sensitivity.most_sensitive(shop.open, tmp_path, make, shop.batches)
    assert len(before) == 2 and len(every) == 8  # a quarter
    site = next(x for x in reversed(every) if x not in before)
    spoil(shop.open, tmp_path / "spoilt.onnx", site)
    assert sensitivity.most_sensitive(tmp_path / "spoilt.onnx", tmp_path, make, shop.batches)[0] == site
    assert [path.name for path in tmp_path.iterdir()] == ["spoilt.onnx"]


def test_a_quarter_is_rounded_up_and_some_texts_are_enough(small, tmp_path):
    """ALBERT's two layers have nine inputs; texts after the 24th are not made."""
    shop, made = small("albert").workshop, []

    def batches():
        for number in range(100):
            made.append(number)
            yield next(shop.batches())

    make = functools.partial(int8.quantize, scheme="mixed", cpu=shop.cpu, batches=batches)
    every = int8.sites(shop.open)
    found = sensitivity.most_sensitive(shop.open, tmp_path, make, batches)
    assert len(every) == 9 and len(found) == 3
    assert set(found) < set(every)
    assert max(made) == 23
