"""Filtered and split nets have the oracle's layers: names, bottoms, tops and loss weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from caffe import schema
from caffe.errors import DefinitionError
from oracle.client import Oracle, OracleAbortedError
from schema_oracle import pb2

TRAIN, TEST = 0, 1
DATA = """
layer { name: "in" type: "DummyData" top: "data" top: "label"
        dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 3 } } }
"""
RELU = 'layer {{ name: "{0}" type: "ReLU" bottom: "{1}" top: "{2}" {3} }}'


def relu(name: str, bottom: str, top: str, more: str = "") -> str:
    return RELU.format(name, bottom, top, more)


LOSS = 'layer { name: "loss" type: "EuclideanLoss" bottom: "%s" bottom: "label" top: "l" %s }'

SPLITS = {
    "one blob for three layers": relu("a", "data", "a") + relu("b", "data", "b")
    + relu("c", "data", "c"),
    "an in-place chain": relu("a", "data", "data") + relu("b", "data", "data")
    + relu("c", "data", "x") + relu("d", "data", "y"),
    "one blob twice in one layer":
        'layer { name: "e" type: "Eltwise" bottom: "data" bottom: "data" top: "e" }',
    "a weighted loss that is used": LOSS % ("data", "loss_weight: 0.5") + relu("a", "l", "a")
    + relu("b", "l", "b"),
    "a weight on a blob used once": relu("a", "data", "x", "loss_weight: 2") + relu("b", "x", "y"),
    "a weight on a blob used twice": relu("a", "data", "x", "loss_weight: 2")
    + relu("b", "x", "y") + relu("c", "x", "z"),
    "a weight on a blob not used": relu("a", "data", "x", "loss_weight: 2"),
    "a weight of zero": relu("a", "data", "x", "loss_weight: 0") + relu("b", "x", "y"),
    "two weights, one top split":
        'layer { name: "s" type: "Slice" bottom: "data" top: "p" top: "q" slice_param { axis: 1 '
        "slice_point: 1 } loss_weight: 2 loss_weight: 3 }" + relu("b", "p", "y"),
    "a weight on an in-place layer": relu("a", "data", "data", "loss_weight: 1.5")
    + relu("b", "data", "y"),
    "a silenced label": 'layer { name: "q" type: "Silence" bottom: "label" }'
    + relu("a", "label", "b"),
    "names with slashes": relu("x/y", "data", "x/y") + relu("b", "x/y", "b")
    + relu("c", "x/y", "c"),
}  # fmt: skip

TWICE = {
    "an in-place layer after another use": relu("a", "data", "x") + relu("b", "data", "data")
    + relu("c", "data", "y") + relu("d", "x", "z"),
    "a blob that is made again": relu("a", "data", "x") + relu("b", "x", "y")
    + relu("c", "x", "z") + relu("d", "y", "x") + relu("e", "x", "v") + relu("f", "x", "w"),
    "one name twice in one layer":
        'layer { name: "s" type: "Split" bottom: "data" top: "p" top: "p" }',
}  # fmt: skip

RULED = """
layer { name: "in" type: "DummyData" top: "data" dummy_data_param { shape { dim: 2 dim: 3 } } }
layer { name: "train" type: "ReLU" bottom: "data" top: "o1" include { phase: TRAIN } }
layer { name: "test" type: "ReLU" bottom: "data" top: "o2" include { phase: TEST } }
layer { name: "not test" type: "ReLU" bottom: "data" top: "o3" exclude { phase: TEST } }
layer { name: "level 1 up" type: "ReLU" bottom: "data" top: "o4" include { min_level: 1 } }
layer { name: "to level 1" type: "ReLU" bottom: "data" top: "o5" include { max_level: 1 } }
layer { name: "level 0" type: "ReLU" bottom: "data" top: "o6"
        include { min_level: 0 max_level: 0 } }
layer { name: "a" type: "ReLU" bottom: "data" top: "o7" include { stage: "a" } }
layer { name: "a and b" type: "ReLU" bottom: "data" top: "o8" include { stage: "a" stage: "b" } }
layer { name: "a or b" type: "ReLU" bottom: "data" top: "o9" include { stage: "a" }
        include { stage: "b" } }
layer { name: "not a" type: "ReLU" bottom: "data" top: "o10" include { not_stage: "a" } }
layer { name: "b, not a" type: "ReLU" bottom: "data" top: "o11"
        include { stage: "b" not_stage: "a" } }
