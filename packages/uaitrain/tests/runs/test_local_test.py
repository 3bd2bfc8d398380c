"""The local test with real Caffe in a real container."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
from support.bases import BuiltBase
from support.engines import RunningDocker
from support.tiny_image import layer_of
from uaitrain.engines import Engine
from uaitrain.engines.facts import LocalFacts
from uaitrain.errors import EngineError, StorageError, TrainingError
from uaitrain.oci.image import History, Image
from uaitrain.oci.reference import Reference
from uaitrain.progress import Silent
from uaitrain.runs import local_test
from uaitrain.runs.live import NoView
from uaitrain.runs.outcome import Outcome
from uaitrain.sinks.engine import EngineSink
from uaitrain.spec import CPU, Framework, Target, TrainSpec

NET = """
name: "small"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param {
    shape { dim: 8 dim: 4 } shape { dim: 8 }
    data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "/data/net.prototxt" test_iter: 1 test_interval: 20 base_lr: 0.5 lr_policy: "fixed"
display: 10 max_iter: {max_iter} snapshot_prefix: "/data/output/small" solver_mode: CPU
"""
ENDLESS = 100_000_000
ROOT = LocalFacts()


@pytest.fixture(scope="module")
def image(docker_engine: RunningDocker, caffe_base: BuiltBase) -> Reference:
    """Real Caffe with the stock train.py, a tiny net and two solvers, loaded into Docker."""
    train = resources.files("uaitrain.container").joinpath("train.py").read_bytes()
    code = layer_of(
        {
            "data/train.py": train,
            "data/net.prototxt": NET.encode(),
            "data/short.prototxt": SOLVER.format(max_iter=60).encode(),
            "data/endless.prototxt": SOLVER.format(max_iter=ENDLESS).encode(),
        }
    )
    loaded: Image = caffe_base.image.append([code], [History("code")])
    reference = Reference("", "small-cpu", "uaitrain")
    EngineSink(docker_engine.engine).put(loaded, reference, Silent())
    return reference


def _spec(tmp_path: Path, solver: str) -> TrainSpec:
    (tmp_path / "input").mkdir(exist_ok=True)
    return TrainSpec(
        framework=Framework("caffe", "1.0.0"),
        code=tmp_path,
        main_file="train.py",
        data=tmp_path / "input",
        output=tmp_path / "results" / "here",
        target=Target("", "", "small", "uaitrain"),
        solver=solver,
    )


def _run(spec: TrainSpec, engine: Engine, facts: LocalFacts = ROOT) -> Outcome:
    job = local_test.prepare(spec, CPU, engine, facts)
    return local_test.run(spec, job, engine, facts, NoView(), lambda text: None)


def test_a_run_ends_with_its_curve_weights_log_and_last_values(
    docker_engine: RunningDocker, image: Reference, tmp_path: Path
) -> None:
    spec = _spec(tmp_path, "/data/short.prototxt")
    outcome = _run(spec, docker_engine.engine)

    assert outcome.exit_code == 0, "\n".join(outcome.tail)
    assert outcome.error() is None
    assert (outcome.record.iteration, outcome.record.max_iter) == (60, 60)
    assert outcome.record.accuracy == 1.0
    assert outcome.weights == spec.output / "small_iter_60.caffemodel"
    assert outcome.log is not None
    assert "Optimization Done." in outcome.log.read_text()
    assert outcome.curve == spec.output / "training_curve.png"
    assert outcome.curve.read_bytes().startswith(b"\x89PNG")


def test_results_belong_to_the_user_who_asked(
    docker_engine: RunningDocker, image: Reference, tmp_path: Path
) -> None:
    nobody = pwd.getpwnam("nobody")
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    spec = _spec(tmp_path, "/data/short.prototxt")
    facts = LocalFacts(uid=nobody.pw_uid, gid=nobody.pw_gid)
    outcome = _run(spec, docker_engine.engine, facts)

    assert outcome.exit_code == 0, "\n".join(outcome.tail)
    owners = {path.stat().st_uid for path in [spec.output, *spec.output.rglob("*")]}
    assert owners == {nobody.pw_uid}


def test_a_failed_run_tells_caffes_reason_and_keeps_its_exit_code(
    docker_engine: RunningDocker, image: Reference, tmp_path: Path
) -> None:
    outcome = _run(_spec(tmp_path, "/data/none.prototxt"), docker_engine.engine)

    error = outcome.error()
    assert isinstance(error, TrainingError)
    assert error.exit_code == outcome.exit_code != 0
    assert "/data/none.prototxt" in error.what


def test_a_missing_image_names_the_verb_that_builds_it(
    docker_engine: RunningDocker, tmp_path: Path
) -> None:
    spec = replace(_spec(tmp_path, "/s"), target=Target("", "", "never-packed", "uaitrain"))
    with pytest.raises(EngineError, match="never-packed-cpu:uaitrain") as caught:
        _run(spec, docker_engine.engine)

    assert "uaitrain pack" in caught.value.next_step
    assert not spec.output.exists()


def test_a_missing_data_folder_is_named(
    docker_engine: RunningDocker, image: Reference, tmp_path: Path
) -> None:
    spec = replace(_spec(tmp_path, "/s"), data=tmp_path / "nowhere")
    with pytest.raises(StorageError, match="nowhere"):
        _run(spec, docker_engine.engine)


def test_ctrl_c_snapshots_and_ends_the_run(
    docker_engine: RunningDocker, image: Reference, tmp_path: Path
) -> None:
    spec = _spec(tmp_path, "/data/endless.prototxt")
    words = ["test", "--image", "small", "--solver", spec.solver, "--data", str(spec.data)]
    with subprocess.Popen(
        [sys.executable, "-m", "uaitrain", *words, "--output", str(spec.output), "--json"],
        env=os.environ | {"DOCKER_HOST": docker_engine.host},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        heard = []
        for line in process.stderr:
            heard.append(line)
            if "iteration" in line:
                process.send_signal(signal.SIGINT)
                break
        rest = threading.Thread(target=lambda: heard.extend(process.stderr or []))
        rest.start()
        assert process.stdout is not None
        told = json.loads(process.stdout.read())
        rest.join()

    assert process.returncode == 143, "".join(heard)
    assert told["exit_code"] == 143
    assert told["weights"].endswith(".caffemodel")
    assert list(spec.output.glob("*.solverstate"))
    assert "uaitrain-" not in docker_engine.engine.answer("ps", "--all")
