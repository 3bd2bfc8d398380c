"""What is read without protobuf is what protobuf would have read; all else is left to it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from uaitrain.frameworks import prototxt
from uaitrain.frameworks.caffe_schema import caffe_pb2
from uaitrain.frameworks.caffe_schema.fields import ENUMS, MESSAGES
from uaitrain.frameworks.prototxt import NET, SOLVER
from uaitrain.frameworks.prototxt_plain import NotPlainError, PlainMessage, read_plain
from uaitrain.frameworks.prototxt_tree import tree

MODELS = Path(__file__).resolve().parents[4]
PLAIN = """\
# a comment with any letters: 数据
name: "tiny"
layer {
  name: 'data' type: "Data" top: "data" top: "label"
  include: { phase: TRAIN }
  transform_param { scale: 0.00390625 mean_value: 104 mirror: true }
  data_param { source: "/data/data/train" batch_size: 64 backend: LMDB }
}
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" param { lr_mult: 2 }
  inner_product_param { num_output: 10 weight_filler { type: "xavier" std: 1e-3 } } }
"""
LAYER = 'layer { name: "n" '
NOT_PLAIN = [
    "nam: 1",
    'name "n"',
    'name: "a" name: "b"',
    "name: n",
    "name: 5",
    r'name: "a\n"',
    'name: "é"',
    'name: "a" "b"',
    'name: "a',
    'name: "a";',
    'input: ["a", "b"]',
    "input_dim: 010",
    "input_dim: 0x10",
    "input_dim: 1.0",
    "input_dim: 1e3",
    "input_dim: 2147483648",
    "input_dim: - 1",
    "input_dim: 1input_dim: 2",
    "input_dim { }",
    "force_backward: 1",
    "force_backward: True",
    "state: 1",
    "state { phase: 1 }",
    "state { phase: TRAINING }",
    "state < phase: TRAIN >",
    "state { phase: TRAIN",
    "state { phase: TRAIN } }",
    "state: [{ }]",
    LAYER + "loss_weight: inf }",
    LAYER + "loss_weight: 1e39 }",
    LAYER + "loss_weight: 1f }",
    LAYER + "loss_weight: .5 }",
    LAYER + "loss_weight: 01.5 }",
    LAYER + "loss_weight: 1e }",
    LAYER + "blobs { double_data: 1 } }",
    "\x0b",
    "name: \x00",
]


def same(plain: Any, message: Any, kind: str) -> None:
    """Every field of the schema, given or not, a level below the given ones included."""
    for field in message.DESCRIPTOR.fields:
        value, expected = getattr(plain, field.name), getattr(message, field.name)
        inner = field.message_type.name if field.message_type else ""
        if field.is_repeated:
            assert len(value) == len(expected), field.full_name
            for one, other in zip(value, expected, strict=True):
                same(one, other, inner) if inner else None
                assert inner or one == other
            continue
        assert plain.HasField(field.name) == message.HasField(field.name), field.full_name
        if not inner:
            assert (type(value), value) == (type(expected), expected), field.full_name
        elif message.HasField(field.name):
            same(value, expected, inner)
        else:
            assert not isinstance(value, (int, str)), field.full_name


def judged(text: str, kind: str) -> Any:
    return text_format.Parse(text, getattr(caffe_pb2, kind)())


@pytest.mark.parametrize("kind", sorted(set(MESSAGES) & set(dir(caffe_pb2))))
def test_the_tables_are_the_schema(kind: str) -> None:
    message = getattr(caffe_pb2, kind)()
    assert list(MESSAGES[kind]) == [field.name for field in message.DESCRIPTOR.fields]
    same(PlainMessage(kind, {}), message, kind)
    for field in message.DESCRIPTOR.fields:
        label, type_, default = MESSAGES[kind][field.name]
        assert (label == "required") == field.is_required
        if field.enum_type:
            numbers = {value.name: value.number for value in field.enum_type.values}
            assert ENUMS[type_] == numbers
        if label != "repeated" and not field.message_type:
            assert default == field.default_value


def test_a_plain_net_is_what_protobuf_reads() -> None:
    message, root = read_plain(PLAIN, NET)
    same(message, judged(PLAIN, NET), NET)
    assert root == tree(PLAIN)


def nets() -> list[Path]:
    shared = MODELS.parent / "shared"
    return sorted([*MODELS.glob("examples/**/*.prototxt"), *shared.glob("**/*.prototxt")])


@pytest.mark.parametrize("path", nets(), ids=str)
def test_real_files_read_the_same(path: Path) -> None:
    """Whichever reader takes them."""
    text = path.read_text(encoding="utf-8", errors="replace")
    for kind in (NET, SOLVER):
        try:
            message, root = read_plain(text, kind)
        except NotPlainError:
            continue
        same(message, judged(text, kind), kind)
        assert root == tree(text)


@pytest.mark.parametrize("text", NOT_PLAIN)
def test_what_is_not_plain_is_left_to_protobuf(text: str) -> None:
    with pytest.raises(NotPlainError):
        read_plain(text, NET)


def test_what_lacks_a_required_field_is_left_to_protobuf() -> None:
    required = [
        (kind, name)
        for kind, fields in MESSAGES.items()
        for name, (label, *_) in fields.items()
        if label == "required"
    ]
    assert required
    for kind, _ in required:
        with pytest.raises(NotPlainError):
            read_plain("", kind)


def test_reading_a_plain_file_does_not_need_protobuf(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(PLAIN, encoding="utf-8")
    (tmp_path / "odd.prototxt").write_text("input_dim: 0x10", encoding="utf-8")
    assert isinstance(prototxt.read(tmp_path / "net.prototxt", NET).message, PlainMessage)
    assert prototxt.read(tmp_path / "odd.prototxt", NET).message.input_dim == [16]


def test_a_message_says_what_it_has_not() -> None:
    message, _ = read_plain('name: "n"', NET)
    with pytest.raises(AttributeError, match="mean_file"):
        _ = message.mean_file
    for name in ("layer", "mean_file"):
        with pytest.raises(ValueError, match=name):
            message.HasField(name)


_BLANKS = st.sampled_from([" ", "\n", "\t", "\r\n", "", "# x\n", ";", ","])
_WORDS = st.sampled_from(
    [
        field
        for kind in (NET, "LayerParameter", "NetState", "FillerParameter")
        for field in MESSAGES[kind]
    ]
)
_VALUES = st.one_of(
    st.integers(-(1 << 70), 1 << 70).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(
        ("TRAIN", "TEST", "true", "false", "1f", ".5", "5.", "00", "-0", "1e5", "inf", "nan", "[1]")
    ),
    st.text(st.characters(max_codepoint=0x2FF), max_size=4).map(lambda text: f'"{text}"'),
    st.text(alphabet="ab\\'\"x0", max_size=4).map(lambda text: f"'{text}'"),
)


@st.composite
def texts(draw: st.DrawFn, depth: int = 0) -> str:
    """Nearly prototxts: right names, values of all kinds, anything in between."""
    parts = []
    for _ in range(draw(st.integers(0, 4))):
        name = draw(_WORDS)
        colon = draw(st.sampled_from([":", ": ", "", " :"]))
        if depth < 3 and draw(st.booleans()):
            value = "{" + draw(texts(depth + 1)) + draw(st.sampled_from(["}", "}", "}", ""]))
        else:
            value = draw(_VALUES)
        parts += [draw(_BLANKS), name, colon, value, draw(_BLANKS)]
    return "".join(parts)


def typed(kind: str, depth: int = 0) -> st.SearchStrategy[str]:
    """Right prototxts of that message, as far as three levels go."""
    choices = []
    for name, (_label, type_, _) in MESSAGES[kind].items():
        value = _typed_value(type_, depth)
        if value is not None:
            choices.append(value.map(lambda text, name=name: f"{name}: {text}"))  # type: ignore[misc]
    if not choices:
        return st.just("")
    return st.lists(st.one_of(choices), max_size=4).map(" ".join)


def _typed_value(type_: str, depth: int) -> st.SearchStrategy[str] | None:
    if type_ in MESSAGES:
        inner = st.deferred(lambda: typed(type_, depth + 1))
        return inner.map("{{ {} }}".format) if depth < 2 else None
    if type_ in ENUMS:
        return st.sampled_from(sorted(ENUMS[type_]))
    return {
        "string": st.text("abc/._- #{}:", max_size=5).map('"{}"'.format),
        "float": st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr)
        | st.floats(-1e6, 1e6).map(repr),
        "bool": st.sampled_from(["true", "false"]),
        "int32": st.integers(-(1 << 31), (1 << 31) - 1).map(str),
        "int64": st.integers(-(1 << 63), (1 << 63) - 1).map(str),
        "uint32": st.integers(0, (1 << 32) - 1).map(str),
    }.get(type_)


@settings(max_examples=400, deadline=None)
@given(texts() | typed(NET))
def test_whatever_is_read_is_what_protobuf_reads(text: str) -> None:
    try:
        message, root = read_plain(text, NET)
    except NotPlainError:
        return
    same(message, judged(text, NET), NET)
    assert root == tree(text)


@settings(max_examples=100, deadline=None)
@given(typed(SOLVER))
def test_most_of_what_is_right_is_plain(text: str) -> None:
    """Only a field that is said twice is not, and what the schema requires."""
    judge = _first_fault(text)
    if judge is None:
        same(read_plain(text, SOLVER)[0], judged(text, SOLVER), SOLVER)


def _first_fault(text: str) -> Exception | None:
    try:
        message = judged(text, SOLVER)
    except text_format.ParseError as error:
        return error
    return None if message.IsInitialized() else ValueError(text)


def test_floats_are_kept_in_four_bytes() -> None:
    message, _ = read_plain("base_lr: 0.01", SOLVER)
    assert message.base_lr == struct.unpack("<f", struct.pack("<f", 0.01))[0] != 0.01
