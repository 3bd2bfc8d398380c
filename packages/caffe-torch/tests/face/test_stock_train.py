"""The packer's stock entry, unchanged, on our engine: both of its ways to train."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from caffe import weights
from caffe.proto import caffe_pb2
from jobs import REPOSITORY, lenet
from oracle.program import PATIENCE_SECONDS, Ended

TRAIN = REPOSITORY / "packages" / "uaitrain" / "src" / "uaitrain" / "container" / "train.py"
LAUNCH = TRAIN.parent / "launch"
PROGRAM = "training through the caffe program"
ENDLESS = 1_000_000


def hide_pycaffe(job: Path) -> str:
    """A folder for PYTHONPATH where the stock entry finds no pycaffe, though the program runs.

    Python runs ``sitecustomize`` at its start. The face is hidden only from the stock entry's
    worker, as where its Python and the program's are two.
    """
    folder = job / "hidden"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(
        'import sys\nif sys.orig_argv[-1].endswith("train.py"):\n    sys.modules["caffe"] = None\n'
    )
    return str(folder)


WAYS = ["pycaffe", "program"]


def environment(job: Path, way: str) -> dict[str, str]:
    """``caffe`` on PATH is the one beside this Python."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    more = {"PATH": path, "OMP_NUM_THREADS": "1"}
    return {**os.environ, **more, **({"PYTHONPATH": hide_pycaffe(job)} if way == "program" else {})}


def argv(job: Path, solver: Path, *arguments: str) -> list[str]:
    flags = ["--use_cpu=True", f"--work_dir={job}", f"--data_dir={job}"]
    flags += [f"--output_dir={job / 'output'}", f"--log_dir={job / 'log'}"]
    return [sys.executable, str(TRAIN), f"--solver={solver}", *flags, *arguments]


