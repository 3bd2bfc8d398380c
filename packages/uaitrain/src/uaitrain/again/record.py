"""Note what a pack depended on, so that the same one need not be done again.

Only a pack that pushed and did nothing else to this machine is noted, whose registries speak plain
HTTP (on this machine, or named insecure): what an engine holds, and what stands behind TLS or a
login, is found out by the parts that know how, and they take longer to load than all the rest.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from uaitrain import atomic, paths
from uaitrain.again.recall import dump, identity, key_of, path_of, seen
from uaitrain.bases.store import default_path
from uaitrain.errors import UaitrainError
from uaitrain.files.inventory import Entry, Inventory, Kind, is_settled
from uaitrain.registry import connect
from uaitrain.registry.transport import is_loopback
from uaitrain.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from uaitrain.bases.resolve import ResolvedBase
    from uaitrain.destinations import PackOptions
    from uaitrain.flow import PackResult
    from uaitrain.oci.reference import Reference
    from uaitrain.spec import TrainSpec

MOST_BESIDE = 2_000
"""More files in the data and output folders are not looked at one by one."""

MOST_KEPT = 20
_UNCHANGED = "the very image was there already"
_PACKAGE = Path(__file__).parent.parent


class _UnclearError(Exception):
    """Something that cannot be compared the next time."""


def remember(
    words: Sequence[str],
    began_ns: int,
    spec: TrainSpec,
    options: PackOptions,
    result: PackResult,
    told: Sequence[str],
    *,
    speaks: bool,
) -> None:
    """Note the pack ``words`` that began at ``began_ns`` and ended well.

    ``told`` are the remarks before the places, ``speaks`` whether remarks are shown at all. What
    cannot be noted is not: the next pack looks at everything again.
    """
    with contextlib.suppress(OSError, ValueError, UaitrainError, _UnclearError):
        record = _record(spec, options, result, began_ns)
        record |= {"notes": list(told), "speaks": speaks, "key": key_of(words)}
        path = Path(path_of(record["key"]))
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(path, dump(record), 0o600, durable=False)
        _prune(path.parent)


def _record(
    spec: TrainSpec, options: PackOptions, result: PackResult, began_ns: int
) -> dict[str, Any]:
    from uaitrain.commands import text
    from uaitrain.preflight.render import render

    if not options.push or options.load or options.layout or options.archive:
        raise _UnclearError
    if spec.packages is not None:
        # What they are made of is known to the lock, the index and perhaps an engine.
        raise _UnclearError
    ((accelerator, report),) = result.places
    same = replace(
        report,
        sent=0,
        mounted=0,
        sent_bytes=0,
        reused=report.sent + report.reused + report.mounted,
        seconds=-1.0,
        note=_UNCHANGED,
    )
    place = f"{accelerator} image {spec.target.gpu} -> {report.place}: {same}".split("-1.0")
    if len(place) != 2:
        raise _UnclearError
    commands = text(result.commands)
    image = result.images[accelerator]
    return {
        "watched": dict(_watched(spec, options, began_ns)),
        "allowed": [(str(spec.output), os.W_OK | os.X_OK, _may(spec.output))],
        "trees": [
            (str(spec.code), _skipped(result.inventory), _inventory(result.inventory, began_ns)),
            *((str(folder), {}, _tree(folder, began_ns)) for folder in (spec.data, spec.output)),
        ],
        "commands": (
            str(result.commands_file),
            commands.encode("utf-8", "surrogateescape"),
        ),
        "requests": list(_requests(spec, options, result)),
        "findings": render(result.findings).splitlines() if result.findings else [],
        "place": place,
        "place_log": f"{accelerator} image {image.digest}",
        "end": f"the commands are also in {result.commands_file}",
        "out": commands.rstrip("\n"),
        "log": str(options.folder / "uaitrain.log"),
    }


def _may(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def _inventory(inventory: Inventory, began_ns: int) -> dict[str, tuple[int, ...] | None]:
    if inventory.has_links or not is_settled(inventory.entries, began_ns):
        raise _UnclearError
    return {
        entry.path: (entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode, entry.device)
        if entry.kind is Kind.FILE
        else None
        for entry in inventory.entries
    }


def _skipped(inventory: Inventory) -> dict[str, bool]:
    """What the ignore rules leave out, and whether it is a folder: some rules mean only those."""
    return {
        path: stat.S_ISDIR(os.lstat(inventory.root / path).st_mode) for path in inventory.ignored
    }


def _tree(folder: Path, began_ns: int) -> dict[str, tuple[int, ...] | None]:
    """Everything below ``folder``, which may be missing."""
    found: dict[str, tuple[int, ...] | None] = {}
    waiting = [("", str(folder))]
    while waiting:
        prefix, path = waiting.pop()
        with os.scandir(path) as scan:
            for item in scan:
                status = item.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    waiting.append((f"{prefix}{item.name}/", item.path))
                    found[prefix + item.name] = None
                elif stat.S_ISREG(status.st_mode) and _is_old(status, began_ns):
                    found[prefix + item.name] = identity(status)
                else:
                    raise _UnclearError
        if len(found) > MOST_BESIDE:
            raise _UnclearError
    return found


def _is_old(status: os.stat_result, began_ns: int) -> bool:
    return _settled(identity(status), began_ns)


def _settled(known: tuple[int, ...], began_ns: int) -> bool:
    size, mtime, ctime, inode, device = known
    return is_settled((Entry("", Kind.FILE, size, False, mtime, ctime, inode, device),), began_ns)


def _watched(
    spec: TrainSpec, options: PackOptions, began_ns: int
) -> Iterator[tuple[str, tuple[int, ...] | None]]:
    """Every file that has a say in what a pack does, beside the folders; also missing ones."""
    for path in dict.fromkeys(_watched_paths(spec, options)):
        known = seen(path)
        if known is not None and not _settled(known, began_ns):
            raise _UnclearError
        yield path, known


def _watched_paths(spec: TrainSpec, options: PackOptions) -> Iterator[str]:
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and file.startswith(f"{_PACKAGE}{os.sep}"):
            yield file
    yield from map(str, sorted((_PACKAGE / "container").rglob("*.py")))
    yield from map(str, sorted((_PACKAGE / "bases" / "recipes").glob("*.lock")))
    for file in options.settings_files:
        yield str(file)
    if spec.packages and spec.packages.requirements:
        yield str(spec.packages.requirements)
    yield str(paths.config_dir() / "catalogue.toml")
    yield str(default_path() / "index.json")
    yield str(paths.cache_dir() / "board")
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        yield str(Path(folder) / "nvidia-docker")
    yield from _git(spec.code)


def _git(code: Path) -> Iterator[str]:
    """What tells that a commit was made: the image carries its time."""
    for folder in (code, *code.parents):
        git = folder / ".git"
        commits = git / "logs" / "HEAD"
        if git.exists() and not commits.is_file():
            # A worktree, or a repository that keeps no log of its commits.
            raise _UnclearError
        yield str(commits)


def _requests(
    spec: TrainSpec, options: PackOptions, result: PackResult
) -> Iterator[tuple[str, int, str, str, str]]:
    for base in dict.fromkeys(map(_named, result.bases.values())):
        if base is not None and not base[0].digest:
            yield _request(*base, options)
    ((accelerator, _),) = result.places
    yield _request(spec.target.gpu, result.images[accelerator].digest, options)


def _named(base: ResolvedBase) -> tuple[Reference, str] | None:
    if base.reference is None:
        if base.name.startswith("oci:"):
            raise _UnclearError
        return None  # in the store, whose index is watched
    assert base.named
    return base.reference, base.named


def _request(
    reference: Reference, digest: str, options: PackOptions
) -> tuple[str, int, str, str, str]:
    access = options.access
    registry = connect(reference.registry, insecure=access.insecure, ca_file=access.ca_file)
    url, accept = registry.manifest_address(reference.repository, reference.identifier)
    parts = urlsplit(url)
    behind_proxy = any(name.lower().endswith("_proxy") for name in os.environ)
    if parts.scheme != "http" or (behind_proxy and not is_loopback(parts.netloc)):
        raise _UnclearError
    return parts.hostname or "", parts.port or 80, parts.path, accept, digest


def _prune(folder: Path) -> None:
    kept = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
    for path in kept[:-MOST_KEPT]:
        path.unlink(missing_ok=True)
