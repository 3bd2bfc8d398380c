"""Caffe's arguments as the manual prints them, and what a solver says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from uaitrain.frameworks import caffe
from uaitrain.frameworks.caffe_schema import caffe_pb2
from uaitrain.frameworks.prototxt import SOLVER, parse
from uaitrain.spec import CPU, GPU, Framework, Target, TrainSpec

SPEC = TrainSpec(
    framework=Framework("caffe", "1.0.0"),
    code=Path("/code"),
    main_file="train.py",
    data=Path("/test/data"),
    output=Path("/test/output"),
    target=Target("h", "r", "i", "t"),
    solver="/data/data/lenet_solver.prototxt",
)


def test_a_cpu_run_is_the_manuals() -> None:
    assert " ".join(caffe.run_arguments(SPEC, CPU, 1)) == (
        "--solver=/data/data/lenet_solver.prototxt --use_cpu=True --work_dir=/data "
        "--data_dir=/data/data --output_dir=/data/output --log_dir=/data/output/log"
    )


def test_a_gpu_run_is_the_manuals() -> None:
    assert " ".join(caffe.run_arguments(SPEC, GPU, 1)) == (
        "--solver=/data/data/lenet_solver.prototxt --use_cpu=False --num_gpus=1 --work_dir=/data "
        "--data_dir=/data/data --output_dir=/data/output --log_dir=/data/output/log"
    )


def test_snapshot_and_parameters_follow_the_solver() -> None:
    spec = replace(SPEC, snapshot="auto", arguments=("--timing", "a b"))

    assert caffe.training_arguments(spec) == (
        "--solver=/data/data/lenet_solver.prototxt",
        "--snapshot=auto",
        "--timing",
        "a b",
    )


@pytest.mark.parametrize(
    ("said", "prefix"),
    [
        ('snapshot_prefix: "/data/output/a"', "/data/output/a"),
        ('snapshot_prefix: "/data/output/"', "/data/output/lenet"),
        ("", "/data/lenet"),
    ],
)
def test_the_prefix_is_what_caffe_will_use(said: str, prefix: str) -> None:
    facts = caffe.solver_facts(parse(said, SOLVER).message, "/data/lenet.prototxt")

    assert facts.snapshot_prefix == prefix


def test_an_old_solver_type_is_understood() -> None:
    message = parse("solver_type: ADADELTA", SOLVER).message

    assert caffe.solver_type(message) == "AdaDelta"


def test_solver_types_follow_the_old_enum() -> None:
    names = caffe_pb2.SolverParameter.DESCRIPTOR.enum_types_by_name["SolverType"].values

    assert [name.name.lower() for name in names] == [t.lower() for t in caffe.SOLVER_TYPES]


def test_every_old_layer_type_has_a_modern_name() -> None:
    enum = caffe_pb2.V1LayerParameter.DESCRIPTOR.enum_types_by_name["LayerType"]
    modern = {caffe.modern_type(value.name) for value in enum.values if value.name != "NONE"}

    assert modern <= caffe.LAYER_TYPES
