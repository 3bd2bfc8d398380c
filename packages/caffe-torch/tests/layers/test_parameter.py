from __future__ import annotations

import numpy as np
import torch
from caffe.layers import Context, create
from caffe.proto import caffe_pb2
from caffe.random import Random
from google.protobuf import text_format
from layer_checks import Case, check_gradient, compare, make, numbers
from oracle.client import Oracle

CASE = Case('type: "Parameter" parameter_param { shape { dim: 2 dim: 3 } }', [])


def test_the_top_is_the_learnable_blob_in_data_and_gradient(oracle: Oracle) -> None:
    compare(oracle, CASE, tolerance=0)


def test_parameter_gradient() -> None:
    check_gradient(CASE)


def test_a_second_backward_replaces_the_gradient() -> None:
    layer = make(CASE)
    for value in (1.0, 5.0):
        layer.forward([])
        layer.backward([torch.full((2, 3), value)], [])

    assert torch.equal(layer.learnable[0].diff, torch.full((2, 3), 5.0))


def test_it_begins_as_zeros_or_as_its_definition_says() -> None:
    values = numbers(2, 3)
    for blobs, expected in (("", np.zeros((2, 3))), (_proto(values), values)):
        param = text_format.Parse(f"{CASE.layer_text()} {blobs}", caffe_pb2.LayerParameter())
        layer = create(param, Context(caffe_pb2.TRAIN, torch.device("cpu"), Random(1)))
        layer.setup([])
        assert np.array_equal(layer.forward([])[0].numpy(), expected.astype(np.float32))


def _proto(values: np.ndarray) -> str:
    data = " ".join(f"data: {float(value)!r}" for value in values.flatten())
    return f"blobs {{ shape {{ dim: 2 dim: 3 }} {data} }}"
