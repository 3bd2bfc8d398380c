from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from caffe.blob import Blob
from caffe.errors import DefinitionError
from caffe.flat import FlatParameters
from caffe.proto import caffe_pb2
from caffe.updates import UPDATES, Update
from google.protobuf import text_format
from oracle.client import Oracle, OracleAbortedError

# Two layers whose gradients are their input and 1, whatever the weights are. The second one's
# weights have an lr_mult of 0: their gradient is not computed, but they decay into the history.
NET = """
layer { name: "i" type: "Input" top: "c" input_param { shape { dim: 1 dim: 37 } } }
layer { name: "p" type: "InnerProduct" bottom: "c" top: "p" loss_weight: 1
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 1 weight_filler { type: "gaussian" } } }
layer { name: "q" type: "InnerProduct" bottom: "c" top: "q" loss_weight: 1
  param { lr_mult: 0 decay_mult: 1 } param { lr_mult: 1 decay_mult: 1 }
  inner_product_param { num_output: 1 weight_filler { type: "gaussian" } } }
"""
LR_MULTS, DECAY_MULTS = [1.0, 2.0, 0.0, 1.0], [1.0, 0.0, 1.0, 1.0]
ORACLE = """
    import glob
    from caffe.proto import caffe_pb2
    open("/data/net.prototxt", "w").write(str(args["net"]))
    open("/data/solver.prototxt", "w").write(str(args["solver"]) +
        ' net: "/data/net.prototxt" snapshot_prefix: "/data/s" lr_policy: "fixed" random_seed: 3'
        " solver_mode: CPU")
    solver = caffe.get_solver("/data/solver.prototxt")
    blobs = [blob for name in "pq" for blob in solver.net.params[name]]
    for index, blob in enumerate(blobs):
        out["before%d" % index] = blob.data.copy()
    for step, gradient in enumerate(args["gradients"]):
        solver.net.blobs["c"].data[...] = gradient
        solver.step(1)
        solver.snapshot()
        state = caffe_pb2.SolverState()
        state.ParseFromString(open("/data/s_iter_%d.solverstate" % (step + 1), "rb").read())
        for index, blob in enumerate(blobs):
            out["data%d_%d" % (index, step)] = blob.data.copy()
            out["diff%d_%d" % (index, step)] = blob.diff.copy()
        for index, blob in enumerate(state.history):
            out["history%d_%d" % (index, step)] = np.array(blob.data, np.float32)
"""
SOLVERS = {
    "SGD": "base_lr: 0.1",
    "SGD with momentum": "base_lr: 0.1 momentum: 0.9 weight_decay: 0.05",
    "SGD with L1": 'base_lr: 0.1 momentum: 0.9 weight_decay: 0.05 regularization_type: "L1"',
    "SGD over three passes": "base_lr: 0.1 momentum: 0.9 weight_decay: 0.05 iter_size: 3",
    "SGD clipped": "base_lr: 0.1 momentum: 0.9 weight_decay: 0.05 iter_size: 2 clip_gradients: 3",
    "SGD clipped where nothing is": "base_lr: 0.1 clip_gradients: 1000",
    "SGD clipped to nothing": "base_lr: 0.1 weight_decay: 0.05 clip_gradients: 0",
    "Nesterov": 'base_lr: 0.1 momentum: 0.9 weight_decay: 0.05 type: "Nesterov"',
    "Nesterov without momentum": 'base_lr: 0.1 type: "Nesterov"',
    "AdaGrad": 'base_lr: 0.1 weight_decay: 0.05 type: "AdaGrad"',
    "AdaGrad with delta": 'base_lr: 0.1 delta: 0.1 iter_size: 2 type: "AdaGrad"',
    "RMSProp": 'base_lr: 0.1 weight_decay: 0.05 type: "RMSProp"',
    "RMSProp with decay": 'base_lr: 0.1 rms_decay: 0.5 delta: 0.01 type: "RMSProp"',
    "AdaDelta": 'base_lr: 1 momentum: 0.95 delta: 1e-6 weight_decay: 0.05 type: "AdaDelta"',
    "Adam": 'base_lr: 0.1 momentum: 0.9 weight_decay: 0.05 type: "Adam"',
    "Adam with delta": 'base_lr: 0.1 momentum: 0.5 momentum2: 0.7 delta: 0.1 type: "Adam"',
}
REFUSED = {
    'type: "AdaGrad" momentum: 0.9': r"Momentum cannot be used with AdaGrad\.",
    'type: "RMSProp" momentum: 0.9': r"Momentum cannot be used with RMSProp\.",
    'type: "RMSProp" rms_decay: 1': "rms_decay should lie between 0 and 1",
    'type: "RMSProp" rms_decay: -0.1': "rms_decay should lie between 0 and 1",
    'type: "Adamant"': 'unknown solver type "Adamant"',
    'weight_decay: 0.1 regularization_type: "L3"': 'unknown regularization_type "L3"',
}


