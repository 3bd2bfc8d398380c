"""The same script, run beside real pycaffe and beside ours."""

from __future__ import annotations

import sys
import textwrap
from typing import Any

import caffe
import numpy as np
import pytest
from oracle.client import Arrays, Oracle

TOLERANCE = 2e-6


def both(
    oracle: Oracle, script: str, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Arrays:
    """Run ``script`` on both and compare all that it puts into ``out``; gives ours.

    It sees ``caffe``, ``np``, ``out`` and ``at(name)``, the path of one of ``files``; modules
    among them can be imported.
    """
    text = textwrap.dedent(script)
    for name, content in files.items():
        oracle.write(name, textwrap.dedent(content))
        sys.modules.pop(name.removesuffix(".py"), None)
    theirs = oracle("def at(name): return '/data/' + name\n" + text)
    ours: dict[str, Any] = {}
    names = {
        "caffe": caffe,
        "np": np,
        "out": ours,
        "at": lambda name: str(oracle.folder / name),
    }
    monkeypatch.syspath_prepend(str(oracle.folder))
    monkeypatch.setenv("GLOG_minloglevel", "2")
    exec(text, names)

    assert sorted(ours) == sorted(theirs)
    for name, array in theirs.items():
        mine = np.asarray(ours[name])
        assert mine.shape == array.shape, name
        if array.dtype.kind == "f":
            assert mine.dtype == array.dtype, name
            np.testing.assert_allclose(mine, array, TOLERANCE, TOLERANCE, err_msg=name)
        else:
            assert mine.tolist() == array.tolist(), name
    return ours
