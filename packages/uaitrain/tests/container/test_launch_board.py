"""TensorBoard's writer beside a run: started, ended after the last line, never in the way."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from container.jobs import FAST, SLOW, write_job
from container.launched import RUN, launch
from support.board import board_archive, read_back
from support.caffe_rootfs import Box

__all__ = ["board_archive"]


def command(box: Box, solver: str) -> tuple[str, ...]:
    words = f"{solver} --use_cpu=True --output_dir=/data/output"
    return ("/bin/bash", "-c", f"/usr/bin/{box.python} /data/train.py {words}")


def losses(box: Box) -> list[int]:
    """The steps of which TensorBoard knows the loss."""
    folder = box.output / "log" / f"{RUN}.0.tensorboard"
    return [step for step, _ in read_back(folder)["train/loss"]]


def test_all_that_the_log_told_is_there_when_the_run_is_over(
    box3: Box, board_archive: Path
) -> None:
    shutil.copy(board_archive, box3.data)
    solver = write_job(box3, FAST, max_iter="40")

    assert launch(box3, *command(box3, solver), UAITRAIN_RUN_ID=RUN).wait(120) == 0
    assert losses(box3) == [0, 10, 20, 30, 40]


def test_a_stop_does_not_end_it_before_the_last_line(box3: Box, board_archive: Path) -> None:
    shutil.copy(board_archive, box3.data)
    process = launch(
        box3, *command(box3, write_job(box3, SLOW, max_iter="100000000")), UAITRAIN_RUN_ID=RUN
    )
    box3.wait_for("Iteration 20 (")
    process.send_signal(signal.SIGTERM)

    assert process.wait(120) == 143
    told = box3.shown.count(", loss = ")
    assert len(losses(box3)) == told >= 3


@pytest.mark.parametrize("content", ["no zip", "while True: pass", "raise SystemExit(9)"])
def test_a_broken_one_does_not_touch_the_run(box: Box, content: str) -> None:
    (box.data / "board.pyz").write_text(content)
    solver = write_job(box, FAST, max_iter="20")

    assert launch(box, *command(box, solver), UAITRAIN_RUN_ID=RUN).wait(120) == 0
    assert (box.output / "tiny_iter_20.caffemodel").exists()


def test_other_ranks_have_none(box3: Box) -> None:
    (box3.data / "board.pyz").write_text("print('board here')")
    place = {"UAITRAIN_NODES": "2", "UAITRAIN_RANK": "1"}

    assert launch(box3, "/bin/true", UAITRAIN_RUN_ID=RUN, **place).wait(60) == 0
    assert "board here" not in box3.shown
