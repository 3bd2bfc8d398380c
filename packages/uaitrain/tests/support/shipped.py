"""A job whose image logs as Caffe does and minds signals, and ``uaitrain`` called on it.

The image's ``/usr/bin/python`` is a small shell program: what is tested with it are the verbs, in
real containers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uaitrain.engines import Engine
from uaitrain.oci.image import History, Image
from uaitrain.oci.reference import Reference
from uaitrain.progress import Silent
from uaitrain.sinks.engine import EngineSink

from support.tiny_image import layer_of

IMAGE = "shipped"
PYTHON = """#!/bin/ash
log() { echo "I1123 05:55:00.016389     7 solver.cpp:239] $1"; }
echo "max_iter: 20"
log "Iteration 10 (5 iter/s, 2s/10 iters), loss = 1.5"
case "$*" in
  *fail*) echo "no such layer: Foo" >/data/output/failure; exit 3 ;;
  *wait*)
    trap 'echo snapshot; touch /data/output/kept; exit 143' TERM
    [ ! -e /data/output/kept ] || { echo going on; exit 0; }
    while :; do busybox sleep 0.1; done ;;
  *deaf*) trap 'echo deaf' TERM; while :; do busybox sleep 0.1; done ;;
  *secret*) [ -z "$TOKEN" ] || echo "a token of ${#TOKEN} characters" ;;
esac
log "Iteration 20, Testing net (#0)"
log "    Test net output #0: accuracy = 0.75"
log "Iteration 20, loss = 0.5"
"""


NET = """
name: "small"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param {
    shape { dim: 64 dim: 64 } shape { dim: 64 }
    data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
ENDLESS = 100_000_000
"""Iterations that no test waits for: such a training ends when it is told to."""


def solver(max_iter: int) -> str:
    """For ``NET``, which real Caffe trains at thousands of iterations a second."""
    return f"""
net: "/data/net.prototxt" test_iter: 1 test_interval: 500 base_lr: 0.5 lr_policy: "fixed"
display: 100 max_iter: {max_iter} snapshot_prefix: "/data/output/small" solver_mode: CPU
"""


@dataclass(frozen=True)
class Job:
    """``folder`` has the settings, ``environment`` is what calls get."""

    folder: Path
    environment: dict[str, str]

    def call(self, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*words),
            cwd=self.folder,
            env=self.environment | extra,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(*words),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def submit(self, *words: str, **extra: str) -> str:
        """The id of a run that was taken."""
        done = self.call("submit", "local", *words, **extra)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def show(self, run: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.call("show", run, "--json").stdout)
        return told

    def wait_for(self, run: str, fact: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """What ``show`` tells as soon as ``fact`` holds."""
        deadline = time.monotonic() + 60
        while not fact(told := self.show(run)):
            assert time.monotonic() < deadline, told
            time.sleep(0.1)
        return told

    @staticmethod
    def argv(*words: str) -> list[str]:
        return [sys.executable, "-m", "uaitrain", *words]


def shipped_image(tiny: Image) -> Image:
    return tiny.append([layer_of({"usr/bin/python": PYTHON.encode()})], [History("python")])


def packed_job(engine: Engine, tiny: Image, folder: Path, argument: str = "") -> Job:
    """A job in ``folder``, its CPU image in ``engine``; ``argument`` is what the program gets."""
    EngineSink(engine).put(shipped_image(tiny), Reference("", f"{IMAGE}-cpu", "uaitrain"), Silent())
    (folder / "data").mkdir()
    write_settings(folder, argument)
    return Job(folder, {**os.environ, **engine.environment, "UAITRAIN_STATE": f"{folder}/state"})


def write_settings(folder: Path, argument: str = "") -> None:
    (folder / "uaitrain.toml").write_text(
        f'image = "{IMAGE}"\nsolver = "/data/s.prototxt"\narguments = ["{argument}"]\n'
    )
