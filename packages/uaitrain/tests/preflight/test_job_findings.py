"""What the findings about solver, net, snapshot and folders say in the cases that differ."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import pytest
from preflight_job import HISTORY, Job
from uaitrain.files.inventory import Inventory
from uaitrain.preflight import Subject, output
from uaitrain.preflight.look import Look
from uaitrain.preflight.render import render
from uaitrain.spec import Framework

NOBODY = 65534


def test_a_solver_of_the_code_named_as_data_is_told_with_the_right_flag(job: Job) -> None:
    job.change(solver="/data/data/solver.prototxt")

    finding = job.only("solver-missing")

    assert str(job.data / "solver.prototxt") in finding.what
    assert str(job.code) in finding.what
    assert finding.mend == "did you mean --solver=/data/solver.prototxt?"


def test_a_solver_of_the_data_named_as_code_is_told_with_the_right_flag(job: Job) -> None:
    shutil.move(job.code / "solver.prototxt", job.data / "solver.prototxt")

    assert job.only("solver-missing").mend == "did you mean --solver=/data/data/solver.prototxt?"


def test_a_broken_solver_is_the_only_thing_told_of_it(job: Job) -> None:
    job.solver('type: "SGD"', 'type: "SGD')

    (finding,) = job.findings()

    assert finding.check == "prototxt-syntax"
    assert finding.where == f"{job.code / 'solver.prototxt'}:2:7"
    assert finding.what.endswith('\ntype: "SGD\n      ^')


def test_an_unknown_field_is_told_with_the_nearest(job: Job) -> None:
    job.net("kernel_size", "kernal_size")

    finding = job.only("prototxt-unknown-field")

    assert finding.mend == 'did you mean "kernel_size"?'
    assert finding.where == f"{job.code / 'net.prototxt'}:14:37"


@pytest.mark.parametrize(
    ("old", "new", "check", "mend"),
    [
        ('"inv"', '"setp"', "lr-policy", 'did you mean "step"?'),
        ('"SGD"', '"adam"', "solver-type", 'did you mean "Adam"?'),
        ("power: 0.75\n", "", "lr-policy-field", "set the field"),
    ],
)
def test_names_come_with_the_nearest(job: Job, old: str, new: str, check: str, mend: str) -> None:
    job.solver(old, new)

    assert job.only(check).mend == mend


def test_a_power_of_zero_that_is_said_is_allowed(job: Job) -> None:
    job.solver("power: 0.75", "power: 0")

    assert job.findings() == ()


def test_solver_mode_is_nothing_to_the_stock_entry(job: Job) -> None:
    job.solver("type:", "solver_mode: GPU\ntype:")

    assert job.findings() == ()


def test_a_main_file_that_reads_use_cpu_may_have_any_mode(job: Job) -> None:
    job.own_main("import caffe  # --use_cpu\n")
    job.solver("type:", "solver_mode: GPU\ntype:")

    assert job.findings() == ()


def test_a_layer_type_in_another_spelling_is_told(job: Job) -> None:
    job.net('"ReLU"', '"Relu"')

    finding = job.only("layer-type-unknown")

    assert (finding.what, finding.mend) == ('layer "relu" has type "Relu"', 'did you mean "ReLU"?')


def test_a_bottom_that_only_the_other_phase_makes_is_told_with_its_phase(job: Job) -> None:
    job.net("include { phase: TEST }", "include { phase: TEST stage: 'x' }")

    whats = [finding.what for finding in job.findings() if finding.check == "bottom-unknown"]

    assert whats == [
        'bottom "data" of layer "conv" is unknown in TEST',
        'bottom "label" of layer "accuracy" is unknown in TEST',
        'bottom "label" of layer "loss" is unknown in TEST',
    ]


def test_a_test_state_brings_its_stages(job: Job) -> None:
    job.net("include { phase: TEST }", "include { phase: TEST stage: 'x' }")
    job.solver("type:", "test_state { stage: 'x' }\ntype:")

    assert job.findings() == ()


def test_a_python_layers_module_beside_the_main_file_is_found(job: Job) -> None:
    (job.code / "mine.py").write_text("import caffe\n")
    job.net(
        'layer { name: "relu"',
        'layer { name: "p" type: "Python" bottom: "conv" top: "p"'
        ' python_param { module: "mine" layer: "M" } }\nlayer { name: "relu"',
    )

    assert job.findings() == ()


def test_a_net_inside_the_solver_is_looked_at(job: Job) -> None:
    net = (job.code / "net.prototxt").read_text().replace('"ReLU"', '"Relu"')
    job.solver('net: "/data/net.prototxt"', f"net_param {{\n{net}}}")

    finding = job.only("layer-type-unknown")

    assert finding.where.startswith(f"{job.code / 'solver.prototxt'}:")


def test_a_train_and_a_test_net_are_each_looked_at(job: Job) -> None:
    text = (job.code / "net.prototxt").read_text()
    (job.code / "test.prototxt").write_text(text.replace("test_lmdb", "gone_lmdb"))
    job.solver("net:", 'test_net: "/data/test.prototxt"\ntrain_net:')

    finding = job.only("source-missing")

    assert finding.where.startswith(f"{job.code / 'test.prototxt'}:")


def test_a_prefix_with_no_folder_is_fine_with_the_stock_entry(job: Job) -> None:
    job.solver("/data/output/tiny", "/data/output/new/tiny")

    assert job.findings() == ()


def test_a_main_file_that_makes_folders_is_trusted(job: Job) -> None:
    job.own_main("import os  # use_cpu\nos.makedirs('/data/output/new')\n")
    job.solver("/data/output/tiny", "/data/output/new/tiny")

    assert job.findings() == ()


def test_the_prefix_to_write_is_proposed(job: Job) -> None:
    job.solver("/data/output/tiny", "snapshots/tiny")

    finding = job.only("snapshot-prefix-outside")

    assert finding.mend == 'set snapshot_prefix: "/data/output/tiny"'
    assert "/data/snapshots/tiny_iter_…" in finding.what


def test_an_output_folder_that_can_be_created_is_fine(job: Job) -> None:
    job.change(output=job.root / "new" / "output")

    assert job.findings() == ()


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder that only its owner may write, seen by another user."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        before = os.geteuid()
        if before == 0:
            os.seteuid(NOBODY)
        else:
            Path(folder).chmod(0o555)
        try:
            yield Path(folder)
        finally:
            if before == 0:
                os.seteuid(before)
            Path(folder).chmod(0o755)


@pytest.mark.parametrize("below", ["", "new/output"])
def test_no_permission_is_told_before_the_run(job: Job, as_nobody: Path, below: str) -> None:
    job.change(output=as_nobody / below, framework=Framework("none", "1"))

    (finding,) = output.check(Look(Subject(job.spec, Inventory(job.code, ()), {})))
    assert f"no permission to write in {as_nobody}" in finding.what


def test_what_we_may_not_look_into_is_told_so(job: Job) -> None:
    job.change(solver="/data/solver.prototxt/more")

    assert "cannot be reached" in job.only("solver-missing").what


def test_an_impossible_path_is_a_finding(job: Job) -> None:
    job.net("/data/data/train_lmdb", "/data/data/\\000" + "x" * 5000)

    assert job.names() == ["source-missing"]


def test_a_good_pair_is_silent(job: Job) -> None:
    job.state()

    assert job.findings() == ()


def test_auto_is_no_path(job: Job) -> None:
    job.change(snapshot="auto")

    assert job.findings() == ()


def test_weights_given_as_snapshot_name_their_state(job: Job) -> None:
    job.state()
    job.change(snapshot="/data/output/tiny_iter_250.caffemodel")

    finding = job.only("snapshot-not-a-solverstate")

    assert finding.mend == "did you mean tiny_iter_250.solverstate?"


def test_another_shape_is_another_net(job: Job) -> None:
    job.state([*HISTORY[:2], (100, 2704), (100,)])

    assert "begins with 100, the net's 10" in job.only("snapshot-other-net").what


def test_adam_keeps_two_histories(job: Job) -> None:
    job.solver('"SGD"', '"Adam"')
    job.state(HISTORY)
    assert "Adam on this net has 8" in job.only("snapshot-other-net").what

    job.state(HISTORY * 2)
    assert job.findings() == ()


def test_an_hdf5_state_is_recognised(job: Job) -> None:
    path = job.output / "tiny_iter_2.solverstate.h5"
    job.change(snapshot=f"/data/output/{path.name}")
    with h5py.File(path, "w") as file:
        file["iter"] = 2
    assert job.findings() == ()

    path.write_bytes(b"no")
    assert "not an HDF5 file" in job.only("snapshot-not-a-solverstate").what


def test_weights_that_the_solver_names_are_looked_for(job: Job) -> None:
    job.solver("type:", 'weights: "/data/data/vgg.caffemodel"\ntype:')

    finding = job.only("snapshot-weights-missing")

    assert finding.where.endswith("solver.prototxt:2:1")


def test_data_that_is_ignored_may_lie_in_the_code_folder(job: Job) -> None:
    shutil.move(job.data, job.code / "mnist")
    job.change(data=job.code / "mnist")
    job.ignore.append("mnist")

    assert job.findings() == ()


def test_an_empty_folder_is_told_beside_what_is_missing(job: Job) -> None:
    shutil.rmtree(job.code)
    job.code.mkdir()

    assert job.names() == ["solver-missing", "code-empty"]


def test_the_manuals_job_with_all_in_the_data_folder_is_only_warned(job: Job) -> None:
    for path in list(job.code.iterdir()):
        text = path.read_text().replace("/data/net", "/data/data/net")
        (job.data / path.name).write_text(text)
        path.unlink()
    job.change(solver="/data/data/solver.prototxt")

    assert job.names() == ["code-empty"]


def test_other_frameworks_get_the_general_checks_alone(job: Job) -> None:
    job.change(framework=Framework("tensorflow", "1.0"), main_file="main.py")
    job.spec = replace(job.spec, solver="nothing.prototxt", snapshot="nothing")

    assert job.names() == ["main-file-missing"]


def test_findings_render_as_text_for_people(job: Job) -> None:
    job.solver("base_lr: 0.01", "base_lr: fast")
    job.base("gpu", is_cpu_build=True)

    assert render(job.findings()) == (
        "error: Couldn't parse float: fast [prototxt-syntax]\n"
        "    | base_lr: fast\n"
        "    |          ^\n"
        f"    where: {job.code / 'solver.prototxt'}:3:10\n"
        "    why: Caffe aborts: failed to parse the prototxt\n"
        "    mend: mend the text at the caret\n"
        "\n"
        "warning: the gpu base caffe-gpu is a CPU build [base-cpu-build]\n"
        "    why: the GPU run fails at once: this build has no GPU mode\n"
        "    mend: build one (uaitrain base build caffe-1.0.0 --engine torch --accelerator gpu) "
        "or name one (--base-gpu)\n"
        "\n"
        "preflight: 1 error, 1 warning\n"
    )


def test_nothing_renders_as_one_line() -> None:
    assert render(()) == "preflight: nothing found\n"
