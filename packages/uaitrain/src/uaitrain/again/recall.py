"""Look whether a pack is the same as the last one, and answer for it. Loads next to nothing."""

from __future__ import annotations

import marshal
import os
import sys
import time

from uaitrain.sha256 import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from typing import Any

FORMAT = 1
FOLDER = "again"
"""Where the records lie in the cache."""

VOLATILE = frozenset({"_", "SHLVL", "OLDPWD", "PWD", "COLUMNS", "LINES"})
"""Variables that change from one call to the next and mean nothing to a pack."""

_PRIVATE = 0o077
_MOST_BYTES = 64 << 20
_HEAD_BYTES = 64 << 10
_CONNECT_SECONDS, _ALL_SECONDS = 2.0, 10.0
"""For a connection, and for one answer in all: a slow registry is the whole client's work."""


class _DifferentError(Exception):
    """Something is not as it was, or cannot be told."""


def recall(words: Sequence[str]) -> bool:
    """Whether the pack ``words`` was answered here: nothing has changed since the last one."""
    try:
        record = load(key_of(words))
        _compare(record)
        began = time.monotonic()
        _ask(record["requests"])
        _answer(record, time.monotonic() - began)
    except (_DifferentError, OSError, ValueError, LookupError, TypeError, EOFError):
        return False
    return True


def key_of(words: Sequence[str]) -> str:
    """A digest of what a pack is asked for and by whom, the whole environment included."""
    told = sorted(item for item in os.environb.items() if item[0].decode("latin-1") not in VOLATILE)
    who = (os.geteuid(), os.getegid())
    # Marshalled data is of one Python, and the package may be moved.
    key = (FORMAT, sys.version, __file__, tuple(words), os.getcwd(), who, tuple(told))  # noqa: PTH109
    return digest_of(marshal.dumps(key))


def path_of(key: str) -> str:
    """The record's file."""
    # As uaitrain.paths has it, without pathlib.
    own, xdg = os.environ.get("UAITRAIN_CACHE"), os.environ.get("XDG_CACHE_HOME")
    cache = own or os.path.join(xdg or os.path.expanduser("~/.cache"), "uaitrain")  # noqa: PTH118, PTH111
    return os.path.join(os.path.abspath(cache), FOLDER, key.removeprefix("sha256:"))  # noqa: PTH118, PTH100


def load(key: str) -> dict[str, Any]:
    """The record of ``key``, whole and the user's own. Raises OSError, ValueError and the like."""
    import zlib

    with open(path_of(key), "rb", buffering=0) as file:  # noqa: PTH123
        status = os.fstat(file.fileno())
        if status.st_uid != os.geteuid() or status.st_mode & _PRIVATE:
            raise _DifferentError
        data = file.read(_MOST_BYTES)
    # marshal trusts what it reads; half a record or a flipped bit never gets there.
    if int.from_bytes(data[:4], "big") != zlib.crc32(memoryview(data)[4:]):
        raise _DifferentError
    record: dict[str, Any] = marshal.loads(data[4:])  # noqa: S302 - our own, whole
    if record["key"] != key:
        raise _DifferentError
    return record


def dump(record: dict[str, Any]) -> bytes:
    """``record`` as :func:`load` wants it. Raises ValueError for one that cannot be kept."""
    import zlib

    data = marshal.dumps(record)
    if len(data) + 4 > _MOST_BYTES:
        raise ValueError("too many files")
    return zlib.crc32(data).to_bytes(4, "big") + data


def identity(status: os.stat_result) -> tuple[int, ...]:
    """What must stay the same of a file."""
    return (
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        status.st_dev,
    )


def seen(path: str) -> tuple[int, ...] | None:
    """What there is of ``path``; None for nothing."""
    try:
        return identity(os.stat(path))  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return None


def _compare(record: dict[str, Any]) -> None:
    for path, known in record["watched"].items():
        if seen(path) != known:
            raise _DifferentError
    for path, mode, may in record["allowed"]:
        if os.access(path, mode) != may:
            raise _DifferentError
    for root, skipped, known in record["trees"]:
        _walk(root, skipped, known)
    path, wanted = record["commands"]
    with open(path, "rb") as file:  # noqa: PTH123
        if file.read(len(wanted) + 1) != wanted:
            raise _DifferentError


