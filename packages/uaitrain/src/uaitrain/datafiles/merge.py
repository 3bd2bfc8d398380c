"""Merge parts back into the data they were split from, and prove it before anything goes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from uaitrain.atomic import storage_error
from uaitrain.datafiles import manifest as manifests
from uaitrain.datafiles.manifest import DataFile, Manifest, Part
from uaitrain.datafiles.streams import (
    PARTIAL,
    Sha256,
    Telling,
    claimed,
    copy,
    digest_of,
    make_durable,
    need_space,
)
from uaitrain.errors import SourceError
from uaitrain.progress import Progress, Task

_NAMED = 5


def merge(parts: Path, out: Path, progress: Progress, *, remove_parts: bool = False) -> Path:
    """Make the data of the folder ``parts`` in the folder ``out``; the path of the data.

    Data that is there already is verified and never written over. ``remove_parts`` deletes the
    parts after the whole was read back from its final place and found right. Raises SourceError
    (a part is missing or damaged, other data is in the way), StorageError or BusyError; the
    parts are all there then, and what was merged so far is used by the next run.
    """
    try:
        if not parts.is_dir():
            raise SourceError(f"{parts} is no folder", next_step="give the folder of parts")
        with claimed(parts):
            return _merge(parts, out, progress, remove_parts)
    except OSError as error:
        raise storage_error(error, Path(error.filename or out)) from None


def _merge(parts: Path, out: Path, progress: Progress, remove_parts: bool) -> Path:
    manifest = manifests.read(parts)
    target = out / manifest.name
    if target.exists():
        _verify(target, manifest, progress.start(f"verify {manifest.name}", manifest.size))
    else:
        _judge_parts(parts, manifest.parts)
        _build(parts, manifest, out, progress)
        if remove_parts:
            _verify(target, manifest, progress.start(f"verify {manifest.name}", manifest.size))
    if remove_parts:
        # The manifest goes last: with it, a removal that was cut short can go on.
        for part in manifest.parts:
            (parts / part.name).unlink(missing_ok=True)
        make_durable(parts)
        (parts / manifests.NAME).unlink()
        if not any(parts.iterdir()):
            parts.rmdir()
    return target


def _judge_parts(folder: Path, parts: Sequence[Part]) -> None:
    missing = [part.name for part in parts if not (folder / part.name).is_file()]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise SourceError(
            f"{len(missing)} of {len(parts)} parts are missing in {folder}: "
            f"{', '.join(missing[:_NAMED])}{more}",
            next_step="copy them there, then run the same command again",
        )
    for part in parts:
        size = (folder / part.name).stat().st_size
        if size != part.size:
            raise _damaged(folder / part.name, f"it has {size} bytes instead of {part.size}")


def _build(parts: Path, manifest: Manifest, out: Path, progress: Progress) -> None:
    out.mkdir(parents=True, exist_ok=True)
    partial = out / f"{manifest.name}{PARTIAL}"
    there = [path for path in [partial, *partial.rglob("*")] if path.is_file()]
    need_space(out, manifest.size - sum(path.stat().st_size for path in there))
    task = progress.start(f"merge {manifest.name}", manifest.size)
    if manifest.folder:
        partial.mkdir(exist_ok=True)
        for name in manifest.folders:
            (partial / name).mkdir(parents=True, exist_ok=True)
        for file in manifest.files:
            whole = partial / file.path
            if not _is_whole(whole, file, task.advance):
                _join(parts, file, whole.with_name(whole.name + PARTIAL), whole, task.advance)
        known = {file.path for file in manifest.files}
        for path in sorted(partial.rglob("*")):
            if path.is_file() and path.relative_to(partial).as_posix() not in known:
                path.unlink()
        for name in ["", *manifest.folders]:
            make_durable(partial / name)
        partial.replace(out / manifest.name)
    else:
        (file,) = manifest.files
        _join(parts, file, partial, out / manifest.name, task.advance)
    make_durable(out)
    task.done("every part and the whole are right")


def _is_whole(path: Path, file: DataFile, tell: Telling) -> bool:
    if not path.is_file() or path.stat().st_size != file.size or digest_of(path) != file.sha256:
        return False
    tell(file.size)
    return True


def _join(folder: Path, file: DataFile, partial: Path, target: Path, tell: Telling) -> None:
    """Join a file's parts, going on behind those that ``partial`` already has right."""
    whole: Sha256 = hashlib.sha256()
    partial.touch()
    with partial.open("r+b") as out:
        position = 0
        fresh = False
        for part in file.parts:
            if not fresh:
                known = whole.copy()
                digest: Sha256 = hashlib.sha256()
                size = copy(out, part.size, None, [known, digest], lambda amount: None)
                if size == part.size and digest.hexdigest() == part.sha256:
                    whole = known
                    position += size
                    tell(size)
                    continue
                fresh = True
                out.seek(position)
                out.truncate()
            digest = hashlib.sha256()
            with (folder / part.name).open("rb") as source:
                size = copy(source, part.size, out, [whole, digest], tell)
            if size != part.size or digest.hexdigest() != part.sha256:
                raise _damaged(folder / part.name, "its SHA-256 is not the manifest's")
        out.truncate(file.size)
        if whole.hexdigest() != file.sha256:
            raise SourceError(
                f"the parts of {file.path} are right, but the whole is not: the manifest is wrong",
                next_step="split the data again",
            )
        out.flush()
        os.fsync(out.fileno())
    os.utime(partial, ns=(file.mtime_ns, file.mtime_ns))
    partial.replace(target)


def _verify(target: Path, manifest: Manifest, task: Task) -> None:
    """Raises SourceError unless the data at ``target`` is what the manifest says."""
    for file in manifest.files:
        path = target / file.path if manifest.folder else target
        if not path.is_file() or path.stat().st_size != file.size:
            reason = "has another size" if path.is_file() else "is not there"
        elif digest_of(path, task.advance) != file.sha256:
            reason = "has other bytes"
        else:
            continue
        raise SourceError(
            f"{target} exists, but {path} {reason} than the parts say: nothing was changed",
            next_step="move it away, or merge into another folder with --out",
        )
    task.done("it is what the parts say")


def _damaged(path: Path, why: str) -> SourceError:
    return SourceError(
        f"the part {path} is damaged: {why}",
        next_step="copy it again, then run the same command again",
    )