def run(job: Path, solver: Path, *arguments: str, way: str = "pycaffe") -> Ended:
    done = subprocess.run(
        argv(job, solver, *arguments),
        env=environment(job, way),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    output = done.stdout.decode("utf-8", "replace")
    assert way == "program" or PROGRAM not in output, output
    return Ended(done.returncode, output)


def solver_of(job: Path, **changes: object) -> Path:
    (job / "output").mkdir(exist_ok=True)
    return lenet(job, str(job), snapshot_prefix=f'"{job}/output/lenet"', **changes)


def pairs(job: Path) -> list[int]:
    """The iterations of the snapshots in the output folder, each with both files whole."""
    found = []
    for path in (job / "output").glob("*.solverstate"):
        state = caffe_pb2.SolverState.FromString(path.read_bytes())
        model = path.with_suffix(".caffemodel")
        assert state.learned_net == str(model)
        assert {"conv1", "conv2", "ip1", "ip2"} <= set(weights.arrays(model))
        assert path.name == f"lenet_iter_{state.iter}.solverstate"
        found.append(state.iter)
    assert len(list((job / "output").glob("*.caffemodel"))) == len(found)
    assert not list((job / "output").glob(".snapshots-being-written-*"))
    return sorted(found)


@pytest.mark.parametrize("way", WAYS)
def test_a_job_ends_with_its_final_pair(job: Path, way: str) -> None:
    ended = run(job, solver_of(job), way=way)

    assert ended.status == 0, ended.output
    assert (PROGRAM in ended.output) == (way == "program")
    assert pairs(job) == [3, 6]
    assert not (job / "output" / "failure").exists()
    assert "train.py: trained to iteration 6" in ended.output
    assert any(
        line.startswith("Iteration 6, Testing net (#0)") for line in ended.said("solver.cpp")
    )
    (log,) = (job / "log").iterdir()
    assert "Iteration 5 (" in log.read_text()


def test_both_ways_give_the_same_weights_and_pycaffes_gives_times(job: Path) -> None:
    said, found = [], []
    for way in WAYS:
        ended = run(job, solver_of(job, display=2), "--timing", way=way)
        assert ended.status == 0, ended.output
        said.append(ended.output)
        found.append((job / "output" / "lenet_iter_6.caffemodel").read_bytes())
        (job / "output" / "lenet_iter_6.caffemodel").unlink()

    assert found[0] == found[1]
    times = re.findall(
        r"timing at iteration (\d+): forward and backward (\S+) ms, the rest (\S+) ms", said[0]
    )
    assert [int(iteration) for iteration, _, _ in times] == [2, 4]
    assert all(float(forward) > 0 and float(rest) >= 0 for _, forward, rest in times)
    assert "no times will be printed" in said[1]


@contextmanager
def started(job: Path, solver: Path, way: str, until: str) -> Iterator[subprocess.Popen[str]]:
    """A run that has printed ``until``; the rest of its output is read and let go."""
    with subprocess.Popen(
        argv(job, solver),
        env=environment(job, way),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if until in line:
                break
        else:
            raise AssertionError("it ended early:\n" + "".join(said))
        rest = threading.Thread(target=process.stdout.read)
        rest.start()
        try:
            yield process
        finally:
            process.kill()
            rest.join()


@pytest.mark.parametrize("way", WAYS)
def test_a_stopped_run_leaves_a_pair_and_goes_on_to_exactly_max_iter(job: Path, way: str) -> None:
    changes = {"snapshot": None, "test_iter": None, "test_interval": None}
    endless = solver_of(job, max_iter=ENDLESS, **changes)

    with started(job, endless, way, "Iteration 4 (") as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 143

    (at,) = pairs(job)
    assert at >= 4
    assert not (job / "output" / "failure").exists()

    last = at + 3
    ended = run(job, solver_of(job, max_iter=last, **changes), "--snapshot=auto", way=way)

    assert ended.status == 0, ended.output
    assert f"going on from {job}/output/lenet_iter_{at}.solverstate" in ended.output
    shown = [int(n) for n in re.findall(r"\] Iteration (\d+) \(", ended.output)]
    assert shown == [at, at + 1, at + 2]
    assert pairs(job) == [at, last]


@pytest.mark.parametrize("way", WAYS)
def test_a_hangup_writes_a_pair_and_the_run_goes_on(job: Path, way: str) -> None:
    solver = solver_of(job, max_iter=ENDLESS, snapshot=None, test_iter=None, test_interval=None)

    with started(job, solver, way, "Iteration 2 (") as process:
        process.send_signal(signal.SIGHUP)
        while not list((job / "output").glob("*.solverstate")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)

        assert process.wait(PATIENCE_SECONDS) == 143

    assert len(pairs(job)) == 2


def test_a_stop_during_a_long_test_is_heard_at_once(job: Path) -> None:
    solver = solver_of(job, max_iter=ENDLESS, test_iter=ENDLESS, snapshot=None)

    with started(job, solver, "pycaffe", "Iteration 0, Testing net") as process:
        process.send_signal(signal.SIGTERM)

        assert process.wait(PATIENCE_SECONDS) == 143

    assert pairs(job) == [0]


REFUSED = {"pycaffe": 1, "program": 3}
"""How the entry calls a refusal: an exception of Python, or a failed CHECK."""

BREAKS = {
    "no max_iter": ("solver.prototxt", "max_iter", "max_itr", "has no max_iter of 1 or more"),
    "an unknown field": ("solver.prototxt", "base_lr", "base_rl", "solver.prototxt:3:1: "),
    "an unknown layer type": ("net.prototxt", '"Convolution"', '"Convolutoin"', "unknown layer"),
    "no prototxt": ("net.prototxt", "layer {", "layer {{", "net.prototxt:3:"),
    "no database": ("net.prototxt", "mnist_train_lmdb", "mnist_gone", "mnist_gone"),
    "a misfit": ("net.prototxt", "kernel_size: 5", "kernel_size: 500", 'layer "conv1"'),
}
"""By a case: the file, what it says, what it says instead, and what the reason says then."""


@pytest.mark.parametrize(
    ("case", "way"),
    [*((case, "pycaffe") for case in BREAKS),
     ("an unknown field", "program"), ("no database", "program")],
)  # fmt: skip
def test_a_broken_job_ends_with_a_documented_code_and_one_sentence(
    job: Path, case: str, way: str
) -> None:
    solver = solver_of(job)
    name, right, wrong, told = BREAKS[case]
    text = (job / name).read_text()
    assert right in text
    (job / name).write_text(text.replace(right, wrong, 1))

    ended = run(job, solver, way=way)

    reason = (job / "output" / "failure").read_text()
    assert ended.status == (6 if case == "no max_iter" else REFUSED[way]), ended.output
    assert told in reason
    assert reason.count("\n") == 1
    assert "Traceback" not in reason
    assert ".snapshots-being-written-" not in reason
    assert pairs(job) == []


@pytest.mark.parametrize("said", ["the data have gone", "another solver is gone"])
def test_an_exception_in_a_users_layer_is_the_reason(job: Path, said: str) -> None:
    """Whatever it says: on one node nobody else would tell of it."""
    solver = solver_of(job)
    (job / "broken_layers.py").write_text(
        "import caffe\n\n"
        "class Breaks(caffe.Layer):\n"
        "    def setup(self, bottom, top): pass\n"
        "    def reshape(self, bottom, top): top[0].reshape(1)\n"
        f"    def forward(self, bottom, top): raise RuntimeError('{said}')\n"
    )
    with (job / "net.prototxt").open("a") as net:
        net.write(
            'layer { name: "odd" type: "Python" bottom: "ip2" top: "odd" '
            'python_param { module: "broken_layers" layer: "Breaks" } }\n'
        )

    ended = run(job, solver)

    assert ended.status == 1, ended.output
    assert (job / "output" / "failure").read_text() == f"RuntimeError: {said}\n"
    assert 'in forward of layer "odd" (Python: broken_layers.Breaks)' in ended.output


ENDS = re.compile(r"Solver (\d) of 2 ends at iteration (\d+), weights (sha256:\w{64})")


def nodes(job: Path, solver: Path, port: int, *arguments: str) -> list[subprocess.Popen[bytes]]:
    """Two launchers, as a cluster starts them, each with the stock entry."""
    started = []
    for rank in range(2):
        told = {"UAITRAIN_NODES": "2", "UAITRAIN_RANK": f"{rank}"}
        told["UAITRAIN_MASTER"] = f"127.0.0.1:{port}"
        started.append(
            subprocess.Popen(
                [sys.executable, str(LAUNCH), *argv(job, solver, *arguments)],
                env=environment(job, "pycaffe") | told,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        )
    return started


def told_by(processes: list[subprocess.Popen[bytes]]) -> list[str]:
    return [process.communicate(timeout=PATIENCE_SECONDS)[0].decode() for process in processes]


def test_two_nodes_stop_together_go_on_and_end_with_the_same_weights(job: Path) -> None:
    endless = solver_of(job, max_iter=ENDLESS, display=1, snapshot=None)
    batch_of_8(endless)
    started = nodes(job, endless, 29551)
    first = started[0].stdout
    assert first is not None
    for line in first:
        if b"Iteration 3 " in line:
            break
    for process in started:
        process.send_signal(signal.SIGTERM)
    said = told_by(started)

    assert [process.returncode for process in started] == [143, 143], said
    (at,) = pairs(job)
    last = solver_of(job, max_iter=at + 2, display=1, snapshot=None)
    batch_of_8(last)
    started = nodes(job, last, 29552, "--snapshot=auto")
    said = told_by(started)

    assert [process.returncode for process in started] == [0, 0], said
    assert pairs(job) == [at, at + 2]
    ends = [ENDS.search(text) for text in said]
    assert [found and found.group(1, 2) for found in ends] == [
        ("0", f"{at + 2}"),
        ("1", f"{at + 2}"),
    ]
    assert len({found.group(3) for found in ends if found}) == 1
    assert len({path.name.split(".")[1] for path in (job / "log").glob("*.log")}) == 2


def test_a_node_whose_partner_is_lost_can_be_started_again(job: Path) -> None:
    endless = solver_of(job, max_iter=ENDLESS, display=1, snapshot=2)
    batch_of_8(endless)
    started = nodes(job, endless, 29553)
    first = started[0].stdout
    assert first is not None
    for line in first:
        if b"Iteration 5 " in line:
            break
    started[1].kill()
    said = told_by(started)

    assert [process.returncode for process in started] == [143, -signal.SIGKILL], said
    assert "another node's training ended" in said[0]
    assert not (job / "output" / "failure").exists()
    # The killed node's own folder is still there; the next start takes it away.
    states = (job / "output").glob("lenet_iter_*.solverstate")
    at = max(int(path.stem.rpartition("_")[2]) for path in states)
    last = solver_of(job, max_iter=at + 2, display=1, snapshot=None)
    batch_of_8(last)
    started = nodes(job, last, 29554, "--snapshot=auto")
    said = told_by(started)
    assert [process.returncode for process in started] == [0, 0], said
    assert pairs(job)[-1] == at + 2


def batch_of_8(solver: Path) -> None:
    net = solver.parent / "net.prototxt"
    net.write_text(net.read_text().replace("batch_size: 64", "batch_size: 8"))
