"""Nets as pycaffe's users see them: names, orders, arrays, errors."""

from __future__ import annotations

from pathlib import Path

import caffe
import numpy as np
import pytest
from caffe.errors import CaffeError, UsageError
from face import both
from oracle.client import Oracle

NETS = {
    "splits, in place and an automatic top": """
        name: "first"
        layer { name: "in" type: "Input" top: "data" top: "label"
          input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
        layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
          inner_product_param { num_output: 5 weight_filler { type: "xavier" }
            bias_filler { type: "constant" value: 0.1 } } }
        layer { name: "relu" type: "ReLU" bottom: "ip" top: "ip" }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
        layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" }
        layer { name: "reg" type: "EuclideanLoss" bottom: "ip" bottom: "ip" loss_weight: 0.5 }
        """,
    "shared by name, forced backward": """
        force_backward: true
        layer { name: "in" type: "Input" top: "a" top: "b" top: "label"
          input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 3 } shape { dim: 4 } } }
        layer { name: "one" type: "InnerProduct" bottom: "a" top: "x"
          param { name: "w" lr_mult: 2 } param { name: "c" }
          inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 0.5 } } }
        layer { name: "two" type: "InnerProduct" bottom: "b" top: "y"
          param { name: "w" } param { name: "c" }
          inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 0.5 } } }
        layer { name: "far" type: "ContrastiveLoss" bottom: "x" bottom: "y" bottom: "label"
          top: "far" loss_weight: 3 }
        """,
    "no gradient where it is not wanted": """
        layer { name: "in" type: "Input" top: "data" top: "label"
          input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } } }
        layer { name: "a" type: "InnerProduct" bottom: "data" top: "a"
          inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
        layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" propagate_down: false
          inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
        layer { name: "c" type: "Sigmoid" bottom: "b" top: "zz" }
        layer { name: "l" type: "EuclideanLoss" bottom: "zz" bottom: "label" top: "l" }
        layer { name: "aside" type: "Power" bottom: "a" top: "aside" power_param { scale: 2 } }
        """,
}
LOOK = """
caffe.set_random_seed(5)
net = caffe.Net(at("net.prototxt"), caffe.TRAIN)
out["blobs"] = list(net.blobs)
out["names"] = list(net._blob_names)
out["layers"] = list(net._layer_names)
out["types"] = [layer.type for layer in net.layers]
out["inputs"], out["outputs"] = net.inputs, net.outputs
out["numbers"] = list(net._inputs) + list(net._outputs)
out["tops"] = str([list(net._top_ids(i)) for i in range(len(net.layers))])
out["bottoms"] = str([list(net._bottom_ids(i)) for i in range(len(net.layers))])
out["top names"] = str(list(net.top_names.items()))
out["bottom names"] = str(list(net.bottom_names.items()))
out["dict"] = list(net.layer_dict)
out["weights"] = str([(k, float(v)) for k, v in net.blob_loss_weights.items()])
out["params"] = str([(k, [list(b.shape) for b in v]) for k, v in net.params.items()])
r = np.random.RandomState(3)
for name in net.inputs:
    shape = net.blobs[name].data.shape
    net.blobs[name].data[...] = r.randn(*shape) if len(shape) > 1 else r.randint(0, 2, shape)
for name, array in net.forward().items():
    out["out " + name] = array
for name, array in net.backward().items():
    out["diff in " + name] = array
for name, blob in net.blobs.items():
    out["data " + name], out["diff " + name] = blob.data, blob.diff
for name, blobs in net.params.items():
    for i, blob in enumerate(blobs):
        out["weight %s %d" % (name, i)] = blob.data
        out["gradient %s %d" % (name, i)] = blob.diff
"""


