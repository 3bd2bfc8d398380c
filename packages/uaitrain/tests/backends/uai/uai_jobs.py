"""The manual's example as a job for the platform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from uaitrain.backends import Job, Mount
from uaitrain.commands import run_argv
from uaitrain.ship_settings import table
from uaitrain.spec import GPU, Framework, Target, TrainSpec

DATA = "http://mnist.cn-bj.ufileos.com/data/"
OUTPUT = "http://mnist.cn-bj.ufileos.com/output/run-1/"
RUN_ID = "caffe-mnist-20261124-191500-3f2a1c"


def options(**changes: Any) -> dict[str, Any]:
    """The table ``uai`` as ``connect`` gets it: complete, with ``changes``."""
    defaults = {setting.key: setting.default for setting in table("uai")}
    return defaults | {"uai.data": DATA, "uai.output": OUTPUT} | changes


def spec(**changes: Any) -> TrainSpec:
    """The manual's example."""
    values: dict[str, Any] = {
        "framework": Framework("caffe", "1.0.0"),
        "code": Path("/home/me/mnist/code"),
        "main_file": "train.py",
        "data": Path("/data/test/data"),
        "output": Path("/data/test/output"),
        "target": Target("uhub.service.ucloud.cn", "caffe-demo", "caffe-mnist", "uaitrain"),
        "solver": "/data/data/lenet_solver.prototxt",
    }
    return TrainSpec(**(values | changes))


def job(of: TrainSpec | None = None, **changes: Any) -> Job:
    """``of`` (default: the manual's example) on one GPU, for a day."""
    of = of or spec()
    values: dict[str, Any] = {
        "image": str(of.target.gpu),
        "argv": run_argv(of, GPU),
        "mounts": (
            Mount(str(of.data), "/data/data", read_only=True),
            Mount(str(of.output), "/data/output"),
        ),
        "environment": {"UAITRAIN_RUN_ID": RUN_ID, "UAITRAIN_KEEP_LAST": "0"},
        "gpus": of.resources.gpus,
        "shm_bytes": of.resources.shm_bytes,
        "run_id": RUN_ID,
        "seconds": 24 * 3600,
    }
    return Job(**(values | changes))
