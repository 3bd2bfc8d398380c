"""Looking into layers: what is found, what is remembered, what is refused."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from support.images import blob_layer, noise
from support.tiny_image import layer_of
from uaitrain.errors import DigestError, RegistryError
from uaitrain.oci.descriptor import OCI_LAYER, Descriptor
from uaitrain.oci.digest import digest_of
from uaitrain.oci.layer import BlobLayer
from uaitrain.progress import Silent
from uaitrain.provenance.contents import File, Reader
from uaitrain.provenance.inventory import directory_digest, merge
from uaitrain.provenance.packages import DEB, PYPI, Package, System

STATUS = "var/lib/dpkg/status"


def debian(*names: str) -> bytes:
    return "\n".join(
        f"Package: {n}\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n"
        for n in names
    ).encode()


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path / "contents", Silent())


@pytest.mark.parametrize("gzip", [True, False])
def test_a_layer_tells_its_files_and_packages(reader: Reader, gzip: bool) -> None:
    big = noise(3_000_000)
    layer = layer_of(
        {
            STATUS: debian("bash"),
            "etc/os-release": b"ID=debian\nVERSION_ID=12\n",
            "opt/x/site-packages/y.dist-info/METADATA": b"Name: y\nVersion: 2\n\n" + big,
            "data/big": big,
            "data/.wh.gone": b"",
            "data/old/.wh..wh..opq": b"",
        },
        {"data/link": "big"},
        gzip=gzip,
    )

    found = reader.read(layer, "layer", files=True)

    assert found.databases[STATUS] == (Package(DEB, "bash", "1", "all"),)
    assert found.databases["opt/x/site-packages/y.dist-info/METADATA"] == (Package(PYPI, "y", "2"),)
    assert found.systems == {"etc/os-release": System("debian", "12")}
    assert found.hidden == ("data/gone", "data/old/")
    assert File("data/big", hashlib.sha256(big).hexdigest(), len(big)) in found.files
    assert {file.path for file in found.files} == {
        *(STATUS, "etc/os-release", "data/big"),
        "opt/x/site-packages/y.dist-info/METADATA",
    }
    whole = next(f for f in found.files if f.path.endswith("METADATA"))
    assert whole.sha256 == hashlib.sha256(b"Name: y\nVersion: 2\n\n" + big).hexdigest()


def test_a_layer_is_read_once(reader: Reader, tmp_path: Path) -> None:
    layer = layer_of({STATUS: debian("bash"), "data/\udcff": b"x"})
    first = reader.read(layer, "layer", files=True)
    gone = BlobLayer(layer.diff_id, layer.descriptor, lambda: 1 / 0)  # type: ignore[arg-type,return-value]

    assert reader.read(gone, "layer", files=True) == first
    with pytest.raises(ZeroDivisionError):
        reader.read(gone, "layer", files=False)
    for path in (tmp_path / "contents").iterdir():
        path.write_bytes(b'{"version": 1, "databases": 7}')
    assert reader.read(layer, "layer", files=True) == first


def test_what_is_no_layer_is_refused(reader: Reader) -> None:
    whole = layer_of({"a": noise(5000)})
    with whole.open() as stream:
        blob = stream.read()
    cut = blob_layer(blob[:-2000], "x")
    other = BlobLayer(digest_of(b"other"), whole.descriptor, whole.opener)
    media_type = "application/vnd.oci.image.layer.v1.tar+zstd"
    zstd = BlobLayer(whole.diff_id, Descriptor(media_type, digest_of(blob), len(blob)), whole.open)

    with pytest.raises(RegistryError, match="no whole tar"):
        reader.read(cut, "layer 1 of base", files=False)
    with pytest.raises(DigestError, match="the image's config says"):
        reader.read(other, "layer 1 of base", files=False)
    with pytest.raises(RegistryError, match="tar\\+zstd' cannot be looked into"):
        reader.read(zstd, "layer 1 of base", files=False)
    with pytest.raises(RegistryError, match="no whole tar"):
        reader.read(blob_layer(noise(2000)), "layer 1 of base", files=False)


def _tar(*entries: tuple[tarfile.TarInfo, bytes]) -> BlobLayer:
    """A plain layer of these headers and bodies, whatever the headers say."""
    raw = b"".join(
        info.tobuf(tarfile.GNU_FORMAT) + body + bytes(-len(body) % 512) for info, body in entries
    )
    return BlobLayer(
        digest_of(raw), Descriptor(OCI_LAYER, digest_of(raw), len(raw)), lambda: io.BytesIO(raw)
    )


def test_a_sparse_map_is_not_read(reader: Reader) -> None:
    """pax's form 1.0: the map stands in the file's own bytes, as long as its owner likes."""
    records = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n25 GNU.sparse.realsize=1\n"
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, len(records)
    info = tarfile.TarInfo("x")
    info.size = 512

    with pytest.raises(RegistryError, match="no whole tar: a sparse file"):
        reader.read(_tar((header, records), (info, b"9" * 512)), "layer 1 of base", files=False)


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        (tarfile.XHDTYPE, 7 << 30),
        (tarfile.XGLTYPE, 7 << 30),
        (tarfile.GNUTYPE_LONGNAME, 7 << 30),
        (tarfile.GNUTYPE_SPARSE, 512),
    ],
)
def test_headers_that_would_take_all_memory_are_refused(
    reader: Reader, kind: bytes, size: int
) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size

    with pytest.raises(RegistryError, match=r"no whole tar: a (header of|sparse file)"):
        reader.read(_tar((info, b"x" * 512)), "layer 1 of base", files=False)


def test_layers_on_each_other_are_what_a_container_sees(reader: Reader) -> None:
    info = "lib/python3/dist-packages/old.egg-info"
    base = [
        layer_of({STATUS: debian("bash"), info: b"Name: old\nVersion: 1\n"}),
        layer_of({STATUS: debian("bash", "libc6"), "usr/lib/os-release": b"ID=debian\n"}),
    ]
    own = [
        layer_of({"data/a": b"first", "data/b/c": b"c", "data/b/d": b"d"}),
        layer_of({"data/a": b"second", "lib/python3/.wh.dist-packages": b"", "data/.wh.b": b""}),
        layer_of({STATUS: debian("bash", "libc6", "curl")}),
    ]

    found = merge(
        [reader.read(layer, "base", files=False) for layer in base],
        [reader.read(layer, "job", files=True) for layer in own],
    )

    assert [(p.package.name, p.from_base) for p in found.packages] == [
        ("bash", True),
        ("curl", False),
        ("libc6", True),
    ]
    assert found.system == System("debian", "")
    assert [(f.path, f.sha256) for f in found.files if f.path.startswith("data/")] == [
        ("data/a", hashlib.sha256(b"second").hexdigest())
    ]


def test_the_codes_digest_is_what_other_tools_compute(tmp_path: Path) -> None:
    """Go's Hash1, as its documentation writes it down: sha256sum over sha256sum's lines."""
    texts = {"b.py": b"two\n", "a/x.py": b"one\n", "a.py": b"three\n"}
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text)
    shown = subprocess.run(
        ["sh", "-c", "find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    files = [File(f"data/{n}", hashlib.sha256(t).hexdigest(), len(t)) for n, t in texts.items()]

    elsewhere = File("opt/data/z", "0" * 64, 1)
    assert directory_digest([*files, elsewhere], "/data") == shown.stdout.split()[0]
