"""The same Python text, run beside pycaffe and beside ours, writes the same prototxt."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
from caffe.errors import UsageError
from caffe.pycaffe import net_spec
from caffe.pycaffe.net_spec import NetSpec, to_proto
from oracle.client import Oracle

L, P = net_spec.layers, net_spec.params

SPECS = {
    "lenet": """
        n = NetSpec()
        n.data, n.label = L.Data(batch_size=64, backend=P.Data.LMDB, source="lmdb",
                                 transform_param=dict(scale=1./255), ntop=2)
        n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20,
                                weight_filler=dict(type='xavier'))
        n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
        n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=50,
                                weight_filler=dict(type='xavier'))
        n.pool2 = L.Pooling(n.conv2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
        n.fc1 = L.InnerProduct(n.pool2, num_output=500, weight_filler=dict(type='xavier'))
        n.relu1 = L.ReLU(n.fc1, in_place=True)
        n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler=dict(type='xavier'))
        n.loss = L.SoftmaxWithLoss(n.score, n.label)
        net = n.to_proto()
    """,
    "automatic names": """
        data, label = L.Data(ntop=2, source="s", batch_size=1)
        a = L.Convolution(data, kernel_size=3, num_output=2)
        b = L.Convolution(a, kernel_size=3, num_output=2)
        joined = L.Concat(L.ReLU(a, in_place=True), L.ReLU(b), a, concat_param=dict(axis=1))
        net = to_proto(L.SoftmaxWithLoss(joined, label), L.Accuracy(joined, label))
    """,
    "a top's own to_proto": """
        net = L.ReLU(L.TanH(L.Input(shape=[dict(dim=[1, 2])]))).to_proto()
    """,
    "phases, params and repeated fields": """
        n = NetSpec()
        n.data, n.label = L.Data(ntop=2, source="s", batch_size=3, include=dict(phase=TRAIN),
                                 transform_param=dict(mean_value=[104, 117, 123], mirror=True))
        n.conv = L.Convolution(n.data, kernel_size=[3, 5], pad=1, num_output=4, bias_term=False,
                               param=[dict(lr_mult=1, decay_mult=1), dict(lr_mult=2)])
        n.bn = L.BatchNorm(n.conv, in_place=True, param=[dict(lr_mult=0)] * 3)
        n.up = L.Deconvolution(n.bn, convolution_param=dict(num_output=1, kernel_size=4, stride=2))
        n.a, n.b = L.Slice(n.up, ntop=2, slice_dim=1, slice_point=[1])
        n.sum = L.Eltwise(n.a, n.b, operation=P.Eltwise.SUM, coeff=[1, -1])
        n.loss = L.EuclideanLoss(n.sum, n.b, loss_weight=0.5, name="named",
                                 propagate_down=[True, False])
        net = n.to_proto()
    """,
    "layers without tops": """
        n = NetSpec()
        n.data = L.DummyData(shape=[dict(dim=[1, 3]), dict(dim=[2])],
                             data_filler=dict(type="gaussian"))
        n.quiet = L.Silence(n.data, ntop=0)
        net = n.to_proto()
    """,
    "a function without a name": """
        net = to_proto(*[L.ReLU(t) for t in L.DummyData(ntop=2, shape=dict(dim=[1]))])
    """,
    "items": """
        n = NetSpec()
        n["x/y"] = L.Input(input_param=dict(shape=dict(dim=[1, 1])))
        n["z"] = L.Python(n["x/y"], module="m", layer="Z", param_str="{}")
        net = n.to_proto()
    """,
    "one top named twice": """
        n = NetSpec()
        n.first = L.Input(shape=dict(dim=[2]))
        n.second = n.first
        n.out = L.ReLU(n.first, negative_slope=0.1, engine=P.ReLU.CAFFE)
        net = n.to_proto()
    """,
}
THEIRS = """
import textwrap
from caffe import NetSpec, to_proto, TRAIN, TEST, layers as L, params as P
exec(textwrap.dedent(str(args["spec"])))
out["net"] = np.frombuffer(net.SerializeToString(), np.uint8)
"""


def ours(text: str) -> Any:
    names = {"NetSpec": NetSpec, "to_proto": to_proto, "L": L, "P": P, "TRAIN": 0, "TEST": 1}
    exec(textwrap.dedent(text), names)
    return names["net"]


@pytest.mark.parametrize("name", SPECS)
def test_a_spec_gives_the_oracles_net(oracle: Oracle, name: str) -> None:
    theirs = oracle(THEIRS, spec=SPECS[name])

    net = ours(SPECS[name])

    assert net.SerializeToString() == theirs["net"].tobytes()


def test_a_deep_net_needs_no_recursion() -> None:
    top = L.Input(shape={"dim": [1]})
    for _ in range(3000):
        top = L.ReLU(top, in_place=True)

    assert len(top.to_proto().layer) == 3001


def test_keys_values_and_update_are_a_dicts() -> None:
    spec, other = NetSpec(), NetSpec()
    spec.a = L.Input()
    other.b = L.Input()
    spec.update(other.tops)

    assert spec.keys() == ["a", "b"]
    assert spec.vals() == [spec.a, other.b]


def test_an_input_that_is_no_top_is_a_type_error_with_its_place() -> None:
    with pytest.raises(TypeError, match=r"Convolution input 0 is not a Top \(type is <class 'int'"):
        L.Convolution(3)


def test_a_misspelt_field_names_the_nearest() -> None:
    with pytest.raises(AttributeError, match=r'no field "num_axs"') as caught:
        to_proto(L.Scale(L.Input(), filler={"type": "constant"}, num_axs=2))
    assert isinstance(caught.value, UsageError)


def test_a_wrong_group_of_parameters_is_refused() -> None:
    with pytest.raises(net_spec.NoSuchFieldError, match='"Poling"'):
        P.Poling.MAX  # noqa: B018 - the look itself is what fails
