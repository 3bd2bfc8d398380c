"""Net layers in Python: the same user's file under real pycaffe and under ours."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

import caffe
import numpy as np
import pytest
from caffe.errors import CaffeError, DefinitionError
from oracle.client import Oracle
from twice import agree, ours, theirs

pytestmark = pytest.mark.usefixtures("my_layers")


def python(name: str, layer: str, bottoms: str, tops: str, more: str = "", text: str = "") -> str:
    """A Python layer of ``my_layers``; ``more`` are further fields, ``text`` its param_str."""
    links = "".join(f' bottom: "{each}"' for each in bottoms.split())
    links += "".join(f' top: "{each}"' for each in tops.split())
    param = f'module: "my_layers" layer: "{layer}" param_str: {json.dumps(text)}'
    return f'layer {{ name: "{name}" type: "Python"{links} {more} python_param {{ {param} }} }}\n'


def input_layer(name: str, *shape: int) -> str:
    dims = " ".join(f"dim: {size}" for size in shape)
    shaped = f"input_param {{ shape {{ {dims} }} }}"
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" {shaped} }}\n'


RUN = """
    net = caffe.Net(at + "/net.prototxt", int(args["phase"]))
    random = np.random.RandomState(3)
    for name in net.inputs:
        net.blobs[name].data[...] = random.randn(*net.blobs[name].data.shape)
    net.forward()
    for name in net.outputs:
        if not net.blob_loss_weights[name]:
            net.blobs[name].diff[...] = random.randn(*net.blobs[name].data.shape)
    net.backward()
    for name, blob in net.blobs.items():
        out["data " + name] = blob.data.copy()
        out["diff " + name] = blob.diff.copy()
    for name, blobs in net.params.items():
        for index, blob in enumerate(blobs):
            out["param %s %d" % (name, index)] = blob.data.copy()
            out["gradient %s %d" % (name, index)] = blob.diff.copy()