def parse(text: str) -> Any:
    return text_format.Parse(text, caffe_pb2.SolverParameter())


def gradients(count: int) -> np.ndarray[Any, Any]:
    values = np.random.default_rng(2).standard_normal((count, 37)).astype(np.float32)
    values[0, :3] = 0
    return values


def parameters(before: list[np.ndarray[Any, Any]]) -> tuple[list[Blob], FlatParameters]:
    blobs = [Blob(values.shape, torch.device("cpu")) for values in before]
    for blob, values in zip(blobs, before, strict=True):
        blob.data_memory.put(torch.tensor(values))
    return blobs, FlatParameters(blobs, LR_MULTS, DECAY_MULTS)


@pytest.mark.parametrize("text", SOLVERS.values(), ids=SOLVERS.keys())
def test_weights_gradients_and_history_are_the_oracles_after_each_update(
    oracle: Oracle, text: str
) -> None:
    steps = gradients(6)
    real = oracle(ORACLE, net=np.array(NET), solver=np.array(text), gradients=steps)
    blobs, flat = parameters([real[f"before{index}"] for index in range(4)])
    param = parse(text)
    update = Update(param, flat)

    assert len(update.history) == len({key for key in real if key.endswith("_0")}) - 8
    for iteration, values in enumerate(steps):
        flat.diff.zero_()
        for _ in range(param.iter_size):
            blobs[0].diff.add_(torch.tensor(values))
            blobs[1].diff.add_(1)
            blobs[3].diff.add_(1)
        update.clip(param.clip_gradients)
        update.apply(param.base_lr, iteration)
        found = {f"data{i}": blob.data for i, blob in enumerate(blobs)}
        found |= {f"diff{i}": blob.diff for i, blob in enumerate(blobs)}
        found |= {f"history{i}": view.flatten() for i, view in enumerate(update.history)}
        for name, value in found.items():
            want = real[f"{name}_{iteration}"]
            scale = max(float(np.abs(want).max()), 1e-30)
            np.testing.assert_allclose(
                value.numpy(), want, rtol=0, atol=1e-6 * scale, err_msg=f"{name} {iteration}"
            )


@pytest.mark.parametrize(("text", "message"), REFUSED.items())
def test_what_the_oracle_aborts_on_is_refused(oracle: Oracle, text: str, message: str) -> None:
    with pytest.raises(OracleAbortedError):
        oracle(ORACLE, net=np.array(NET), solver=np.array(text), gradients=gradients(1))
    _, flat = parameters([np.ones(3, np.float32)] * 4)
    with pytest.raises(DefinitionError, match=message):
        Update(parse(text), flat)


def test_an_unknown_regularization_without_decay_is_taken_as_by_the_oracle(oracle: Oracle) -> None:
    text = 'base_lr: 1 regularization_type: "L3"'
    oracle(ORACLE, net=np.array(NET), solver=np.array(text), gradients=gradients(1))
    _, flat = parameters([np.ones(3, np.float32)] * 4)

    assert len(Update(parse(text), flat).history) == 4


def test_an_iter_size_below_one_is_refused() -> None:
    _, flat = parameters([np.ones(3, np.float32)] * 4)
    with pytest.raises(DefinitionError, match="iter_size: 0"):
        Update(parse("iter_size: 0"), flat)


def test_clipping_tells_the_norm_and_the_factor() -> None:
    blobs, flat = parameters([np.ones(4, np.float32)] * 4)
    update = Update(parse(""), flat)
    blobs[0].diff.fill_(3)
    blobs[3].diff.fill_(4)

    assert update.sumsq_diff() == 100
    assert update.clip(-1) is None
    assert update.clip(10) is None
    assert update.clip(5) == (10, 0.5)
    assert blobs[3].diff.tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize("kind", UPDATES)
def test_a_net_without_learnable_blobs_can_be_updated(kind: str) -> None:
    update = Update(parse(f'type: "{kind}"'), FlatParameters([], [], []))
    update.apply(0.1, 0)

    assert update.history == []
    assert update.clip(0) is None
