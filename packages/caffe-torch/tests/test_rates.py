from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from caffe.errors import DefinitionError
from caffe.proto import caffe_pb2
from caffe.rates import POLICIES, Rate
from google.protobuf import text_format
from oracle.client import Oracle, OracleAbortedError

# The gradient is 1, so that after an update of plain SGD the diff is the rate.
NET = """
layer { name: "i" type: "Input" top: "c" input_param { shape { dim: 1 dim: 1 } } }
layer { name: "p" type: "InnerProduct" bottom: "c" top: "p" loss_weight: 1
  inner_product_param { num_output: 1 } }
"""
ORACLE = """
    from caffe.proto import caffe_pb2
    open("/data/net.prototxt", "w").write(str(args["net"]))
    open("/data/solver.prototxt", "w").write(str(args["solver"]) +
        ' net: "/data/net.prototxt" snapshot_prefix: "/data/s" solver_mode: CPU')
    solver = caffe.get_solver("/data/solver.prototxt")
    rates = []
    for _ in range(int(args["count"])):
        solver.step(1)
        rates.append(solver.net.params["p"][1].diff[0])
    solver.snapshot()
    state = caffe_pb2.SolverState()
    state.ParseFromString(open("/data/s_iter_%d.solverstate" % len(rates), "rb").read())
    out["rates"] = np.array(rates, np.float32)
    out["current_step"] = state.current_step
"""
TAKEN = [
    'lr_policy: "fixed" base_lr: 0.013',
    'lr_policy: "fixed"',
    'lr_policy: "step" base_lr: 0.01 gamma: 0.7 stepsize: 7',
    'lr_policy: "step" base_lr: 0.01 gamma: 0 stepsize: 100',
    'lr_policy: "step" base_lr: 0.3 gamma: 1e30 stepsize: 5',
    'lr_policy: "exp" base_lr: 0.3 gamma: 0.99',
    'lr_policy: "inv" base_lr: 0.01 gamma: 0.0001 power: 0.75',
    'lr_policy: "inv" base_lr: 0.3 gamma: 0.37 power: 1.3',
    'lr_policy: "inv" base_lr: 0.3 gamma: 0.37 power: -1.3',
    'lr_policy: "multistep" base_lr: 0.3 gamma: 0.3 stepvalue: 3 stepvalue: 20 stepvalue: 21',
    'lr_policy: "multistep" base_lr: 0.3 gamma: 0.3 stepvalue: 9 stepvalue: 3 stepvalue: 3',
    'lr_policy: "multistep" base_lr: 0.3 gamma: 0.3',
    'lr_policy: "poly" base_lr: 0.3 power: 0.9 max_iter: 450',
    'lr_policy: "poly" base_lr: 0.3 power: 2 max_iter: 250',
    'lr_policy: "poly" base_lr: 0.3 power: 0.5 max_iter: 100',
    'lr_policy: "sigmoid" base_lr: 0.3 gamma: 0.05 stepsize: 50',
    'lr_policy: "sigmoid" base_lr: 0.3 gamma: 2 stepsize: 100',
]
REFUSED = [
    "base_lr: 0.1",
    'lr_policy: "cosine"',
    'lr_policy: "step" gamma: 0.1',
    'lr_policy: "step" gamma: 0.1 stepsize: -1',
    'lr_policy: "step" gamma: -0.1 stepsize: 1',
    'lr_policy: "exp" gamma: -0.1',
    'lr_policy: "inv" gamma: -0.1',
    'lr_policy: "multistep" gamma: -0.1',
    'lr_policy: "sigmoid" gamma: -0.1 stepsize: 1',
    'lr_policy: "sigmoid" gamma: 0.1',
]


def parse(text: str) -> Any:
    return text_format.Parse(text, caffe_pb2.SolverParameter())


@pytest.mark.parametrize("text", TAKEN)
def test_rates_are_the_oracles_bit_for_bit(oracle: Oracle, text: str) -> None:
    real = oracle(ORACLE, net=np.array(NET), solver=np.array(text), count=200)
    rate = Rate(parse(text))
    found = np.array([rate.at(iteration) for iteration in range(200)], np.float32)

    np.testing.assert_array_equal(found, real["rates"])
    assert rate.current_step == int(real["current_step"])


@pytest.mark.parametrize("text", REFUSED)
def test_what_the_oracle_aborts_on_is_refused(oracle: Oracle, text: str) -> None:
    with pytest.raises(OracleAbortedError):
        oracle(ORACLE, net=np.array(NET), solver=np.array(text), count=1)
    with pytest.raises(DefinitionError, match="lr_policy"):
        Rate(parse(text))


def test_every_policy_is_compared_with_the_oracle() -> None:
    assert {parse(text).lr_policy for text in TAKEN} == set(POLICIES)


def test_multistep_goes_on_from_a_restored_step() -> None:
    rate = Rate(parse('lr_policy: "multistep" base_lr: 1 gamma: 0.5 stepvalue: 3 stepvalue: 9'))
    rate.current_step = 1

    assert rate.at(8) == 0.5
    assert rate.at(9) == 0.25
    assert rate.current_step == 2
