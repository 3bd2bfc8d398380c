from __future__ import annotations

import numpy as np
import pytest
import torch
from caffe.errors import DefinitionError
from layer_checks import Array, Case, check_gradient, compare, ids, make, numbers, refused_by_both
from oracle.client import Oracle

EDGES = np.array([[-1.5, -0.0, 0.0, 2.0, 1e-30, -1e-30, 60.0, -60.0, 1.0, -1.0]], np.float32)
HUGE = np.array([[3e38, -3e38, 1e20, -1e20]], np.float32)
ABOVE = (np.abs(numbers(3, 4)) + np.float32(0.1)).astype(np.float32)
BELOW_TOO = numbers(3, 4, 2)


def case(text: str, bottom: Array, name: str = "", **more: object) -> Case:
    return Case(text, [bottom], name=name or text, **more)  # type: ignore[arg-type]


def everywhere(text: str, *, huge: bool = True, in_place: bool = True) -> list[Case]:
    """A type at random values, at edges and in place."""
    name = text.replace('type: "', "").replace('"', "")
    found = [
        case(text, BELOW_TOO, f"{name}, random"),
        case(text, EDGES, f"{name}, edges"),
    ]
    if huge:
        found.append(case(text, HUGE, f"{name}, huge"))
    if in_place:
        found.append(case(text, BELOW_TOO, f"{name}, in place", in_place=True))
        found.append(case(text, EDGES, f"{name}, edges in place", in_place=True))
    return found


POWER = 'type: "Power" power_param '
EXP = 'type: "Exp" exp_param '
LOG = 'type: "Log" log_param '
CLIP = 'type: "Clip" clip_param '
CASES = [
    *everywhere('type: "ELU"'),
    *everywhere('type: "ELU" elu_param { alpha: 0.3 }'),
    *everywhere('type: "ELU" elu_param { alpha: -0.7 }'),
    *everywhere('type: "ELU" elu_param { alpha: 0 }'),
    *everywhere('type: "Sigmoid"'),
    *everywhere('type: "TanH"'),
    *everywhere('type: "AbsVal"', in_place=False),
    *everywhere('type: "BNLL"'),
    *everywhere('type: "Swish"', huge=False),
    *everywhere('type: "Swish" swish_param { beta: -0.5 }', huge=False),
    *everywhere('type: "Swish" swish_param { beta: 0 }', huge=False),
    *everywhere(CLIP + "{ min: -0.5 max: 1 }"),
    *everywhere(CLIP + "{ min: 1 max: -1 }"),
    *everywhere('type: "Clip"'),
    *everywhere('type: "Power"'),
    *everywhere(POWER + "{ scale: -2.5 shift: 0.7 }"),
    *everywhere(POWER + "{ power: 2 }", huge=False),
    *everywhere(POWER + "{ power: 2 scale: 0.3 shift: -1 }", huge=False),
    *everywhere(POWER + "{ power: 3 scale: 1.3 }", huge=False),
    *everywhere(POWER + "{ power: 3 scale: 1.3 shift: 1 }", huge=False),
    *everywhere(POWER + "{ power: 0.5 }"),
    *everywhere(POWER + "{ power: -1 shift: 2 }"),
    *everywhere(POWER + "{ power: 0 }"),
    *everywhere(POWER + "{ scale: 0 shift: 2 power: 3 }"),
    *everywhere(POWER + "{ scale: 0 power: -1 }"),
    case(POWER + "{ power: 1.7 scale: 0.4 shift: 0.2 }", ABOVE),
    *everywhere('type: "Exp"'),
    *everywhere(EXP + "{ base: 2 scale: 0.5 shift: -1 }"),
    *everywhere(EXP + "{ base: 0.1 scale: 0.2 }"),
    *everywhere(EXP + "{ base: 1 shift: 3 }"),
    *everywhere(EXP + "{ scale: -0.5 shift: 1.5 }"),
    *everywhere(EXP + "{ scale: 0 }"),
    *everywhere('type: "Log"'),
    *everywhere(LOG + "{ base: 2 scale: 0.5 shift: 3 }"),
    *everywhere(LOG + "{ base: 0.1 scale: -1 shift: 4 }"),
    *everywhere(LOG + "{ scale: 0 shift: 2 }"),
    case(LOG + "{ base: 10 }", ABOVE),
]


