"""Nets through the face: names, orders, forward and backward, weights, as real pycaffe has them."""

from __future__ import annotations

from pathlib import Path

import caffe
import numpy as np
import pytest
from caffe.errors import CaffeError, ShapeError, SnapshotError, UsageError

TRICKY = """
name: "tricky"
layer { name: "in" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 4 dim: 3 dim: 6 dim: 6 } shape { dim: 4 } } }
layer { name: "zconv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3
    weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -0.1 max: 0.1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" relu_param { negative_slope: 0.1 } }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv"
  scale_param { bias_term: true filler { value: 0.7 } } }
layer { name: "slice" type: "Slice" bottom: "conv" top: "left" top: "right" top: "rest"
  slice_param { slice_point: 1 slice_point: 3 } }
layer { name: "ipa" type: "InnerProduct" bottom: "left" top: "ipa"
  param { name: "shared" lr_mult: 2 } param { name: "bias" }
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "ipb" type: "InnerProduct" bottom: "rest" top: "ipb"
  param { name: "shared" } param { name: "bias" }
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "concat" type: "Concat" bottom: "ipa" bottom: "ipb" top: "both" loss_weight: 0.3 }
layer { name: "tanh" type: "TanH" bottom: "both" top: "both2" }
layer { name: "head" type: "InnerProduct" bottom: "both2" top: "head"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "again" type: "Sigmoid" bottom: "both" top: "again" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "head" bottom: "label" top: "loss"
  loss_weight: 2 }
layer { name: "loss2" type: "SoftmaxWithLoss" bottom: "head" bottom: "label" }
layer { name: "accuracy" type: "Accuracy" bottom: "head" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "prob" type: "Softmax" bottom: "head" top: "aprob" include { stage: "deploy" } }
layer { name: "deep" type: "Power" bottom: "right" top: "bright" include { min_level: 2 } }
"""

PLAIN = """
name: "plain"
layer { name: "in" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.3 }
    bias_filler { value: 0.2 } } }
layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" }
"""


