"""Prototxts: protobuf judges, the message says where and what was meant."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from uaitrain.frameworks import prototxt
from uaitrain.frameworks.caffe_schema import caffe_pb2
from uaitrain.frameworks.prototxt import NET, SOLVER, Problem, parse, read
from uaitrain.frameworks.prototxt_tree import NotATreeError, tree

EXAMPLE = Path(__file__).resolve().parents[4] / "examples" / "mnist" / "code"


def only(text: str, kind: str = SOLVER) -> Problem:
    (problem,) = parse(text, kind).problems
    return problem


@pytest.mark.parametrize(
    ("text", "kind", "line", "column", "what"),
    [
        ("net: 'a'\nbase_lr: fast", prototxt.SYNTAX, 2, 10, "Couldn't parse float: fast"),
        ("net: 'a'\n  max_iter 5", prototxt.SYNTAX, 2, 12, """Expected ":" at '5'"""),
        ("max_iter: 1.5", prototxt.SYNTAX, 1, 11, "Couldn't parse integer: 1.5"),
        ("net: 5", prototxt.SYNTAX, 1, 6, "Expected string but found: '5'"),
        ("net: 'a' }", prototxt.SYNTAX, 1, 10, "Expected identifier or number, got }"),
        ("debug_info: yes", prototxt.SYNTAX, 1, 13, """Expected "true" or "false" at 'yes'"""),
        (
            "net: 'a'\ntrain_state {\n  level: 1\n",
            prototxt.SYNTAX,
            2,
            13,
            'the "{" is never closed: Expected "}" (line 3)',
        ),
    ],
)
def test_one_mistake_is_one_problem(
    text: str, kind: str, line: int, column: int, what: str
) -> None:
    problem = only(text)

    assert (problem.kind, problem.line, problem.column) == (kind, line, column)
    assert problem.what == what


def test_an_unknown_field_comes_with_the_nearest_name() -> None:
    problem = only("layer { pooling_param { kernal_size: 2 } }", NET)

    assert problem.kind == prototxt.UNKNOWN_FIELD
    assert problem.what == 'PoolingParameter has no field "kernal_size"'
    assert problem.nearest == "kernel_size"
    assert problem.excerpt == (
        "layer { pooling_param { kernal_size: 2 } }\n                        ^"
    )


def test_a_layer_that_is_not_closed_is_told_by_its_own_line() -> None:
    problem = only('layer {\n name: "a"\nlayer {\n name: "b"\n}\n', NET)

    assert (problem.kind, problem.line, problem.column) == (prototxt.SYNTAX, 1, 7)
    assert "never closed" in problem.what


def test_every_unknown_name_is_told_at_once() -> None:
    text = "momentun: 0.9\nsolver_mode: GPPU\ntest_itr: 3\n"

    problems = parse(text, SOLVER).problems

    assert [(p.kind, p.line, p.nearest) for p in problems] == [
        (prototxt.UNKNOWN_FIELD, 1, "momentum"),
        (prototxt.UNKNOWN_VALUE, 2, "GPU"),
        (prototxt.UNKNOWN_FIELD, 3, "test_iter"),
    ]


def test_a_wrong_enum_value_lists_the_right_ones() -> None:
    problem = only("layer { data_param { backend: lmdb } }", NET)

    assert problem.what == 'backend cannot be "lmdb", only LEVELDB, LMDB'
    assert (problem.line, problem.column, problem.nearest) == (1, 31, "LMDB")


def test_a_required_field_is_missed_where_it_should_stand() -> None:
    problem = only('layer { name: "c" }\nlayer {\n  clip_param { min: 0 }\n}', NET)

    assert (problem.kind, problem.line, problem.column) == (prototxt.REQUIRED, 3, 3)
    assert problem.what == "layer[1].clip_param.max is required and missing"


def test_the_caret_keeps_tabs() -> None:
    assert only("net: 'a'\n\t\tbase_lr: x").excerpt == "\t\tbase_lr: x\n\t\t         ^"


def test_a_long_line_is_cut_around_the_caret() -> None:
    excerpt = only(f"net: '{'a' * 500}' bad: 1").excerpt

    source, caret = excerpt.split("\n")
    assert source[caret.index("^") :].startswith("bad: 1")
    assert len(source) <= 100


@pytest.mark.parametrize("name", ["lenet_solver.prototxt", "lenet_train_test.prototxt"])
def test_the_example_is_read_without_a_problem(name: str) -> None:
    document = read(EXAMPLE / name, SOLVER if "solver" in name else NET)

    assert document.problems == ()


def test_comments_in_gbk_are_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "solver.prototxt"
    path.write_bytes("# 学习率\nbase_lr: 0.1\n".encode("gbk"))

    document = read(path, SOLVER)

    assert document.problems == ()
    assert document.message.base_lr == pytest.approx(0.1)


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "solver.prototxt"
    path.write_bytes(b"\xef\xbb\xbfbase_lr: 0.1\n")

    assert read(path, SOLVER).problems == ()


def test_a_binary_file_is_one_problem(tmp_path: Path) -> None:
    path = tmp_path / "solver.prototxt"
    path.write_bytes(bytes(1000))

    (problem,) = read(path, SOLVER).problems
    assert "binary" in problem.what


def test_places_are_told_for_repeated_and_listed_fields() -> None:
    document = parse('test_iter: [1,\n 2]\ntest_net: "a"\ntest_net: "b"', SOLVER)

    assert document.problems == ()
    assert document.where(document.root.at("test_net", 1)) == "-:4:1"
    values = [node.value.text for node in document.root.named("test_iter") if node.value]
    assert values == ["1", "2"]


FIELDS = st.sampled_from(
    ["max_iter: 5", "base_lr: -1e-3", 'net: "a" "b"', "train_state { level: -1; stage: 'x' }",
     "test_state < phase: TEST >", "# comment", "test_iter: [1, 2]", "debug_info: true,"]
)  # fmt: skip


@given(st.lists(FIELDS, max_size=8), st.sampled_from(["\n", " \n\t", "\r\n"]))
def test_the_tree_follows_protobuf(fields: list[str], between: str) -> None:
    """Whatever protobuf accepts, the tree has as many of each field as the message."""
    text = between.join(fields)
    message = caffe_pb2.SolverParameter()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError:
        return

    root = tree(text)

    for field in ("test_iter", "test_state"):
        assert len(root.named(field)) == len(getattr(message, field))
    assert {node.name for node in root.children} == {f.name for f, _ in message.ListFields()}


@given(st.text(alphabet="abc:{}[]<>\"'\\#-1.e \n,;", max_size=40))
def test_any_text_gives_problems_or_a_message_and_never_another_error(text: str) -> None:
    with contextlib.suppress(NotATreeError):
        tree(text)
    document = parse(text, SOLVER)

    assert document.problems or document.message.IsInitialized()
