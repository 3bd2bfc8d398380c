"""The demo, as `make demo` runs it: the manual's whole path on MNIST with real Caffe."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from support.bases import REPOSITORY, BuiltBase

RESULTS = REPOSITORY / ".state" / "demo" / "test" / "output"


def test_the_demo_trains_lenet_by_the_command_that_pack_wrote(
    caffe_base: BuiltBase, torch_base: BuiltBase
) -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "scripts" / "demo.py")],
        cwd=REPOSITORY,
        env=os.environ | {"UAITRAIN_CACHE": str(caffe_base.cache)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    accuracy = re.search(r"test accuracy ([0-9.]+)", done.stdout)

    assert done.returncode == 0, done.stdout + done.stderr
    assert accuracy
    assert float(accuracy[1]) >= 0.97
    assert "without the password: refused" in done.stdout
    assert "the GPU image stands on its CPU" in done.stdout
    assert {"lenet_iter_1000.caffemodel", "lenet_iter_1000.solverstate", "log"} <= {
        path.name for path in RESULTS.iterdir()
    }
