"""Solvers as pycaffe's users drive them."""

from __future__ import annotations

from pathlib import Path

import caffe
import numpy as np
import pytest
from caffe.errors import DefinitionError, DeviceError
from face import both
from oracle.client import Oracle

NET = """
    layer { name: "in" type: "DummyData" top: "data" top: "goal" dummy_data_param {
      shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
      data_filler { type: "gaussian" std: 1 } data_filler { type: "uniform" } } }
    layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" param { lr_mult: 1 }
      param { lr_mult: 2 decay_mult: 0 } inner_product_param { num_output: 4
        weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.1 } } }
    layer { name: "act" type: "Sigmoid" bottom: "ip" top: "act" }
    layer { name: "ip2" type: "InnerProduct" bottom: "act" top: "ip2"
      inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 0.3 } } }
    layer { name: "l" type: "EuclideanLoss" bottom: "ip2" bottom: "goal" top: "l" }
"""
MAKE = """
def make(name, fields):
    with open(at(name), "w") as file:
        file.write('net: "%s" base_lr: 0.05 max_iter: 6 snapshot_prefix: "%s" %s'
                   % (at("net.prototxt"), at("face"), fields))
    return at(name)
def look(solver, name):
    for layer, blobs in solver.net.params.items():
        for i, blob in enumerate(blobs):
            out["%s %s %d" % (name, layer, i)] = blob.data.copy()
            out["%s diff %s %d" % (name, layer, i)] = blob.diff.copy()
"""
TYPES = {
    "SGD": 'momentum: 0.9 weight_decay: 0.01 lr_policy: "fixed"',
    "Nesterov": 'momentum: 0.9 lr_policy: "step" gamma: 0.5 stepsize: 2',
    "AdaGrad": 'lr_policy: "fixed" delta: 1e-4',
    "RMSProp": 'lr_policy: "fixed" rms_decay: 0.9 delta: 1e-4',
    "AdaDelta": 'momentum: 0.95 lr_policy: "fixed" delta: 1e-4',
    "Adam": 'momentum: 0.9 lr_policy: "fixed" weight_decay: 0.01 iter_size: 2',
}