layer { name: "out for a" type: "ReLU" bottom: "data" top: "o12" exclude { stage: "a" }
        exclude { phase: TRAIN min_level: 2 } }
layer { name: "always" type: "ReLU" bottom: "data" top: "o13" include { } }
layer { name: "never" type: "ReLU" bottom: "data" top: "o14" exclude { } }
"""
STATES: list[tuple[int, int, list[str]]] = [
    (TRAIN, 0, []),
    (TEST, 0, []),
    (TRAIN, 1, ["a"]),
    (TRAIN, 2, ["b"]),
    (TEST, -1, ["a", "b"]),
    (TEST, 3, ["c", "b"]),
]
ASK = """
net = caffe.Net("/data/net.prototxt", int(args["phase"]), level=int(args["level"]),
                stages=[str(s) for s in args["stages"]])
net.save("/data/net.caffemodel")
out["net"] = np.frombuffer(open("/data/net.caffemodel", "rb").read(), np.uint8)
"""


def lines(net: Any) -> list[str]:
    """Each layer as what this test compares. Loss layers give themselves a weight later on."""
    return [
        f"{layer.name} ({layer.type}): {list(layer.bottom)} -> {list(layer.top)}"
        + (f" {list(layer.loss_weight)}" if layer.type != "EuclideanLoss" else "")
        for layer in net.layer
    ]


def of_oracle(
    oracle: Oracle, text: str, phase: int, level: int = 0, stages: Sequence[str] = ()
) -> list[str]:
    oracle.write("net.prototxt", text)
    found = oracle(ASK, phase=phase, level=level, stages=np.array(stages, dtype=np.str_))
    return lines(pb2.NetParameter.FromString(found["net"].tobytes()))


def state(phase: int, level: int = 0, stages: Sequence[str] = ()) -> Any:
    return pb2.NetState(phase=phase, level=level, stage=stages)


@pytest.mark.parametrize("name", SPLITS)
def test_splits_are_the_oracles(oracle: Oracle, name: str) -> None:
    text = DATA + SPLITS[name]

    net = schema.insert_splits(schema.parse_net(text).message)

    assert lines(net) == of_oracle(oracle, text, TRAIN)


@pytest.mark.parametrize("name", TWICE)
def test_a_top_made_twice_is_refused_as_by_the_oracle(oracle: Oracle, name: str) -> None:
    text = DATA + TWICE[name]

    with pytest.raises(OracleAbortedError, match="produced by multiple sources"):
        of_oracle(oracle, text, TRAIN)
    with pytest.raises(DefinitionError, match=r"is made by layer \".*\" already"):
        schema.insert_splits(schema.parse_net(text).message)


@pytest.mark.parametrize(("phase", "level", "stages"), STATES)
def test_rules_are_the_oracles(oracle: Oracle, phase: int, level: int, stages: list[str]) -> None:
    net = schema.filter_layers(schema.parse_net(RULED).message, state(phase, level, stages))

    assert lines(schema.insert_splits(net)) == of_oracle(oracle, RULED, phase, level, stages)
    assert net.state == state(phase, level, stages)


def test_the_net_given_stays_as_it_was() -> None:
    net = schema.parse_net(DATA + SPLITS["one blob for three layers"]).message
    before = net.SerializeToString()

    schema.insert_splits(schema.filter_layers(net, state(TEST)))

    assert net.SerializeToString() == before


def test_a_split_net_needs_no_more_splits() -> None:
    once = schema.insert_splits(schema.parse_net(DATA + SPLITS["an in-place chain"]).message)

    assert schema.insert_splits(once) == once


def test_include_and_exclude_together_are_refused() -> None:
    net = schema.parse_net(relu("a", "data", "x", "include { } exclude { phase: TEST }")).message

    with pytest.raises(DefinitionError, match='layer "a" has include and exclude rules'):
        schema.filter_layers(net, state(TRAIN))


def test_an_unknown_bottom_names_the_nearest() -> None:
    net = schema.parse_net(DATA + relu("a", "dta", "x")).message

    with pytest.raises(
        DefinitionError, match=r'layer "a" \(ReLU\): unknown bottom 0, "dta".*"data"'
    ):
        schema.insert_splits(net)
