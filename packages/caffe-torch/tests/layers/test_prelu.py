from __future__ import annotations

import numpy as np
import pytest
from caffe.errors import ShapeError
from layer_checks import Case, check_gradient, compare, ids, make, numbers, refused_by_both
from oracle.client import Oracle

EDGES = np.array([[-1.5, -0.0, 0.0, 2.0, 1e-30, -1e-30, 3e38, -3e38]], np.float32)
SHARED = 'type: "PReLU" prelu_param { channel_shared: true }'
CASES = [
    Case('type: "PReLU"', [numbers(2, 3, 4, 5)], name="four axes"),
    Case('type: "PReLU"', [numbers(4, 3)], name="two axes"),
    Case('type: "PReLU"', [numbers(2, 3, 4)], name="three axes"),
    Case('type: "PReLU"', [numbers(2, 3, 4, 5)], in_place=True, name="in place"),
    Case(SHARED, [numbers(2, 3, 4, 5)], name="shared"),
    Case(SHARED, [numbers(2, 3, 4)], in_place=True, name="shared, in place"),
    Case('type: "PReLU"', [EDGES], name="edges", learnable=[np.linspace(-0.4, 2, 8)]),
    Case('type: "PReLU"', [numbers(4, 3)], gradients=[False], name="slopes alone"),
    Case('type: "PReLU" param { lr_mult: 0 }', [numbers(4, 3)], name="no learning rate"),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_prelu_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


@pytest.mark.parametrize("text", ['type: "PReLU"', SHARED])
def test_prelu_gradient(text: str) -> None:
    check_gradient(Case(text, [numbers(2, 3, 2)]))


def test_slopes_start_at_a_quarter_or_as_the_filler_says(oracle: Oracle) -> None:
    filled = 'type: "PReLU" prelu_param { filler { type: "constant" value: 0.1 } }'
    for text, value in (('type: "PReLU"', 0.25), (filled, 0.1), (SHARED, 0.25)):
        case = Case(text, [numbers(2, 3)])
        param = oracle(
            """
            open("/tmp/net.prototxt", "w").write(str(args["net"]))
            out["slope"] = caffe.Net("/tmp/net.prototxt", caffe.TRAIN).params["x"][0].data.copy()
            """,
            net=np.array(case.net_text()),
        )["slope"]
        mine = make(Case(text, [numbers(2, 3)], learnable=[param])).learnable[0]
        assert mine.shape == param.shape
        assert np.all(param == np.float32(value))


def test_a_bottom_of_one_axis_is_refused_by_both(oracle: Oracle) -> None:
    message = refused_by_both(oracle, Case('type: "PReLU"', [numbers(5)]), ShapeError)
    assert "the bottom of shape 5 has 1 axes" in message


def test_a_bottom_of_five_axes_is_refused_by_both(oracle: Oracle) -> None:
    message = refused_by_both(oracle, Case('type: "PReLU"', [numbers(1, 2, 1, 2, 1)]), ShapeError)
    assert "1×2×1×2×1" in message
