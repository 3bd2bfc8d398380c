"""Which layers a run uses, and the learnable blobs that they bring."""

from __future__ import annotations

import pytest
from uaitrain.frameworks.caffe_net import TEST, TRAIN, State, active, layers, learnable
from uaitrain.frameworks.prototxt import NET, parse


def names(rules: str, state: State) -> list[str]:
    document = parse(f'layer {{ name: "x" {rules} }} layer {{ name: "always" }}', NET)
    return [layer.name for layer in active(layers(document), state)]


@pytest.mark.parametrize(
    ("rules", "state", "kept"),
    [
        ("include { phase: TRAIN }", State(TRAIN), True),
        ("include { phase: TRAIN }", State(TEST), False),
        ("exclude { phase: TEST }", State(TEST), False),
        ("include { phase: TRAIN } include { stage: 'deploy' }", State(TEST), False),
        ("include { stage: 'a' stage: 'b' }", State(TEST, stages=frozenset("ab")), True),
        ("include { not_stage: 'a' }", State(TEST, stages=frozenset("a")), False),
        ("include { min_level: 1 max_level: 2 }", State(TRAIN, level=2), True),
        ("include { min_level: 1 }", State(TRAIN), False),
    ],
)
def test_rules_are_caffes(rules: str, state: State, kept: bool) -> None:
    assert names(rules, state) == (["x", "always"] if kept else ["always"])


@pytest.mark.parametrize(
    ("layer", "blobs"),
    [
        ("type: 'Convolution' convolution_param { num_output: 4 }", (4, 4)),
        ("type: 'Convolution' convolution_param { num_output: 4 bias_term: false }", (4,)),
        ("type: 'Deconvolution' convolution_param { num_output: 4 }", (None, 4)),
        ("type: 'InnerProduct' inner_product_param { num_output: 4 transpose: true }", (None, 4)),
        ("type: 'BatchNorm'", (None, None, None)),
        ("type: 'Scale' bottom: 'a' scale_param { bias_term: true }", (None, None)),
        ("type: 'Scale' bottom: 'a' bottom: 'b'", ()),
        ("type: 'PReLU'", (None,)),
        ("type: 'ReLU'", ()),
        ("type: 'LSTM'", None),
    ],
)
def test_learnable_blobs(layer: str, blobs: tuple[int | None, ...] | None) -> None:
    document = parse(f"layer {{ {layer} }}", NET)

    assert learnable(layers(document)) == blobs


def test_shared_blobs_count_once() -> None:
    layer = "type: 'InnerProduct' param { name: 'w' } inner_product_param { num_output: 4 }"
    document = parse(f"layer {{ {layer} }} layer {{ {layer} }}", NET)

    assert learnable(layers(document)) == (4, 4, 4)


def test_v1_layers_have_todays_types() -> None:
    document = parse("layers { name: 'ip' type: INNER_PRODUCT bottom: 'a' top: 'b' }", NET)

    (layer,) = layers(document)
    assert (layer.name, layer.type, layer.bottoms, layer.tops) == (
        "ip",
        "InnerProduct",
        ("a",),
        ("b",),
    )
