"""What a layer brings and hides; and layers that somebody made to do harm."""

from __future__ import annotations

import gzip
import io
import resource
import subprocess
import sys
import tarfile

import pytest
from support.inspected import layer, member, raw_layer
from uaitrain.errors import DigestError, RegistryError
from uaitrain.inspection.layer_files import FILE, FOLDER, HARD_LINK, LINK, OTHER, read_layer
from uaitrain.oci.careful_tar import MAX_HEADER_BYTES
from uaitrain.oci.descriptor import OCI_LAYER, OCI_LAYER_ZSTD, Descriptor
from uaitrain.oci.digest import digest_of
from uaitrain.oci.layer import BlobLayer
from uaitrain.progress import Silent


def _plain(data: bytes, media_type: str = OCI_LAYER) -> BlobLayer:
    descriptor = Descriptor(media_type, digest_of(data), len(data))
    return BlobLayer(digest_of(data), descriptor, lambda: io.BytesIO(data))


def test_every_kind_of_entry_is_told() -> None:
    made = layer(
        {"./data/a.py": b"abc", "/data/b": b""},
        [
            member("data", mode=0o750, type=tarfile.DIRTYPE, uid=7, gid=8),
            member("data/l", type=tarfile.SYMTYPE, linkname="a.py"),
            member("data/h", type=tarfile.LNKTYPE, linkname="data/a.py"),
            member("dev/null", type=tarfile.CHRTYPE),
        ],
        mode=0o755,
    )
    found = read_layer(made, "it", Silent()).entries

    assert {path: entry.kind for path, entry in found.items()} == {
        "data/a.py": FILE,
        "data/b": FILE,
        "data": FOLDER,
        "data/l": LINK,
        "data/h": HARD_LINK,
        "dev/null": OTHER,
    }
    assert (found["data/a.py"].mode, found["data/a.py"].size) == (0o755, 3)
    assert found["data/a.py"].sha256 == digest_of(b"abc").removeprefix("sha256:")
    assert (found["data"].mode, found["data"].uid, found["data"].gid) == (0o750, 7, 8)
    assert found["data/l"].target == "a.py"


def test_what_a_layer_hides_is_told() -> None:
    made = layer({"data/.wh.old.py": b"", "cache/.wh..wh..opq": b"", "x/.wh..wh.plnk": b""})

    assert read_layer(made, "it", Silent()).hidden == ("data/old.py", "cache/")


def test_a_path_cannot_leave_the_image() -> None:
    found = read_layer(layer({"../../etc/passwd": b"x", "a/../../b": b""}), "it", Silent())

    assert sorted(found.entries) == ["b", "etc/passwd"]


def test_small_files_are_kept_when_they_are_asked_for() -> None:
    made = layer({"a": b"text", "b": b"other", "large": bytes(300_000)})
    found = read_layer(made, "it", Silent(), keep={"a", "large"})

    assert found.bodies == {"a": b"text"}
    assert found.entries["a"].sha256 == digest_of(b"text").removeprefix("sha256:")


@pytest.mark.parametrize("compressed", [True, False])
def test_what_is_compressed_is_seen_in_the_bytes(compressed: bool) -> None:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(member("a", b"abc"), io.BytesIO(b"abc"))
    made = raw_layer(tar.getvalue()) if compressed else _plain(tar.getvalue())

    assert list(read_layer(made, "it", Silent()).entries) == ["a"]


def test_zstd_is_refused_by_name() -> None:
    with pytest.raises(RegistryError, match="zstd"):
        read_layer(_plain(b"\x28\xb5\x2f\xfd" + bytes(600), OCI_LAYER_ZSTD), "it", Silent())


@pytest.mark.parametrize(
    "data", [b"no tar at all" * 100, gzip.compress(b"no tar" * 500)[:-9], b"\x1f\x8bbroken" * 9]
)
def test_what_is_no_layer_is_refused(data: bytes) -> None:
    with pytest.raises(RegistryError, match="cannot be read as a layer"):
        read_layer(_plain(data), "it", Silent())


def test_other_bytes_than_the_config_names_are_refused() -> None:
    made = layer({"a": b"abc"})
    other = BlobLayer(digest_of(b"other"), made.descriptor, made.opener)

    with pytest.raises(DigestError, match="unpacked layer"):
        read_layer(other, "it", Silent())


def test_more_entries_than_an_image_may_have_are_refused() -> None:
    made = layer({str(number): b"" for number in range(5)})

    with pytest.raises(RegistryError, match="entries in one image"):
        read_layer(made, "it", Silent(), most=4)


_BOMB = """
import io, re, sys, tarfile
from uaitrain.errors import RegistryError
from uaitrain.inspection.layer_files import read_layer
from uaitrain.oci.descriptor import OCI_LAYER, Descriptor
from uaitrain.oci.digest import digest_of
from uaitrain.oci.layer import BlobLayer
from uaitrain.progress import Silent

class Endless(io.RawIOBase):
    def __init__(self, head): self.head = io.BytesIO(head)
    def readable(self): return True
    def readinto(self, buffer):
        data = self.head.read(len(buffer))
        if data:
            buffer[:len(data)] = data
            return len(data)
        return len(buffer)

info = tarfile.TarInfo("x")
info.type, info.size = getattr(tarfile, sys.argv[1]), 8 << 30
head = info.tobuf(tarfile.GNU_FORMAT)
digest = digest_of(b"")
layer = BlobLayer(digest, Descriptor(OCI_LAYER, digest, 8 << 30), lambda: Endless(head))
try:
    read_layer(layer, "it", Silent())
except RegistryError as error:
    print(error)
# Not ru_maxrss: that counts what the parent had before this program began.
print(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.parametrize("kind", ["XHDTYPE", "XGLTYPE", "GNUTYPE_LONGNAME", "GNUTYPE_SPARSE"])
def test_a_header_of_gigabytes_is_refused_before_it_is_read(kind: str) -> None:
    """``tarfile`` would read all of it: the child may have no more than half a gigabyte."""

    def little() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))

    done = subprocess.run(
        [sys.executable, "-c", _BOMB, kind],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=little,
    )
    *said, most = done.stdout.splitlines()

    assert "cannot be read as a layer" in said[0]
    assert int(most) * 1024 < 100_000_000 + MAX_HEADER_BYTES
