"""Old nets and solvers come out of our upgrade as they come out of real Caffe's tools."""

from __future__ import annotations

from pathlib import Path

import pytest
from caffe import schema
from caffe.errors import DefinitionError
from google.protobuf import text_format
from old_nets import NETS, REFUSED, V0, V0_OTHER_TYPES, V1
from oracle.client import Oracle
from schema_oracle import ask, pb2, upgraded_nets

NET = 'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 1 } } }'
SOLVER = 'net: "n" base_lr: 0.1 '
TYPES = ("SGD", "NESTEROV", "ADAGRAD", "RMSPROP", "ADADELTA", "ADAM")


def test_every_old_net_is_the_oracles(oracle: Oracle) -> None:
    theirs = dict(zip(NETS, upgraded_nets(oracle, list(NETS.values())), strict=True))

    for name, text in NETS.items():
        assert (name, str(schema.parse_net(text).message)) == (name, str(theirs[name]))


def test_what_the_oracle_does_not_upgrade_is_refused(oracle: Oracle) -> None:
    assert upgraded_nets(oracle, list(REFUSED.values())) == [None] * len(REFUSED)

    for text in REFUSED.values():
        with pytest.raises(DefinitionError, match=r"^-:\d+:\d+: "):
            schema.parse_net(text)


def test_inputs_without_enough_dimensions_are_refused() -> None:
    for text in (
        'input: "a" input_dim: 1 input_dim: 2',
        'input: "a" input: "b" input_dim: [1, 2, 3, 4]',
        'input: "a" input: "b" input_shape { dim: 1 }',
    ):
        with pytest.raises(DefinitionError, match=r'-:1:\d+: input "[ab]" has no shape'):
            schema.parse_net(text)


def test_old_weights_are_the_oracles(oracle: Oracle) -> None:
    weights = []
    for text in (V1, V0):
        net = text_format.Parse(text, pb2.NetParameter())
        for layer in net.layers:
            blobs = layer.layer.blobs if layer.HasField("layer") else layer.blobs
            blobs.add(num=1, channels=2, height=3, width=1).data.extend([1, 2, 3.5, -4, 5, 6])
        weights.append(net)

    made = ask(oracle, "upgrade_net_proto_binary", [w.SerializeToString() for w in weights])

    for net, theirs in zip(weights, made, strict=True):
        before = net.SerializeToString()
        assert schema.upgrade_net(net).SerializeToString() == theirs
        assert net.SerializeToString() == before


def test_every_solver_type_is_the_oracles(oracle: Oracle) -> None:
    texts = [f"{SOLVER} solver_type: {name}" for name in TYPES] + [SOLVER]

    made = ask(oracle, "upgrade_solver_proto_text", texts)

    for text, theirs in zip(texts, made, strict=True):
        assert theirs is not None
        expected = text_format.Parse(theirs, pb2.SolverParameter())
        assert str(schema.parse_solver(text).message) == str(expected)


@pytest.mark.parametrize("said", [None, "", "out", "out/", "out/x"])
def test_the_prefix_is_completed_as_by_the_oracle(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch, said: str | None
) -> None:
    oracle.write("prefix/net.prototxt", NET)
    prefix = "" if said is None else f'snapshot_prefix: "{said}"'
    text = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" solver_mode: CPU '
    oracle.write("prefix/job/solver.prototxt", text + prefix)
    oracle.write("prefix/out/before", "")
    monkeypatch.chdir(oracle.folder / "prefix")

    oracle(
        'import os; os.chdir("/data/prefix"); caffe.get_solver("./job/solver.prototxt").snapshot()'
    )

    (made,) = Path().rglob("*.solverstate")
    ours = schema.read_solver("./job/solver.prototxt").message.snapshot_prefix
    state = pb2.SolverState.FromString(made.read_bytes())
    assert state.learned_net == f"{ours}_iter_0.caffemodel"
    made.unlink()


def test_an_upgraded_net_needs_no_more_upgrade() -> None:
    once = schema.parse_net(V1).message

    assert schema.upgrade_net(once) == once
    assert schema.upgrade_net(once) is not once


def test_a_layer_of_an_old_net_has_its_place() -> None:
    found = schema.parse_net(V0, "old.prototxt")

    assert found.message.layer[0].name == "input"
    assert found.where("layer", 0) == "old.prototxt:3:1"
    assert found.where("layer", "conv1") == "old.prototxt:9:1"
    assert found.where("layer", "loss") == "old.prototxt:28:1"
    assert "V0" in " ".join(found.notes)


def test_what_a_v0_type_does_not_take_is_noted() -> None:
    notes = schema.parse_net(V0_OTHER_TYPES).notes

    assert [note.split(" takes no ")[1].split(";")[0] for note in notes if "takes no" in note] == [
        "num_output", "pad", "source", "det_crop_mode", "kernelsize",
    ]  # fmt: skip


def test_a_net_inside_a_solver_is_upgraded_with_its_places() -> None:
    text = f"base_lr: 1\nnet_param {{\n{V1}}}"
    solver = schema.parse_solver(text, "s")

    net = solver.nested("net_param")
    lines = V1.split("\n")
    line = next(number for number, said in enumerate(lines, 1) if "kernel_size: 3" in said)
    column = lines[line - 1].index("pad: 1")

    assert str(net.message) == str(schema.parse_net(V1).message)
    assert net.where("layer", "c", "convolution_param.pad") == f"s:{line + 2}:{column + 1}"
    two = schema.parse_solver(
        'train_net: "t"' + 'test_net_param { name: "x" }' * 2 + "test_iter: [1, 1] test_interval: 1"
    )
    assert two.nested("test_net_param", 1).message.name == "x"