def _walk(root: str, skipped: dict[str, bool], known: dict[str, tuple[int, ...] | None]) -> None:
    """Everything below ``root`` is as ``known`` has it, folders as None; ``skipped`` are paths
    that are not looked into, and whether they are folders.
    """
    count = 0
    waiting = [("", root)]
    while waiting:
        prefix, folder = waiting.pop()
        with os.scandir(folder) as scan:
            for item in scan:
                path = prefix + item.name
                expected = known.get(path, 0)
                if expected is None:
                    if not item.is_dir(follow_symlinks=False):
                        raise _DifferentError
                    waiting.append((path + "/", item.path))
                elif expected == 0:
                    if skipped.get(path) != item.is_dir(follow_symlinks=False):
                        raise _DifferentError
                    continue
                else:
                    status = item.stat(follow_symlinks=False)
                    if expected != (
                        status.st_size,
                        status.st_mtime_ns,
                        status.st_ctime_ns,
                        status.st_ino,
                        status.st_dev,
                    ):
                        raise _DifferentError
                count += 1
    if count != len(known):
        raise _DifferentError


def _ask(requests: Sequence[tuple[str, int, str, str, str]]) -> None:
    """Every registry gives the very manifests of the last time, by plain HTTP and for anybody."""
    import socket

    open_to = {}
    try:
        for host, port, target, accept, digest in requests:
            if (host, port) not in open_to:
                # As bytes: a name in text loads the tables for those that are not ASCII.
                address: Any = (host.encode("ascii"), port)
                connection = socket.create_connection(address, _CONNECT_SECONDS)
                open_to[host, port] = connection
            connection = open_to[host, port]
            name = f"[{host}]" if ":" in host else host
            connection.sendall(
                f"GET {target} HTTP/1.1\r\nHost: {name}:{port}\r\nUser-Agent: uaitrain\r\n"
                f"Accept-Encoding: identity\r\nAccept: {accept}\r\n\r\n".encode("ascii")
            )
            if digest_of(_body(connection)) != digest:
                raise _DifferentError
    finally:
        for connection in open_to.values():
            connection.close()


def _body(connection: socket.socket) -> bytes:
    """The body of a plain answer 200; whatever else comes is the whole client's work."""
    data, until = b"", time.monotonic() + _ALL_SECONDS
    while b"\r\n\r\n" not in data:
        more = _more(connection, until)
        if not more or len(data) > _HEAD_BYTES:
            raise _DifferentError
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    lengths = [line[15:].strip() for line in lines if line.startswith(b"content-length:")]
    if not lines[0].startswith(b"http/1.1 200 ") or len(lengths) != 1 or not lengths[0].isdigit():
        raise _DifferentError
    if any(line.startswith(b"transfer-encoding:") for line in lines):
        raise _DifferentError
    length = int(lengths[0])
    while len(body) < length <= _MOST_BYTES:
        more = _more(connection, until)
        if not more:
            raise _DifferentError
        body += more
    if len(body) != length:
        raise _DifferentError
    return body


def _more(connection: socket.socket, until: float) -> bytes:
    left = until - time.monotonic()
    if left <= 0:
        raise _DifferentError
    connection.settimeout(left)
    return connection.recv(_HEAD_BYTES)


def _answer(record: dict[str, Any], seconds: float) -> None:
    place = f"{seconds:.1f}".join(record["place"])
    now = time.time_ns() // 1_000_000
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1000)) + f".{now % 1000:03}Z "
    lines = [*record["findings"], "nothing has changed since the last pack", record["place_log"]]
    _write(record["log"], "".join(f"{stamp}{line}\n" for line in [*lines, place]))
    try:
        for line in (*record["notes"], place, record["end"]) if record["speaks"] else ():
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
        sys.stdout.write(f"{record['out']}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # whoever read our output had enough; it is no reason to pack


def _write(path: str, text: str) -> None:
    temporary = f"{path}.{os.getpid()}~"
    try:
        with open(temporary, "wb") as file:  # noqa: PTH123
            file.write(text.encode("utf-8", "backslashreplace"))
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        if os.path.exists(temporary):  # noqa: PTH110
            os.unlink(temporary)  # noqa: PTH108
        raise


def digest_of(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"
