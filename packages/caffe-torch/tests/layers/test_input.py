from __future__ import annotations

import pytest
from caffe.errors import DefinitionError
from layer_checks import Case, make, refused_by_both
from oracle.client import Oracle

SHAPES = "shape { dim: 2 dim: 3 } shape { dim: 4 }"


def case(text: str, tops: int) -> Case:
    return Case(f'type: "Input" input_param {{ {text} }}', [], tops=tops, backward=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SHAPES, [(2, 3), (4,)]),
        ("shape { dim: 2 dim: 3 }", [(2, 3), (2, 3)]),
        ("shape { }", [(), ()]),
        ("", [(), ()]),
    ],
)
def test_tops_have_one_shape_or_each_their_own(
    oracle: Oracle, text: str, expected: list[tuple[int, ...]]
) -> None:
    source = """
        net = caffe.Net(str(args["net"]), caffe.TRAIN)
        net.blobs["t0"].data[...] = 5
        net.forward()
        out["0"], out["1"] = net.blobs["t0"].data.copy(), net.blobs["t1"].data.copy()
    """
    layer = make(case(text, 2))

    assert layer.reshape([]) == expected
    assert layer.keeps_tops
    if text:
        answer = oracle(source, net=oracle.write("net", case(text, 2).net_text()))
        assert [answer["0"].shape, answer["1"].shape] == expected
        assert (answer["0"] == 5).all()


def test_another_number_of_shapes_is_refused(oracle: Oracle) -> None:
    message = refused_by_both(oracle, case(SHAPES, 3), DefinitionError)

    assert 'layer "x" (Input): has 2 shapes for 3 tops' in message