@pytest.mark.parametrize("name", NETS)
def test_a_net_looks_and_computes_as_in_pycaffe(
    oracle: Oracle, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both(oracle, LOOK, {"net.prototxt": NETS[name]}, monkeypatch)


FIRST = {"net.prototxt": NETS["splits, in place and an automatic top"]}
SCRIPTS = {
    "parts of a net": """
        net = caffe.Net(at("net.prototxt"), caffe.TEST)
        net.params["ip"][0].data[...] = np.arange(15).reshape(5, 3) / 10.0
        net.blobs["data"].data[...] = 1
        out["end"] = sorted(net.forward(end="relu").items())[0][1]
        net.blobs["ip"].data[...] = np.eye(4, 5)
        for name, array in net.forward(start="ip_relu_0_split", blobs=["ip"]).items():
            out["start " + name] = array
        diffs = net.backward(start="loss", end="ip_relu_0_split", diffs=["loss"])
        for name, array in diffs.items():
            out["back " + name] = array
        """,
    "ascent from within": """
        net = caffe.Net(at("net.prototxt"), caffe.TEST)
        net.params["ip"][0].data[...] = np.arange(15).reshape(5, 3) / 10.0
        net.blobs["data"].data[...] = 1
        for step in range(3):
            net.forward(end="ip")
            net.blobs["ip"].diff[...] = net.blobs["ip"].data
            net.clear_param_diffs()
            net.backward(start="ip")
            out["weight %d" % step] = net.params["ip"][0].diff.copy()
        """,
    "inputs by keyword": """
        net = caffe.Net(at("net.prototxt"), caffe.TEST)
        net.params["ip"][0].data[...] = np.arange(15).reshape(5, 3) / 10.0
        found = net.forward(data=np.ones((4, 3)), label=np.array([0, 1, 2, 3]))
        out["loss"], out["accuracy"] = found["loss"], found["accuracy"]
        """,
    "views stay true": """
        net = caffe.Net(at("net.prototxt"), caffe.TEST)
        ip, weight = net.blobs["ip"].data, net.params["ip"][0].data
        bias, gradient = net.params["ip"][1].data, net.params["ip"][1].diff
        for step in range(3):
            weight[...] = step + 1
            net.blobs["data"].data[...] = step - 1
            net.forward()
            net.backward()
            out["ip %d" % step] = ip.copy()
            out["gradient %d" % step] = gradient.copy()
        net.clear_param_diffs()
        out["cleared"] = gradient
        out["kinds"] = [str(ip.dtype), str(ip.flags.c_contiguous), str(ip.flags.writeable)]
        """,
    "other shapes": """
        net = caffe.Net(at("net.prototxt"), caffe.TEST)
        net.params["ip"][0].data[...] = 0.5
        net.blobs["data"].reshape(2, 3)
        net.blobs["label"].reshape(2)
        out["before"] = list(net.blobs["ip"].shape)
        net.reshape()
        out["after"] = list(net.blobs["ip"].shape)
        net.blobs["data"].data[...] = 2
        net.blobs["label"].data[...] = 1
        out["loss"] = net.forward()["loss"]
        blob = net.blobs["data"]
        out["sizes"] = [blob.num, blob.channels, blob.height, blob.width, blob.count]
        """,
    "hooks": """
        net = caffe.Net(at("net.prototxt"), caffe.TEST)
        seen = []
        net.before_forward(lambda i: seen.append(i))
        net.after_forward(lambda i: seen.append(100 + i))
        net.before_backward(lambda i: seen.append(200 + i))
        net.after_backward(lambda i: seen.append(300 + i))
        net.forward()
        net.forward(start="ip", end="loss")
        net.backward()
        net.backward(start="loss", end="relu")
        out["seen"] = seen
        """,
    "weights to and from files": """
        net = caffe.Net(at("net.prototxt"), caffe.TEST)
        net.params["ip"][0].data[...] = np.arange(15).reshape(5, 3)
        net.save(at("face.caffemodel"))
        net.save_hdf5(at("face.model"))
        for number, given in enumerate((
            caffe.Net(at("net.prototxt"), at("face.caffemodel"), caffe.TEST),
            caffe.Net(at("net.prototxt"), caffe.TEST, weights=at("face.caffemodel")),
        )):
            out["given %d" % number] = given.params["ip"][0].data
        other = caffe.Net(at("net.prototxt"), caffe.TRAIN, level=1, stages=["a"])
        other.load_hdf5(at("face.model"))
        out["hdf5"] = other.params["ip"][0].data
        third = caffe.Net(at("net.prototxt"), caffe.TRAIN)
        third.copy_from(at("face.caffemodel"))
        out["copied"] = third.params["ip"][0].data
        fourth = caffe.Net(network_file=at("net.prototxt"), phase=caffe.TEST)
        fourth.share_with(net)
        net.params["ip"][0].data[...] = 7
        out["shared"] = fourth.params["ip"][0].data
        """,
    "wrong calls": """
        net = caffe.Net(at("net.prototxt"), caffe.TEST)
        def kind(call, *kinds):
            try:
                call()
            except kinds as error:
                return [k.__name__ for k in kinds if isinstance(error, k)][0]
        out["kinds"] = [
            kind(lambda: net.blobs["nope"], KeyError),
            kind(lambda: net.params["ip"][2], IndexError),
            kind(lambda: net.forward(start="nope"), ValueError),
            kind(lambda: net.forward(data=np.zeros((4, 5)), label=np.zeros(4)), ValueError),
            kind(lambda: net.forward(data=np.zeros((5, 3)), label=np.zeros(5)), Exception),
            kind(lambda: net.forward(data=np.zeros((4, 3))), Exception),
            kind(lambda: net.blobs["data"].reshape((4, 3)), TypeError),
            kind(lambda: net.blobs["data"].reshape(4.0, 3), TypeError),
            kind(lambda: setattr(net.blobs["data"], "data", 3), AttributeError),
            kind(lambda: caffe.Net(at("nope.prototxt"), 0), RuntimeError),
            kind(lambda: caffe.Net(at("net.prototxt")), TypeError),
            kind(lambda: caffe.Net(1, 2), TypeError),
            kind(lambda: net.set_input_arrays(np.zeros((4, 1, 1, 1), np.float32),
                                              np.zeros(4, np.float32)), RuntimeError),
            kind(lambda: caffe.set_random_seed(-1), OverflowError),
            kind(lambda: caffe.set_random_seed(2 ** 33), OverflowError),
        ]
        """,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_over_a_net_does_what_it_does_in_pycaffe(
    oracle: Oracle, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both(oracle, SCRIPTS[name], FIRST, monkeypatch)


BATCHES = """
    layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
      inner_product_param { num_output: 2 weight_filler { type: "constant" value: 0.5 } } }
"""


def test_any_number_of_items_runs_in_batches(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """
    net = caffe.Net(at("net.prototxt"), caffe.TEST)
    data = np.arange(27.0).reshape(9, 3)
    out["all"] = net.forward_all(data=data)["ip"]
    """

    both(oracle, script, {"net.prototxt": BATCHES}, monkeypatch)


def test_arrays_in_memory_are_a_nets_data(oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> None:
    net = """
    layer { name: "d" type: "MemoryData" top: "data" top: "label"
      memory_data_param { batch_size: 2 channels: 1 height: 2 width: 3 } }
    layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
      inner_product_param { num_output: 2 weight_filler { type: "constant" value: 0.5 } } }
    """
    script = """
    net = caffe.Net(at("net.prototxt"), caffe.TEST)
    net.set_input_arrays(np.arange(24, dtype=np.float32).reshape(4, 1, 2, 3),
                         np.arange(4, dtype=np.float32))
    for step in range(3):
        net.forward()
        out["ip %d" % step] = net.blobs["ip"].data.copy()
        out["label %d" % step] = net.blobs["label"].data.copy()
    """

    both(oracle, script, {"net.prototxt": net}, monkeypatch)


def test_a_refused_call_says_what_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(BATCHES)
    net = caffe.Net(str(path), caffe.TEST)

    with pytest.raises(UsageError, match="do not match net inputs: nope given; allowed: data"):
        net.forward(nope=np.zeros(1))
    with pytest.raises(UsageError, match="not batch sized"):
        net.forward(data=np.zeros((5, 3)))
    with pytest.raises(CaffeError, match=r"missing\.caffemodel"):
        net.copy_from(str(tmp_path / "missing.caffemodel"))
    with pytest.raises(UsageError, match="cannot be added"):
        net.params["ip"].add_blob(1)
