from __future__ import annotations

import pytest
from caffe.errors import DefinitionError
from layer_checks import Case, check_gradient, compare, ids, make, numbers, refused_by_both
from oracle.client import Oracle


def case(fields: str, *shape: int) -> Case:
    return Case(
        f'type: "SPP" spp_param {{ {fields} }}', [numbers(*shape)], name=f"{fields} {shape}"
    )


CASES = [
    case(f"pyramid_height: {height} pool: {pool}", *shape)
    for pool in ("MAX", "AVE")
    for height, shape in [
        (1, (2, 3, 5, 4)),
        (2, (2, 3, 4, 4)),
        (3, (2, 3, 9, 8)),
        (3, (2, 3, 7, 10)),
        (3, (1, 2, 6, 7)),
        (4, (1, 2, 16, 21)),
    ]
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_spp_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_spp_gradient(pool: str) -> None:
    check_gradient(case(f"pyramid_height: 2 pool: {pool}", 1, 2, 5, 4))


def test_another_size_of_the_bottom_gives_the_same_row() -> None:
    layer = make(case("pyramid_height: 2", 1, 2, 5, 4))

    assert layer.reshape([(3, 2, 8, 6)]) == [(3, 10)]


def test_what_caffe_refuses_is_refused(oracle: Oracle) -> None:
    def refused(wrong: Case) -> str:
        return refused_by_both(oracle, wrong, DefinitionError)

    assert "pyramid_height" in refused(case("", 1, 2, 5, 4))
    assert "1×2×5×1" in refused(case("pyramid_height: 2", 1, 2, 5, 1))
    assert "8 bins along a side of 17" in refused(case("pyramid_height: 4", 1, 2, 17, 16))
    assert "STOCHASTIC" in refused(case("pyramid_height: 2 pool: STOCHASTIC", 1, 2, 4, 4))
