"""Jobs and options as the tests of this folder use them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from uaitrain.backends import Job, Mount
from uaitrain.backends.kubernetes.options import Options, judge
from uaitrain.ship_settings import table

RUN_ID = "mnist-20261124-191500-3f2a1c"
IMAGE = "registry.example.com/team/mnist@sha256:" + "3f" * 32
COMMAND = ("/usr/bin/python", "/data/train.py", "--solver=lenet_solver.prototxt", "--use_cpu=True")
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")

CPU = Job(
    image=IMAGE,
    argv=COMMAND,
    mounts=(
        Mount("claim:datasets/mnist", "/data/data", read_only=True),
        Mount("claim:results", "/data/output"),
    ),
    shm_bytes=1 << 30,
    run_id=RUN_ID,
)
GPU = replace(
    CPU,
    argv=(*COMMAND[:-1], "--use_cpu=False", "--num_gpus=2"),
    mounts=(Mount("host:/mnt/mnist", "/data/data"), Mount("host:/mnt/out", "/data/output")),
    gpus=2,
    cpus=8,
    memory_bytes=32 << 30,
    seconds=12 * 3600,
)
STAGED = replace(
    GPU,
    mounts=(),
    environment={
        "UAITRAIN_DATA": "s3://datasets/mnist",
        "UAITRAIN_OUTPUT": "s3://results/mnist",
        "UAITRAIN_S3_ENDPOINT": "https://s3.example.com",
    },
    secrets=SECRETS,
)
NODES = replace(STAGED, nodes=4, secrets=())
JOBS = {"cpu": CPU, "gpu": GPU, "staged": STAGED, "nodes": NODES}

EVERYTHING = {
    "kubernetes.namespace": "training",
    "kubernetes.gpu": "amd.com/gpu",
    "kubernetes.user": "4711:100",
    "kubernetes.grace": 600,
    "kubernetes.keep": 0,
    "kubernetes.retries": 3,
    "kubernetes.pull_secrets": ["uhub"],
    "kubernetes.secret": "s3-keys",
    "kubernetes.service_account": "trainer",
    "kubernetes.node_selector": ["gpu.example.com/model=a100", "disk="],
    "kubernetes.tolerations": ["nvidia.com/gpu", "team=vision:NoSchedule", "spot:NoExecute"],
    "kubernetes.priority_class": "low",
    "kubernetes.runtime_class": "nvidia",
    "kubernetes.labels": ["kueue.x-k8s.io/queue-name=vision"],
    "kubernetes.annotations": ["example.com/note=costs: 3 € a day"],
}


def settings(**given: Any) -> dict[str, Any]:
    """The table [kubernetes], complete; ``given`` by the words after the dot."""
    values = {setting.key: setting.default for setting in table("kubernetes")}
    return values | {f"kubernetes.{word}": value for word, value in given.items()}


def options(**given: Any) -> Options:
    return judge(settings(**given))
