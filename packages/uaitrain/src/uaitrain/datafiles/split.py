"""Split a large file, or every file of a folder, into verified parts."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO

from uaitrain.atomic import storage_error
from uaitrain.datafiles import manifest as manifests
from uaitrain.datafiles.manifest import DataFile, Manifest, Part
from uaitrain.datafiles.streams import (
    PARTIAL,
    Sha256,
    Telling,
    changed,
    claimed,
    copy,
    digest_of,
    make_durable,
    need_space,
)
from uaitrain.errors import SourceError
from uaitrain.progress import Progress

_NAME_CHARACTERS = 150


def split(source: Path, part_size: int, out: Path, progress: Progress) -> Manifest:
    """Split ``source`` into parts of at most ``part_size`` bytes in the folder ``out``.

    The source stays as it is. Parts that an interrupted split of it left are kept where their
    bytes are right. Raises SourceError, StorageError or BusyError; ``out`` has no manifest then,
    or the good one it had before.
    """
    try:
        files, folders = _listed(source)
        if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
            raise SourceError(
                f"the parts would lie inside the data: {out}",
                next_step=f"choose a place outside {source} with --out",
            )
        out.mkdir(parents=True, exist_ok=True)
        with claimed(out):
            _judge(out, source, part_size, files)
            return _split(source, part_size, out, files, folders, progress)
    except OSError as error:
        raise storage_error(error, Path(error.filename or out)) from None


def _listed(source: Path) -> tuple[list[str], list[str]]:
    """The relative paths of files ("" is the source itself) and folders, sorted."""
    if source.is_file():
        return [""], []
    if not source.is_dir():
        what = "is no file and no folder" if source.exists() else "does not exist"
        raise SourceError(f"{source} {what}", next_step="give the data to split")
    files: list[str] = []
    folders: list[str] = []
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise SourceError(
                f"{path} is neither a regular file nor a folder",
                next_step="split what it points at by itself, or take it away",
            )
        (folders if path.is_dir() else files).append(name)
    return files, folders


def _judge(out: Path, source: Path, part_size: int, files: list[str]) -> None:
    """A finished split in ``out`` must be of this very data; it is never written over."""
    if not (out / manifests.NAME).exists():
        return
    old = manifests.read(out)
    stats = [(name, (source / name).stat()) for name in files]
    now = [(name or source.name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    if (old.name, old.part_size) != (source.name, part_size) or now != [
        (file.path, file.size, file.mtime_ns) for file in old.files
    ]:
        raise SourceError(
            f"{out} already holds parts of {old.name} as it was before, or of another size",
            next_step="choose another place with --out, or remove that folder first",
        )


def _split(
    source: Path, size: int, out: Path, files: list[str], folders: list[str], progress: Progress
) -> Manifest:
    total = sum((source / name).stat().st_size for name in files)
    prefix = source.name.encode()[:_NAME_CHARACTERS].decode("utf-8", "ignore")
    own = [path for path in out.iterdir() if path.name.startswith(f"{prefix}.")]
    need_space(out, total - sum(path.stat().st_size for path in own))
    task = progress.start(f"split {source.name}", total)
    done = [
        _split_file(source / name, name or source.name, f"{prefix}.{n:06}", size, out, task.advance)
        for n, name in enumerate(files)
    ]
    result = Manifest(source.name, source.is_dir(), size, tuple(done), tuple(folders))
    known = {part.name for part in result.parts}
    for path in own:
        if path.name not in known:
            path.unlink(missing_ok=True)
    make_durable(out)
    manifests.write(out, result)
    make_durable(out)
    task.done(f"{len(known)} parts in {out}")
    return result


def _split_file(
    path: Path, name: str, prefix: str, part_size: int, out: Path, tell: Telling
) -> DataFile:
    before = path.stat()
    whole: Sha256 = hashlib.sha256()
    parts: list[Part] = []
    with path.open("rb") as file:
        while file.tell() < before.st_size:
            size = min(part_size, before.st_size - file.tell())
            target = out / f"{prefix}.part-{len(parts):05}"
            part = _kept(target, file, size, whole, tell)
            if part is None:
                part = _written(target, file, size, whole, tell)
            if part is None:
                raise changed(path)
            parts.append(part)
    after = path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise changed(path)
    return DataFile(name, before.st_size, before.st_mtime_ns, whole.hexdigest(), tuple(parts))


def _kept(target: Path, file: IO[bytes], size: int, whole: Sha256, tell: Telling) -> Part | None:
    """The part at ``target`` if it has the next ``size`` bytes of ``file``, which is read then."""
    if not target.is_file() or target.stat().st_size != size:
        return None
    there = digest_of(target)
    start = file.tell()
    digest: Sha256 = hashlib.sha256()
    copy(file, size, None, [digest], lambda amount: None)
    file.seek(start)
    if there != digest.hexdigest():
        return None
    copy(file, size, None, [whole], tell)
    return Part(target.name, size, there)


def _written(target: Path, file: IO[bytes], size: int, whole: Sha256, tell: Telling) -> Part | None:
    """The next ``size`` bytes of ``file`` as a part; None when there are no longer so many."""
    digest: Sha256 = hashlib.sha256()
    partial = target.with_name(target.name + PARTIAL)
    with partial.open("wb") as out:
        if copy(file, size, out, [whole, digest], tell) != size:
            return None
        out.flush()
        os.fsync(out.fileno())
    partial.replace(target)
    return Part(target.name, size, digest.hexdigest())