"""

NETS = {
    "loss": input_layer("a", 3, 4) + input_layer("b", 3, 4)
    + python("l", "SquareLoss", "a b", "l", "loss_weight: 1"),
    "loss with weight": input_layer("a", 3, 4) + input_layer("b", 3, 4)
    + python("l", "SquareLoss", "a b", "l", "loss_weight: 0.25"),
    "param_str": input_layer("a", 2, 3, 4) + python("t", "Times", "a", "t", text='{"factor": -3}'),
    "chain": input_layer("a", 2, 3)
    + python("t", "Times", "a", "t", text='{"factor": 2}')
    + python("u", "Times", "t", "u", text='{"factor": 0.5}')
    + 'layer { name: "p" type: "TanH" bottom: "u" top: "p" }\n',
    "learnable": input_layer("a", 4, 3) + python("w", "Weighted", "a", "w"),
    "shared": input_layer("a", 4, 3)
    + python("w", "Weighted", "a", "w", 'param { name: "both" }')
    + python("v", "Weighted", "w", "v", 'param { name: "both" }'),
    "in place": input_layer("a", 4, 3)
    + python("t", "Times", "a", "t", text='{"factor": 2}') + python("p", "Positive", "t", "t"),
    "two tops": input_layer("a", 2, 3) + input_layer("b", 2, 3)
    + python("s", "SumAndDifference", "a b", "s d")
    + 'layer { name: "e" type: "Eltwise" bottom: "s" bottom: "d" top: "e" '
    "eltwise_param { operation: PROD } }\n",
    "used twice": input_layer("a", 2, 3)
    + python("t", "Times", "a", "t", text='{"factor": 2}')
    + python("s", "SumAndDifference", "t t", "s d"),
}  # fmt: skip


@pytest.mark.parametrize("case", NETS)
def test_tops_and_gradients_are_those_of_pycaffe(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.syspath_prepend(str(oracle.folder))
    oracle.write("net.prototxt", "force_backward: true\n" + NETS[case])

    agree(ours(oracle, RUN, phase=0), theirs(oracle, RUN, phase=0))


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_a_layer_sees_its_phase_its_text_and_its_counts(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch, phase: int
) -> None:
    monkeypatch.syspath_prepend(str(oracle.folder))
    oracle.write("net.prototxt", input_layer("a", 2) + python("f", "Facts", "a a", "f", text="xyz"))

    found = ours(oracle, RUN, phase=phase)

    assert list(found["data f"]) == [phase, 3, 0, 2, 1, 1]
    agree(found, theirs(oracle, RUN, phase=phase))


def test_a_data_layer_may_change_its_batch_before_every_forward(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(oracle.folder))
    oracle.write(
        "net.prototxt",
        python("n", "Numbers", "", "x y", text="uneven")
        + python("s", "Times", "x", "s", text='{"factor": 3}')
        + 'layer { name: "r" type: "Reduction" bottom: "s" top: "r" reduction_param { axis: 1 } }',
    )
    source = """
        net = caffe.Net(at + "/net.prototxt", caffe.TRAIN)
        for turn in range(3):
            net.forward()
            for name in ("x", "y", "s", "r"):
                out["%s %d" % (name, turn)] = net.blobs[name].data.copy()
    """

    found = ours(oracle, source)

    assert [found[f"x {turn}"].shape for turn in range(3)] == [(4, 3), (2, 3), (4, 3)]
    agree(found, theirs(oracle, source))


TRAINED = (
    python("n", "Numbers", "", "x y")
    + 'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param '
    '{ num_output: 2 weight_filler { type: "xavier" } } }\n'
    + python("w", "Weighted", "ip", "w", "param { lr_mult: 2 decay_mult: 0 }")
    + python("p", "Positive", "w", "w")
    + python("t", "Times", "w", "t", text='{"factor": 0.7}')
    + python("l", "SquareLoss", "t y", "l", "loss_weight: 1")
)

STEPS = """
    caffe.set_mode_cpu()
    caffe.set_random_seed(11)
    solver = caffe.get_solver(at + "/solver.prototxt")
    for turn in range(6):
        solver.step(1)
        out["loss %d" % turn] = solver.net.blobs["l"].data.copy()
        out["before the loss %d" % turn] = solver.net.blobs["t"].diff.copy()
        for name in ("ip", "w"):
            for index, blob in enumerate(solver.net.params[name]):
                out["%s %d %d" % (name, index, turn)] = blob.data.copy()
"""


@pytest.mark.parametrize(
    "settings",
    [
        'type: "SGD" momentum: 0.9 weight_decay: 0.01',
        'type: "SGD" momentum: 0.9 iter_size: 3 clip_gradients: 0.5',
        'type: "Adam" momentum: 0.9 momentum2: 0.99 delta: 1e-4',
    ],
    ids=["SGD", "SGD with iter_size and clipping", "Adam"],
)
def test_training_with_layers_in_python_goes_step_by_step_as_in_pycaffe(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch, settings: str
) -> None:
    monkeypatch.syspath_prepend(str(oracle.folder))
    oracle.write("net.prototxt", TRAINED)
    for path in ("/data", str(oracle.folder)):
        oracle.write(
            "solver.prototxt",
            f'net: "{path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 6 '
            f"solver_mode: CPU snapshot_after_train: false random_seed: 4 {settings}\n",
        )
        if path == "/data":
            expected = theirs(oracle, STEPS)

    found = ours(oracle, STEPS)

    assert found["loss 5"] != found["loss 0"]
    agree(found, expected, rtol=2e-5, atol=2e-6)


@pytest.fixture
def beside(oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A net with one layer that fails; the path of its definition."""
    monkeypatch.syspath_prepend(str(oracle.folder))
    return oracle.folder / "net.prototxt"


def failing(method: str) -> str:
    return input_layer("a", 2, 3) + python("bad luck", "Fails", "a", "f", text=method)


