"""What preflight says of Caffe is what real Caffe does: it runs the very jobs of the cases."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from preflight_cases import CASES
from preflight_job import Job
from support.caffe_rootfs import PATIENCE_SECONDS, Box, new_box
from uaitrain.frameworks.caffe import BOTTOMS, LAYER_TYPES
from uaitrain.preflight import RULES, Severity

ABORTING = {
    "solver-missing": "File not found: /data/data/solver.prototxt",
    "solver-no-net": "SolverParameter must specify a train net",
    "solver-many-nets": "must not contain more than one of these fields",
    "lr-policy": "Unknown learning rate policy: inverse",
    "solver-type": "Unknown solver type: SDG",
    "solver-momentum": "Momentum cannot be used with AdaGrad",
    "prototxt-syntax": "3:10: Expected double, got: fast",
    "prototxt-unknown-field": 'has no field named "kernal_size"',
    "prototxt-unknown-value": 'Unknown enumeration value of "LMBD"',
    "prototxt-required": "missing required fields: layer[3].clip_param.max",
    "net-missing": "File not found: /data/nett.prototxt",
    "net-mixed-ages": "Refusing to upgrade inconsistent NetParameter",
    "layer-type-unknown": "Unknown layer type: Convolutoin",
    "layer-bottoms": "takes 2 bottom blob(s) as input",
    "layer-include-and-exclude": "Specify either include rules or exclude rules",
    "bottom-unknown": "Unknown bottom blob 'dta'",
    "top-twice": "Top blob 'conv' produced by multiple sources",
    "python-layer-module": "No module named 'mine'",
    "test-iter": "test_iter must be specified for each test network",
    "test-interval": "param_.test_interval() > 0",
    "test-state": "test_state must be unspecified or specified once per test net",
    "source-not-given": "mdb_status == 0",
    "source-missing": "mdb_status == 0",
    "backend": "Failed to open leveldb /data/data/train_lmdb",
    "database-broken": "MDB_INVALID",
    "source-empty": "",
    "listed-file-missing": "Could not load one.jpg",
    "list-line": "Could not load one.jpg",
    "hdf5-broken": "Failed opening HDF5 file",
    "mean-file": "File not found: /data/data/mean.binaryproto",
    "mean-twice": "Cannot specify mean_file and mean_value",
    "batch-size": "Check failed: data_",
    "output-not-writable": "Cannot write to snapshot prefix '/data/output/tiny'",
    "snapshot-folder-missing": "Cannot write to snapshot prefix '/data/output/new/tiny'",
    "snapshot-missing": "File not found: /data/output/no.solverstate",
    "snapshot-not-a-solverstate": "Incorrect length of history blobs",
    "snapshot-weights-missing": "File not found: /data/output/tiny_iter_250.caffemodel",
    "snapshot-other-net": "Incorrect length of history blobs",
}
"""Every rule that promises an abort, with words of the real one (none for an empty LMDB)."""


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    with new_box(tmp_path / "box", "python3") as new:
        yield new


def shorten(job: Job) -> None:
    """The same job in four iterations on the CPU, where the case left those lines alone."""
    path = job.code / "solver.prototxt"
    text = path.read_text("utf-8")
    for old, new in (
        ("max_iter: 500", "max_iter: 4"),
        ("test_iter: 10\n", "test_iter: 1\n"),
        ("test_interval: 100", "test_interval: 2"),
        ("snapshot: 250", "snapshot: 2"),
        ("solver_mode: GPU", ""),
    ):
        text = text.replace(old, new)
    path.write_text(text + "solver_mode: CPU\n", "utf-8")


def run_caffe(job: Job, box: Box) -> int:
    """``caffe train`` in a container with the job's folders; its exit code."""
    shutil.copytree(job.code, box.data, dirs_exist_ok=True)
    shutil.copytree(job.data, box.data / "data")
    shutil.rmtree(box.output)
    if job.output.is_dir():
        shutil.copytree(job.output, box.output)
    snapshot = [f"--snapshot={job.spec.snapshot}"] if job.spec.snapshot else []
    program = ("/usr/bin/env", "--chdir=/data", "/usr/bin/caffe", "train")
    running = box.start(*program, f"--solver={job.spec.solver}", *snapshot)
    return running.wait(PATIENCE_SECONDS)


def test_the_good_job_trains(job: Job, box: Box) -> None:
    shorten(job)

    assert run_caffe(job, box) == 0, box.shown
    assert (box.output / "tiny_iter_4.caffemodel").is_file()


def test_a_state_that_caffe_wrote_is_a_good_snapshot(job: Job, box: Box) -> None:
    shorten(job)
    assert run_caffe(job, box) == 0, box.shown
    shutil.copytree(box.output, job.output, dirs_exist_ok=True)

    job.change(snapshot="/data/output/tiny_iter_2.solverstate")

    assert job.findings() == ()


def test_every_promise_is_tried() -> None:
    assert {rule.name for rule in RULES if rule.why.startswith("Caffe aborts")} == set(ABORTING)


@pytest.mark.parametrize("name", ABORTING)
def test_caffe_aborts_where_the_rule_says_so(name: str, job: Job, box: Box) -> None:
    CASES[name](job)
    shorten(job)

    assert run_caffe(job, box) != 0, box.shown
    assert ABORTING[name] in box.shown


def test_layer_types_are_those_that_caffe_registers(box: Box) -> None:
    script = "import caffe; print('types', *caffe.layer_type_list())"
    assert box.start("/usr/bin/python3", "-c", script).wait(PATIENCE_SECONDS) == 0, box.shown

    line = next(line for line in box.shown.splitlines() if line.startswith("types "))
    assert set(line.split()[1:]) == LAYER_TYPES


COUNTS = r"""
import json, os, re, sys
import caffe

def fits(kind, count):
    names = "abcd"[:count]
    inputs = "".join('layer { name: "i%s" type: "Input" top: "%s" input_param {'
                     ' shape { dim: 2 dim: 2 dim: 2 dim: 2 } } }' % (n, n) for n in names)
    bottoms = "".join('bottom: "%s" ' % n for n in names)
    with open("/data/count.prototxt", "w") as file:
        file.write('%s layer { name: "x" type: "%s" %s top: "x" }' % (inputs, kind, bottoms))
    child = os.fork()
    if child == 0:
        os.dup2(os.open("/data/count.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        caffe.Net("/data/count.prototxt", caffe.TEST)
        os._exit(0)
    os.waitpid(child, 0)
    return not re.search(r"takes .*bottom blob", open("/data/count.log").read())

print(json.dumps({k: [n for n in range(5) if fits(k, n)] for k in sys.argv[1:]}))
"""


def test_layers_take_as_many_bottoms_as_in_caffe(box: Box) -> None:
    program = ("/usr/bin/python3", "-c", COUNTS, *BOTTOMS)
    assert box.start(*program).wait(PATIENCE_SECONDS) == 0, box.shown

    real = json.loads(next(line for line in box.shown.splitlines() if line.startswith("{")))

    assert real == {
        kind: list(range(fewest, 5 if most is None else most + 1))
        for kind, (fewest, most) in BOTTOMS.items()
    }


def test_errors_are_what_stops_caffe() -> None:
    """Nothing that aborts Caffe is called less than an error, but for what may be in the base."""
    weaker = {rule.name for rule in RULES if rule.severity is not Severity.ERROR} & set(ABORTING)

    assert weaker == {"python-layer-module"}