@pytest.fixture
def images(rng):
    return rng.standard_normal((4, 3, 6, 6)).astype(np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("more", ["", ", level=2", ', stages=["deploy", "x"], level=1'])
def test_names_orders_and_fillers_are_caffes(twins, phase, more):
    twins.write("net.prototxt", TRICKY)
    twins(
        f"""
        caffe.set_random_seed(3)
        tell(caffe.Net("net.prototxt", caffe.{phase}{more}))
        """
    )


def test_both_call_forms_load_weights(twins):
    twins.write("net.prototxt", PLAIN)
    twins(
        """
        caffe.set_random_seed(3)
        first = caffe.Net("net.prototxt", caffe.TRAIN)
        first.save("w.caffemodel")
        caffe.set_random_seed(4)
        tell(caffe.Net("net.prototxt", "w.caffemodel", caffe.TEST), "old ")
        tell(caffe.Net("net.prototxt", caffe.TEST, weights="w.caffemodel"), "new ")
        tell(caffe.Net(network_file="net.prototxt", phase=caffe.TEST), "fresh ")
        tell(caffe.Net("net.prototxt", caffe.TEST, 0, ["a"], "w.caffemodel"), "places ")
        """
    )


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_forward_and_backward_through_a_tricky_net(twins, images, phase):
    twins.write("net.prototxt", TRICKY)
    twins(
        f"""
        caffe.set_random_seed(3)
        net = caffe.Net("net.prototxt", caffe.{phase}, stages=["deploy"], level=2)
        state(net, "fresh ")
        for turn in range(2):
            given = net.forward(data=args["data"] + turn, label=args["label"], blobs=["conv"])
            out["names %d" % turn] = np.array(sorted(given))
            for name in sorted(given):
                out["out %d %s" % (turn, name)] = given[name]
            state(net, "forward %d " % turn)
            back = net.backward(diffs=["both", "conv"])
            out["back %d" % turn] = np.array(sorted(back))
            state(net, "backward %d " % turn)
        net.clear_param_diffs()
        state(net, "cleared ")
        """,
        data=images,
        label=np.array([0, 2, 1, 1], np.float32),
    )


@pytest.mark.parametrize(
    "change",
    [
        "force_backward: true",
        "",
    ],
)
@pytest.mark.parametrize("down", ["", "propagate_down: false", "propagate_down: true"])
def test_gradients_flow_as_force_backward_and_propagate_down_say(twins, images, change, down):
    twins.write(
        "net.prototxt",
        change
        + """
        layer { name: "in" type: "Input" top: "data" top: "goal"
          input_param { shape { dim: 4 dim: 3 dim: 6 dim: 6 } shape { dim: 4 dim: 2 } } }
        layer { name: "fixed" type: "InnerProduct" bottom: "data" top: "fixed"
          param { lr_mult: 0 } param { lr_mult: 0 }
          inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
        layer { name: "learns" type: "InnerProduct" bottom: "fixed" top: "learns"
          param { lr_mult: 1 } param { lr_mult: 0 }
          inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
        layer { name: "side" type: "TanH" bottom: "learns" top: "side" }
        layer { name: "last" type: "InnerProduct" bottom: "learns" top: "last" DOWN
          inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
        layer { name: "loss" type: "EuclideanLoss" bottom: "last" bottom: "goal" top: "loss" }
        """.replace("DOWN", down),
    )
    twins(
        """
        caffe.set_random_seed(3)
        net = caffe.Net("net.prototxt", caffe.TRAIN)
        net.forward(data=args["data"], goal=args["goal"])
        net.backward()
        state(net)
        """,
        data=images,
        goal=images[:, 0, 0, :2],
    )


def test_parts_of_a_net_run_from_start_to_end(twins, rng):
    twins.write("net.prototxt", "force_backward: true " + PLAIN)
    twins(
        """
        caffe.set_random_seed(3)
        net = caffe.Net("net.prototxt", caffe.TEST)
        given = net.forward(data=args["data"])
        out["a"] = given["prob"]
        given = net.forward(end="relu", data=args["data"] * 2)
        out["b names"] = np.array(sorted(given))
        out["b"] = given["ip1"]
        state(net, "b ")
        net.blobs["ip1"].data[...] = args["middle"]
        given = net.forward(start="relu", blobs=["ip1", "data"])
        out["c names"] = np.array(sorted(given))
        state(net, "c ")
        given = net.forward(start="ip2", end="ip2")
        out["d names"] = np.array(sorted(given))
        given = net.backward(prob=args["diff"])
        out["e names"] = np.array(sorted(given))
        out["e"] = given["data"]
        net.blobs["ip2"].diff[...] = args["diff"]
        given = net.backward(start="ip2", end="relu", diffs=["ip2"])
        out["f names"] = np.array(sorted(given))
        state(net, "f ")
        out["loss"] = np.array(net._forward(0, 1))
        net._backward(1, 0)
        state(net, "g ")
        """,
        data=rng.standard_normal((2, 3)).astype(np.float32),
        middle=rng.standard_normal((2, 4)).astype(np.float32),
        diff=rng.standard_normal((2, 3)).astype(np.float32),
    )


def test_forward_all_and_forward_backward_all(twins, rng):
    twins.write("net.prototxt", "force_backward: true " + PLAIN)
    twins(
        """
        caffe.set_random_seed(3)
        net = caffe.Net("net.prototxt", caffe.TEST)
        given = net.forward_all(data=args["data"], blobs=["ip2"])
        for name in sorted(given):
            out[name] = np.array(given[name])
        outs, diffs = net.forward_backward_all(
            data=args["data"], prob=args["diff"], blobs=["ip1"], diffs=["ip2"])
        for name in sorted(outs):
            out["all " + name] = np.array(outs[name])
        for name in sorted(diffs):
            out["all diff " + name] = np.array(diffs[name])
        """,
        data=rng.standard_normal((5, 3)).astype(np.float32),
        diff=rng.standard_normal((5, 3)).astype(np.float32),
    )


def test_reshaped_inputs_change_the_net_at_reshape_or_forward(twins, rng):
    twins.write("net.prototxt", "force_backward: true " + PLAIN)
    twins(
        """
        caffe.set_random_seed(3)
        net = caffe.Net("net.prototxt", caffe.TEST)
        net.forward()
        net.blobs["data"].reshape(5, 3)
        out["before"] = np.array(net.blobs["prob"].shape)
        net.reshape()
        out["after"] = np.array(net.blobs["prob"].shape)
        net.forward(data=args["data"])
        net.backward(prob=args["data"])
        state(net, "five ")
        net.blobs["data"].reshape(1, 3)
        net.blobs["data"].data[...] = args["data"][:1]
        net.forward()
        state(net, "one ", diffs=False)
        net.blobs["data"].reshape(4, 3, 1, 1)
        net.reshape()
        net.blobs["data"].data[:, :, 0, 0] = args["data"][:4]
        out["four"] = net.forward()["prob"]
        """,
        data=rng.standard_normal((5, 3)).astype(np.float32),
    )


def test_memory_data_reads_the_arrays_that_are_set(twins, rng):
    twins.write(
        "net.prototxt",
        """
        layer { name: "data" type: "MemoryData" top: "data" top: "label"
          memory_data_param { batch_size: 2 channels: 3 height: 1 width: 2 } }
        layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
          inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
        """,
    )
    twins(
        """
        caffe.set_random_seed(3)
        net = caffe.Net("net.prototxt", caffe.TRAIN)
        tell(net)
        net.set_input_arrays(args["data"], args["label"])
        for turn in range(3):
            net.forward()
            net.backward()
            state(net, "%d " % turn)
        wrong = [
            (args["data"].astype(np.float64), args["label"]),
            (args["data"][:3], args["label"][:3]),
            (args["data"][:, :2], args["label"]),
            (args["data"], args["label"][:2]),
            (args["data"].transpose(0, 1, 3, 2), args["label"]),
        ]
        for index, pair in enumerate(wrong):
            refused = kind(lambda: net.set_input_arrays(*pair)) != "nothing"
            out["wrong %d" % index] = np.array(refused)
        """,
        data=rng.standard_normal((4, 3, 1, 2)).astype(np.float32),
        label=np.array([0, 1, 1, 0], np.float32),
    )


def test_weights_are_saved_and_copied_in_both_formats(twins):
    twins.write("net.prototxt", TRICKY)
    twins.write("other.prototxt", TRICKY.replace('"head"', '"newhead"'))
    twins(
        """
        caffe.set_random_seed(3)
        net = caffe.Net("net.prototxt", caffe.TRAIN)
        net.save("w.caffemodel")
        net.save_hdf5("w.h5")
        for name, load in (("copy", "copy_from"), ("hdf5", "load_hdf5")):
            other = caffe.Net("other.prototxt", caffe.TEST)
            for blobs in other.params.values():
                for blob in blobs:
                    blob.data[...] = 0.25
            path = "w.h5" if name == "hdf5" else "w.caffemodel"
            getattr(other, load)(path)
            tell(other, name + " ")
        by_copy = caffe.Net("net.prototxt", caffe.TEST)
        by_copy.copy_from("w.h5")
        tell(by_copy)
        """
    )


LOAD = """
net = caffe.Net("net.prototxt", caffe.TEST)
net.copy_from("w.caffemodel")
state(net, "binary ", diffs=False)
net = caffe.Net("net.prototxt", caffe.TEST)
net.load_hdf5("w.h5")
state(net, "hdf5 ", diffs=False)
"""
SAVE = """
caffe.set_random_seed(9)
net = caffe.Net("net.prototxt", caffe.TRAIN)
net.save("w.caffemodel")
net.save_hdf5("w.h5")
state(net, "binary ", diffs=False)
state(net, "hdf5 ", diffs=False)
"""


@pytest.mark.parametrize("writer", ["theirs", "ours"])
def test_each_side_reads_what_the_other_saved(twins, writer):
    twins.write("net.prototxt", TRICKY)
    reader = "ours" if writer == "theirs" else "theirs"
    wanted = getattr(twins, writer)(SAVE)
    found = getattr(twins, reader)(LOAD)
    params = [name for name in wanted if "param" in name]
    assert len(params) == 2 * 10
    for name in params:
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)


