"""The stock entry on real Caffe: each way to fail has its exit code and its reason."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import uaitrain
from container.jobs import FAST, SLOW, write_job
from support.caffe_rootfs import Box, worker_of

CPU = "--use_cpu=True"


def fails(box: Box, code: int, *words: str) -> None:
    """The last run ended with ``code``; its failure file has the words and is short enough."""
    assert [process.wait(60) for process in box.started[-1:]] == [code]
    for word in words:
        assert word in box.failure
        assert word in box.shown
    assert len((box.output / "failure").read_bytes()) <= 1024
    assert not list(box.output.glob(".*"))


def test_arguments_that_are_not_known_are_refused(box: Box) -> None:
    box.train(write_job(box), CPU, "--learning_rate=3")

    fails(box, 2, "--learning_rate=3", "usage:")


def test_a_boolean_must_be_true_or_false(box: Box) -> None:
    box.train(write_job(box), "--use_cpu=maybe")

    fails(box, 2, "maybe")


def test_the_solver_is_required(box: Box) -> None:
    box.train(CPU)

    fails(box, 2, "--solver")


def test_a_missing_solver_is_named(box: Box) -> None:
    box.train("--solver=/data/data/none.prototxt", CPU)

    fails(box, 6, "/data/data/none.prototxt", "No such file")


def test_a_solver_that_does_not_parse_is_shown_with_line_and_column(box: Box) -> None:
    box.train(write_job(box, gama="3"), CPU)

    fails(box, 3, "10:5", "gama", "/data/solver.prototxt")


def test_a_net_that_does_not_parse_is_shown_with_line_and_column(box: Box) -> None:
    solver = write_job(box)
    box.write("net.prototxt", 'layer { nome: "x" }\n')
    box.train(solver, CPU)

    fails(box, 3, "1:13", "nome", "/data/net.prototxt")


def test_a_missing_net_is_named(box: Box) -> None:
    box.train(write_job(box, net='"/data/gone.prototxt"'), CPU)
    box.started[-1].wait(60)

    assert box.started[-1].returncode in (1, 3)
    assert "/data/gone.prototxt" in box.failure


def test_a_failed_check_of_a_layer_is_the_reason(box: Box) -> None:
    solver = write_job(box)
    net = (box.data / "net.prototxt").read_text()
    box.write("net.prototxt", net.replace('bottom: "ip" ', 'bottom: "nobody" '))
    box.train(solver, CPU)

    fails(box, 3, "Unknown bottom blob 'nobody'")


@pytest.mark.parametrize("max_iter", ["", "0"])
def test_a_solver_without_iterations_is_refused(box: Box, max_iter: str) -> None:
    box.train(write_job(box, max_iter=max_iter), CPU)

    fails(box, 6, "max_iter")


def test_a_prefix_outside_the_output_folder_is_refused(box: Box) -> None:
    box.train(write_job(box, snapshot_prefix='"/data/snapshots/tiny"'), CPU)

    fails(box, 6, "/data/snapshots/tiny", "/data/output")


@pytest.mark.parametrize(
    ("snapshot", "reason"),
    [
        ("/data/output/none.solverstate", "No such file"),
        ("/data/net.caffemodel", "must be a .solverstate"),
        ("/data/junk.solverstate", "junk.solverstate"),
        ("/data/junk.solverstate.h5", "not an HDF5 file"),
    ],
)
def test_a_snapshot_that_cannot_be_used_is_refused(box: Box, snapshot: str, reason: str) -> None:
    box.write("junk.solverstate", "this is not it")
    box.write("junk.solverstate.h5", "this is not it")
    box.train(write_job(box), CPU, f"--snapshot={snapshot}")

    fails(box, 6, snapshot, reason)


def test_a_snapshot_beyond_max_iter_is_refused(box: Box) -> None:
    assert box.finish(write_job(box, max_iter="40"), CPU) == 0
    box.train(
        write_job(box, max_iter="30"), CPU, "--snapshot=/data/output/tiny_iter_40.solverstate"
    )

    fails(box, 6, "iteration 40", "max_iter 30")


def test_more_gpus_than_the_machine_has_are_refused_at_once(box: Box) -> None:
    box.train(write_job(box), "--use_cpu=False", "--num_gpus=99")

    fails(box, 8, "99 GPUs", "--use_cpu=True")
    assert "Initializing solver" not in box.shown


def test_no_gpus_is_no_number_of_gpus(box: Box) -> None:
    box.train(write_job(box), "--use_cpu=False", "--num_gpus=0")

    fails(box, 2, "--num_gpus=0")


def test_caffe_without_gpu_support_says_so_at_once(box: Box) -> None:
    """No GPU is here: an empty file stands for its device, the rest is real."""
    solver = write_job(box)
    with_device = ("sh", "-c", 'mount -t tmpfs none /dev && : > /dev/nvidia0 && exec "$@"', "sh")
    program = (f"/usr/bin/{box.python}", "/data/train.py", solver, "--use_cpu=False")
    namespace = ("unshare", "--mount", *with_device)
    box.start(*program, "--num_gpus=1", first=namespace)

    fails(box, 8, "no GPU support", "--use_cpu=True")
    assert "Creating training net" not in box.shown


def test_a_failing_python_layer_is_the_reason(box3: Box) -> None:
    box3.write(
        "mine.py",
        "import caffe\n"
        "class Bad(caffe.Layer):\n"
        "    def setup(self, bottom, top): raise ValueError('bad wind')\n",
    )
    solver = write_job(box3, FAST)
    layer = (
        'layer { name: "t" type: "Python" top: "t" python_param { module: "mine" layer: "Bad" } }'
    )
    box3.write("net.prototxt", (box3.data / "net.prototxt").read_text() + layer)
    box3.train(solver, CPU)

    fails(box3, 1, "ValueError: bad wind")


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, 5), (signal.SIGSEGV, 4), (signal.SIGBUS, 4), (signal.SIGABRT, 3)],
)
def test_a_worker_ended_by_a_signal_has_its_exit_code(
    box: Box, number: signal.Signals, code: int
) -> None:
    process = box.train(write_job(box, SLOW, max_iter="100000000"), CPU)
    box.wait_for("Iteration 10 (")
    os.kill(worker_of(process), number)

    fails(box, code)


def test_an_output_folder_that_cannot_be_written_is_an_error_at_once(box: Box) -> None:
    box.output.chmod(0o555)
    box.train(write_job(box), CPU, uid=12345)

    assert box.started[-1].wait(60) == 7
    assert "/data/output" in box.shown
    assert "Solving" not in box.shown


def test_a_full_disk_gives_an_error_and_no_half_pair(box: Box) -> None:
    """A tmpfs of 2 MB for a snapshot of 4 MB."""
    small = (
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'mount -t tmpfs -o size=2m none {box.output} && "$@"; '
        f"code=$?; cp -r {box.output} {box.data}/seen; exit $code",
        "sh",
    )
    box.train(write_job(box, SLOW), CPU, first=small)

    assert box.started[-1].wait(60) in (3, 7)
    seen = box.data / "seen"
    assert (seen / "failure").read_text()
    assert not list(seen.glob("*.solverstate"))
    assert not list(seen.glob("*.caffemodel"))


def test_a_new_run_removes_the_old_failure(box: Box) -> None:
    (box.output / "failure").write_text("old")

    assert box.finish(write_job(box), CPU) == 0
    assert not (box.output / "failure").exists()


def test_the_help_lists_every_exit_code(box: Box) -> None:
    assert box.finish("--help") == 0
    for code in (0, 1, 2, 3, 4, 5, 6, 7, 8, 143):
        assert f"\n  {code} " in box.shown


def test_the_manual_lists_the_same_exit_codes() -> None:
    text = Path(uaitrain.__file__).parent.joinpath("container", "train.py").read_text()
    manual = Path(__file__).parents[4] / "docs" / "manual" / "training.md"
    codes = [
        line.split()[0] for line in text.split("exit codes:\n")[1].split("\n\n")[0].split("\n")
    ]

    for code in codes:
        assert f"| {code} |" in manual.read_text()
