"""RNN and LSTM: what they share, and each against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from caffe.errors import DefinitionError, ShapeError
from caffe.layers import Context, create
from caffe.proto import caffe_pb2
from caffe.random import Random
from google.protobuf import text_format
from layer_checks import Case, check_gradient, compare, ids, make, numbers, refused_by_both
from oracle.client import Oracle

FILLERS = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "uniform" max: 1 }'
X = numbers(3, 2, 4)
CONT = np.array([[0, 1], [1, 0], [1, 1]], np.float32)
ONES = np.ones((3, 2), np.float32)
ODD = np.array([[0.5, 2], [-1, 0], [1, 0.25]], np.float32)
STATIC = numbers(2, 2, 3, seed=4)
H, C = numbers(1, 2, 5, seed=5), numbers(1, 2, 5, seed=6)
HIDDEN = {"RNN": [H], "LSTM": [H, C]}
KINDS = ["RNN", "LSTM"]


def case(
    kind: str, bottoms: list[np.ndarray], text: str = "", forwards: int = 1, name: str = ""
) -> Case:
    tops = 1
    if "expose_hidden" in text:
        bottoms, tops = [*bottoms, *HIDDEN[kind]], 1 + len(HIDDEN[kind])
    return Case(
        f'type: "{kind}" recurrent_param {{ num_output: 5 {FILLERS} {text} }}',
        bottoms,
        tops=tops,
        forwards=forwards,
        gradients=[index != 1 for index in range(len(bottoms))],
        name=f"{kind} {name}",
    )


CASES = [
    made
    for kind in KINDS
    for made in [
        case(kind, [X, CONT], name="plain"),
        case(kind, [X, ONES], forwards=3, name="state lives on"),
        case(kind, [X, CONT], forwards=2, name="sequences begin and go on"),
        case(kind, [X, ODD], forwards=2, name="cont beside 0 and 1"),
        case(kind, [X.reshape(3, 2, 2, 2), CONT], name="input with more axes"),
        case(kind, [X, CONT, STATIC], forwards=2, name="static input"),
        case(kind, [X, ONES], "expose_hidden: true", forwards=2, name="exposed"),
        case(kind, [X, ONES, STATIC], "expose_hidden: true", name="exposed and static"),
        case(kind, [X[:1], ONES[:1]], forwards=2, name="one step"),
        case(kind, [X * 1e4, ONES], name="saturated"),
    ]
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_recurrent_layers_are_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_gradient(kind: str) -> None:
    begins = CONT * [[0], [1], [1]]
    check_gradient(case(kind, [X, begins, STATIC]), tolerance=1e-5)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_blobs_are_filled_with_the_oracles_numbers(oracle: Oracle, kind: str, static: bool) -> None:
    """And a layer that comes after is, too."""
    here = case(kind, [X, CONT, STATIC] if static else [X, CONT])
    after = 'layer { name: "after" type: "Bias" bottom: "b0" top: "after" bias_param { filler {'
    text = here.net_text() + after + ' type: "uniform" max: 1 } } }'
    source = """
        caffe.set_random_seed(7)
        net = caffe.Net(str(args["net"]), caffe.TRAIN)
        for index, param in enumerate(net.params["x"]):
            out[str(index)] = param.data.copy()
        out["next"] = net.params["after"][0].data.copy()
    """
    answer = oracle(source, net=oracle.write("net", text))
    param = text_format.Parse(here.layer_text(), caffe_pb2.LayerParameter())
    layer = create(param, Context(caffe_pb2.TRAIN, torch.device("cpu"), Random(7)))
    layer.setup([bottom.shape for bottom in here.bottoms])
    blobs = [blob.data.numpy() for blob in layer.learnable]

    assert len(blobs) == len(answer) - 1
    for index, blob in enumerate(blobs):
        assert blob.shape == answer[str(index)].shape
        np.testing.assert_allclose(blob, answer[str(index)], rtol=0, atol=1e-7)
    assert np.array_equal(layer.context.random.uniform(2, 0, 1), answer["next"])


def test_streams_may_change_between_forwards(oracle: Oracle) -> None:
    """More than ever begin with zeros, all of them; others go on."""
    layer = make(case("LSTM", [X, ONES]))
    inputs = {f"x{index}": numbers(3, n, 4, seed=n) for index, n in enumerate((2, 1, 2, 3, 1, 3))}
    found = {}
    for name, x in inputs.items():
        layer.reshape([x.shape, x.shape[:2]])
        found[name] = layer.forward([torch.tensor(x), torch.ones(x.shape[:2])])[0].numpy()

    source = """
        net = caffe.Net(str(args["net"]), caffe.TRAIN)
        for index, param in enumerate(net.params["x"]):
            param.data[...] = args["param%d" % index]
        for name in sorted(name for name in args if name.startswith("x")):
            net.blobs["b0"].reshape(*args[name].shape)
            net.blobs["b1"].reshape(*args[name].shape[:2])
            net.reshape()
            net.blobs["b0"].data[...], net.blobs["b1"].data[...] = args[name], 1
            net.forward()
            out[name] = net.blobs["t0"].data.copy()
    """
    net = oracle.write("net", case("LSTM", [X, ONES]).net_text())
    params = {f"param{index}": blob.data.numpy() for index, blob in enumerate(layer.learnable)}
    answer = oracle(source, net=net, **inputs, **params)
    for name, output in found.items():
        np.testing.assert_allclose(output, answer[name], rtol=0, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_to_the_indicators_is_refused(kind: str) -> None:
    layer = make(case(kind, [X, CONT]))
    layer.forward([torch.tensor(X), torch.tensor(CONT)])
    with pytest.raises(DefinitionError, match="cannot backpropagate to sequence indicators"):
        layer.backward([torch.zeros(3, 2, 5)], [True, True])

    assert [layer.may_force_backward(index) for index in range(3)] == [True, False, True]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("bottoms", "message"),
    [
        ([X[..., 0], CONT], "its input has shape 3×2; allowed: steps×streams×…"),
        ([X, CONT[:2]], "the sequence indicators have shape 2×2, the input 3×2×4"),
        ([X, CONT.T], "allowed: 3×2, one per step and stream"),
        ([X, CONT, STATIC[:1]], "the static input has shape 1×2×3; allowed: 2×…"),
        ([X, CONT, STATIC, STATIC], "has 4 bottoms and 1 tops"),
    ],
)
def test_bottoms_that_do_not_fit_are_refused(
    oracle: Oracle, kind: str, bottoms: list[np.ndarray], message: str
) -> None:
    found = refused_by_both(oracle, case(kind, bottoms), DefinitionError)

    assert message in found


@pytest.mark.parametrize("kind", KINDS)
def test_a_hidden_state_of_another_shape_is_refused(oracle: Oracle, kind: str) -> None:
    good = case(kind, [X, CONT], "expose_hidden: true")
    bottoms = [*good.bottoms[:-1], numbers(1, 2, 6)]
    wrong = Case(good.text, bottoms, tops=good.tops, gradients=good.gradients)

    assert "has shape 1×2×6; allowed: 1×2×5" in refused_by_both(oracle, wrong, ShapeError)


@pytest.mark.parametrize("kind", KINDS)
def test_no_outputs_are_refused(oracle: Oracle, kind: str) -> None:
    assert "has num_output 0" in refused_by_both(
        oracle, Case(f'type: "{kind}"', [X, CONT]), DefinitionError
    )


def test_another_number_of_steps_is_refused() -> None:
    layer = make(case("LSTM", [X, CONT]))
    with pytest.raises(ShapeError, match="has 2 steps now; allowed: 3 as at first"):
        layer.reshape([(2, 2, 4), (2, 2)])
