"""Data sources: real LMDB, LevelDB and HDF5 files, and lists of files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import h5py
import lmdb
import plyvel
import pytest
from preflight_cases import HDF5, IMAGES
from preflight_job import Job, blob, make_lmdb
from uaitrain.frameworks.caffe_schema import caffe_pb2
from uaitrain.preflight import databases

WINDOWS = """\
layer {{ name: "w" type: "WindowData" top: "data" top: "label"
  include {{ phase: TRAIN }}
  window_data_param {{ source: "/data/data/windows.txt" batch_size: 8 {} }} }}"""


def make_leveldb(folder: Path, records: int) -> Path:
    database = plyvel.DB(str(folder), create_if_missing=True)
    for index in range(records):
        database.put(f"{index:08}".encode(), b"x" * 100)
    database.close()
    return folder


@pytest.mark.parametrize("transactions", [1, 2, 3, 4])
def test_the_newer_meta_page_tells_the_entries(tmp_path: Path, transactions: int) -> None:
    with lmdb.open(str(tmp_path / "db"), map_size=1 << 22) as database:
        for number in range(transactions):
            with database.begin(write=True) as txn:
                txn.put(str(number).encode(), b"value")

    facts = databases.lmdb(tmp_path / "db")

    assert facts is not None
    assert facts.entries == transactions
    assert facts.needed_bytes <= facts.size


def test_large_records_do_not_look_truncated(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "db"), map_size=1 << 26) as database:
        for number in range(20):
            with database.begin(write=True) as txn:
                txn.put(str(number % 7).encode(), os.urandom(200_000))

    facts = databases.lmdb(tmp_path / "db")

    assert facts is not None
    assert (facts.entries, facts.needed_bytes <= facts.size) == (7, True)


def test_an_lmdb_without_backend_is_told_with_the_line_to_write(job: Job) -> None:
    job.net(" backend: LMDB", "")

    finding = job.only("backend")

    assert "is LMDB, the layer says LEVELDB, which is the default" in finding.what
    assert finding.mend == "set data_param { backend: LMDB }"
    assert finding.where == f"{job.code / 'net.prototxt'}:5:3"


def test_a_leveldb_is_read_by_default(job: Job) -> None:
    make_leveldb(job.data / "train_leveldb", records=10)
    job.net("train_lmdb", "train_leveldb")
    job.net(" backend: LMDB", "")

    assert job.findings() == ()


def test_a_leveldb_is_not_an_lmdb(job: Job) -> None:
    make_leveldb(job.data / "train_leveldb", records=10)
    job.net("train_lmdb", "train_leveldb")

    assert "is LEVELDB, the layer says LMDB" in job.only("backend").what


def test_a_leveldb_without_its_manifest_is_broken(job: Job) -> None:
    folder = make_leveldb(job.data / "train_leveldb", records=10)
    next(folder.glob("MANIFEST-*")).unlink()
    job.net("train_lmdb", "train_leveldb")
    job.net(" backend: LMDB", "")

    assert "which is missing" in job.only("database-broken").what


def test_a_folder_of_neither_kind_is_told(job: Job) -> None:
    shutil.rmtree(job.data / "train_lmdb")
    (job.data / "train_lmdb").mkdir()

    assert "neither an LMDB" in job.only("database-broken").what


def test_a_source_in_the_code_folder_is_proposed(job: Job) -> None:
    shutil.move(job.data / "train_lmdb", job.code / "train_lmdb")

    assert job.only("source-missing").mend == "did you mean /data/train_lmdb?"


def test_a_path_relative_to_caffes_own_folder_is_mended(job: Job) -> None:
    """The commonest copy: ``examples/mnist/…`` counts from Caffe's source tree."""
    job.net("/data/data/train_lmdb", "examples/mnist/train_lmdb")

    finding = job.only("source-missing")

    assert "/data/examples/mnist/train_lmdb does not exist" in finding.what
    assert finding.mend == "did you mean /data/data/train_lmdb?"


def test_a_source_that_the_ignore_rules_leave_out_is_told_as_such(job: Job) -> None:
    shutil.move(job.data / "train_lmdb", job.code / "train_lmdb")
    job.net("/data/data/train_lmdb", "/data/train_lmdb")
    job.ignore.append("train_lmdb")

    assert "left out of the image by the ignore rules" in job.only("source-missing").what


def test_a_missing_data_folder_is_one_finding(job: Job) -> None:
    shutil.rmtree(job.data)

    assert job.names() == ["data-folder-missing"]


def test_what_no_phase_uses_is_not_looked_at(job: Job) -> None:
    shutil.rmtree(job.data / "test_lmdb")
    job.solver("test_iter: 10\n", "")
    job.solver("test_interval: 100\n", "")

    assert job.names() == ["test-never"]


