"""caffe.io over many shapes and kinds, NetSpec, NCCL and the lists, beside real pycaffe."""

from __future__ import annotations

import textwrap
from pathlib import Path

import caffe
import numpy as np
import pytest
from caffe.errors import CaffeError, UsageError
from caffe.proto import caffe_pb2
from oracle.client import Oracle
from twice import agree, ours, theirs

RESIZE = """
    random = np.random.RandomState(int(args["seed"]))
    for number in range(60):
        channels = random.choice([1, 2, 3, 4, 5])
        height, width = random.randint(2, 40, 2)
        dims = tuple(int(size) for size in random.randint(2, 40, 2))
        # scipy's zoom puts zeros where a quotient is rounded up and leaves the image.
        past = [(a - 1) / (b - 1) * (b - 1) > a - 1 for a, b in zip((height, width), dims)]
        if channels not in (1, 3) and any(past):
            continue
        image = (random.randn(height, width, channels) * 3).astype(np.float32)
        key = "%d %s to %s, order 1" % (number, image.shape, dims)
        out[key] = caffe.io.resize_image(image, dims)
"""


@pytest.mark.parametrize("seed", range(3))
def test_images_of_any_shape_are_resized_as_by_pycaffe(oracle: Oracle, seed: int) -> None:
    agree(ours(oracle, RESIZE, seed=seed), theirs(oracle, RESIZE, seed=seed), 2e-5, 1e-4)


MESSAGES = """
    from caffe.proto import caffe_pb2
    io = caffe.io
    random = np.random.RandomState(0)
    def text(message):
        return np.frombuffer(message.SerializeToString(), np.uint8)
    for shape in ((), (1,), (0, 3), (2, 3), (1, 2, 3, 4, 5)):
        for kind in ("float64", "float32", "int16", "uint8"):
            array = np.asarray(random.rand(*shape) * 200).astype(kind)
            name = "%s %s " % (shape, kind)
            blob = io.array_to_blobproto(array)
            out[name + "blob"], out[name + "back"] = text(blob), io.blobproto_to_array(blob)
            if array.ndim:
                out[name + "both"] = text(io.array_to_blobproto(array, array))
    for kind in ("float64", "float32", "int32", "bool", "uint8"):
        for label in (None, 0, 9):
            array = (random.rand(2, 3, 4) * 200).astype(kind)
            datum = io.array_to_datum(array, label)
            name = "%s %s " % (kind, label)
            out[name + "datum"], out[name + "label"] = text(datum), datum.label
            out[name + "back"] = io.datum_to_array(datum)
            out[name + "not contiguous"] = text(io.array_to_datum(array.transpose(2, 0, 1)))
    empty = caffe_pb2.BlobProtoVector().SerializeToString()
    out["none"] = len(io.blobprotovector_str_to_arraylist(empty))
    mean = caffe_pb2.BlobProto(num=1, channels=3, height=2, width=2)
    mean.data.extend(range(12))
    out["mean file"] = io.blobproto_to_array(caffe_pb2.BlobProto.FromString(
        mean.SerializeToString()))[0].mean(1).mean(1)
"""


def test_messages_of_any_kind_are_those_of_pycaffe(oracle: Oracle) -> None:
    found, expected = ours(oracle, MESSAGES), theirs(oracle, MESSAGES)

    agree(found, expected)
    for name, want in expected.items():
        assert found[name].dtype == want.dtype, name


TRANSFORMER = """
    random = np.random.RandomState(1)
    settings = {
        "transpose": (2, 0, 1), "channel_swap": (2, 1, 0), "raw_scale": 255.0,
        "mean": random.rand(3) * 100, "input_scale": 0.017,
    }
    size = (6, 7) if args["same"] else (9, 5)
    image = random.rand(size[0], size[1], 3).astype(np.float32)
    for mask in range(2 ** len(settings)):
        chosen = [name for bit, name in enumerate(settings) if mask >> bit & 1]
        if "transpose" not in chosen and {"channel_swap", "mean"} & set(chosen):
            continue
        t = caffe.io.Transformer({"data": (1, 3, 6, 7)})
        for name in chosen:
            getattr(t, "set_" + name)("data", settings[name])
        key = " ".join(chosen) or "nothing"
        made = t.preprocess("data", image.copy())
        before = made.copy()
        out[key], out["back from " + key] = made, t.deprocess("data", made)
        assert np.array_equal(made, before)
    t = caffe.io.Transformer({"a": (1, 3, 6, 7), "b": (1, 1, 4, 4)})
    t.set_transpose("b", (2, 0, 1))
    out["other input"] = t.preprocess("b", image[:, :, :1])
    out["bytes"] = t.preprocess("a", (image * 255).astype(np.uint8))
    t.set_mean("b", random.rand(4, 4))
    out["flat mean"] = t.preprocess("b", image[:, :, :1])
    t.set_mean("a", random.rand(3, 6, 7))
    out["mean"] = t.mean["a"]
"""