@pytest.mark.parametrize("each", CASES, ids=ids(CASES))
def test_neurons_are_the_oracles(oracle: Oracle, each: Case) -> None:
    compare(oracle, each)


THRESHOLDS = [
    case('type: "Threshold"', EDGES, backward=False),
    case('type: "Threshold" threshold_param { threshold: 1 }', EDGES, backward=False),
    case('type: "Threshold"', BELOW_TOO, "in place", backward=False, in_place=True),
]


@pytest.mark.parametrize("each", THRESHOLDS, ids=ids(THRESHOLDS))
def test_threshold_is_the_oracles(oracle: Oracle, each: Case) -> None:
    compare(oracle, each)


def test_threshold_refuses_a_backward_where_caffe_aborts() -> None:
    layer = make(case('type: "Threshold"', EDGES))
    with pytest.raises(DefinitionError, match=r'"x" \(Threshold\): has no gradient'):
        layer.backward([torch.zeros(1)], [True])


@pytest.mark.parametrize(
    "text",
    [
        'type: "ELU" elu_param { alpha: 0.3 }',
        'type: "Sigmoid"',
        'type: "TanH"',
        'type: "AbsVal"',
        'type: "BNLL"',
        'type: "Swish" swish_param { beta: 1.5 }',
        CLIP + "{ min: -0.5 max: 1 }",
        POWER + "{ power: 3 scale: 0.5 shift: 4 }",
        POWER + "{ power: 3 scale: 0.5 }",
        POWER + "{ power: 2 scale: 0.5 shift: 4 }",
        POWER + "{ scale: 0.5 shift: 4 }",
        POWER + "{ scale: 0 shift: 4 }",
        EXP + "{ base: 2 scale: 0.5 shift: -1 }",
        LOG + "{ base: 2 scale: 0.5 shift: 4 }",
    ],
)
def test_the_gradient_is_the_derivative(text: str) -> None:
    check_gradient(case(text, numbers(2, 3)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (EXP + "{ base: 0 }", "exp_param.base is 0"),
        (EXP + "{ base: -2 }", "exp_param.base is -2"),
        (EXP + "{ base: inf }", "exp_param.base is inf"),
        (EXP + "{ base: nan }", "exp_param.base is nan"),
        (LOG + "{ base: 0 }", "log_param.base is 0"),
        (LOG + "{ base: -2 }", "log_param.base is -2"),
        (LOG + "{ base: 1 }", "log_param.base 1 has no logarithm"),
    ],
)
def test_a_base_without_a_logarithm_is_refused_by_both(
    oracle: Oracle, text: str, said: str
) -> None:
    assert said in refused_by_both(oracle, case(text, EDGES), DefinitionError)


def test_a_neuron_that_never_went_forward_refuses_to_go_back() -> None:
    layer = make(case('type: "TanH"', EDGES))
    with pytest.raises(DefinitionError, match="backward comes before forward"):
        layer.backward([torch.zeros(1)], [True])


def test_neurons_keep_the_layout_of_their_bottom() -> None:
    bottom = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    for text in ('type: "TanH"', 'type: "ELU"', POWER + "{ power: 2 }", CLIP + "{ min: 0 max: 1 }"):
        layer = make(case(text, numbers(2, 3, 4, 5)))
        (top,) = layer.forward([bottom])
        (diff,) = layer.backward([top], [True])
        assert diff is not None
        assert top.stride() == diff.stride() == bottom.stride(), text
