"""The schema is the real Caffe's, and its Python form is its own."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf import descriptor_pb2
from uaitrain.frameworks.caffe_schema import caffe_pb2

REPOSITORY = Path(__file__).resolve().parents[4]
ORACLE = json.loads(Path(__file__).with_name("caffe_oracle.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    path = str(REPOSITORY / "scripts" / "generate-schema")
    loader = importlib.machinery.SourceFileLoader("generate_schema", path)
    spec = importlib.util.spec_from_loader("generate_schema", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def ours() -> descriptor_pb2.FileDescriptorProto:
    data = caffe_pb2.POOL.FindFileByName("caffe.proto").serialized_pb
    return descriptor_pb2.FileDescriptorProto.FromString(data)


def test_every_message_of_the_real_caffe_is_there(generator: ModuleType) -> None:
    assert set(generator.facts(ours())["messages"]) == set(ORACLE["messages"])


@pytest.mark.parametrize("name", sorted(ORACLE["messages"]))
def test_fields_are_the_real_ones(generator: ModuleType, name: str) -> None:
    """Number, label, type, default and packing of every field."""
    assert generator.facts(ours())["messages"][name] == ORACLE["messages"][name]


def test_enums_are_the_real_ones(generator: ModuleType) -> None:
    assert generator.facts(ours())["enums"] == ORACLE["enums"]


def test_the_committed_python_is_what_the_script_makes(generator: ModuleType) -> None:
    file = generator.compiled(generator.SCHEMA / "caffe.proto")

    assert generator.fields_module(file) == (generator.PACKERS / "fields.py").read_text("utf-8")
    assert generator.module(file) == (generator.PACKERS / "caffe_pb2.py").read_text("utf-8")
    assert generator.engine_module(file) == (generator.SCHEMA / "caffe_pb2.py").read_text("utf-8")


BESIDE = """
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from uaitrain.frameworks.caffe_schema import caffe_pb2

other = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe")
other.message_type.add(name="SolverParameter")
descriptor_pool.Default().AddSerializedFile(other.SerializeToString())
assert not descriptor_pool.Default().FindMessageTypeByName("caffe.SolverParameter").fields
solver = text_format.Parse("net: 'a.prototxt'", caffe_pb2.SolverParameter())
assert solver.net == "a.prototxt"
"""


def test_another_caffe_schema_may_live_in_the_same_process() -> None:
    """A real caffe_pb2 registers ``caffe.*`` in protobuf's default pool, as this child does."""
    subprocess.run([sys.executable, "-c", BESIDE], check=True)
