"""Blobs through the face: arrays that are the net's own memory, in both directions."""

from __future__ import annotations

import gc

import caffe
import numpy as np
import pytest
from caffe.errors import DeviceError, UsageError

NET = """
force_backward: true
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: AVE kernel_size: 2 } }
layer { name: "flat" type: "Flatten" bottom: "pool" top: "flat" }
layer { name: "ip" type: "InnerProduct" bottom: "flat" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "ip" top: "ip" }
layer { name: "left" type: "Sigmoid" bottom: "ip" top: "left" }
layer { name: "right" type: "Power" bottom: "ip" top: "right" power_param { scale: 2 } }
layer { name: "cut" type: "Slice" bottom: "right" top: "cut1" top: "cut2"
  slice_param { slice_point: 1 } }
layer { name: "join" type: "Concat" bottom: "cut1" bottom: "left" bottom: "cut2" top: "join" }
"""
START = """
caffe.set_random_seed(2)
net = caffe.Net("net.prototxt", caffe.TRAIN)
"""


@pytest.fixture
def rows() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {
        "data": rng.standard_normal((2, 3, 4, 4)).astype(np.float32),
        "join": rng.standard_normal((2, 6)).astype(np.float32),
    }


def test_every_array_is_contiguous_float32_and_its_owns_shape(twins):
    twins.write("net.prototxt", NET)
    twins(
        START
        + """
net.forward()
net.backward()
every = list(net.blobs.items())
every += [("param " + n, b) for n, blobs in net.params.items() for b in blobs]
for name, blob in every:
    for side in ("data", "diff"):
        array = getattr(blob, side)
        out[name + side] = np.array([str(array.dtype), str(array.flags.c_contiguous),
            str(array.flags.writeable), str(array.shape), str(array.flags.aligned)])
    out[name + " sizes"] = np.array(
        [blob.num, blob.channels, blob.height, blob.width, blob.count] + list(blob.shape))
"""
    )


def test_two_views_of_one_blob_are_one_memory(twins, rows):
    twins.write("net.prototxt", NET)
    twins(
        START
        + """
for name in ("data", "conv", "flat", "ip", "left", "join"):
    blob = net.blobs[name]
    for side in ("data", "diff"):
        one, two = getattr(blob, side), getattr(net.blobs[name], side)
        one[...] = 3
        out[name + side] = two.copy()
        out[name + side + " shared"] = np.array(np.shares_memory(one, two))
        out[name + side + " apart"] = np.array(np.shares_memory(blob.data, blob.diff))
""",
        **rows,
    )


def test_views_taken_before_anything_ran_stay_true(twins, rows):
    twins.write("net.prototxt", NET)
    twins(
        START
        + """
# In Caffe a Split's and a Flatten's tops, and the gradient that a Flatten reads, move when it runs.
steady = [name for name in net.blobs if name not in ("pool", "flat") and "split" not in name]
views = dict((name, (net.blobs[name].data, net.blobs[name].diff)) for name in steady)
weights = dict((name, (blobs[0].data, blobs[0].diff)) for name, blobs in net.params.items())
for turn in range(2):
    net.blobs["data"].data[...] = args["data"] * (turn + 1)
    net.forward()
    for name, (data, diff) in views.items():
        out["forward %d %s" % (turn, name)] = data.copy()
    net.backward(join=args["join"])
    for name, (data, diff) in views.items():
        out["backward %d %s" % (turn, name)] = diff.copy()
    for name, (data, diff) in weights.items():
        out["weights %d %s" % (turn, name)] = diff.copy()
        data *= 0.5
""",
        **rows,
    )


@pytest.mark.parametrize("name", ["conv", "pool", "ip", "left", "right", "cut2", "join"])
def test_what_is_written_between_two_parts_is_what_the_second_computes_with(twins, rows, name):
    twins.write("net.prototxt", NET)
    twins(
        START
        + f"""
layers = list(net._layer_names)
maker = max(i for i, l in enumerate(layers) if "{name}" in net.top_names[l])
net.blobs["data"].data[...] = args["data"]
net._forward(0, maker)
net.blobs["{name}"].data[...] = np.arange(net.blobs["{name}"].count).reshape(
    net.blobs["{name}"].shape) / 10.0 - 0.3
if maker + 1 < len(layers):
    net._forward(maker + 1, len(layers) - 1)
state(net, "forward ", diffs=False)
net.blobs["join"].diff[...] = args["join"]
if maker + 1 < len(layers):
    net._backward(len(layers) - 1, maker + 1)
net.blobs["{name}"].diff[...] += 0.25
net._backward(maker, 0)
out["bottom"] = net.blobs["data"].diff
out["conv weights"] = net.params["conv"][0].diff
out["bias"] = net.params["ip"][1].diff
""",
        **rows,
    )


def test_reshape_of_a_blob_keeps_what_is_there_while_the_count_stays(twins, rows):
    twins.write("net.prototxt", NET)
    twins(
        START
        + """
blob = net.blobs["data"]
blob.data[...] = args["data"]
view = blob.data
blob.reshape(4, 24)
out["matrix"] = blob.data.copy()
blob.data[1, 1] = 9
out["early"] = view.copy()
out["sizes"] = np.array([blob.num, blob.channels, blob.height, blob.width, blob.count])
blob.reshape(1, 96, 1)
out["shape"] = np.array(list(blob.shape))
blob.reshape(2, 3, 4, 4)
net.forward()
out["join"] = net.blobs["join"].data.copy()
""",
        **rows,
    )


