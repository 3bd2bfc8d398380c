from __future__ import annotations

import numpy as np
import pytest
from caffe.errors import DefinitionError
from layer_checks import Case, compare, ids, make, refused_by_both
from oracle.client import Oracle

UNIFORM = 'data_filler { type: "uniform" min: -1 max: 2 }'
GAUSSIAN = 'data_filler { type: "gaussian" std: 3 }'
THREE = "data_filler { value: 3 }"
SHAPE = "shape { dim: 2 dim: 3 }"
SHAPES = f"{SHAPE} shape {{ dim: 4 }}"
OLD = "num: 2 channels: 3 height: 1 width: 4"


def case(text: str, tops: int = 2, forwards: int = 1) -> Case:
    text = f'type: "DummyData" dummy_data_param {{ {text} }}'
    return Case(text, [], tops=tops, forwards=forwards, backward=False, name=text[35:-2])


CASES = [
    case(SHAPE),
    case(f"{THREE} {SHAPES}"),
    case(f"{UNIFORM} {SHAPES}"),
    case(f"{UNIFORM} {GAUSSIAN} {SHAPES}", forwards=3),
    case(f"{THREE} {UNIFORM} {SHAPE}", forwards=2),
    case(f"{UNIFORM} {THREE} {SHAPE}", forwards=2),
    case(OLD),
    case(f"num: 5 {OLD} {UNIFORM}"),
    case(f"{OLD} {UNIFORM}", tops=1),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_dummy_data_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case, tolerance=0)


def test_only_forward_draws_random_numbers(oracle: Oracle) -> None:
    """The seed is set once, before the net is made."""
    here = case(f"{UNIFORM} {THREE} {SHAPES}")
    layer = make(here)
    found = [layer.forward([])[0].numpy() for _ in range(2)]

    source = """
        caffe.set_random_seed(7)
        net = caffe.Net(str(args["net"]), caffe.TRAIN)
        for step in "01":
            net.forward()
            out[step] = net.blobs["t0"].data.copy()
    """
    answer = oracle(source, net=oracle.write("net", here.net_text()))
    for step in range(2):
        assert np.array_equal(found[step], answer[str(step)])
    assert not np.array_equal(found[0], found[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{THREE} {THREE} {SHAPE}", "has 2 data_filler for 3 tops"),
        (SHAPES, "has 2 shapes for 3 tops"),
        ("", "has 0 shapes for 3 tops"),
        (f"{OLD} {SHAPE}", "has both shape and the old fields"),
        ("num: 2 channels: 3 height: 1", "has 0 width for 3 tops"),
        (f"num: 4 {OLD}", "has 2 num for 3 tops"),
        (f'data_filler {{ type: "gauss" }} {SHAPE}', 'unknown filler "gauss"'),
    ],
)
def test_wrong_definitions_are_refused(oracle: Oracle, text: str, message: str) -> None:
    if "gauss" in text:
        layer = make(case(text, tops=3))
        with pytest.raises(DefinitionError, match=message):
            layer.forward([])
    else:
        assert message in refused_by_both(oracle, case(text, tops=3), DefinitionError)
