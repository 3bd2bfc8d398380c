"""Walk the code folder and choose what goes into the image."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from uaitrain.errors import SourceError
from uaitrain.files.ignore import DEFAULT_PATTERNS, IgnoreRules
from uaitrain.files.inventory import Entry, Inventory, Kind

IGNORE_FILE = ".uaitrainignore"
_SPECIAL = ((stat.S_ISSOCK, "socket"), (stat.S_ISFIFO, "named pipe"), (stat.S_ISBLK, "device"))


def select(root: Path, ignore: Iterable[str] = ()) -> Inventory:
    """Every file, folder and symlink under ``root`` that the rules leave in, sorted by path.

    The rules are our defaults, then the folder's ``.uaitrainignore``, then ``ignore``. Raises
    SourceError for an unreadable or missing folder, for sockets, pipes and devices, for links
    that leave the folder and for links that lead to themselves.
    """
    if not root.is_dir():
        raise SourceError(
            f"the code folder {str(root)!r} "
            + ("is not a folder" if root.exists() else "is not there"),
            next_step="check --code_path (--code; in uaitrain.toml: code)",
        )
    rules = IgnoreRules((*DEFAULT_PATTERNS, *_read_ignore_file(root / IGNORE_FILE), *ignore))
    ignored: list[str] = []
    entries = sorted(_walk(root, "", rules, ignored), key=lambda entry: entry.path)
    return Inventory(root, tuple(entries), tuple(sorted(ignored)))


def _read_ignore_file(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path | str, error: OSError) -> SourceError:
    """The error for something in the code folder that cannot be read."""
    return SourceError(
        f"cannot read {str(path)!r}: {os.strerror(error.errno) if error.errno else error}",
        next_step=f"make it readable, or leave it out by a line in {IGNORE_FILE}",
    )


def _walk(root: Path, folder: str, rules: IgnoreRules, ignored: list[str]) -> Iterator[Entry]:
    try:
        with os.scandir(root / folder) as scan:
            found = list(scan)
    except OSError as error:
        raise unreadable(root / folder, error) from None
    prefix = folder + "/" if folder else ""
    for item in found:
        path = prefix + item.name
        is_folder = item.is_dir(follow_symlinks=False)
        if rules.ignores(path, is_folder):
            ignored.append(path)
            continue
        try:
            entry = _entry(root, path, item)
        except FileNotFoundError:
            raise changed(root / path) from None
        except OSError as error:
            raise unreadable(root / path, error) from None
        yield entry
        if is_folder:
            yield from _walk(root, path, rules, ignored)


def _entry(root: Path, path: str, item: os.DirEntry[str]) -> Entry:
    status = item.stat(follow_symlinks=False)
    mode = status.st_mode
    if stat.S_ISLNK(mode):
        return Entry(path, Kind.LINK, target=_checked_link(root, path))
    if stat.S_ISDIR(mode):
        return Entry(path, Kind.FOLDER)
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _SPECIAL if test(mode)), "device")
        raise SourceError(
            f"{str(root / path)!r} is a {kind}",
            allowed="files, folders and symlinks",
            next_step=f"remove it, or leave it out by a line in {IGNORE_FILE}",
        )
    return Entry(
        path,
        Kind.FILE,
        size=status.st_size,
        executable=bool(mode & stat.S_IXUSR),
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        inode=status.st_ino,
        device=status.st_dev,
    )


def _checked_link(root: Path, path: str) -> str:
    """The link's text, if following it from ``/data/<path>`` stays inside the code folder."""
    link = root / path
    target = os.readlink(link)  # noqa: PTH115 - Path.readlink would normalise the text
    inside = os.path.normpath(f"{path.rpartition('/')[0] or '.'}/{target}")
    if target.startswith("/") or inside == ".." or inside.startswith("../"):
        raise SourceError(
            f"the link {str(link)!r} points out of the code folder, to {target!r}",
            allowed="relative links to something inside the code folder",
            next_step=f"copy its target in, or leave the link out by a line in {IGNORE_FILE}",
        )
    try:
        real = os.path.realpath(link, strict=True)
    except FileNotFoundError:
        return target
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise SourceError(
                f"the link {str(link)!r} leads back to itself (through {target!r})",
                next_step=f"remove it, or leave it out by a line in {IGNORE_FILE}",
            ) from None
        raise
    if not Path(real).is_relative_to(root.resolve()):
        raise SourceError(
            f"the link {str(link)!r} points out of the code folder, to {real!r}",
            allowed="relative links to something inside the code folder",
            next_step=f"copy its target in, or leave the link out by a line in {IGNORE_FILE}",
        )
    return target


def changed(path: Path | str) -> SourceError:
    """The error for a file that is no longer what it was when the folder was read."""
    return SourceError(
        f"{str(path)!r} changed while it was being packed",
        next_step="wait until nothing writes to the code folder, then pack again",
    )
