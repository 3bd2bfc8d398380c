"""A small valid Caffe job in the manual's folder layout, and the tools run on it for real."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from uaitrain.bases import labels
from uaitrain.oci.image import Image
from uaitrain.oci.layout import Layout

from support.bases import REPOSITORY

TOOL = REPOSITORY / "uaitrain_tool" / "caffe" / "caffe_tool.py"

SOLVER = """\
net: "/data/net.prototxt"
base_lr: 0.01
lr_policy: "fixed"
display: 5
max_iter: 10
snapshot_prefix: "/data/output/small"
solver_mode: CPU
"""
NET = """\
name: "small"
layer {
  name: "numbers" type: "DummyData" top: "data" top: "label"
  dummy_data_param {
    shape { dim: 4 dim: 3 } shape { dim: 4 dim: 1 }
    data_filler { type: "gaussian" } data_filler { type: "constant" }
  }
}
layer {
  name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 1 weight_filler { type: "xavier" } }
}
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


@dataclass
class SmallJob:
    """``folder`` holds ``code/``, ``data/``, ``output/`` and ``caffe_tool.py``; ``base`` is what
    ``--base_cpu`` takes; ``environment`` is added for every call.
    """

    folder: Path
    base: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> Path:
        return self.folder / "code"

    @property
    def commands_file(self) -> Path:
        return self.folder / "uaitrain_cmd.txt"

    def manual_words(self, host: str, **changes: str | None) -> list[str]:
        """The manual's parameters, with ``changes``; None leaves one out."""
        values: dict[str, str | None] = {
            "public_key": "PUBLIC",
            "private_key": "PRIVATE-KEY-TEXT",
            "code_path": "./code/",
            "mainfile_path": "train.py",
            "uhub_username": "mnist-user",
            "uhub_password": "unused",
            "uhub_registry": "caffe-demo",
            "uhub_imagename": "caffe-mnist",
            "ai_arch_v": "caffe-1.0.0",
            "test_data_path": str(self.folder / "data"),
            "test_output_path": str(self.folder / "output"),
            "solver": "/data/solver.prototxt",
            "registry_host": host,
            "base_cpu": self.base,
            "base_gpu": self.base,
        }
        merged = values | changes
        return [f"--{name}={value}" for name, value in merged.items() if value is not None]

    def pack(
        self, host: str, *flags: str, cwd: Path | None = None, tool: str = "", **changes: str | None
    ) -> subprocess.CompletedProcess[str]:
        """``python caffe_tool.py pack …`` in the job's folder."""
        words = [tool or "caffe_tool.py", "pack", *self.manual_words(host, **changes), *flags]
        return self.python(*words, cwd=cwd)

    def uaitrain(
        self, *words: str, cwd: Path | None = None, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "uaitrain", *words, cwd=cwd, text=text)

    def python(
        self, *words: str, cwd: Path | None = None, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=cwd or self.folder,
            env=self.whole_environment(),
            capture_output=True,
            text=True,
            input=text,
            check=False,
        )

    def whole_environment(self) -> Mapping[str, str]:
        return os.environ | self.environment


def make_job(folder: Path, base: str) -> SmallJob:
    for name in ("code", "data", "output"):
        (folder / name).mkdir(parents=True)
    (folder / "code" / "solver.prototxt").write_text(SOLVER)
    (folder / "code" / "net.prototxt").write_text(NET)
    (folder / "code" / "helper.py").write_text("RATE = 0.01\n")
    shutil.copy(TOOL, folder)
    return SmallJob(folder, base)


def base_layout(folder: Path, tiny: Image) -> str:
    """A tiny base in an OCI layout, as ``--base_cpu`` takes it.

    Its label claims a Python: nothing runs in it, and packing asks no more than the label.
    """
    labelled = tiny.configure(labels={labels.PYTHON: "3.9.2", labels.ACCELERATOR: "cpu"})
    Layout(folder).put(labelled, "tiny")
    return f"oci:{folder}:tiny"