@pytest.mark.parametrize("method", ["setup", "reshape", "forward", "backward"])
def test_a_users_exception_comes_out_with_its_type_traceback_and_the_layers_name(
    beside: Path, method: str
) -> None:
    beside.write_text("force_backward: true\n" + failing(method))

    def run() -> None:
        net = caffe.Net(str(beside), caffe.TRAIN)
        net.forward()
        net.backward()

    with pytest.raises(KeyError) as raised:
        run()

    assert raised.value.args == (f"no luck in {method}",)
    told = "".join(traceback.format_exception(raised.value))
    assert f'in {method} of layer "bad luck" (Python: my_layers.Fails)' in told
    assert 'my_layers.py", line' in told
    assert "self._fail(" in told


def test_a_method_that_is_not_written_is_named(beside: Path) -> None:
    beside.write_text(input_layer("a", 2) + python("x", "NoForward", "a", "t"))
    net = caffe.Net(str(beside), caffe.TRAIN)

    with pytest.raises(NotImplementedError, match="NoForward has no forward") as raised:
        net.forward()

    assert 'layer "x"' in "".join(raised.value.__notes__)


@pytest.mark.parametrize(
    ("module", "layer", "told"),
    [
        ("no_such_module", "Times", 'there is no module "no_such_module"'),
        ("my_layers", "Tims", 'the module "my_layers" has no "Tims"'),
        ("my_layers", "not_a_class", '"not_a_class" of the module "my_layers" is no net layer'),
        ("my_layers", "NotALayer", '"NotALayer" of the module "my_layers" is no net layer'),
    ],
)
def test_what_is_missing_or_no_layer_is_refused_by_name(
    beside: Path, module: str, layer: str, told: str
) -> None:
    text = python("odd", layer, "a", "t").replace('module: "my_layers"', f'module: "{module}"')
    beside.write_text(input_layer("a", 2) + text)

    with pytest.raises(DefinitionError) as raised:
        caffe.Net(str(beside), caffe.TRAIN)

    assert isinstance(raised.value, CaffeError)
    assert told in str(raised.value)
    assert 'layer "odd" (Python)' in str(raised.value)


def test_a_missing_module_is_an_import_error_too(beside: Path) -> None:
    text = python("odd", "Times", "a", "t").replace('module: "my_layers"', 'module: "not_here"')
    beside.write_text(input_layer("a", 2) + text)

    with pytest.raises(ImportError, match="PYTHONPATH"):
        caffe.Net(str(beside), caffe.TRAIN)


def test_a_module_that_itself_lacks_one_raises_its_own_error(
    beside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_more.py").write_text("import not_installed_here\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = python("odd", "Times", "a", "t").replace('module: "my_layers"', 'module: "needs_more"')
    beside.write_text(input_layer("a", 2) + text)

    with pytest.raises(ModuleNotFoundError, match="not_installed_here") as raised:
        caffe.Net(str(beside), caffe.TRAIN)

    assert 'in import of layer "odd"' in "".join(raised.value.__notes__)
    assert "needs_more" not in sys.modules


def test_learnable_blobs_are_saved_and_read_by_both(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(oracle.folder))
    oracle.write("net.prototxt", input_layer("a", 4, 3) + python("w", "Weighted", "a", "w"))
    write = """
        net = caffe.Net(at + "/net.prototxt", caffe.TEST)
        net.params["w"][0].data[...] = args["values"]
        net.save(at + "/weighted.caffemodel")
    """
    read = """
        net = caffe.Net(at + "/net.prototxt", at + "/weighted.caffemodel", caffe.TEST)
        net.blobs["a"].data[...] = 1
        out["w"] = net.forward()["w"].copy()
    """
    values = np.array([3, -1, 0.5], np.float32)

    for writer, reader in ((ours, theirs), (theirs, ours)):
        writer(oracle, write, values=values)
        np.testing.assert_array_equal(reader(oracle, read)["w"], np.tile(values, (4, 1)))
        (oracle.folder / "weighted.caffemodel").unlink()
