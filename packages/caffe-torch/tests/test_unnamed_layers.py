"""Layers need no names, and may share one, as in Caffe; each keeps its own weights."""

from __future__ import annotations

from pathlib import Path

import torch
from caffe import schema, weights
from caffe.net import Net
from caffe.random import Random
from oracle.client import Oracle

DENSE = (
    'layer { type: "InnerProduct" bottom: "%s" top: "%s" inner_product_param { num_output: 4 '
    'weight_filler { type: "xavier" } } }\n'
)
NET = (
    'layer { type: "Input" top: "data" input_param { shape { dim: 2 dim: 4 } } }\n'
    + DENSE % ("data", "a")
    + 'layer { type: "ReLU" bottom: "a" top: "a" }\n'
    + DENSE % ("a", "b")
)


def net(seed: int) -> Net:
    return Net(schema.parse_net(NET).message, random=Random(seed))


def test_unnamed_layers_are_taken_as_caffe_takes_them(oracle: Oracle) -> None:
    path = oracle.write("unnamed.prototxt", NET)
    answer = oracle(
        f"""
        caffe.set_random_seed(5)
        net = caffe.Net("{path}", caffe.TEST)
        out["names"] = np.array(list(net._layer_names))
        net.blobs["data"].data[...] = args["data"]
        net.forward()
        out["b"] = net.blobs["b"].data.copy()
        """,
        data=torch.arange(8.0).reshape(2, 4).numpy(),
    )
    ours = net(5)
    ours.blobs["data"].data = torch.arange(8.0).reshape(2, 4)
    ours.forward()

    assert ours.layer_names == list(answer["names"])
    torch.testing.assert_close(ours.blobs["b"].data, torch.from_numpy(answer["b"]))


def test_each_layer_of_one_name_gets_its_own_weights_back(tmp_path: Path) -> None:
    written, read = net(1), net(2)
    weights.save(written, tmp_path / "w.caffemodel")

    weights.load(read, tmp_path / "w.caffemodel", whole=True)

    assert torch.equal(written.flat.data, read.flat.data)


def test_nets_share_the_weights_of_layers_of_one_name_in_order() -> None:
    train, tested = net(1), net(2)

    tested.share_trained_layers_with(train)

    for mine, theirs in zip(tested.layers, train.layers, strict=True):
        for blob, owner in zip(mine.learnable, theirs.learnable, strict=True):
            assert torch.equal(blob.data, owner.data)
