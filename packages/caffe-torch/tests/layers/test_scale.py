from __future__ import annotations

import numpy as np
import pytest
from caffe.errors import CaffeError, ShapeError
from layer_checks import Case, check_gradient, compare, ids, make, numbers, refused_by_both
from oracle.client import Oracle


def layer(kind: str, fields: str) -> str:
    return f'type: "{kind}" {kind.lower()}_param {{ {fields} }}'


MAP = numbers(2, 3, 4, 5)


def cases(kind: str, fields: str = "") -> list[Case]:
    def case(name: str, more: str, *bottoms: np.ndarray, in_place: bool = False) -> Case:
        text = layer(kind, f"{more} {fields}")
        return Case(text, bottoms, in_place=in_place, name=f"{kind} {fields} {name}")

    return [
        case("channels", "", MAP),
        case("channels in place", "", MAP, in_place=True),
        case("axis 0", "axis: 0", MAP),
        case("axis 0, one value", "axis: 0", numbers(1, 3)),
        case("two axes", "num_axes: 2", MAP),
        case("last axes", "axis: -2 num_axes: -1", MAP),
        case("all axes", "axis: 0 num_axes: -1", MAP),
        case("one value for all", "num_axes: 0", MAP),
        case("rows", "", numbers(4, 6)),
        case("two bottoms", "", MAP, numbers(3)),
        case("two bottoms, axes", "axis: 0", MAP, numbers(2, 3)),
        case("two bottoms, whole", "axis: 0", MAP, numbers(2, 3, 4, 5, seed=2)),
        case("two bottoms, ones", "axis: 0", numbers(2, 1, 4), numbers(2, 1)),
        case("two bottoms, scalar", "axis: 2", MAP, np.array(0.7, np.float32)),
        case("two bottoms in place", "axis: 2", MAP, numbers(4), in_place=True),
    ]


CASES = [*cases("Scale"), *cases("Scale", "bias_term: true"), *cases("Bias")]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_scale_and_bias_are_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [("Scale", "bias_term: true"), ("Scale", "num_axes: 2"), ("Bias", "axis: -1")],
)
def test_scale_and_bias_gradient(kind: str, fields: str) -> None:
    check_gradient(Case(layer(kind, fields), [numbers(2, 3, 2)]))
    if "num_axes" not in fields:
        size = 2 if "axis" in fields else 3
        check_gradient(Case(layer(kind, fields), [numbers(2, 3, 2), numbers(size, seed=2)]))


def test_first_values_are_a_scale_of_one_and_a_bias_of_zero(oracle: Oracle) -> None:
    for text in (layer("Scale", "bias_term: true"), layer("Bias", "")):
        case = Case(text, [MAP], in_place=True)
        param = make(case).learnable
        again = Case(text, [MAP], learnable=[blob.data.numpy() for blob in param])
        shapes = [blob.shape for blob in param]

        assert shapes == [(3,)] * len(shapes)
        compare(oracle, again)
    from_definition = oracle(
        """
        open("/tmp/n.prototxt", "w").write(str(args["net"]))
        net = caffe.Net("/tmp/n.prototxt", caffe.TEST)
        for index, param in enumerate(net.params["x"]):
            out["param%d" % index] = param.data.copy()
        """,
        net=np.array(Case(layer("Scale", "bias_term: true"), [MAP]).net_text()),
    )

    assert from_definition["param0"].tolist() == [1, 1, 1]
    assert from_definition["param1"].tolist() == [0, 0, 0]
    # ``make`` fills with random values, so the filler is asked for here.
    filled = unfilled(Case(layer("Scale", "bias_term: true"), [MAP]))
    assert filled == [[1, 1, 1], [0, 0, 0]]


def unfilled(case: Case) -> list[list[float]]:
    """The values of the learnable blobs as the definition's fillers give them."""
    found = make(case)
    for blob in list(found.learnable):
        found.learnable.remove(blob)
        found.learns.pop()
    found.setup([tuple(bottom.shape) for bottom in case.bottoms])
    return [blob.data.tolist() for blob in found.learnable]


@pytest.mark.parametrize("kind", ["Scale", "Bias"])
@pytest.mark.parametrize(
    ("fields", "bottoms"),
    [
        ("axis: 4", [MAP]),
        ("axis: 3 num_axes: 2", [MAP]),
        ("num_axes: -2", [MAP]),
        ("axis: 1", [MAP, numbers(4)]),
        ("axis: 3", [MAP, numbers(5, 2)]),
    ],
)
def test_what_does_not_lie_along_the_bottom_is_refused(
    oracle: Oracle, kind: str, fields: str, bottoms: list[np.ndarray]
) -> None:
    message = refused_by_both(oracle, Case(layer(kind, fields), bottoms), CaffeError)

    assert "2×3×4×5" in message


def test_a_bottom_that_changes_is_refused_with_both_shapes() -> None:
    scale = make(Case(layer("Scale", ""), [MAP]))

    assert scale.reshape([(7, 3, 1)]) == [(7, 3, 1)]
    with pytest.raises(ShapeError, match=r"shape 3 .*2×4×4×5"):
        scale.reshape([(2, 4, 4, 5)])
