"""Images unpacked without an engine: compared with umoci's result, and with hostile archives."""

from __future__ import annotations

import gzip
import io
import multiprocessing
import os
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.bases import BuiltBase
from support.slurm_cluster import User, normal_user
from uaitrain.bundles.store import Bundles
from uaitrain.errors import DigestError, RegistryError, UaitrainError
from uaitrain.oci.descriptor import OCI_LAYER, OCI_LAYER_GZIP, Descriptor
from uaitrain.oci.digest import digest_of
from uaitrain.oci.image import History, Image
from uaitrain.oci.layer import BlobLayer
from uaitrain.progress import Silent

FOLDER, FILE, LINK, HARD, DEVICE, PIPE = (
    tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE,
    tarfile.FIFOTYPE,
)  # fmt: skip


def entry(name: str, kind: bytes = FILE, to: str = "", data: bytes = b"", mode: int = 0o644):  # type: ignore[no-untyped-def]
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size, member.mode = kind, to, len(data), mode
    return member, data


def layer(*entries, compress: bool = True, uncompressed: bytes | None = None) -> BlobLayer:  # type: ignore[no-untyped-def]
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for member, data in entries:
            archive.addfile(member, io.BytesIO(data))
    plain = raw.getvalue() if uncompressed is None else uncompressed
    blob = gzip.compress(plain, mtime=0) if compress else plain
    kind = OCI_LAYER_GZIP if compress else OCI_LAYER
    return BlobLayer(digest_of(plain), Descriptor(kind, digest_of(blob), len(blob)),
                     lambda: io.BytesIO(blob))  # fmt: skip


def unpack(folder: Path, *layers: BlobLayer, **config: object) -> Path:
    image = Image((), {"os": "linux", "architecture": "amd64", "config": config}).append(
        layers, [History("test")] * len(layers)
    )
    return Bundles(folder).unpack(image, image.digest, "test:v1", Silent()) / "rootfs"


def refused(folder: Path, *layers: BlobLayer) -> UaitrainError:
    with pytest.raises(UaitrainError) as caught:
        unpack(folder, *layers)
    assert [path.name for path in folder.iterdir() if path.suffix != ".lock"] == [], "left behind"
    return caught.value


