"""TensorBoard's event files: real Caffe's log in, TensorBoard itself reads what comes out."""

from __future__ import annotations

import importlib.util
import math
import shutil
import signal
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import uaitrain
from jobs import SLOW, write_job
from support.board import Scalars, board_archive, read_back, running_tensorboard, scalars_of
from support.caffe_rootfs import PATIENCE_SECONDS, Box
from uaitrain.runs.caffe_log import Evaluated, Evaluating, Rate, Trained, event_of

__all__ = ["board_archive"]

LENET = Path(__file__).parent.parent / "runs" / "lenet.log"
TAGS = {"train/loss", "train/lr", "train/rate", "test/accuracy", "test/loss"}
_ACCURACY = """
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy"
  include { phase: TEST } }
"""


@pytest.fixture
def sidecar() -> ModuleType:
    path = Path(uaitrain.__file__).parent / "container" / "board.py"
    spec = importlib.util.spec_from_file_location("board", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def told(log: str) -> Scalars:
    """What the packer's own parser reads in a log: of a step that comes twice, what came last."""
    found: dict[str, dict[int, float]] = {}
    test = Evaluating(0, 0)

    def add(tag: str, step: int, value: float) -> None:
        # What comes of a step is that step's whole future: a restart goes back.
        kept = {old: known for old, known in found.get(tag, {}).items() if old < step}
        found[tag] = kept | {step: value}

    for line in log.splitlines():
        match event_of(line):
            case Trained(step, loss, rate):
                add("train/loss", step, loss)
                if step and rate:
                    add("train/rate", step, rate)
            case Rate(step, rate):
                add("train/lr", step, rate)
            case Evaluating() as test:
                pass
            case Evaluated(name, value):
                add(f"test{test.net or ''}/{name}", test.iteration, value)
            case _:
                pass
    return {tag: sorted(values.items()) for tag, values in found.items()}


def near(expected: Scalars) -> dict[str, list[tuple[int, object]]]:
    """Event files hold single precision."""
    return {
        tag: [(step, pytest.approx(value, rel=1e-6)) for step, value in values]
        for tag, values in expected.items()
    }


def start_board(
    box: Box, archive: Path, shown: str = "board-says", python: str = "python3"
) -> subprocess.Popen[bytes]:
    """As the launcher starts it."""
    shutil.copy(archive, box.data / "board.pyz")
    return box.start(
        *(f"/usr/bin/{python}", "/data/board.pyz"),
        *("/data/output/log/run.0.log", "/data/output/log/run.0.tensorboard"),
        stdin=subprocess.PIPE,
        shown=shown,
    )


def end_board(process: subprocess.Popen[bytes]) -> int:
    assert process.stdin is not None
    process.stdin.close()
    return process.wait(PATIENCE_SECONDS)


def log_of(box: Box) -> Path:
    """The launcher's log; the tests add to it what a run has shown."""
    path = box.output / "log" / "run.0.log"
    path.parent.mkdir(exist_ok=True)
    return path


def write_tested_job(box: Box, **changes: str) -> str:
    solver = write_job(
        box, display="4", test_iter="2", test_interval="20", snapshot="30", **changes
    )
    with (box.data / "net.prototxt").open("a") as net:
        net.write(_ACCURACY)
    return solver


def test_what_real_caffe_logs_is_what_tensorboard_shows(box3: Box, board_archive: Path) -> None:
    solver = write_tested_job(box3, max_iter="60")
    log_of(box3).touch()
    process = start_board(box3, board_archive)

    assert box3.finish(solver) == 0
    log_of(box3).write_text(box3.shown)

    assert end_board(process) == 0
    expected = told(box3.shown)
    assert set(expected) == TAGS
    assert [step for step, _ in expected["test/accuracy"]] == [0, 20, 40, 60]
    folder = log_of(box3).with_suffix(".tensorboard")
    assert read_back(folder) == near(expected)
    assert (box3.data / "board-says").read_text() == ""
    with running_tensorboard(box3.output / "log") as address:
        assert scalars_of(address, folder.name, TAGS) == near(expected)


def test_it_follows_the_log_while_it_grows(box3: Box, board_archive: Path) -> None:
    lines = LENET.read_text().splitlines(keepends=True)
    cut = len(lines) // 2
    log_of(box3).write_text("".join(lines[:cut]) + lines[cut][:20])
    folder = log_of(box3).with_suffix(".tensorboard")
    process = start_board(box3, board_archive)
    box3.wait_until(lambda: (folder / "position.json").exists())

    assert read_back(folder) == near(told("".join(lines[:cut])))

    with log_of(box3).open("a") as log:
        log.write(lines[cut][20:] + "".join(lines[cut + 1 :]))
    assert end_board(process) == 0
    assert read_back(folder) == near(told(LENET.read_text()))


def test_a_run_that_was_killed_and_goes_on_has_no_step_twice(
    box3: Box, board_archive: Path
) -> None:
    """Both are killed; the second attempt trains some iterations of the first again."""
    solver = write_tested_job(box3, width=SLOW, max_iter="100")
    folder = log_of(box3).with_suffix(".tensorboard")
    box3.train(solver)
    box3.wait_for("Iteration 48,")
    box3.started[-1].send_signal(signal.SIGKILL)
    box3.started[-1].wait()
    first = box3.shown
    log_of(box3).write_text(first)
    process = start_board(box3, board_archive)
    box3.wait_until(lambda: (folder / "position.json").exists())
    process.kill()
    end_board(process)

    assert box3.finish(solver, "--snapshot=auto") == 0
    with log_of(box3).open("a") as log:
        log.write(box3.shown)
    assert end_board(start_board(box3, board_archive)) == 0

    assert "Iteration 32," in first
    assert "Iteration 32," in box3.shown
    expected = told(first + box3.shown)
    found = read_back(folder)
    assert found == near(expected)
    assert [step for step, _ in found["train/loss"]] == list(range(0, 101, 4))
    with running_tensorboard(box3.output / "log") as address:
        assert scalars_of(address, folder.name, TAGS) == near(expected)


def test_a_second_start_on_the_same_log_adds_nothing(box3: Box, board_archive: Path) -> None:
    shutil.copy(LENET, log_of(box3))
    folder = log_of(box3).with_suffix(".tensorboard")
    assert end_board(start_board(box3, board_archive)) == 0
    before = sorted(path.name for path in folder.iterdir())

    assert end_board(start_board(box3, board_archive)) == 0

    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_log_of_another_machine_is_read_from_its_beginning(
    box3: Box, board_archive: Path
) -> None:
    """A place in the old file says nothing about the new one."""
    shutil.copy(LENET, log_of(box3))
    assert end_board(start_board(box3, board_archive)) == 0
    text = LENET.read_text().replace("loss = 0.", "loss = 1.")
    log_of(box3).write_text(text)

    assert end_board(start_board(box3, board_archive)) == 0

    assert read_back(log_of(box3).with_suffix(".tensorboard")) == near(told(text))


def test_an_old_python_says_so_in_one_line(box3: Box, board_archive: Path) -> None:
    shutil.copy(LENET, log_of(box3))

    code = end_board(start_board(box3, board_archive, python="python2.7"))

    assert code == 1
    (line,) = (box3.data / "board-says").read_text().splitlines()
    assert line.startswith("board: no TensorBoard files from here on: Python 3.9 or later is")
    assert log_of(box3).read_text() == LENET.read_text() + line + "\n"
    assert not log_of(box3).with_suffix(".tensorboard").exists()


def test_a_folder_that_cannot_be_written_is_one_line(box3: Box, board_archive: Path) -> None:
    shutil.copy(LENET, log_of(box3))
    log_of(box3).with_suffix(".tensorboard").write_text("a file is in the way")

    assert end_board(start_board(box3, board_archive)) == 1
    (line,) = (box3.data / "board-says").read_text().splitlines()
    assert "File exists" in line


def test_signals_of_a_stop_do_not_end_it(box3: Box, board_archive: Path) -> None:
    """A terminal's Ctrl-C reaches it too; the last lines come after it."""
    shutil.copy(LENET, log_of(box3))
    folder = log_of(box3).with_suffix(".tensorboard")
    process = start_board(box3, board_archive)
    box3.wait_until(lambda: (folder / "position.json").exists())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(number)
    with log_of(box3).open("a") as log:
        log.write("I1123 14:40:00.000001     7 sgd_solver.cpp:112] Iteration 500, lr = 0.25\n")

    assert end_board(process) == 0
    assert read_back(folder)["train/lr"][-1] == (500, 0.25)


def test_both_parsers_read_the_same_in_a_log(sidecar: ModuleType) -> None:
    points = sidecar.Points()
    found: Scalars = {}
    for line in LENET.read_text().splitlines():
        for tag, step, value, _ in points.of(line):
            found.setdefault(tag, []).append((step, value))

    assert found == told(LENET.read_text())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "Iteration 7 (2.5 iter/s, 3s/20 iters), loss = nan",
            [("train/loss", 7), ("train/rate", 7)],
        ),
        ("Iteration 7 (inf iter/s, 0s/20 iters), loss = 1e-05", [("train/loss", 7)]),
        ("Iteration 0 (0 iter/s, 0s/20 iters), loss = 2", [("train/loss", 0)]),
        ("Iteration 7, loss = 2", [("train/loss", 7)]),
        ("Iteration 7, lr = 1e-05", [("train/lr", 7)]),
        ("    Train net output #0: loss = 2 (* 1 = 2 loss)", []),
        ("    Test net output #0: loss = 2", []),
        ("Solving LeNet", []),
    ],
)
def test_a_line_and_its_points(
    sidecar: ModuleType, line: str, expected: list[tuple[str, int]]
) -> None:
    prefix = "I1123 05:55:00.016389     7 solver.cpp:239] "

    assert [point[:2] for point in sidecar.Points().of(prefix + line)] == expected
    assert sidecar.Points().of(line) == []


