"""What is wrong is told with its place, its layer and field, and what is right."""

from __future__ import annotations

from pathlib import Path

import pytest
from caffe import schema
from caffe.errors import DefinitionError
from caffe.schema import files
from oracle.client import Oracle, OracleAbortedError

CONV = """name: "net"
layer {
  name: "conv1"
  type: "Convolution"
  convolution_param {
%s
  }
}
"""


def refused(text: str) -> DefinitionError:
    with pytest.raises(DefinitionError) as caught:
        schema.parse_net(text, "n.prototxt")
    return caught.value


@pytest.mark.parametrize(
    ("text", "what", "allowed", "next_step"),
    [
        (
            CONV % "    kernal_size: 5",
            'n.prototxt:6:5: layer "conv1": convolution_param: ConvolutionParameter has no field '
            '"kernal_size" in the line `kernal_size: 5`',
            "num_output, bias_term, pad, kernel_size, group, stride, weight_filler, bias_filler, "
            "pad_h, pad_w, kernel_h, kernel_w, stride_h, stride_w, engine, axis, "
            "force_nd_im2col, dilation",
            'did you mean "kernel_size"?',
        ),
        (
            CONV % "    num_output: many",
            'n.prototxt:6:17: layer "conv1": convolution_param.num_output: Couldn\'t parse '
            "integer: many in the line `num_output: many`",
            "a whole number from 0 to 4294967295",
            "",
        ),
        (
            CONV % "    engine: CUDN",
            'n.prototxt:6:13: layer "conv1": convolution_param.engine: Enum type '
            '"caffe.ConvolutionParameter.Engine" has no value named CUDN in the line '
            "`engine: CUDN`",
            "DEFAULT, CAFFE, CUDNN",
            'did you mean "CUDNN"?',
        ),
        (
            'layer { name: "c" type: "Clip"\n  clip_param { min: 0 }\n}',
            'n.prototxt:2:3: layer "c": clip_param: max is required and missing',
            "",
            "write max into this clip_param",
        ),
        (
            'layer {\n  name: "a"\n  relu_param {\n}\n',
            'n.prototxt:1:7: layer "a": the "{" is never closed: Expected "}" (line 4) in the '
            "line `layer {`",
            "",
            "close it with }",
        ),
        (
            'layer {\n  name: "a\n}\n',
            'n.prototxt:2:9: layer "a": name: String missing ending quote: \'"a\' in '
            'the line `name: "a`',
            'a text in quotes, "…"',
            "",
        ),
        (
            "layer { loss_weight: +1 }",
            'n.prototxt:1:22: a layer without a name: loss_weight: "+1" is no number in the line '
            "`layer { loss_weight: +1 }`",
            "",
            "",
        ),
        (
            'layers { layer { name: "old" type: "convv" } }',
            'n.prototxt:1:1: layer "old": unknown V0 layer type "convv"',
            None,
            'did you mean "conv"?',
        ),
    ],
)
def test_a_mistake_is_told_whole(text: str, what: str, allowed: str | None, next_step: str) -> None:
    error = refused(text)

    assert (error.what, error.next_step) == (what, next_step)
    assert allowed is None or error.allowed == allowed


def test_a_layers_wrong_field_lists_the_nearest_alone() -> None:
    error = refused('layer { name: "a" convolution_parm { } }')

    assert error.next_step == 'did you mean "convolution_param"?'
    assert len(error.allowed.split(", ")) == 5


def test_a_long_line_is_cut_in_the_message() -> None:
    assert len(refused("layer { " + " " * 10 + "x: 1 " * 5000).what) < 300


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x0a\x03abc\x00\x01", "holds binary data"),
        ('name: "a"'.encode("utf-16"), "is UTF-16 text"),
        (b"#" * (files.LARGEST_BYTES + 1), "too large for a prototxt"),
    ],
)
def test_a_file_that_is_no_text_is_refused_by_its_name(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes(content)

    for read in (schema.read_net, schema.read_solver):
        with pytest.raises(DefinitionError, match=said) as caught:
            read(path)
        assert caught.value.what.startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["missing.prototxt", ".", "a/b", "x" * 300, "nul\0"])
