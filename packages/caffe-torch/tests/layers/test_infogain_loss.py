from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from caffe.errors import CaffeError, DataError, DefinitionError, ShapeError
from caffe.proto import caffe_pb2
from layer_checks import (
    Case,
    check_gradient,
    compare,
    ids,
    make,
    numbers,
    ours,
    refused_by_both,
)
from oracle.client import Oracle

TYPE = 'type: "InfogainLoss"'
FIRST = [True, False, False]
X = numbers(3, 5, 2)
LABELS = np.random.default_rng(1).integers(0, 5, (3, 2)).astype(np.float32)
H = numbers(5, 5, seed=3)
EXTREME = np.array([[100, 0, -100, 0, 0], [0, 0, 0, 0, 0], [3e38, -3e38, 0, 1, 2]], np.float32)
MODES = ["FULL", "VALID", "BATCH_SIZE", "NONE"]


class Unforced(Case):
    """Without force_backward, on which Caffe seeks a gradient to the matrix and aborts: a scale
    by 1 in place makes it compute the gradient to the predictions."""

    def net_text(self) -> str:
        scale = 'layer { name: "s" type: "Scale" bottom: "b0" top: "b0" }\nlayer { name: "x"'
        text = super().net_text().replace("force_backward: true", "")
        return text.replace('layer { name: "x"', scale)


def case(text: str, bottoms: list[np.ndarray], name: str = "") -> Case:
    return Unforced(
        f"{TYPE} {text}", bottoms, gradients=FIRST[: len(bottoms)], name=name or text or "plain"
    )


CASES = [
    case("", [X, LABELS, H]),
    *[case(f"loss_param {{ normalization: {mode} }}", [X, LABELS, H]) for mode in MODES],
    *[
        case(f"loss_param {{ ignore_label: 2 normalization: {mode} }}", [X, LABELS, H])
        for mode in MODES
    ],
    case("infogain_loss_param { axis: -1 }", [X, np.ones((3, 5)), numbers(2, 2)]),
    case("", [EXTREME, np.array([2, 1, 4]), H], name="clamped probability"),
    case("", [X, LABELS, H.reshape(1, 1, 25)], name="matrix of another shape"),
    case("", [X, LABELS, np.eye(5)], name="the identity"),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_infogain_loss_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


def test_the_matrix_may_come_from_a_file(oracle: Oracle, tmp_path: Path) -> None:
    proto = caffe_pb2.BlobProto(num=1, channels=1, height=5, width=5, data=H.flatten())
    (tmp_path / "h").write_bytes(proto.SerializeToString())
    here = case(f'infogain_loss_param {{ source: "{tmp_path / "h"}" }}', [X, LABELS])
    found = ours(here)

    expected = ours(case("", [X, LABELS, H]))
    assert found.tops[0] == expected.tops[0]
    assert np.array_equal(found.bottom_diffs[0], expected.bottom_diffs[0])
    there = oracle.write("h", proto.SerializeToString())
    answer = oracle(
        """
        net = caffe.Net(str(args["net"]), caffe.TRAIN)
        net.blobs["b0"].data[...], net.blobs["b1"].data[...] = args["x"], args["labels"]
        out["loss"] = net.forward()["t0"]
        """,
        net=oracle.write("net", _at(there)),
        x=X,
        labels=LABELS,
    )
    np.testing.assert_allclose(found.tops[0], answer["loss"], rtol=2e-6)


def _at(path: str) -> str:
    return case(f'infogain_loss_param {{ source: "{path}" }}', [X, LABELS]).net_text()


def test_the_second_top_has_the_probabilities(oracle: Oracle) -> None:
    two = Unforced(f"{TYPE} loss_weight: 1 loss_weight: 0", [X, LABELS, H], tops=2, gradients=FIRST)
    compare(oracle, two)


@pytest.mark.parametrize("text", ["", "loss_param { ignore_label: 2 normalization: FULL }"])
def test_infogain_loss_gradient(text: str) -> None:
    check_gradient(case(text, [X, LABELS, H]))


def test_wrong_labels_and_gradients_to_other_bottoms_are_refused() -> None:
    layer = make(case("", [X, LABELS, H]))
    with pytest.raises(DataError, match="label 5 of sample 0 is no class of the 5"):
        layer.forward([torch.tensor(X), torch.full((3, 2), 5.0), torch.tensor(H)])
    for wanted, word in (([True, True, False], "label"), ([True, False, True], "infogain")):
        with pytest.raises(DefinitionError, match=f"cannot backpropagate to {word} inputs"):
            layer.backward([torch.tensor(1.0)], wanted)


@pytest.mark.parametrize(
    ("text", "bottoms", "error", "message"),
    [
        ("", [X, LABELS], DefinitionError, "has no infogain matrix"),
        ("", [X, LABELS, H[:4]], ShapeError, "20 numbers (shape 4×5); allowed: 25, for 5 classes"),
        ("", [X, LABELS[:, :1], H], ShapeError, "3 labels"),
        ("loss_param { normalize: true }", [X, LABELS, H], DefinitionError, "normalization: FULL"),
        ('infogain_loss_param { source: "/no" }', [X, LABELS], DataError, 'matrix "/no" cannot be'),
    ],
)
def test_wrong_definitions_are_refused(
    oracle: Oracle, text: str, bottoms: list[np.ndarray], error: type[CaffeError], message: str
) -> None:
    assert message in refused_by_both(oracle, case(text, bottoms), error)
