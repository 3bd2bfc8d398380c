"""Walk the code folder and choose what goes into the image."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from operator import itemgetter
from pathlib import Path

from uaitrain.errors import SourceError
from uaitrain.files.ignore import DEFAULT_PATTERNS, IgnoreRules
from uaitrain.files.inventory import Entry, Inventory, Kind

IGNORE_FILE = ".uaitrainignore"
_SPECIAL = ((stat.S_ISSOCK, "socket"), (stat.S_ISFIFO, "named pipe"), (stat.S_ISBLK, "device"))
_TYPE, _REGULAR, _FOLDER, _MAY_RUN = 0o170000, stat.S_IFREG, stat.S_IFDIR, stat.S_IXUSR
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_new = tuple.__new__
"""Makes an entry of all its fields without asking for defaults."""


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
    try:
        entries, ignored = _walk(root, rules)
    except OSError as error:
        raise unreadable(root, error) from None
    entries.sort(key=itemgetter(0))
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


def _walk(root: Path, rules: IgnoreRules) -> tuple[list[Entry], list[str]]:
    """All entries and what was left out, in no order.

    Written for speed: at 100,000 files each microsecond here is a tenth of a second. Names are
    looked up from a folder's descriptor, which spares the kernel the path.
    """
    entries: list[Entry] = []
    ignored: list[str] = []
    add, ignores = entries.append, rules.ignores
    inside = os.path.realpath(root)
    base = os.open(root, _FOLDER_FLAGS)
    try:
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            prefix = f"{folder}/" if folder else ""
            path = folder
            handle = -1
            try:
                handle = os.open(folder or ".", _FOLDER_FLAGS, dir_fd=base)
                with os.scandir(handle) as scan:
                    for item in scan:
                        name = item.name
                        path = prefix + name
                        if ignores(path, name, item):
                            ignored.append(path)
                            continue
                        status = item.stat(follow_symlinks=False)
                        mode = status.st_mode
                        if mode & _TYPE == _REGULAR:
                            add(
                                _new(
                                    Entry,
                                    (
                                        path,
                                        Kind.FILE,
                                        status.st_size,
                                        mode & _MAY_RUN != 0,
                                        status.st_mtime_ns,
                                        status.st_ctime_ns,
                                        status.st_ino,
                                        status.st_dev,
                                        "",
                                    ),
                                )
                            )
                        elif mode & _TYPE == _FOLDER:
                            add(Entry(path, Kind.FOLDER))
                            waiting.append(path)
                        else:
                            add(_other(root, inside, path, mode))
            except FileNotFoundError:
                raise changed(root / path) from None
            except OSError as error:
                raise unreadable(root / path, error) from None
            finally:
                if handle >= 0:
                    os.close(handle)
    finally:
        os.close(base)
    return entries, ignored


def _other(root: Path, inside: str, path: str, mode: int) -> Entry:
    if stat.S_ISLNK(mode):
        return Entry(path, Kind.LINK, target=_checked_link(root, inside, path))
    kind = next((name for test, name in _SPECIAL if test(mode)), "device")
    raise SourceError(
        f"{str(root / path)!r} is a {kind}",
        allowed="files, folders and symlinks",
        next_step=f"remove it, or leave it out by a line in {IGNORE_FILE}",
    )


def _checked_link(root: Path, inside: str, path: str) -> str:
    """The link's text, if following it from ``/data/<path>`` stays inside the code folder, whose
    own path without links is ``inside``."""
    link = root / path
    target = os.readlink(link)  # noqa: PTH115 - Path.readlink would normalise the text
    led = os.path.normpath(f"{path.rpartition('/')[0] or '.'}/{target}")
    if target.startswith("/") or led == ".." or led.startswith("../"):
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
    if real != inside and not real.startswith(inside.rstrip("/") + "/"):
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