def test_files_folders_links_and_modes_are_the_layers(tmp_path: Path) -> None:
    root = unpack(
        tmp_path,
        layer(
            entry("./bin", FOLDER, mode=0o755),
            entry("bin/tool", data=b"#!", mode=0o755),
            entry("bin/same", HARD, "bin/tool"),
            entry("sh", LINK, "bin/tool"),
            entry("tmp", FOLDER, mode=0o1777),
            entry("a/deep/file", data=b"x"),
            entry("queue", PIPE),
        ),
    )

    assert (root / "bin/tool").stat().st_ino == (root / "bin/same").stat().st_ino
    assert stat.S_IMODE((root / "bin/tool").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
    assert str((root / "sh").readlink()) == "bin/tool"
    assert (root / "a/deep/file").read_bytes() == b"x"
    assert stat.S_ISFIFO((root / "queue").stat().st_mode)


def test_whiteouts_hide_what_lower_layers_brought_and_nothing_else(tmp_path: Path) -> None:
    root = unpack(
        tmp_path,
        layer(
            entry("etc/gone", data=b"1"), entry("etc/stays", data=b"2"),
            entry("opaque/old/file", data=b"3"), entry("folder/file", data=b"4"),
        ),
        layer(
            entry("etc/.wh.gone"), entry("opaque/new", data=b"5"), entry("opaque/.wh..wh..opq"),
            entry("folder/.wh.file"), entry("folder/file", data=b"6"), entry(".wh..wh.plnk"),
        ),
    )  # fmt: skip

    assert sorted(path.name for path in (root / "etc").iterdir()) == [
        "hosts", "resolv.conf", "stays",
    ]  # fmt: skip
    assert [path.name for path in (root / "opaque").iterdir()] == ["new"]
    assert (root / "folder/file").read_bytes() == b"6"


def test_an_upper_layer_replaces_a_file_by_a_folder_and_back(tmp_path: Path) -> None:
    root = unpack(
        tmp_path,
        layer(entry("a", data=b"1"), entry("b/c", data=b"2"), entry("l", LINK, "b")),
        layer(entry("a/x", data=b"3"), entry("b", data=b"4"), entry("l", FOLDER, mode=0o755)),
    )

    assert (root / "a/x").read_bytes() == b"3"
    assert (root / "b").read_bytes() == b"4"
    assert (root / "l").is_dir()
    assert not (root / "l").is_symlink()


def test_a_file_below_a_linked_folder_goes_where_the_container_sees_it(tmp_path: Path) -> None:
    root = unpack(
        tmp_path,
        layer(entry("usr/lib", FOLDER, mode=0o755), entry("lib", LINK, "/usr/lib")),
        layer(entry("lib/module", data=b"x")),
    )

    assert (root / "usr/lib/module").read_bytes() == b"x"
    assert (root / "lib").is_symlink()


def test_the_identity_of_the_one_who_unpacks_is_lent_to_nobody(tmp_path: Path) -> None:
    root = unpack(tmp_path, layer(entry("su", data=b"x", mode=0o6755)))

    assert stat.S_IMODE((root / "su").stat().st_mode) == 0o755


def test_devices_are_left_out(tmp_path: Path) -> None:
    root = unpack(tmp_path, layer(entry("null", DEVICE), entry("x", data=b"x")))

    assert not (root / "null").exists()


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/../out", "a/.."])
def test_a_name_that_leaves_the_image_is_refused(tmp_path: Path, name: str) -> None:
    error = refused(tmp_path / "f", layer(entry(name, data=b"x")))

    assert "leaves the image" in error.what
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["/etc", "../../../../../../etc", "{outside}"])
def test_links_that_lead_out_are_followed_inside_only(tmp_path: Path, target: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    to = target.format(outside=outside)
    root = unpack(tmp_path / "f", layer(entry("way", LINK, to), entry("way/stolen", data=b"x")))

    assert not Path("/etc/stolen").exists()
    assert list(outside.iterdir()) == []
    assert [path for path in root.rglob("stolen") if path.is_relative_to(root)]


def test_a_whiteout_reaches_nothing_outside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    unpack(
        tmp_path / "f",
        layer(entry("way", LINK, str(outside))),
        layer(entry("way/.wh.kept"), entry("way/.wh..wh..opq")),
    )

    assert (outside / "kept").read_text() == "x"


@pytest.mark.parametrize("target", ["/etc/passwd", "nothing", "folder", "../../etc/passwd"])
def test_a_hard_link_leads_to_a_file_of_the_image(tmp_path: Path, target: str) -> None:
    error = refused(
        tmp_path / "f",
        layer(entry("folder", FOLDER, mode=0o755), entry("mine", HARD, target)),
    )

    assert "no file of the image" in error.what or "leaves the image" in error.what


def test_a_hard_link_to_a_link_is_the_link(tmp_path: Path) -> None:
    root = unpack(tmp_path, layer(entry("s", LINK, "/etc/passwd"), entry("h", HARD, "s")))

    assert str((root / "h").readlink()) == "/etc/passwd"


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    error = refused(
        tmp_path / "f", layer(entry("a", LINK, "b"), entry("b", LINK, "a"), entry("a/x", data=b""))
    )

    assert "circle" in error.what


def test_other_bytes_than_the_digests_say_are_refused(tmp_path: Path) -> None:
    good, other = layer(entry("a", data=b"1")), layer(entry("a", data=b"2"))
    wrong_blob = replace(good, opener=other.opener)
    wrong_tar = replace(good, diff_id=other.diff_id)

    for bad in (wrong_blob, wrong_tar):
        assert isinstance(refused(tmp_path, bad), DigestError)


@pytest.mark.parametrize("compress", [True, False])
def test_what_is_no_tar_is_refused(tmp_path: Path, compress: bool) -> None:
    bad = layer(uncompressed=b"no tar at all" * 100, compress=compress)

    assert isinstance(refused(tmp_path, bad), RegistryError)


def test_a_blob_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    whole = layer(entry("a", data=os.urandom(5000)))
    cut = replace(whole, opener=lambda: io.BytesIO(whole.open().read()[:-3000]))

    assert isinstance(refused(tmp_path, cut), RegistryError)


def test_layers_of_another_compression_are_refused_by_name(tmp_path: Path) -> None:
    whole = layer(entry("a"))
    kind = "application/vnd.oci.image.layer.v1.tar+zstd"
    zstd = replace(whole, descriptor=replace(whole.descriptor, media_type=kind))

    assert "tar+zstd" in refused(tmp_path, zstd).what


def test_the_config_is_there_for_a_shell(tmp_path: Path) -> None:
    root = unpack(
        tmp_path,
        layer(entry("a")),
        Entrypoint=["/usr/bin/python", "/x y"],
        Env=["PATH=/bin", "TEXT=a\nb"],
        WorkingDir="/data",
    )
    bundle = root.parent

    assert (bundle / "entrypoint").read_bytes() == b"/usr/bin/python\0/x y\0"
    assert (bundle / "environment").read_bytes() == b"PATH=/bin\0TEXT=a\nb\0"
    assert (bundle / "workdir").read_bytes() == b"/data\0"
    assert (bundle / "command").read_bytes() == b""
    assert (root / "data/output").is_dir()


def _unpack_counted(folder: Path, counted: Path) -> None:
    plain = layer(entry("a", data=b"1"), entry("b", data=b"x" * 3_000_000))

    def opened() -> io.BytesIO:
        (counted / f"{os.getpid()}").touch()
        return plain.open()  # type: ignore[return-value]

    unpack(folder, replace(plain, opener=opened))


def test_many_at_once_unpack_once(tmp_path: Path) -> None:
    counted = tmp_path / "counted"
    counted.mkdir()
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=_unpack_counted, args=(tmp_path / "f", counted)) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(list(counted.iterdir())) == 1
    assert len([path for path in (tmp_path / "f").iterdir() if path.suffix != ".lock"]) == 1


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    home = Path("/tmp") / f"uaitrain-unpack-{os.getpid()}"  # noqa: S108 pytest's folders are root's
    home.mkdir()
    try:
        with normal_user(home) as made:
            yield made
    finally:
        subprocess.run(["rm", "-rf", str(home)], check=True)


