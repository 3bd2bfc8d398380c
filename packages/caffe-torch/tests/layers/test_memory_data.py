from __future__ import annotations

import numpy as np
import pytest
from caffe.errors import DataError, DefinitionError, UsageError
from caffe.layers.memory_data import MemoryData
from layer_checks import Case, make, numbers, refused_by_both
from oracle.client import Oracle, OracleAbortedError

PARAM = "memory_data_param { batch_size: 2 channels: 3 height: 1 width: 4 }"
DATA, LABELS = numbers(6, 3, 1, 4), np.arange(6, dtype=np.float32)
ARRAYS = """
    net = caffe.Net(str(args["net"]), caffe.TRAIN)
    out["shape"] = np.array(net.blobs["t1"].shape)
    net.set_input_arrays(args["data"], args["labels"])
    for step in range(5):
        net.forward()
        out["data%d" % step] = net.blobs["t0"].data.copy()
        out["labels%d" % step] = net.blobs["t1"].data.copy()
"""


def case(param: str = PARAM) -> Case:
    return Case(f'type: "MemoryData" {param}', [], tops=2, backward=False)


def layer() -> MemoryData:
    made = make(case())
    assert isinstance(made, MemoryData)
    return made


def test_batches_follow_one_another_and_begin_again(oracle: Oracle) -> None:
    ours = layer()
    ours.set_arrays(DATA, LABELS)

    net = oracle.write("net", case().net_text())
    answer = oracle(ARRAYS, net=net, data=DATA, labels=LABELS.reshape(6, 1, 1, 1))
    assert ours.reshape([]) == [DATA[:2].shape, tuple(answer["shape"])]
    for step in range(5):
        data, labels = ours.forward([])
        assert np.array_equal(data.numpy(), answer[f"data{step}"])
        assert np.array_equal(labels.numpy(), answer[f"labels{step}"])


def test_new_arrays_begin_at_their_start() -> None:
    ours = layer()
    ours.set_arrays(DATA, LABELS.reshape(6, 1, 1, 1))
    ours.forward([])
    ours.set_arrays(DATA[2:], LABELS[2:])

    assert ours.forward([])[1].flatten().tolist() == [2, 3]


def test_forward_before_any_data_is_refused(oracle: Oracle) -> None:
    with pytest.raises(DataError, match=r"has no data yet; next: call net\.set_input_arrays"):
        layer().forward([])
    source = 'caffe.Net(str(args["net"]), caffe.TRAIN).forward()'
    with pytest.raises(OracleAbortedError, match="needs to be initialized"):
        oracle(source, net=oracle.write("net", case().net_text()))


@pytest.mark.parametrize(
    ("data", "labels", "message"),
    [
        (DATA.astype(np.float64), LABELS, "the data are float64"),
        (DATA, LABELS.astype(np.int64), "the labels are int64"),
        (DATA.T, LABELS, "not in C order"),
        (DATA[:, :2].copy(), LABELS, "the data have shape 6×2×1×4; allowed: N×3×1×4"),
        (DATA, LABELS[:4], "6 data and labels of shape 4"),
        (DATA[:5], LABELS[:5], "5 data; allowed: a multiple of the batch_size, 2"),
        (DATA[:0], LABELS[:0], "0 data; allowed: a multiple"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    data: np.ndarray, labels: np.ndarray, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        layer().set_arrays(data, labels)

    assert message in str(caught.value)


def test_a_missing_size_is_refused(oracle: Oracle) -> None:
    message = refused_by_both(oracle, case(PARAM.replace("width: 4", "")), DefinitionError)

    assert "has shape 2×3×1×0; allowed: batch_size, channels, height and width above 0" in message