@pytest.mark.parametrize("same", [True, False], ids=["of its size", "of another size"])
def test_a_transformer_with_any_of_its_settings_does_what_it_does_in_pycaffe(
    oracle: Oracle, same: bool
) -> None:
    agree(ours(oracle, TRANSFORMER, same=same), theirs(oracle, TRANSFORMER, same=same), 1e-5, 2e-5)


def test_a_transformer_leaves_the_callers_image_as_it_is() -> None:
    """pycaffe scales a float32 image of the input's size in its place."""
    image = np.ones((4, 4, 3), np.float32)
    transformer = caffe.io.Transformer({"data": (1, 3, 4, 4)})
    transformer.set_raw_scale("data", 255)

    assert transformer.preprocess("data", image).max() == 255
    assert image.max() == 1


CROPS = """
    random = np.random.RandomState(2)
    for shape, dims in (
        ((8, 8, 3), (8, 8)), ((8, 8, 3), (4, 4)), ((9, 7, 1), (4, 3)), ((5, 11, 2), (5, 2)),
        ((7, 7, 3), (2, 5)),
    ):
        images = [random.rand(*shape).astype(np.float32) for _ in range(3)]
        out["%s %s" % (shape, dims)] = caffe.io.oversample(images, dims)
"""


def test_crops_of_any_size_are_those_of_pycaffe(oracle: Oracle) -> None:
    agree(ours(oracle, CROPS), theirs(oracle, CROPS), 0, 0)


SPEC = """
    from caffe import layers as L, params as P
    from caffe.proto import caffe_pb2
    from google.protobuf import text_format

    n = caffe.NetSpec()
    n.data, n.label = L.DummyData(
        shape=[dict(dim=[4, 1, 12, 12]), dict(dim=[4])], ntop=2,
        data_filler=[dict(type="gaussian"), dict(type="constant", value=1)])
    n.conv = L.Convolution(n.data, kernel_size=3, num_output=4, pad=1,
                           weight_filler=dict(type="xavier"),
                           param=[dict(lr_mult=1, decay_mult=1), dict(lr_mult=2)])
    n.relu = L.ReLU(n.conv, in_place=True)
    n.pool = L.Pooling(n.relu, pool=P.Pooling.AVE, kernel_size=2, stride=2)
    n.lrn = L.LRN(n.pool, lrn_param=dict(local_size=3, norm_region=P.LRN.WITHIN_CHANNEL))
    n.halves_a, n.halves_b = L.Slice(n.lrn, slice_param=dict(slice_point=2), ntop=2)
    n.sum = L.Eltwise(n.halves_a, n.halves_b, operation=P.Eltwise.SUM, coeff=[1, -0.5])
    n.ip = L.InnerProduct(n.sum, num_output=3, weight_filler=dict(type="xavier"))
    n.python = L.Python(n.ip, module="my_layers", layer="Times", param_str='{"factor": 2}')
    n.loss = L.SoftmaxWithLoss(n.python, n.label, loss_weight=0.5,
                               loss_param=dict(normalization=P.Loss.BATCH_SIZE, ignore_label=2))
    n.accuracy = L.Accuracy(n.python, n.label, include=dict(phase=caffe.TEST))
    n.quiet = L.Silence(n.halves_b, ntop=0)
    made = n.to_proto()
    out["text"] = np.array(text_format.MessageToString(made))
    out["automatic"] = np.array(text_format.MessageToString(
        caffe.to_proto(L.ReLU(L.ReLU(L.Input(shape=dict(dim=[2, 3])))))))
    with open(at + "/spec.prototxt", "w") as file:
        file.write("force_backward: true " + str(made))
    caffe.set_random_seed(3)
    net = caffe.Net(at + "/spec.prototxt", caffe.TRAIN)
    out["loss"] = net.forward()["loss"].copy()
    net.backward()
    out["gradient"] = net.params["conv"][0].diff.copy()
"""


