"""``pack --profile`` accounts for all of the time, and a pack that is profiled is a whole one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from support.jobs import NET, SOLVER
from support.tiny_image import layer_of
from uaitrain.cli.profile import since_start
from uaitrain.oci.image import History, Image
from uaitrain.oci.layout import Layout


def test_the_parts_add_up(tmp_path: Path) -> None:
    for name in ("code", "data", "output"):
        (tmp_path / name).mkdir()
    (tmp_path / "code" / "solver.prototxt").write_text(SOLVER)
    (tmp_path / "code" / "net.prototxt").write_text(NET)
    config = {"architecture": "amd64", "os": "linux", "config": {}}
    base = Image((), config).append([layer_of({"usr/bin/python": b"x"})], [History("base")])
    Layout(tmp_path / "base").put(base, "b")
    words = ["pack", "--profile", "--no-load", "--layout=images", "--image=job"]
    words += [f"--base-{kind}=oci:{tmp_path}/base:b" for kind in ("cpu", "gpu")]
    words.append("--solver=/data/solver.prototxt")
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "uaitrain", *words],
        cwd=tmp_path,
        env=os.environ | {"UAITRAIN_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    elapsed = time.monotonic() - began

    rows = dict(re.findall(r"^(\S.*?)  +(\d+\.\d{3})(?:  .*)?$", done.stderr, re.MULTILINE))
    told = {name: float(seconds) for name, seconds in rows.items()}
    everything = told.pop("all")
    assert abs(sum(told.values()) - everything) < 0.001 * (len(told) + 1)
    # The kernel tells when a process began to a hundredth of a second.
    assert 0 < everything < elapsed + 0.02
    assert list(told)[:4] == [
        "starting Python and this program",
        "reading the code folder",
        "finding the bases",
        "preflight",
    ]
    assert "2 files, " in done.stderr
    assert "made anew" in done.stderr
    assert done.stdout == (tmp_path / "uaitrain_cmd.txt").read_text()


def test_a_process_knows_when_it_began() -> None:
    code = "import time; time.sleep(0.2);"
    code += "from uaitrain.cli.profile import since_start; print(since_start())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert 0.18 < float(done.stdout) < since_start()