@pytest.mark.parametrize("kind", TYPES)
def test_a_solver_of_each_type_steps_as_in_pycaffe(
    oracle: Oracle, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"""
solver = caffe.get_solver(make("a.prototxt", '{TYPES[kind]} random_seed: 8 type: "{kind}"'))
out["class"] = type(solver).__name__
for count in (1, 2):
    solver.step(count)
    look(solver, "after %d" % solver.iter)
out["iter"], out["lr"] = solver.iter, np.float32(solver.lr)
caffe.set_random_seed(8)
same = caffe.{kind}Solver(make("b.prototxt", '{TYPES[kind]}'))
same.step(3)
look(same, "by class")
"""

    both(oracle, MAKE + script, {"net.prototxt": NET}, monkeypatch)


SCRIPTS = {
    "callbacks": """
solver = caffe.SGDSolver(make("a.prototxt", 'lr_policy: "fixed" random_seed: 8 iter_size: 2'))
seen = []
diff = solver.net.params["ip"][0].diff
def ready():
    seen.append(200 + solver.iter)
    out["gradient %d" % solver.iter] = diff.copy()
    diff[...] = 0
solver.add_callback(lambda: seen.append(100 + solver.iter), ready)
solver.step(3)
out["seen"] = seen
look(solver, "end")
""",
    "an update by hand": """
solver = caffe.SGDSolver(make("a.prototxt", 'lr_policy: "fixed" random_seed: 8 momentum: 0.5'))
for step in range(3):
    solver.net.clear_param_diffs()
    solver.net.forward()
    solver.net.backward()
    solver.apply_update()
    look(solver, "step %d" % step)
out["iter"] = solver.iter
""",
    "snapshot and restore": """
fields = 'lr_policy: "fixed" random_seed: 8 momentum: 0.9'
solver = caffe.SGDSolver(make("a.prototxt", fields))
solver.step(2)
solver.snapshot()
other = caffe.SGDSolver(make("b.prototxt", fields.replace("8", "9")))
other.restore(at("face_iter_2.solverstate"))
out["iter"] = other.iter
look(other, "restored")
third = caffe.SGDSolver(make("c.prototxt", fields))
third.solve(at("face_iter_2.solverstate"))
out["solved"] = third.iter
""",
    "shared weights": """
solver = caffe.SGDSolver(make("a.prototxt", 'lr_policy: "fixed" random_seed: 8'))
net = caffe.Net(at("net.prototxt"), caffe.TEST)
solver.share_weights(net)
view = net.params["ip"][0].data
solver.step(2)
out["ip"] = view
out["param"] = [solver.param.max_iter, solver.param.display]
out["rate"] = np.float32(solver.param.base_lr)
out["tests"] = len(solver.test_nets)
""",
    "test nets": """
solver = caffe.SGDSolver(make("a.prototxt", 'lr_policy: "fixed" random_seed: 8 test_iter: 2 '
                                            'test_interval: 2 test_initialization: false'))
seen = []
net = solver.test_nets[0]
net.before_forward(lambda layer: seen.append(layer))
solver.step(3)
out["seen"] = seen
out["ip"] = net.params["ip"][0].data
out["count"] = len(solver.test_nets)
""",
    "weights written from outside": """
solver = caffe.SGDSolver(make("a.prototxt", 'lr_policy: "fixed" random_seed: 8 momentum: 0.9'))
view = solver.net.params["ip"][0].data
bias = solver.net.params["ip"][1].data
for step in range(3):
    view[...] *= 0.5
    solver.net.params["ip2"][0].data[0] = step
    solver.step(1)
    out["view %d" % step], out["bias %d" % step] = view.copy(), bias.copy()
look(solver, "end")
""",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_over_a_solver_does_what_it_does_in_pycaffe(
    oracle: Oracle, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both(oracle, MAKE + SCRIPTS[name], {"net.prototxt": NET}, monkeypatch)


def solver_of(folder: Path, fields: str = "") -> str:
    (folder / "net.prototxt").write_text(NET)
    path = folder / "solver.prototxt"
    path.write_text(
        f'net: "{folder / "net.prototxt"}" base_lr: 0.05 lr_policy: "fixed" max_iter: 3 '
        f'random_seed: 2 snapshot_prefix: "{folder / "face"}" {fields}'
    )
    return str(path)


def test_a_view_outlives_its_solver(tmp_path: Path) -> None:
    net = caffe.SGDSolver(solver_of(tmp_path)).net
    view = net.params["ip"][0].data
    net.forward()
    kept = view.copy()
    del net

    assert np.array_equal(view, kept)


def test_an_exception_in_a_callback_ends_the_step(tmp_path: Path) -> None:
    solver = caffe.get_solver(solver_of(tmp_path))

    def stop() -> None:
        raise KeyboardInterrupt

    solver.add_callback(stop, lambda: None)

    with pytest.raises(KeyboardInterrupt):
        solver.solve()
    assert solver.iter == 0


def test_gpu_mode_without_a_gpu_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)

    with pytest.raises(DeviceError, match="GPU 0 is not here"):
        caffe.set_mode_gpu()
    with pytest.raises(DeviceError, match="GPU 3 is not here"):
        caffe.set_device(3)
    caffe.set_mode_cpu()


def test_one_solvers_nccl_changes_nothing(tmp_path: Path) -> None:
    solver = caffe.SGDSolver(solver_of(tmp_path))
    nccl = caffe.NCCL(solver, caffe.NCCL.new_uid())
    nccl.bcast()
    solver.add_callback(nccl)
    solver.net.after_backward(nccl)
    solver.step(2)
    alone = caffe.SGDSolver(solver_of(tmp_path))
    alone.step(2)

    assert np.array_equal(solver.net.params["ip"][0].data, alone.net.params["ip"][0].data)


def test_an_unknown_type_of_solver_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="SDG"):
        caffe.get_solver(solver_of(tmp_path, 'type: "SDG"'))
