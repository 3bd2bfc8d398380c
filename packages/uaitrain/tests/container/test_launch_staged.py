"""A run whose data and results lie in a bucket, from machine to machine, with real Caffe."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

from container.jobs import FAST, SLOW, iteration, pairs, write_job
from container.launched import RUN, launch
from support.caffe_rootfs import Box, box, new_box
from support.store import BUCKET, KEY, SECRET, Store, mover, store

__all__ = ["box", "mover", "store"]

ENDLESS = "100000000"


def start(
    box: Box, store: Store, max_iter: str, after: str = "", **environment: str
) -> subprocess.Popen[bytes]:
    """The run on the machine ``box``; net and solver are its data. ``after`` follows in the shell:
    a machine that trains at full speed leaves a mover that is nice no time."""
    width = SLOW if max_iter == ENDLESS else FAST
    shutil.copytree(store.mover.parent, box.data, dirs_exist_ok=True)
    write_job(
        box,
        width,
        max_iter=max_iter,
        net='"/data/data/net.prototxt"',
        snapshot="" if max_iter == ENDLESS else "30",
    )
    for name in ("net.prototxt", "solver.prototxt"):
        store.put(f"data/{name}", (box.data / name).read_bytes())
        (box.data / name).unlink()
    line = (
        f"cd /data && /usr/bin/{box.python} /data/train.py --solver=/data/data/solver.prototxt "
        f"--use_cpu=True --data_dir=/data/data --output_dir=/data/output{after}"
    )
    told = {
        "UAITRAIN_RUN_ID": RUN,
        "UAITRAIN_MOVER": "/data/rclone",
        "UAITRAIN_S3_ENDPOINT": store.line.url,
        "UAITRAIN_DATA": f"s3://{BUCKET}/data",
        "UAITRAIN_OUTPUT": f"s3://{BUCKET}/out",
        "UAITRAIN_SYNC_SECONDS": "1",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    return launch(box, "/bin/bash", "-c", line, **(told | environment))


def in_bucket(store: Store) -> set[str]:
    root = store.bucket / "out"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_a_run_goes_on_on_another_machine_and_is_finished_on_a_third(
    box: Box, store: Store, tmp_path: Path
) -> None:
    first = start(box, store, "60", after="; sleep 1000")
    box.wait_for("sent the snapshot tiny_iter_60.solverstate")
    first.kill()
    first.wait()
    brought, last = 60, 90
    with new_box(tmp_path / "second" / "data", box.python) as second:
        assert start(second, store, str(last)).wait(120) == 0, second.shown
        assert (
            f"start 2 of this run: going on from /data/output/tiny_iter_{brought}." in second.shown
        )
        assert iteration(second, f"tiny_iter_{last}") == last
        assert f"tiny_iter_{brought}" in pairs(second)
    there = in_bucket(store)
    assert {f"tiny_iter_{last}.{ending}" for ending in ("caffemodel", "solverstate")} <= there
    marker = store.bucket / "out" / ".uaitrain" / f"{RUN}.0.complete"
    assert json.loads(marker.read_text()) == json.loads(marker.read_text()) | {
        "exit_code": 0,
        "attempts": 2,
    }
    log = (store.bucket / "out" / "log" / f"{RUN}.0.log").read_text()
    assert log.count("train.py: started: ") == 2

    with new_box(tmp_path / "third" / "data", box.python) as third:
        assert start(third, store, str(last)).wait(60) == 0, third.shown
        assert f"the run {RUN} is finished already" in third.shown
        assert "train.py" not in third.shown


def test_results_that_cannot_be_sent_end_the_run_before_it_trains(box: Box, store: Store) -> None:
    assert start(box, store, "50", **{"AWS_SECRET_ACCESS_KEY": "wrong-key"}).wait(60) == 10
    assert "s3://bucket/out" in box.failure
    assert "train.py" not in box.shown
    assert "wrong-key" not in box.shown + box.failure


def test_a_stop_while_data_is_fetched_ends_at_once(box: Box, store: Store) -> None:
    store.put("data/large", b"\0" * (64 << 20))
    store.line.bytes_per_second = 1 << 20
    process = start(box, store, "50")
    box.wait_for("launch: data: ")
    process.send_signal(signal.SIGTERM)

    assert process.wait(20) == 143
    assert "train.py" not in box.shown


def test_a_stopped_run_sends_its_last_snapshot(box: Box, store: Store) -> None:
    process = start(box, store, ENDLESS, UAITRAIN_SYNC_SECONDS="1000")
    box.wait_for("Iteration 10 (")
    process.send_signal(signal.SIGTERM)

    assert process.wait(120) == 143
    last = pairs(box)[-1]
    assert {f"{last}.caffemodel", f"{last}.solverstate"} <= in_bucket(store)
    assert f".uaitrain/{RUN}.0.complete" not in in_bucket(store)
