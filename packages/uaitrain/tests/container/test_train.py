"""The stock entry on real Caffe: what it trains and what it leaves."""

from __future__ import annotations

import pytest
from container.jobs import FAST, iteration, pairs, write_job
from support.caffe_rootfs import Box

CPU = "--use_cpu=True"
TYPES = {
    "SGD": {},
    "Nesterov": {},
    "AdaGrad": {"momentum": ""},
    "RMSProp": {"momentum": "", "rms_decay": "0.98"},
    "AdaDelta": {"momentum": "0.95", "delta": "1e-6"},
    "Adam": {"momentum2": "0.999"},
}


@pytest.mark.parametrize("kind", TYPES)
def test_each_solver_type_gives_the_weights_that_caffe_train_gives(box: Box, kind: str) -> None:
    solver = write_job(box, type=f'"{kind}"', **TYPES[kind])

    assert box.finish(solver, CPU) == 0
    trained = (box.output / "tiny_iter_100.caffemodel").read_bytes()

    (box.output / "tiny_iter_100.caffemodel").unlink()
    write_job(box, type=f'"{kind}"', solver_mode="CPU", **TYPES[kind])
    assert box.start("caffe", "train", solver).wait() == 0
    assert (box.output / "tiny_iter_100.caffemodel").read_bytes() == trained


@pytest.mark.parametrize(
    "changes",
    [
        {"snapshot": "0", "snapshot_after_train": "false"},
        {"snapshot": "30", "snapshot_after_train": "false"},
        {"snapshot_prefix": '"output/tiny"  # relative to the working directory'},
        {"snapshot_prefix": '"/data/output/new/folder/tiny"'},
        {"solver_mode": "GPU"},
    ],
)
def test_the_final_weights_are_always_there(box: Box, changes: dict[str, str]) -> None:
    assert box.finish(write_job(box, **changes), CPU) == 0

    found = sorted(path.name for path in box.output.rglob("*_iter_100.*"))
    assert found == ["tiny_iter_100.caffemodel", "tiny_iter_100.solverstate"]
    assert "Iteration 90 (" in box.shown
    assert not list(box.output.rglob(".*"))


def test_without_a_prefix_the_snapshots_bear_the_solvers_name_in_the_output_folder(
    box: Box,
) -> None:
    assert box.finish(write_job(box, snapshot_prefix=""), CPU) == 0

    assert pairs(box) == ["solver_iter_100"]


def test_periodic_snapshots_are_kept_and_shown_by_their_final_names(box: Box) -> None:
    assert box.finish(write_job(box, snapshot="40"), CPU) == 0

    assert pairs(box) == ["tiny_iter_40", "tiny_iter_80", "tiny_iter_100"]
    assert "Snapshotting to binary proto file /data/output/tiny_iter_40.caffemodel" in box.shown


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_a_resumed_run_ends_at_exactly_max_iter(box: Box, form: str) -> None:
    ending = ".solverstate.h5" if form == "HDF5" else ".solverstate"
    assert box.finish(write_job(box, max_iter="40", snapshot_format=form), CPU) == 0
    first = f"--snapshot=/data/output/tiny_iter_40{ending}"

    assert box.finish(write_job(box, snapshot_format=form), CPU, first) == 0

    assert pairs(box) == ["tiny_iter_40", "tiny_iter_100"]
    assert "Iteration 90 (" in box.shown
    assert "Iteration 30 (" not in box.shown
    if form == "BINARYPROTO":
        assert iteration(box, "tiny_iter_100") == 100


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_caffe_itself_can_go_on_from_what_is_left(box3: Box, form: str) -> None:
    ending = ".solverstate.h5" if form == "HDF5" else ".solverstate"
    assert box3.finish(write_job(box3, max_iter="40", snapshot_format=form), CPU) == 0

    solver = write_job(box3, solver_mode="CPU")
    state = f"--snapshot=/data/output/tiny_iter_40{ending}"
    assert box3.start("caffe", "train", solver, state).wait() == 0
    assert "tiny_iter_100" in pairs(box3)


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_a_pair_that_was_moved_restores_the_weights_beside_it(box: Box, form: str) -> None:
    ending = "te.h5" if form == "HDF5" else "te"
    assert box.finish(write_job(box, max_iter="40", snapshot_format=form), CPU) == 0
    (box.data / "data").mkdir()
    for path in list(box.output.glob("tiny_iter_40.*")):
        path.rename(box.data / "data" / path.name)

    state = f"--snapshot=/data/data/tiny_iter_40.solversta{ending}"
    assert box.finish(write_job(box, snapshot_format=form), CPU, state) == 0
    assert pairs(box) == ["tiny_iter_100"]