def test_a_smaller_and_a_larger_input_run_after_a_reshape(twins):
    twins.write("net.prototxt", NET.replace("dim: 4 dim: 4", "dim: 6 dim: 6"))
    twins(
        START
        + """
for number in (1, 5, 2):
    net.blobs["data"].reshape(number, 3, 6, 6)
    net.reshape()
    out["%d shapes" % number] = np.array([str(list(b.shape)) for b in net.blobs.values()])
    net.blobs["data"].data[...] = np.arange(number * 108).reshape(number, 3, 6, 6) / 300.0
    net.forward()
    net.backward(join=np.ones((number, 6)))
    state(net, "%d " % number)
"""
    )


def test_a_wrong_write_raises_and_leaves_the_blob_alone(twins, rows):
    twins.write("net.prototxt", NET)
    twins(
        START
        + """
blob = net.blobs["data"]
blob.data[...] = args["data"]
def put(value):
    blob.data[...] = value
calls = {
    "shape": lambda: put(np.zeros((2, 3, 4, 5))),
    "word": lambda: put("word"),
    "none": lambda: put({}),
    "index": lambda: blob.data[5],
    "set data": lambda: setattr(blob, "data", 1),
    "set diff": lambda: setattr(blob, "diff", 1),
    "set shape": lambda: setattr(blob, "shape", (2,)),
    "set count": lambda: setattr(blob, "count", 2),
    "tuple": lambda: blob.reshape((2, 3)),
    "word size": lambda: blob.reshape("2"),
    "assign blob": lambda: net.blobs["data"][0],
}
for name in calls:
    out[name] = np.array(kind(calls[name]))
out["data"] = blob.data
""",
        **rows,
    )


def test_whole_numbers_and_doubles_are_taken_as_float32(twins):
    twins.write("net.prototxt", NET)
    twins(
        START
        + """
blob = net.blobs["data"]
for kind_of in ("int64", "uint8", "float64", "bool", "float16"):
    blob.data[...] = np.arange(96).reshape(2, 3, 4, 4).astype(kind_of)
    out[kind_of] = blob.data.copy()
blob.data.flat[3] = 7
blob.data[:, 1] += 2
out["parts"] = blob.data.copy()
out["given"] = net.forward(data=np.ones((2, 3, 4, 4), np.int32))["join"]
"""
    )


def test_views_outlive_their_net(twins):
    twins.write("net.prototxt", NET)
    net = caffe.Net(str(twins.folder / "net.prototxt"), caffe.TEST)
    net.forward(data=np.ones((2, 3, 4, 4)))
    weight, top = net.params["conv"][0].data, net.blobs["join"].data
    kept = weight.copy(), top.copy()
    blobs = net.blobs
    del net
    gc.collect()
    np.testing.assert_array_equal(weight, kept[0])
    np.testing.assert_array_equal(top, kept[1])
    np.testing.assert_array_equal(blobs["join"].data, kept[1])


def test_sizes_that_no_blob_can_have_are_refused(twins):
    twins.write("net.prototxt", NET)
    net = caffe.Net(str(twins.folder / "net.prototxt"), caffe.TEST)
    with pytest.raises(UsageError, match="-1"):
        net.blobs["data"].reshape(2, -1)
    net.blobs["data"].reshape(1, 1, 2, 3, 4)
    with pytest.raises(UsageError, match="5 axes"):
        _ = net.blobs["data"].num


def test_a_gpu_that_is_not_there_is_an_error_and_the_cpu_goes_on(twins, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    twins.write("net.prototxt", NET)
    path = str(twins.folder / "net.prototxt")

    def on_gpu() -> None:
        caffe.set_device(0)
        caffe.set_mode_gpu()
        caffe.Net(path, caffe.TEST)

    with pytest.raises(DeviceError, match="GPU 0"):
        on_gpu()
    assert caffe.Net(path, caffe.TEST).forward()["join"].shape == (2, 6)


def test_what_is_written_into_one_of_several_shared_blobs_is_in_all(twins, rows):
    """Split, Flatten and Reshape share their bottom's memory, so that a net that runs on from
    behind one computes with what was written in front of it."""
    shaped = NET + (
        'layer { name: "shaped" type: "Reshape" bottom: "join" top: "shaped" '
        "reshape_param { shape { dim: 3 dim: -1 } } }\n"
    )
    twins.write("net.prototxt", shaped)
    twins(
        START
        + """
def tell(when):
    for name in ["pool", "flat", "ip", "join", "shaped"] + [n for n in net.blobs if "split" in n]:
        out[when + name] = net.blobs[name].data.copy()

net.forward(data=args["data"])
tell("first ")
net.blobs["pool"].data[...] = 9
net.blobs["join"].data[...] = 7
net.blobs["ip"].data[...] = args["ip"]
tell("written ")
given = net.forward(start="left")
out["given"] = list(given.values())[0].copy()
net.blobs["flat"].data[...] = 5
net.blobs["shaped"].data[...] = 3
tell("back ")
net.forward(start="ip")
tell("again ")
net.backward(shaped=args["shaped"])
for name in ("join", "shaped", "ip", "flat", "pool", "data"):
    out["diff " + name] = net.blobs[name].diff.copy()
net.forward(data=args["data"] * 2)
tell("last ")
""",
        data=rows["data"],
        ip=rows["join"][:, :3],
        shaped=rows["join"].reshape(3, 4),
    )
