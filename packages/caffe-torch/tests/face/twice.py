"""The same Python beside real pycaffe and beside ours."""

from __future__ import annotations

import textwrap
from typing import Any

import caffe
import numpy as np
from oracle.client import Arrays, Oracle


def ours(oracle: Oracle, source: str, **arrays: Any) -> Arrays:
    """Run ``source`` as the oracle does, here: the same names, ``at`` is the oracle's folder."""
    args = {name: np.asarray(value) for name, value in arrays.items()}
    out: dict[str, Any] = {}
    names = {"np": np, "caffe": caffe, "args": args, "out": out, "at": str(oracle.folder)}
    exec(compile(textwrap.dedent(source), "<call>", "exec"), names)
    return {name: np.asarray(value) for name, value in out.items()}


def theirs(oracle: Oracle, source: str, **arrays: Any) -> Arrays:
    return oracle('at = "/data"\n' + textwrap.dedent(source), **arrays)


def agree(found: Arrays, expected: Arrays, rtol: float = 1e-6, atol: float = 1e-7) -> None:
    """The same names, shapes and values."""
    assert sorted(found) == sorted(expected)
    for name, want in expected.items():
        assert found[name].shape == want.shape, name
        np.testing.assert_allclose(found[name], want, rtol=rtol, atol=atol, err_msg=name)
