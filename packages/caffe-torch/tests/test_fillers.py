from __future__ import annotations

import numpy as np
import pytest
import torch
from caffe import fillers
from caffe.errors import DefinitionError
from caffe.proto import caffe_pb2
from caffe.random import Random
from google.protobuf import text_format
from oracle.client import Oracle, OracleAbortedError

ORACLE = """
    caffe.set_random_seed(int(args["seed"]))
    dims = " ".join("dim: %d" % size for size in args["shape"])
    open("/data/n.prototxt", "w").write(
        'layer { name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param {'
        " shape { %s } data_filler { %s } data_filler { type: 'uniform' } } }"
        % (dims, str(args["filler"])))
    net = caffe.Net("/data/n.prototxt", caffe.TRAIN)
    net.forward()
    out["a"] = net.blobs["a"].data
    out["b"] = net.blobs["b"].data
"""
TAKEN = [
    ("value: 2.5", (3, 4)),
    ('type: "constant"', (2,)),
    ('type: "uniform" min: -2 max: 3', (3, 4)),
    ('type: "gaussian" std: 0.01', (20, 5, 3, 3)),
    ('type: "gaussian" std: 2 sparse: 3', (20, 50)),
    ('type: "gaussian" sparse: 0', (4, 5)),
    ('type: "gaussian" sparse: 4', (4, 5)),
    ('type: "positive_unitball"', (7, 300)),
    ('type: "positive_unitball"', (5,)),
    ('type: "xavier"', (20, 5, 3, 3)),
    ('type: "xavier" variance_norm: FAN_OUT', (20, 5, 3, 3)),
    ('type: "xavier" variance_norm: AVERAGE', (20, 5, 3)),
    ('type: "xavier" variance_norm: FAN_OUT', (20,)),
    ('type: "xavier"', (20,)),
    ('type: "msra"', (20, 5, 3, 3)),
    ('type: "msra" variance_norm: FAN_OUT', (20, 5)),
    ('type: "msra" variance_norm: AVERAGE', (21, 5, 3, 3)),
    *[('type: "bilinear"', (2, 3, size, size)) for size in (1, 2, 3, 4, 5, 7, 8, 31)],
]
REFUSED = [
    ('type: "nonsense"', (3, 4), "unknown filler"),
    ('type: "uniform" min: 1 max: 0', (3,), "cannot draw"),
    ('type: "gaussian" std: 0', (3,), "deviation"),
    ('type: "gaussian" std: -1', (3,), "deviation"),
    ('type: "gaussian" sparse: -2', (3,), "sparse"),
    ('type: "gaussian" sparse: 4', (3,), "sparse"),
    ('type: "xavier" sparse: 1', (3,), "sparse"),
    ('type: "bilinear"', (2, 3, 4, 5), "bilinear"),
    ('type: "bilinear"', (3, 3), "bilinear"),
]


def refuse(what: str) -> DefinitionError:
    return DefinitionError(f'layer "x": {what}')


def parse(text: str) -> caffe_pb2.FillerParameter:
    return text_format.Parse(text, caffe_pb2.FillerParameter())


@pytest.mark.parametrize("seed", [1, 2**31 + 7])
@pytest.mark.parametrize(("text", "shape"), TAKEN)
def test_a_filled_blob_is_the_oracles_bit_for_bit(
    oracle: Oracle, text: str, shape: tuple[int, ...], seed: int
) -> None:
    real = oracle(ORACLE, filler=text, shape=np.array(shape), seed=seed)
    random = Random(seed)
    values = fillers.fill(parse(text), shape, random, refuse)
    after = fillers.fill(parse('type: "uniform"'), shape, random, refuse)

    assert values.dtype == torch.float32
    assert tuple(values.shape) == shape
    assert values.numpy().tobytes() == real["a"].tobytes()
    assert after.numpy().tobytes() == real["b"].tobytes()


@pytest.mark.parametrize(("text", "shape", "message"), REFUSED)
def test_what_the_oracle_aborts_on_is_refused(
    oracle: Oracle, text: str, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(OracleAbortedError):
        oracle(ORACLE, filler=text, shape=np.array(shape), seed=1)
    with pytest.raises(DefinitionError, match=f'layer "x": .*{message}'):
        fillers.fill(parse(text), shape, Random(1), refuse)


@pytest.mark.parametrize("kind", sorted(fillers.FILLERS))
def test_an_empty_blob_is_refused_by_each_filler(kind: str) -> None:
    with pytest.raises(DefinitionError, match="nothing to fill"):
        fillers.fill(parse(f'type: "{kind}"'), (0, 3), Random(1), refuse)


@pytest.mark.parametrize("kind", ["xavier", "msra", "positive_unitball", "bilinear"])
def test_a_blob_without_axes_is_refused_where_axes_count(kind: str) -> None:
    with pytest.raises(DefinitionError, match="axes"):
        fillers.fill(parse(f'type: "{kind}"'), (), Random(1), refuse)


def test_a_given_blob_is_taken_as_it_is() -> None:
    proto = caffe_pb2.BlobProto(data=range(6))
    proto.shape.dim.extend((2, 3))

    given = fillers.from_proto(proto, (2, 3), refuse)

    assert given.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert given.dtype == torch.float32


def test_a_given_blob_may_have_the_legacy_shape_and_doubles() -> None:
    proto = caffe_pb2.BlobProto(num=1, channels=1, height=2, width=2, double_data=[1, 2, 3, 0.1])

    given = fillers.from_proto(proto, (2, 2), refuse)

    assert given.tolist() == [[1, 2], [3, float(np.float32(0.1))]]


def test_a_given_blob_of_another_shape_or_with_missing_values_is_refused() -> None:
    proto = caffe_pb2.BlobProto(data=range(6))
    proto.shape.dim.extend((2, 3))
    with pytest.raises(DefinitionError, match=r"\(2, 3\) with 6 values is given, \(3, 2\)"):
        fillers.from_proto(proto, (3, 2), refuse)
    del proto.data[5]
    with pytest.raises(DefinitionError, match="with 5 values"):
        fillers.from_proto(proto, (2, 3), refuse)