def test_a_path_that_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DefinitionError, match="cannot read the definition"):
        schema.read_net(f"{tmp_path}/{name}")


@pytest.mark.parametrize("bracket", ["{", "<", "[", "layer {", "layer: [", "name: '", "-"])
def test_no_depth_of_brackets_is_too_much(bracket: str) -> None:
    for text in (bracket * 20_000, f"name: 'x' {bracket * 3_000}"):
        refused(text)


SOLVERS = {
    "no train net": ("base_lr: 1", "no train net is given"),
    "two train nets": ('net: "a"\ntrain_net: "b"', "s:2:1: net and train_net are all given"),
    "a net and a net_param": ('net: "a" net_param { }', "s:1:10: net and net_param are all given"),
    "both types": ('net: "a" type: "SGD" solver_type: ADAM', "s:1:22: solver_type and type"),
    "too many test_iter": ('train_net: "a" test_iter: 1', "s:1:16: 1 test_iter for 0 test nets"),
    "too few test_iter": ('net: "a" test_net: "b" test_net: "c" test_iter: 1', "1 test_iter for 2"),
    "test_state": ('net: "a" test_iter: 1 test_interval: 1 test_state {} test_state {}',
                   "2 test_state for 1 tests"),
    "no test_interval": ('net: "a" test_iter: 1', "test_interval 0 with a test_iter"),
    "average_loss": ('net: "a" average_loss: 0', "s:1:10: average_loss 0"),
}  # fmt: skip
NET = 'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 1 } } }'


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_that_contradicts_itself_is_refused_as_by_the_oracle(
    oracle: Oracle, name: str
) -> None:
    text, said = SOLVERS[name]
    path = oracle.write("schema/net.prototxt", NET)
    oracle.write("schema/solver.prototxt", text.replace('"a"', f'"{path}"'))

    with pytest.raises(OracleAbortedError, match="status 6"):
        oracle('caffe.get_solver("/data/schema/solver.prototxt")')
    with pytest.raises(DefinitionError) as caught:
        schema.parse_solver(text, "s")
    assert said in caught.value.what


def test_the_oracle_takes_the_solver_whose_mistakes_are_tested(oracle: Oracle) -> None:
    path = oracle.write("schema/net.prototxt", NET)
    text = (
        f'net: "{path}" base_lr: 0.1 lr_policy: "fixed" test_iter: 1 test_interval: 1 type: "SGD"'
    )
    oracle.write("schema/solver.prototxt", text)

    oracle('caffe.get_solver("/data/schema/solver.prototxt")')
    assert schema.parse_solver(text).message.net == path


@pytest.mark.parametrize(
    ("said", "made"),
    [("", "./job/solver"), ('snapshot_prefix: "."', "./solver"), ('snapshot_prefix: "x/y"', "x/y")],
)
def test_the_prefix_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, made: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("job").mkdir()
    Path("job/solver.prototxt").write_text(f'net: "n" {said}')

    assert schema.read_solver("./job/solver.prototxt").message.snapshot_prefix == made


def test_places_of_fields_and_layers() -> None:
    net = schema.parse_net(CONV % "    kernel_size: 5\n    pad: 1", "n")
    solver = schema.parse_solver('net: "n"\n  base_lr: 1', "s")

    assert net.where("layer", "conv1") == net.where("layer", 0) == "n:2:1"
    assert net.where("layer", "conv1", "convolution_param.pad") == "n:7:5"
    assert net.where("layer", "conv1", "bottom") == "n:2:1"
    assert net.where("layer", "conv2") == net.where("layer", 1) == ""
    assert net.where("net", "name") == "n:1:1"
    assert solver.where("solver", "base_lr") == "s:2:3"
    assert solver.where("solver", "momentum") == solver.where("solver") == ""
