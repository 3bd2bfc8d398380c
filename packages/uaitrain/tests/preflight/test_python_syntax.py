"""What a base's Python would refuse, told without that Python."""

from __future__ import annotations

import re

import pytest
from preflight_job import Job
from support.caffe_rootfs import PATIENCE_SECONDS, Box, box
from uaitrain.preflight.python_syntax import problems

__all__ = ["box"]

PLAIN = ["f(1\n", "if a\n    pass\n", "if a:\npass\n", "  a = 1\n", "a = 'x\n", "f() = 1\n"]
CHINESE = "import caffe\n# 训练\n"
NEW = [
    ("a = 1\nb = f'{a}'\n", 2, "f-strings"),
    ("x: int = 1\n", 1, "variable annotations"),
    ("def f(a: int):\n    pass\n", 1, "annotations"),
    ("def f() -> int:\n    pass\n", 1, "annotations"),
    ("def f(a, *, b):\n    pass\n", 1, "keyword-only arguments"),
    ("async def f():\n    pass\n", 1, "async def"),
    ("def f():\n    nonlocal_ = 1\n    def g():\n        nonlocal nonlocal_\n", 4, "nonlocal"),
    ("def f():\n    yield from g()\n", 2, "yield from"),
    ("class A(metaclass=B):\n    pass\n", 1, "keywords in a class statement"),
    ("try:\n    pass\nexcept E as e:\n    raise F() from e\n", 4, "raise … from"),
    ("a, *b = c\n", 1, "* in a list or an assignment"),
    ("a = {**b}\n", 1, "** in a dict"),
    ("c = a @ b\n", 1, "the @ operator"),
    ("if (n := f()):\n    pass\n", 1, ":="),
    ("print('a', end='')\n", 1, "print() with keywords"),
]
OLD = [
    "print 'hello'\n",
    "try:\n    pass\nexcept E, e:\n    raise E, 'text'\n",
    "exec 'a = 1'\nb = 0777\nc = `b`\n",
    "from __future__ import print_function\nprint('a', end='')\n",
    "print('one')\nf(*a, **b)\n",
    "# -*- coding: utf-8 -*-\n# 训练\n",
    "def f((a, b)):\n    pass\n",
    "if a <> b:\n    pass\n",
    "x = 10L\n",
    "x = ur'a'\n",
    "print >>f, 'a'\n",
]


@pytest.mark.parametrize(("source", "line", "feature"), NEW)
def test_python_3_only_syntax_on_a_python_2_base(source: str, line: int, feature: str) -> None:
    (problem,) = problems(source.encode(), "2.7.6")

    assert problem.line == line
    assert problem.what.startswith(feature)


@pytest.mark.parametrize("source", OLD)
def test_python_2_is_fine_on_a_python_2_base(source: str) -> None:
    assert problems(source.encode(), "2.7.6") == ()


@pytest.mark.parametrize("source", PLAIN)
def test_a_plain_mistake_is_one_in_both(source: str) -> None:
    assert problems(source.encode(), "2.7.6")
    assert problems(source.encode(), "3.9.2")


def compiles(box: Box, source: str) -> bool:
    """What the container's interpreter says of the file; what the program then does is nothing."""
    (box.data / "main.py").write_text(source, "utf-8")
    box.start(f"/usr/bin/{box.python}", "/data/main.py").wait(PATIENCE_SECONDS)
    return re.search(r"^(Syntax|Indentation)Error", box.shown, re.MULTILINE) is None


def test_real_interpreters_agree(box: Box) -> None:
    """Python 2.7 and 3.9 take and refuse the very sources above."""
    old = box.python == "python2.7"

    assert [source for source, _, _ in NEW if compiles(box, source) == old] == []
    assert [source for source in OLD if old and not compiles(box, source)] == []
    assert [source for source in (*PLAIN, CHINESE if old else "(") if compiles(box, source)] == []


def test_undeclared_chinese_comments_stop_python_2() -> None:
    source = CHINESE.encode()

    (problem,) = problems(source, "2.7.6")

    assert (problem.line, problems(source, "3.9.2")) == (2, ())
    assert "coding: utf-8" in problem.mend


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("a = 1\nprint 'hello'\n", 2),
        ("exec 'a'\n", 1),
        ("a = 0777\n", 1),
        ("try:\n    pass\nexcept E, e:\n    pass\n", 3),
    ],
)
def test_python_2_syntax_on_a_python_3_base(source: str, line: int) -> None:
    (problem,) = problems(source.encode(), "3.9.2")

    assert (problem.line, problem.sure) == (line, True)
    assert "Python 2" in problem.mend


def test_syntax_newer_than_the_base_is_found() -> None:
    source = b"match a:\n    case 1:\n        pass\n"

    assert "3.10" in problems(source, "3.9.2")[0].what
    assert problems(source, "3.10.0") == ()


@pytest.mark.parametrize("source", [b"a = 1\0\n", b"\xff\xfe", b"(" * 5000 + b")" * 5000])
def test_what_no_parser_takes_is_a_problem(source: bytes) -> None:
    assert problems(source, "3.9.2")


def test_an_unknown_version_is_not_judged() -> None:
    assert problems(b"print 'a'\n", "pypy") == ()


def test_the_finding_tells_file_line_and_base(job: Job) -> None:
    job.own_main("# use_cpu\nprint 'hello'\n")

    finding = job.only("main-file-syntax")

    assert finding.where == f"{job.code / 'main.py'}:2:1"
    assert finding.what.startswith("main.py is not Python 3.9.2 (caffe-cpu, caffe-gpu): ")


def test_only_the_base_that_refuses_is_named(job: Job) -> None:
    job.own_main("# use_cpu\nprint 'hello'\n")
    job.base("gpu", python="2.7.6")

    assert "(caffe-cpu)" in job.only("main-file-syntax").what


def test_a_main_file_that_ignore_rules_leave_out_is_missing(job: Job) -> None:
    job.own_main()
    job.ignore.append("main.py")

    assert "left out of the image by the ignore rules" in job.only("main-file-missing").what


def test_a_misspelt_main_file_gets_the_nearest(job: Job) -> None:
    job.own_main()
    job.change(main_file="mian.py")

    assert job.only("main-file-missing").mend == "did you mean main.py?"
