"""One script, run beside real pycaffe and beside ours, in the same folder: the answers agree."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import caffe
import numpy as np
import pytest
from oracle.client import Arrays, Oracle

PRELUDE = """
import os
os.chdir("{folder}")

def kind(call):
    try:
        call()
    except Exception as error:
        # Caffe's side has kinds of boost's, ours has its own: what scripts catch is Python's.
        return [k.__name__ for k in type(error).__mro__ if k.__module__ == "builtins"][0]
    return "nothing"

def tell(net, prefix=""):
    def put(name, value):
        out[prefix + name] = np.array(value)
    for name in ("inputs", "outputs", "_layer_names", "_blob_names", "_inputs", "_outputs"):
        put(name, list(getattr(net, name)))
    for name in ("blobs", "params", "layer_dict", "top_names", "bottom_names"):
        put(name, list(getattr(net, name)))
    put("types", [layer.type for layer in net.layers])
    put("loss_weights", list(net.blob_loss_weights.values()))
    put("loss_names", list(net.blob_loss_weights))
    for index, name in enumerate(net._layer_names):
        put("tops of " + name, list(net.top_names[name]))
        put("bottoms of " + name, list(net.bottom_names[name]))
        put("top ids of " + name, list(net._top_ids(index)))
        put("bottom ids of " + name, list(net._bottom_ids(index)))
        put("blobs of " + name, len(net.layers[index].blobs))
    for name, blob in net.blobs.items():
        put("shape of " + name, list(blob.shape))
    for name, blobs in net.params.items():
        for index, blob in enumerate(blobs):
            put("param %s %d" % (name, index), blob.data)

def state(net, prefix="", diffs=True):
    for name, blob in net.blobs.items():
        out[prefix + "data " + name] = blob.data.copy()
        if diffs:
            out[prefix + "diff " + name] = blob.diff.copy()
    for name, blobs in net.params.items():
        for index, blob in enumerate(blobs):
            out["%sparam %s %d" % (prefix, name, index)] = blob.data.copy()
            if diffs:
                out["%sparam diff %s %d" % (prefix, name, index)] = blob.diff.copy()
"""


class Twins:
    """``folder`` is a test's own, for both. Calling runs a script in both and compares."""

    def __init__(self, oracle: Oracle, name: str) -> None:
        self._oracle = oracle
        self._name = name
        self.folder = oracle.folder / name
        self.folder.mkdir()

    def write(self, name: str, text: str) -> None:
        """A file that both scripts find by its name."""
        (self.folder / name).write_text(text)

    def theirs(self, source: str, **arrays: Any) -> Arrays:
        prelude = PRELUDE.replace("{folder}", f"/data/{self._name}")
        return self._oracle(prelude + textwrap.dedent(source), **arrays)

    def ours(self, source: str, **arrays: Any) -> dict[str, Any]:
        prelude = PRELUDE.replace("{folder}", str(self.folder))
        out: dict[str, Any] = {}
        args = {name: np.array(value) for name, value in arrays.items()}
        scope = {"caffe": caffe, "np": np, "args": args, "out": out}
        exec(compile(prelude + textwrap.dedent(source), "<ours>", "exec"), scope)
        return {name: np.array(value) for name, value in out.items()}

    def __call__(
        self, source: str, *, rtol: float = 1e-5, atol: float = 1e-6, **arrays: Any
    ) -> Arrays:
        """What the oracle gave, after ours gave the same."""
        wanted = self.theirs(source, **arrays)
        found = self.ours(source, **arrays)
        assert list(found) == list(wanted)
        assert wanted, "the script told nothing"
        for name, value in wanted.items():
            mine = found[name]
            assert mine.shape == value.shape, f"{name}: {mine.shape}, in Caffe {value.shape}"
            if value.dtype.kind == "f":
                np.testing.assert_allclose(mine, value, rtol, atol, err_msg=name)
            else:
                assert mine.tolist() == value.tolist(), name
        return wanted


@pytest.fixture
def twins(
    oracle: Oracle, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Twins]:
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(Path.cwd())
    yield Twins(oracle, re.sub(r"\W+", "_", f"{request.module.__name__}.{request.node.name}"))
    caffe.set_mode_cpu()


@pytest.fixture
def my_layers(oracle: Oracle) -> None:
    """``my_layers`` can be imported on both sides: here it lies beside the tests."""
    name = "my_layers.py"
    oracle.write(name, Path(__file__).with_name(name).read_text())