def test_outputs_have_tags_by_their_net_and_place(sidecar: ModuleType) -> None:
    prefix = "I1123 05:55:00.016389     7 solver.cpp:414] "
    points = sidecar.Points()
    lines = [
        "Iteration 20, Testing net (#1)",
        "    Test net output #0: class acc = 0.5",
        "    Test net output #0: top@5 = 0.25",
        "    Test net output #1: top@5 = 0.75",
    ]

    found = [point[:3] for line in lines for point in points.of(prefix + line)]

    assert found == [("test1/top_5", 20, 0.25), ("test1/top_5.2", 20, 0.75)]


@pytest.mark.parametrize(
    ("now", "stamp", "year"),
    [
        ("2026-11-24", "1123", 2026),
        ("2026-01-01", "1231", 2025),
        ("2026-12-31", "0101", 2027),
        ("2028-03-01", "0229", 2028),
    ],
)
def test_a_stamp_gets_the_latest_year_that_can_be(
    sidecar: ModuleType, now: str, stamp: str, year: int
) -> None:
    import time

    clock = time.mktime(time.strptime(f"{now} 23:30", "%Y-%m-%d %H:%M"))
    found = sidecar.PREFIX.match(f"I{stamp} 00:15:00.250000     7 solver.cpp:239] ")

    seconds = sidecar.seconds_of(found, clock)

    assert time.localtime(seconds).tm_year == year
    assert time.strftime("%m%d %H:%M:%S", time.localtime(seconds)) == f"{stamp} 00:15:00"
    assert math.isclose(seconds % 1, 0.25)