@pytest.mark.usefixtures("my_layers")
def test_a_net_written_in_python_is_the_same_net_and_runs_the_same(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(oracle.folder))
    found, expected = ours(oracle, SPEC), theirs(oracle, SPEC)

    for name in ("text", "automatic"):
        assert str(found.pop(name)) == str(expected.pop(name))
    # The net's data are normal, from log() and exp(): the last bits may be others.
    agree(found, expected, 1e-4, 1e-5)


def test_the_layer_types_are_those_of_pycaffe(oracle: Oracle) -> None:
    source = 'out["types"] = np.array(list(caffe.layer_type_list()))'

    assert list(ours(oracle, source)["types"]) == list(theirs(oracle, source)["types"])


def test_what_training_code_imports_is_there(oracle: Oracle) -> None:
    source = """
        import caffe.io
        import caffe.proto.caffe_pb2 as a
        from caffe import Net, SGDSolver, layers, params, proto
        from caffe.io import Transformer, load_image
        from caffe.net_spec import Top, Function, NetSpec
        from caffe.proto import caffe_pb2 as b
        assert a is b is proto.caffe_pb2 and a.NetParameter and caffe.io is not None
        out["constants"] = [caffe.TRAIN, caffe.TEST, a.TRAIN, a.TEST]
        out["version"] = np.array(caffe.__version__)
        names = [
            "Net", "SGDSolver", "NesterovSolver", "AdaGradSolver", "RMSPropSolver",
            "AdaDeltaSolver", "AdamSolver", "NCCL", "Timer", "Layer", "get_solver", "NetSpec",
            "init_log", "log", "has_nccl", "set_mode_cpu", "set_mode_gpu", "set_random_seed",
            "set_device", "layer_type_list", "set_multiprocess", "solver_count", "solver_rank",
            "set_solver_count", "set_solver_rank", "io", "layers",
            "params", "to_proto", "proto", "net_spec", "pycaffe",
        ]
        out["missing"] = np.array([name for name in names if not hasattr(caffe, name)])
    """
    found, expected = ours(oracle, source), theirs(oracle, source)

    assert list(expected["missing"]) == []
    assert list(found["missing"]) == list(expected["missing"])
    assert list(found["constants"]) == list(expected["constants"])
    assert str(found["version"]) == str(expected["version"])


def solver_of(folder: Path) -> str:
    (folder / "net.prototxt").write_text(
        textwrap.dedent(
            """
            layer { name: "in" type: "DummyData" top: "data" dummy_data_param {
              shape { dim: 4 dim: 3 } data_filler { value: 0.5 } } }
            layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
              inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
            layer { name: "l" type: "Reduction" bottom: "ip" top: "l" loss_weight: 1
              reduction_param { operation: SUMSQ } }
            """
        )
    )
    (folder / "solver.prototxt").write_text(
        f'net: "{folder}/net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 3 '
        f'snapshot_prefix: "{folder}/s" snapshot_after_train: false random_seed: 2'
    )
    return str(folder / "solver.prototxt")


def test_an_nccl_of_one_solver_changes_nothing(tmp_path: Path) -> None:
    alone = caffe.SGDSolver(solver_of(tmp_path))
    alone.step(3)
    solver = caffe.SGDSolver(solver_of(tmp_path))
    nccl = caffe.NCCL(solver, caffe.NCCL.new_uid())
    nccl.bcast()
    solver.add_callback(nccl)
    solver.net.after_backward(nccl)

    solver.step(3)

    np.testing.assert_array_equal(solver.net.params["ip"][0].data, alone.net.params["ip"][0].data)
    assert np.abs(alone.net.params["ip"][0].diff).max() > 0


def test_a_uid_that_names_no_group_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    solver = caffe.SGDSolver(solver_of(tmp_path))
    caffe.set_solver_count(2)
    try:
        with pytest.raises(UsageError, match=r"NCCL\.new_uid"):
            caffe.NCCL(solver, "nonsense")
    finally:
        caffe.set_solver_count(1)
    assert caffe.solver_count() == 1


def test_wrong_images_and_messages_are_refused_with_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="C×H×W"):
        caffe.io.array_to_datum(np.zeros((2, 2)))
    transformer = caffe.io.Transformer({"data": (1, 3, 4, 4)})
    with pytest.raises(CaffeError, match="data"):
        transformer.preprocess("dta", np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match="channels"):
        transformer.set_mean("data", np.zeros(4))


def test_the_schema_is_the_engines_own() -> None:
    from caffe.proto import caffe_pb2 as seen

    assert caffe.proto.caffe_pb2 is seen is caffe_pb2
