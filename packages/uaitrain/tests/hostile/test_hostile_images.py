"""Images that somebody made to hurt: refused by one of our errors, in bounded memory."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from uaitrain.bundles.apply import apply
from uaitrain.bundles.tree import Tree
from uaitrain.errors import DigestError, RegistryError, StorageError, UsageError
from uaitrain.oci.descriptor import OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor
from uaitrain.oci.digest import digest_of, hex_part
from uaitrain.oci.image import Image, canonical_json, parse_config, parse_index, parse_manifest
from uaitrain.oci.layer import BlobLayer
from uaitrain.oci.layout import MAX_NESTING, Layout
from uaitrain.oci.reference import Reference
from uaitrain.oci.validate import validate
from uaitrain.progress import Silent

ZEROS = "sha256:" + "0" * 64
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


@pytest.mark.parametrize(
    "raw",
    [
        DEEP,
        b"[" * 100_000,
        b'{"schemaVersion": ' + b"9" * 5000 + b"}",
        b'{"schemaVersion": 1e999}',
        b'{"schemaVersion": NaN}',
        b'{"schemaVersion": 2, "schemaVersion": 1}',
        b'{"\\ud800": 1}',
        b"\xff\xfe{",
        b"",
        b"null",
    ],
)
def test_documents_that_are_no_honest_json_are_refused_everywhere(raw: bytes) -> None:
    for parse in (
        lambda: parse_manifest(raw, OCI_MANIFEST),
        lambda: parse_index(raw),
        lambda: parse_config(raw, 0),
    ):
        with pytest.raises(RegistryError):
            parse()


def test_a_name_said_twice_is_named() -> None:
    with pytest.raises(RegistryError, match="says 'layers' twice"):
        parse_manifest(b'{"layers": [], "layers": [1]}', OCI_MANIFEST)


def test_ten_thousand_layers_are_no_image() -> None:
    blob = Descriptor(OCI_LAYER, digest_of(b""), 0)
    layer = BlobLayer(digest_of(b""), blob, io.BytesIO)
    image = Image((layer,) * 10_000, {"os": "linux", "architecture": "amd64"})
    with pytest.raises(RegistryError, match="10000 layers"):
        validate(image)


def test_a_reference_of_a_megabyte_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="characters"):
        Reference.parse("a-" * 500_000 + ".b/c")


Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **more: object) -> Entry:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    for key, value in more.items():
        setattr(info, key, value)
    return info, b""


def layer_of(*entries: Entry) -> BlobLayer:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in entries:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    raw = data.getvalue()
    return BlobLayer(
        digest_of(raw), Descriptor(OCI_LAYER, digest_of(raw), len(raw)), lambda: io.BytesIO(raw)
    )


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[..., Path]:
    root = tmp_path / "in" / "root"
    root.mkdir(parents=True)

    def run(*entries: Entry) -> Path:
        task = Silent().start("x", None)
        apply(layer_of(*entries), Tree(root, "test"), task)
        return root

    return run


@pytest.mark.parametrize(
    "entries",
    [
        [entry("../out")],
        [entry("a/../../out")],
        [entry("/../out")],
        [entry("a", tarfile.LNKTYPE, "../../out")],
        [entry("a", tarfile.LNKTYPE, "/etc/passwd")],
        [entry("a", tarfile.SYMTYPE, "b"), entry("b", tarfile.SYMTYPE, "a"), entry("a/x")],
        [entry(".wh...")],
        [entry("a/.wh.")],
        [entry("a/.wh..")],
        [entry("x", pax_headers={"mtime": "1e300"})],
        [entry("x", pax_headers={"mtime": "nan"})],
        [entry("/".join("a" * 1000))],
        [entry("x", pax_headers={"comment": "y" * (2 << 20)})],
    ],
    ids=[
        "up", "up in the middle", "up from the root", "hard link out", "hard link to the host",
        "links in a circle", "whiteout of ..", "whiteout of nothing", "whiteout of .",
        "time beyond time", "time that is none", "a thousand folders", "a header of megabytes",
    ],
)  # fmt: skip
def test_what_leaves_the_image_or_cannot_be_is_refused(
    entries: list[Entry], unpack: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(RegistryError):
        unpack(*entries)
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["root"]


def test_links_lead_inside_and_devices_stay_out(
    unpack: Callable[..., Path], tmp_path: Path
) -> None:
    outside = tmp_path / "victim"
    outside.mkdir()
    root = unpack(
        entry("up", tarfile.SYMTYPE, "../../victim"),
        entry("up/file"),
        entry("absolute", tarfile.SYMTYPE, str(outside)),
        entry("absolute/file"),
        entry("null", tarfile.CHRTYPE),
        entry("disk", tarfile.BLKTYPE),
        entry("/rooted"),
    )
    assert list(outside.iterdir()) == []
    assert (root / "victim" / "file").is_file()
    assert (root / "rooted").is_file()
    assert not (root / "null").exists()
    assert not (root / "disk").exists()


def test_a_file_where_folders_were_two_deep_gives_way(unpack: Callable[..., Path]) -> None:
    root = unpack(entry("a"), entry("a/b/c"))
    assert (root / "a" / "b" / "c").is_file()


BOMB_READER = """
import re, sys
from uaitrain.errors import UaitrainError
from uaitrain.oci.descriptor import OCI_LAYER_GZIP, Descriptor
from uaitrain.oci.digest import digest_of
from uaitrain.oci.image import Image
from uaitrain.oci.layer import BlobLayer
from uaitrain.oci.validate import validate
from pathlib import Path

