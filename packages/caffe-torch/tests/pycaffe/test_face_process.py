"""What the face does to its process: imports, log lines, several solvers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import caffe
import pytest

SOURCE = str(Path(caffe.__file__).parents[1])


def python(text: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": SOURCE, "OMP_NUM_THREADS": "1", **more}
    return subprocess.run(
        [sys.executable, "-c", text], env=environment, capture_output=True, text=True
    )


def test_importing_caffe_loads_neither_torch_nor_the_face() -> None:
    done = python(
        "import sys, caffe; "
        "print([m for m in sys.modules if m in ('torch', 'numpy') or 'pycaffe' in m])"
    )

    assert done.stdout.strip() == "[]", done.stderr


def test_importing_caffe_makes_torchs_threads_wait_without_spinning() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", "import os, caffe; print(os.environ['OMP_WAIT_POLICY'])"],
        env={**environment, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
    )

    assert done.stdout.strip() == "PASSIVE", done.stderr


def test_every_name_of_the_face_can_be_had() -> None:
    for name in caffe.__all__:
        assert getattr(caffe, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        caffe.nonsense  # noqa: B018 - the look itself is what fails


def test_layers_makes_tops_whatever_was_loaded_before() -> None:
    done = python(
        "import caffe; from caffe import layers as L, params as P; caffe.layer_type_list(); "
        "print(L.Pooling(L.Input(), pool=P.Pooling.AVE).to_proto().layer[1].pooling_param.pool)"
    )

    assert done.stdout.strip() == "1", done.stderr


@pytest.mark.parametrize(
    ("before", "level", "lines"),
    [("", "0", 1), ("", "1", 0), ("caffe.init_log(); ", "2", 1), ("caffe.init_log(1); ", "0", 0)],
)
def test_log_lines_go_to_standard_error_from_the_severity_on(
    before: str, level: str, lines: int
) -> None:
    done = python(f"import caffe; {before}caffe.log('a word')", GLOG_minloglevel=level)

    found = re.findall(r"^I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ _caffe.cpp:\d+\] a word$", done.stderr)
    assert (len(found), done.stdout) == (lines, "")


SOLVE = """
import sys, caffe
folder, rank, uid = sys.argv[1:]
caffe.set_solver_count(2)
caffe.set_solver_rank(int(rank))
caffe.set_multiprocess(True)
caffe.set_random_seed(int(rank))
solver = caffe.SGDSolver(folder + "/solver.prototxt")
nccl = caffe.NCCL(solver, uid)
nccl.bcast()
solver.add_callback(nccl)
if solver.param.layer_wise_reduce:
    solver.net.after_backward(nccl)
solver.step(3)
print(solver.net.params["ip"][0].data.tolist())
"""
NET = """
    layer { name: "in" type: "DummyData" top: "data" dummy_data_param {
      shape { dim: 4 dim: 3 } data_filler { type: "gaussian" } } }
    layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
      inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
    layer { name: "l" type: "Reduction" bottom: "ip" top: "l" loss_weight: 1
      reduction_param { operation: SUMSQ } }
"""


def test_two_processes_with_one_nccl_train_one_net(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.01 lr_policy: "fixed" '
        f'snapshot_prefix: "{tmp_path}/face"'
    )
    uid = caffe.NCCL.new_uid()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SOLVE, str(tmp_path), str(rank), uid],
            env={**os.environ, "PYTHONPATH": SOURCE, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    (first, said), (second, other) = (each.communicate(timeout=120) for each in running)

    assert [each.returncode for each in running] == [0, 0], f"{said}\nsolver 1:\n{other}"
    assert first == second
    assert first.startswith("[[")