def test_auto_starts_afresh_without_a_snapshot_and_at_once_returns_when_all_is_done(
    box: Box,
) -> None:
    solver = write_job(box, snapshot="40")
    assert box.finish(solver, CPU, "--snapshot=auto") == 0
    assert "no complete snapshot yet: starting afresh" in box.shown

    assert box.finish(solver, CPU, "--snapshot=auto") == 0
    assert "already trained to iteration 100" in box.shown
    assert "Solving" not in box.shown


@pytest.mark.parametrize("victim", ["solverstate", "caffemodel", "solverstate.h5", "caffemodel.h5"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_auto_skips_a_newest_pair_that_is_not_whole(box3: Box, victim: str, damage: str) -> None:
    form = "HDF5" if victim.endswith("h5") else "BINARYPROTO"
    assert (
        box3.finish(write_job(box3, max_iter="80", snapshot="40", snapshot_format=form), CPU) == 0
    )
    broken = box3.output / f"tiny_iter_80.{victim}"
    whole = broken.read_bytes()
    if damage == "cut":
        broken.write_bytes(whole[:-2])
    else:
        broken.unlink()

    solver = write_job(box3, snapshot_format=form)
    assert box3.finish(solver, CPU, "--snapshot=auto") == 0
    assert "going on from /data/output/tiny_iter_40.solverstate" in box3.shown
    assert "tiny_iter_100" in {path.name.split(".")[0] for path in box3.output.iterdir()}


def test_output_is_shown_and_logged_in_one_file_a_run(box: Box) -> None:
    solver = write_job(box)
    for runs in (1, 2):
        assert box.finish(solver, CPU) == 0
        logs = sorted((box.output / "log").glob("train-*Z-*.log"), key=lambda p: p.stat().st_mtime)

        assert len(logs) == runs
        assert sorted(logs[-1].read_text().splitlines()) == sorted(box.shown.splitlines())
        assert "Train net output #0: loss = " in box.shown


def test_it_runs_as_a_user_that_nobody_knows_without_a_home(box: Box) -> None:
    box.output.chmod(0o777)

    assert box.finish(write_job(box), CPU, uid=12345) == 0
    assert {path.stat().st_uid for path in box.output.iterdir()} == {12345}


def test_times_are_printed_when_asked_for(box3: Box) -> None:
    assert box3.finish(write_job(box3), CPU, "--timing=True") == 0

    assert "timing at iteration 20: forward and backward " in box3.shown


def test_a_python_layer_beside_the_solver_is_found(box3: Box) -> None:
    box3.write(
        "mine.py",
        "import caffe\n"
        "class Twice(caffe.Layer):\n"
        "    def setup(self, bottom, top): pass\n"
        "    def reshape(self, bottom, top): top[0].reshape(*bottom[0].data.shape)\n"
        "    def forward(self, bottom, top): top[0].data[...] = 2 * bottom[0].data\n"
        "    def backward(self, top, down, bottom): bottom[0].diff[...] = 2 * top[0].diff\n",
    )
    solver = write_job(box3, FAST)
    net = (box3.data / "net.prototxt").read_text()
    layer = (
        'layer { name: "t" type: "Python" bottom: "ip" top: "t" '
        'python_param { module: "mine" layer: "Twice" } }\nlayer { name: "ip2"'
    )
    net = net.replace('layer { name: "ip2"', layer).replace(
        'bottom: "ip" top: "ip2"', 'bottom: "t" top: "ip2"'
    )
    box3.write("net.prototxt", net)

    assert box3.finish(solver, CPU) == 0
    assert pairs(box3) == ["tiny_iter_100"]
