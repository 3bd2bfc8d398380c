"""Reports of real Caffe under the launcher: stopped, gone on, failed."""

from __future__ import annotations

import signal
import subprocess

from container.jobs import SLOW, iteration, pairs, write_job
from container.launched import RUN, launch
from support.caffe_rootfs import Box
from uaitrain.runs.report import RunReport, render
from uaitrain.runs.report.gather import Job, from_folder

FOLDERS = "--work_dir=/data --data_dir=/data/data --output_dir=/data/output"


def start(box: Box, solver: str) -> subprocess.Popen[bytes]:
    line = f"cd /data && /usr/bin/python3 /data/train.py {solver} --use_cpu=True {FOLDERS}"
    return launch(box, "/bin/bash", "-c", line, UAITRAIN_RUN_ID=RUN)


def told(report: RunReport, name: str) -> str:
    facts = (fact for section in report.sections for fact in section.facts)
    return next((fact.value for fact in facts if fact.name == name), "")


def test_a_run_that_was_stopped_and_went_on_is_one_curve(box3: Box) -> None:
    process = start(box3, write_job(box3, SLOW, max_iter="100000000"))
    box3.wait_for("Iteration 20 (")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    stopped = from_folder(box3.output, Job())
    at = iteration(box3, pairs(box3)[0])
    last = (at // 10 + 2) * 10
    assert start(box3, write_job(box3, SLOW, max_iter=str(last))).wait(120) == 0
    whole = from_folder(box3.output, Job())
    loss = next(curve for curve in whole.curves if curve.key == "loss")
    iterations = [x for x, _ in loss.points]

    assert (stopped.title, stopped.state) == (RUN, "stopped")
    assert (whole.title, whole.state, whole.max_iter) == (RUN, "succeeded", last)
    assert told(whole, "exit code") == "0"
    assert told(whole, "attempts") == "2"
    assert iterations == sorted(set(iterations))
    assert {0, 10, 20, last - 10} <= set(iterations)
    assert f"max_iter: {last}" in told(whole, "solver")
    assert 'id="plot-loss"' in render(whole)


def test_a_run_that_failed_says_why(box3: Box) -> None:
    solver = write_job(box3, base_lr="0.01", net='"/data/nowhere.prototxt"')
    code = start(box3, solver).wait(60)
    report = from_folder(box3.output, Job())

    assert code not in (0, 143)
    assert (report.state, told(report, "exit code")) == ("failed", str(code))
    assert "nowhere.prototxt" in report.reason
    assert "no iteration yet" in render(report)
