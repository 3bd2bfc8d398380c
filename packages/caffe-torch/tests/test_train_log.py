"""The whole ``train`` command beside real Caffe's: same seed, same data, same lines."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from jobs import lenet
from oracle.program import Ended, run_oracle, run_ours

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
TIMED = re.compile(r" \([^()]* iter/s, [^()]*s/")
INNER = ("db_lmdb", "data_layer", "data_reader", "blocking_queue", "layer_factory")
"""Data threads, and layers that Caffe makes inside of layers."""

FIRST_ITERATIONS = 6
"""After some more the two part, as Caffe does from itself."""


def both(
    job: Path, edit: Callable[[str], str] = lambda net: net, **changes: object
) -> tuple[Ended, Ended]:
    """The same training by real Caffe (in ``/data``) and by us; ``edit`` changes the net's text."""
    theirs = job / "theirs"
    theirs.mkdir()
    for database in ("mnist_train_lmdb", "mnist_test_lmdb"):
        shutil.copytree(job / database, theirs / database)
    for folder, seen in ((theirs, "/data"), (job, str(job))):
        lenet(folder, seen, max_iter=FIRST_ITERATIONS, **changes)
        net = folder / "net.prototxt"
        net.write_text(edit(net.read_text()))
    oracle = run_oracle(theirs, "train", "--solver=/data/solver.prototxt")
    ours = run_ours("train", f"--solver={job}/solver.prototxt")
    assert (oracle.status, ours.status) == (0, 0), oracle.output + ours.output
    return oracle, ours


def comparable(ended: Ended, folder: str) -> list[tuple[str, str, str]]:
    """The lines without what is this run's own: paths, times, and whose thread loads data."""
    return [
        (severity, place.partition(":")[0], TIMED.sub(" (… iter/s, …s/", text).replace(folder, ""))
        for severity, place, text in ended.lines
        if not place.startswith(INNER)
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"debug_info": "true", "display": 3},
        {"iter_size": 2, "average_loss": 3, "clip_gradients": 0.5, "test_compute_loss": "true"},
        {"type": '"Adam"', "lr_policy": '"multistep"', "stepvalue": 2, "momentum2": 0.99,
         "snapshot_format": "HDF5", "regularization_type": '"L1"'},
        {"test_initialization": "false", "snapshot": None, "snapshot_after_train": "false"},
    ],
    ids=["plain", "debug_info", "accumulate and clip", "Adam and HDF5", "no tests at first"],
)  # fmt: skip
def test_every_line_is_caffes_and_every_number_close(job: Path, changes: dict[str, object]) -> None:
    assert_same_lines(job, *both(job, **changes))


def crops_mirrors_and_drops(net: str) -> str:
    """A net that needs random numbers of every kind: for crops and mirrors in the data threads,
    gaussian and sparse weights, dropout masks."""
    net = net.replace("scale: 0.00390625", "scale: 0.00390625 mirror: true crop_size: 24")
    net = net.replace('type: "xavier"', 'type: "gaussian" std: 0.03', 1)
    dropout = 'layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" }\n'
    at = net.index("layer {", net.index('type: "ReLU"'))
    return net[:at] + dropout + net[at:]


def test_a_seed_gives_caffes_crops_mirrors_weights_and_masks(job: Path) -> None:
    assert_same_lines(job, *both(job, crops_mirrors_and_drops))


def assert_same_lines(job: Path, oracle: Ended, ours: Ended) -> None:
    expected, found = comparable(oracle, "/data"), comparable(ours, str(job))
    assert [NUMBER.sub("#", " ".join(line)) for line in found] == [
        NUMBER.sub("#", " ".join(line)) for line in expected
    ]
    for have, want in zip(found, expected, strict=True):
        have_numbers = [float(number) for number in NUMBER.findall(have[2])]
        want_numbers = [float(number) for number in NUMBER.findall(want[2])]
        np.testing.assert_allclose(
            have_numbers, want_numbers, rtol=1e-3, atol=1e-6, err_msg=f"{have}\n{want}"
        )