def listing(root: Path) -> dict[str, tuple[str, int, int, str]]:
    """Type, permissions, size and target of everything below ``root``, and its hard links."""
    inodes: dict[int, str] = {}
    found = {}
    for path in sorted(root.rglob("*")):
        told = path.lstat()
        kind = stat.filemode(told.st_mode)[0]
        name = str(path.relative_to(root))
        target = str(path.readlink()) if kind == "l" else ""
        if kind == "-":
            target = inodes.setdefault(told.st_ino, name)
        size = told.st_size if kind == "-" else 0
        mode = 0 if kind == "l" else stat.S_IMODE(told.st_mode) & 0o1777
        found[name] = (kind, mode, size, target)
    return found


def test_real_caffes_base_comes_out_as_umoci_unpacks_it(
    caffe_base: BuiltBase, tmp_path: Path
) -> None:
    """umoci is the OCI project's own tool. Ours adds mount points and takes away set-id bits."""
    digest = caffe_base.image.digest
    ours = Bundles(tmp_path).unpack(caffe_base.image, digest, caffe_base.name, Silent())
    theirs = tmp_path / "umoci"
    subprocess.run(
        ["umoci", "unpack", "--image", f"{caffe_base.layout.path}:{caffe_base.name}", theirs],
        check=True,
        capture_output=True,
    )

    mine, wanted = listing(ours / "rootfs"), listing(theirs / "rootfs")
    added = {name for name in mine if name not in wanted}
    assert added <= {
        *("data", "data/data", "data/output", "dev", "proc", "run/uaitrain", "sys", "tmp"),
        *("etc/hosts", "etc/resolv.conf", "run", "var/tmp"),
    }
    for name in added:
        del mine[name]
    assert mine == wanted


def test_a_normal_user_unpacks_what_root_owns(user: User) -> None:
    home = Path("/tmp") / f"uaitrain-unpack-{os.getpid()}"  # noqa: S108 as above

    def child() -> None:
        os.setgid(user.gid)
        os.setuid(user.uid)
        member, data = entry("shadow", data=b"x", mode=0)
        member.uid = member.gid = 0
        closed = entry("closed", FOLDER, mode=0o500)
        unpack(home / "f", layer((member, data), closed, entry("closed/in", data=b"y")))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    (root,) = (home / "f").glob("*/rootfs")

    assert process.exitcode == 0
    assert (root / "shadow").stat().st_uid == user.uid
    assert (root / "closed/in").read_bytes() == b"y"