path = Path(sys.argv[1])
descriptor = Descriptor(OCI_LAYER_GZIP, digest_of(path.read_bytes()), path.stat().st_size)
layer = BlobLayer(digest_of(b"something else"), descriptor, lambda: path.open("rb"))
try:
    validate(Image((layer,), {"os": "linux", "architecture": "amd64"}), deep=True)
except UaitrainError as error:
    # Not ru_maxrss: that counts what the parent had before this program began.
    peak = re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]
    print(int(peak) // 1024, type(error).__name__)
"""


def test_a_gzip_bomb_is_read_a_chunk_at_a_time(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.gz"
    with gzip.open(bomb, "wb", compresslevel=9) as file:
        for _ in range(1024):
            file.write(bytes(1 << 20))
    assert bomb.stat().st_size < 2 << 20
    done = subprocess.run(
        [sys.executable, "-c", BOMB_READER, str(bomb)], capture_output=True, text=True, check=True
    )
    peak, kind = done.stdout.split()
    assert kind == DigestError.__name__
    assert int(peak) < 150


def layout_of(folder: Path, *blobs: bytes, top: Descriptor) -> Layout:
    (folder / "blobs" / "sha256").mkdir(parents=True)
    for blob in blobs:
        (folder / "blobs" / "sha256" / hex_part(digest_of(blob))).write_bytes(blob)
    (folder / "index.json").write_bytes(
        canonical_json({"schemaVersion": 2, "manifests": [top.to_json()]})
    )
    return Layout(folder)


def nested(depth: int, width: int) -> tuple[list[bytes], Descriptor]:
    """Indexes in indexes, each named ``width`` times: 2^depth ways through for a width of 2."""
    raw = canonical_json({"schemaVersion": 2, "manifests": []})
    blobs = [raw]
    for _ in range(depth):
        one = Descriptor(OCI_INDEX, digest_of(raw), len(raw)).to_json()
        raw = canonical_json({"schemaVersion": 2, "manifests": [one] * width})
        blobs.append(raw)
    return blobs, Descriptor(OCI_INDEX, digest_of(raw), len(raw))


def test_indexes_in_indexes_end(tmp_path: Path) -> None:
    blobs, top = nested(MAX_NESTING + 1, 1)
    with pytest.raises(RegistryError, match="indexes in image indexes"):
        layout_of(tmp_path / "layout", *blobs, top=top).image("")


def test_each_index_is_read_once_however_often_it_is_named(tmp_path: Path) -> None:
    blobs, top = nested(MAX_NESTING, 1000)
    layout = layout_of(tmp_path / "layout", *blobs, top=top)
    assert layout.collect() == 0
    assert len(list((tmp_path / "layout" / "blobs" / "sha256").iterdir())) == len(blobs)


def test_a_layout_of_pipes_and_devices_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    (folder / "blobs" / "sha256").mkdir(parents=True)
    os.mkfifo(folder / "index.json")
    with pytest.raises(StorageError, match="no plain file"):
        Layout(folder).names()
    (folder / "blobs" / "sha256" / ("0" * 64)).symlink_to("/dev/zero")
    with pytest.raises(StorageError, match="no plain file"):
        Layout(folder).open_blob(Descriptor.from_json(
            {"mediaType": OCI_LAYER_GZIP, "digest": ZEROS, "size": 1}
        ).digest)  # fmt: skip


def test_an_index_file_without_end_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    folder.mkdir()
    with (folder / "index.json").open("wb") as file:
        file.truncate(10 << 30)
    with pytest.raises(StorageError, match="longer than"):
        Layout(folder).names()


def test_a_layout_cannot_point_outside_by_its_digests(tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    folder.mkdir()
    index = {
        "schemaVersion": 2,
        "manifests": [{"mediaType": OCI_MANIFEST, "digest": "sha256:../../x", "size": 1}],
    }
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(StorageError, match="not a digest"):
        Layout(folder).image("")