def test_nets_that_share_weights_stay_one(twins, rng):
    twins.write("net.prototxt", "force_backward: true " + PLAIN)
    twins(
        """
        caffe.set_random_seed(3)
        one = caffe.Net("net.prototxt", caffe.TRAIN)
        two = caffe.Net("net.prototxt", caffe.TEST)
        two.share_with(one)
        state(two, "shared ", diffs=False)
        one.params["ip1"][0].data[...] = 0.5
        out["two sees"] = two.params["ip1"][0].data.copy()
        two.params["ip2"][1].data[...] = -1
        out["one sees"] = one.params["ip2"][1].data.copy()
        for number, net in enumerate((one, two)):
            net.forward(data=args["data"])
            net.backward(prob=args["data"])
            state(net, "ran %d " % number)
        one.save("w.caffemodel")
        one.params["ip1"][0].data[...] = 0
        two.copy_from("w.caffemodel")
        out["one after copy"] = one.params["ip1"][0].data.copy()
        """,
        data=rng.standard_normal((2, 3)).astype(np.float32),
    )


def test_shared_parameters_are_one_memory(twins, images):
    twins.write("net.prototxt", TRICKY)
    twins(
        """
        caffe.set_random_seed(3)
        net = caffe.Net("net.prototxt", caffe.TRAIN)
        net.params["ipb"][0].data[...] = 0.125
        out["a"] = net.params["ipa"][0].data.copy()
        net.params["ipa"][0].diff[...] = 3
        out["b"] = net.params["ipb"][0].diff.copy()
        net.forward(data=args["data"], label=np.zeros(4))
        net.backward()
        state(net)
        net.save("w.caffemodel")
        other = caffe.Net("net.prototxt", "w.caffemodel", caffe.TEST)
        state(other, "copy ", diffs=False)
        """,
        data=images,
    )


