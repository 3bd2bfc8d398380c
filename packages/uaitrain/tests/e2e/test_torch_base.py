"""The MNIST job on our engine: packed by --engine torch, trained by the stock command in Docker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.bases import REPOSITORY, TORCH_BASE, BuiltBase
from support.engines import RunningDocker
from uaitrain.bases import labels
from uaitrain.oci.validate import validate

EXAMPLE = REPOSITORY / "examples" / "mnist"
SHORTER = {"max_iter: 1000": "max_iter: 300", "test_interval: 250": "test_interval: 300"}
WANTED_ACCURACY = 0.95


@dataclass(frozen=True)
class Mnist:
    folder: Path
    environment: Mapping[str, str]

    def uaitrain(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "uaitrain", *words],
            cwd=self.folder,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def mnist(
    torch_base: BuiltBase, docker_engine: RunningDocker, tmp_path_factory: pytest.TempPathFactory
) -> Mnist:
    """The example's job with 300 iterations, packed for our engine and loaded into Docker."""
    folder = tmp_path_factory.mktemp("mnist")
    shutil.copytree(EXAMPLE / "code", folder / "code")
    solver = folder / "code" / "lenet_solver.prototxt"
    text = solver.read_text()
    for old, new in SHORTER.items():
        assert old in text
        text = text.replace(old, new)
    solver.write_text(text)
    maker = [sys.executable, str(EXAMPLE / "make_lmdb.py"), str(folder / "data")]
    subprocess.run(maker, check=True, capture_output=True)
    shutil.copy(EXAMPLE / "code" / "lenet_train_test.prototxt", folder / "data")
    (folder / "uaitrain.toml").write_text(
        'image = "mnist-torch:v1"\nengine = "torch"\nsolver = "/data/lenet_solver.prototxt"\n'
        f'[base]\ngpu = "{TORCH_BASE}"\n'
    )
    environment = {
        "UAITRAIN_CACHE": str(torch_base.cache),
        "DOCKER_HOST": docker_engine.host,
        "UAITRAIN_ENGINE": "docker",
    }
    return Mnist(folder, environment)


@pytest.fixture(scope="module")
def packed(mnist: Mnist) -> Mapping[str, object]:
    done = mnist.uaitrain("pack", "--json")
    assert done.returncode == 0, done.stderr
    told: Mapping[str, object] = json.loads(done.stdout)
    return told


def test_the_base_is_whole_and_tells_its_engine(torch_base: BuiltBase) -> None:
    validate(torch_base.image, deep=True)

    assert torch_base.image.labels[labels.ENGINE].startswith("caffe-torch ")
    assert torch_base.image.labels[labels.PYTHON].startswith("3.11.")
    assert torch_base.image.labels[labels.ACCELERATOR] == "cpu"


def test_engine_torch_packs_on_our_engines_base(packed: Mapping[str, object]) -> None:
    images = packed["images"]

    assert isinstance(images, dict)
    assert images["cpu"]["base"]["name"] == TORCH_BASE


def test_lenet_trains_by_the_stock_command(mnist: Mnist, packed: Mapping[str, object]) -> None:
    done = mnist.uaitrain("test", "--json")
    outcome = json.loads(done.stdout)
    output = mnist.folder / "output"

    assert done.returncode == 0, done.stderr + str(outcome)
    assert outcome["accuracy"] >= WANTED_ACCURACY, outcome
    assert {"lenet_iter_300.caffemodel", "lenet_iter_300.solverstate"} <= {
        path.name for path in output.iterdir()
    }


def test_the_engines_program_is_in_the_image(
    packed: Mapping[str, object], docker_engine: RunningDocker
) -> None:
    engine = docker_engine.engine
    done = subprocess.run(
        engine.argv("run", "--rm", "mnist-torch-cpu:v1", "caffe", "--help"),
        env=engine.child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "device_query" in done.stdout + done.stderr