def test_a_good_hdf5_list_is_silent(job: Job) -> None:
    with h5py.File(job.data / "train.h5", "w") as file:
        file["data"] = [[1.0]]
    (job.data / "list.txt").write_text("data/train.h5\n")
    job.data_layer(HDF5.format('source: "/data/data/list.txt"'))

    assert job.findings() == ()


def test_an_hdf5_file_with_a_user_block_is_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=1024) as file:
        file["data"] = [1.0]

    assert databases.is_hdf5(tmp_path / "a.h5")


def test_a_missing_slash_of_root_folder_is_seen(job: Job) -> None:
    (job.data / "cat.jpg").write_bytes(b"\xff\xd8")
    (job.data / "list.txt").write_text("cat.jpg 0\n")
    layer = IMAGES.format('source: "/data/data/list.txt" root_folder: "/data/data"')
    job.data_layer(layer)

    finding = job.only("listed-file-missing")

    assert "/data/datacat.jpg" in finding.what
    assert "slash" in finding.mend
    assert finding.where == f"{job.data / 'list.txt'}:1"


def test_a_good_image_list_is_silent(job: Job) -> None:
    (job.data / "a cat.jpg").write_bytes(b"\xff\xd8")
    (job.data / "list.txt").write_text("a cat.jpg 0\r\n\n")
    job.data_layer(IMAGES.format('source: "/data/data/list.txt" root_folder: "/data/data/"'))

    assert job.findings() == ()


def test_of_a_long_list_a_sample_with_both_ends_is_looked_at(job: Job) -> None:
    (job.data / "a.jpg").write_bytes(b"\xff\xd8")
    lines = ["a.jpg 0"] * 10_000 + ["last.jpg 0"]
    (job.data / "list.txt").write_text("\n".join(lines))
    job.data_layer(IMAGES.format('source: "/data/data/list.txt" root_folder: "/data/data/"'))

    finding = job.only("listed-file-missing")

    assert finding.what.startswith("1 of 200 looked at of the 10,001 files")
    assert finding.where.endswith("list.txt:10001")


def test_window_files_name_their_images(job: Job) -> None:
    block = "# 0\na.jpg\n3\n100\n100\n2\n1 0.8 0 0 9 9\n0 0.1 0 0 9 9\n"
    (job.data / "windows.txt").write_text(block + block.replace("a.jpg", "b.jpg"))
    (job.data / "a.jpg").write_bytes(b"\xff\xd8")
    job.data_layer(WINDOWS.format('root_folder: "/data/data/"'))

    finding = job.only("listed-file-missing")

    assert finding.what.startswith("1 of 2")
    assert finding.where.endswith("windows.txt:10")


def test_a_broken_window_file_is_told_by_line(job: Job) -> None:
    (job.data / "windows.txt").write_text("# 0\na.jpg\n3\n100\n100\nmany\n")
    job.data_layer(WINDOWS.format(""))

    assert job.only("list-line").where.endswith("windows.txt:6")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (blob(1, 3, 2, 2).SerializeToString(), ""),
        (
            caffe_pb2.BlobProto(
                num=1, channels=1, height=2, width=2, data=[0.0] * 4
            ).SerializeToString(),
            "",
        ),
        (b"", "without data"),
        (b"not a blob", "not a BlobProto"),
        (caffe_pb2.BlobProto(shape={"dim": [5]}, data=[0.0]).SerializeToString(), "1 values"),
    ],
)
def test_mean_files(job: Job, data: bytes, says: str) -> None:
    (job.data / "mean.binaryproto").write_bytes(data)
    mean = 'transform_param { mean_file: "/data/data/mean.binaryproto" }\n'
    job.net("data_param", mean + "data_param")

    found = [finding.what for finding in job.findings()]

    assert len(found) == bool(says)
    assert all(says in what for what in found)


def test_v1_nets_have_their_sources_looked_at(job: Job) -> None:
    (job.code / "net.prototxt").write_text(
        """
        layers { name: "d" type: DATA top: "data" top: "label"
          data_param { source: "/data/data/gone" batch_size: 8 backend: LMDB } }
        layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip"
          inner_product_param { num_output: 10 } }
        layers { name: "loss" type: SOFTMAX_LOSS bottom: "ip" bottom: "label" }
        """
    )

    assert job.names() == ["source-missing"]


def test_an_unreadable_list_is_a_finding_and_not_an_exception(job: Job) -> None:
    (job.data / "list.txt").mkdir()
    job.data_layer(IMAGES.format('source: "/data/data/list.txt"'))

    assert "cannot be read" in job.only("database-broken").what


def test_a_truncated_copy_is_noticed(job: Job, tmp_path: Path) -> None:
    full = make_lmdb(tmp_path / "full", records=400)
    size = (full / "data.mdb").stat().st_size
    (job.data / "train_lmdb" / "data.mdb").write_bytes(
        (full / "data.mdb").read_bytes()[: size // 2]
    )

    assert f"of {size:,} bytes" in job.only("database-truncated").what