def test_a_seed_gives_caffes_weights_and_dropout(twins, rng):
    twins.write(
        "net.prototxt",
        """
        layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 8 dim: 20 } } }
        layer { name: "g" type: "InnerProduct" bottom: "data" top: "g"
          inner_product_param { num_output: 30 weight_filler { type: "gaussian" std: 0.1 } } }
        layer { name: "m" type: "InnerProduct" bottom: "g" top: "m"
          inner_product_param { num_output: 30 weight_filler { type: "msra" }
            bias_filler { type: "uniform" } } }
        layer { name: "drop" type: "Dropout" bottom: "m" top: "m" }
        layer { name: "noise" type: "DummyData" top: "noise"
          dummy_data_param { shape { dim: 3 } data_filler { type: "gaussian" } } }
        """,
    )
    twins(
        """
        caffe.set_random_seed(11)
        net = caffe.Net("net.prototxt", caffe.TRAIN)
        for turn in range(2):
            net.forward(data=args["data"])
            state(net, "%d " % turn, diffs=False)
        caffe.set_random_seed(11)
        net.forward()
        state(net, "again ", diffs=False)
        second = caffe.Net("net.prototxt", caffe.TRAIN)
        tell(second)
        """,
        data=rng.standard_normal((8, 20)).astype(np.float32),
        rtol=2e-5,
    )


@pytest.mark.parametrize("early", [True, False])
def test_a_constant_is_there_from_the_start_and_keeps_what_is_written(twins, early):
    twins.write(
        "net.prototxt",
        """
        layer { name: "in" type: "DummyData" top: "fixed" top: "drawn"
          dummy_data_param { shape { dim: 2 dim: 3 } data_filler { value: 4 }
            data_filler { type: "uniform" } } }
        layer { name: "sum" type: "Eltwise" bottom: "fixed" bottom: "drawn" top: "sum" }
        """,
    )
    twins(
        f"""
        caffe.set_random_seed(2)
        net = caffe.Net("net.prototxt", caffe.TRAIN)
        state(net, "made ", diffs=False)
        if not {early}:
            net.forward()
        net.blobs["fixed"].data[0] = 9
        for turn in range(2):
            net.forward()
            state(net, "%d " % turn, diffs=False)
        """
    )


def test_wrong_calls_raise_the_kinds_that_pycaffe_raises(twins):
    twins.write("net.prototxt", "force_backward: true " + PLAIN)
    twins(
        """
        net = caffe.Net("net.prototxt", caffe.TEST)
        two, three = np.zeros((2, 3)), np.zeros((3, 3))
        calls = {
            "start": lambda: net.forward(start="nowhere"),
            "end": lambda: net.forward(end="nowhere"),
            "back start": lambda: net.backward(start="nowhere"),
            "back end": lambda: net.backward(end="nowhere"),
            "blob": lambda: net.forward(blobs=["nowhere"]),
            "diff": lambda: net.backward(diffs=["nowhere"]),
            "name": lambda: net.blobs["nowhere"],
            "param": lambda: net.params["nowhere"],
            "param index": lambda: net.params["ip1"][2],
            "layer": lambda: net.layers[9],
            "broadcast": lambda: net.forward(data=np.zeros((2, 4))),
            "words": lambda: net.forward(data=np.array([["a"] * 3] * 2)),
            "number": lambda: caffe.Net(3, caffe.TEST),
            "reshape": lambda: net.blobs["data"].reshape("a"),
            "reshape float": lambda: net.blobs["data"].reshape(2, 3.5),
            "save": lambda: net.save(4),
            "share": lambda: net.share_with(4),
            "attribute": lambda: net.nothing,
            "assign": lambda: setattr(net.blobs["data"], "data", two),
        }
        for name in calls:
            # boost's ArgumentError is a TypeError
            out[name] = np.array(kind(calls[name]).replace("ArgumentError", "TypeError"))
        """
    )


def test_wrong_inputs_and_gradients_raise_in_both(twins):
    twins.write("net.prototxt", "force_backward: true " + PLAIN)
    twins(
        """
        net = caffe.Net("net.prototxt", caffe.TEST)
        calls = [
            lambda: net.forward(nowhere=np.zeros((2, 3))),
            lambda: net.forward(data=np.zeros((3, 3))),
            lambda: net.backward(ip2=np.zeros((2, 3))),
            lambda: net.backward(prob=np.zeros((3, 3))),
            lambda: net.forward_all(),
            lambda: caffe.Net("nowhere.prototxt", caffe.TEST),
            lambda: caffe.Net("net.prototxt", "nowhere.caffemodel", caffe.TEST),
        ]
        for index, call in enumerate(calls):
            out[str(index)] = np.array(kind(call) != "nothing")
        out["still runs"] = net.forward(data=np.ones((2, 3)))["prob"] * 0
        """
    )


def test_what_aborts_caffe_raises_here(twins, tmp_path: Path):
    twins.write("net.prototxt", PLAIN)
    twins.write("wide.prototxt", PLAIN.replace("num_output: 4", "num_output: 7"))
    twins.write("broken.prototxt", 'layer { name: "x" type: "Nothing" }')
    path = str(twins.folder / "net.prototxt")
    net = caffe.Net(path, caffe.TEST)
    wide = caffe.Net(str(twins.folder / "wide.prototxt"), caffe.TEST)
    wide.save(str(tmp_path / "wide.caffemodel"))
    with pytest.raises(SnapshotError, match='layer "ip1", blob 0'):
        net.copy_from(str(tmp_path / "wide.caffemodel"))
    with pytest.raises(ShapeError, match='layer "ip1"'):
        net.share_with(wide)
    with pytest.raises(CaffeError, match="Nothing"):
        caffe.Net(str(twins.folder / "broken.prototxt"), caffe.TEST)
    with pytest.raises(SnapshotError):
        net.save(str(tmp_path / "no folder" / "w.caffemodel"))
    with pytest.raises(UsageError, match="MemoryData"):
        net.set_input_arrays(np.zeros((2, 3, 1, 1), np.float32), np.zeros(2, np.float32))
    net.blobs["data"].reshape(2, 5)
    with pytest.raises(ShapeError, match="ip1"):
        net.reshape()
    net.blobs["data"].reshape(2, 3)
    assert net.forward()["prob"].shape == (2, 3)
