"""Uploads that a registry has begun: started, cancelled, and remembered for the next process.

Protocol: OCI distribution-spec 1.1, "Pushing blobs", "Mounting a blob from another repository".

An upload of a large blob is remembered in the cache directory until it ends, so that a push that
was killed goes on where the registry says it came to. What is kept names no secret: the path of
the upload on the registry's own host, where going on with it takes the login again, and only with
parameters that are known to be bookkeeping (``_state`` of distribution: name, offset and time,
signed by the registry). An address on another host, or with anything else in it, may itself be the
right to write there; such an upload is not remembered.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

from uaitrain import atomic
from uaitrain.errors import RegistryError, UaitrainError
from uaitrain.oci.descriptor import Descriptor
from uaitrain.oci.digest import Digest
from uaitrain.registry.client import PUSH, Registry, scope_for_mount
from uaitrain.registry.failures import SilentError, UnreachableError
from uaitrain.values import dataclass

REMEMBERED_BYTES = 8 << 20
"""Smaller blobs are sent again sooner than asked for."""
_KEPT_SECONDS = 7 * 24 * 3600
"""Distribution forgets an upload after a week (``maintenance.uploadpurging.age``)."""
_HARMLESS = frozenset({"_state", "_nouploadcache"})


@dataclass(frozen=True)
class Session:
    """An upload that the registry has begun: where it goes on and the smallest chunk it takes."""

    url: str
    smallest_chunk: int = 0


def begin(
    registry: Registry, repository: str, mount: tuple[Digest, str] | None = None
) -> Session | None:
    """Start an upload; with ``mount`` (digest, repository) try to take that blob instead.

    The repository may be the same one: then it is the question whether the blob is there, and the
    start of an upload where it is not, in one request. None: it is there, nothing is to be sent.
    """
    if mount and (registry.mounts or mount[1] != repository):
        try:
            return _begin(registry, repository, mount)
        except (SilentError, UnreachableError):
            raise
        except RegistryError:
            # Refused, for what reason ever: what cannot be mounted is sent. If this login may
            # not push at all, or the registry is broken, the next request says so.
            registry.mounts = registry.mounts and mount[1] != repository
    return _begin(registry, repository, None)


def _begin(registry: Registry, repository: str, mount: tuple[Digest, str] | None) -> Session | None:
    path = f"/v2/{repository}/blobs/uploads/"
    if mount:
        path += f"?mount={quote(mount[0], safe='')}&from={quote(mount[1], safe='')}"
    doing = f"start an upload to {registry.host}/{repository}"
    source = mount[1] if mount else repository
    answer = registry.call(
        "POST",
        path,
        repository,
        actions=PUSH,
        also=scope_for_mount(source) if source != repository else frozenset(),
        headers={"Content-Length": "0"},
        expect=(201, 202) if mount else (202,),
        doing=doing,
    )
    if answer.status == 201:
        return None
    smallest = answer.headers.get("OCI-Chunk-Min-Length", "")
    known = re.fullmatch("[0-9]{1,12}", smallest)
    return Session(registry.location(answer, doing), int(smallest) if known else 0)


def cancel(registry: Registry, repository: str, session: Session) -> None:
    """Tell the registry to forget it. Tried once: that it does not is no harm."""
    with contextlib.suppress(RegistryError):
        sent = registry.authorization(session.url, repository)
        headers = {"Authorization": sent} if sent else {}
        registry.transport.send("DELETE", session.url, headers, b"")


class Memory:
    """What is remembered of one blob's upload; without a file, nothing."""

    def __init__(self, registry: Registry, repository: str, file: Path | None) -> None:
        self._registry = registry
        self._repository = repository
        self._file = file
        self.kept = False
        """Whether the session that was saved last will be found again."""

    def recall(self) -> Session | None:
        if self._file is None:
            return None
        try:
            value = json.loads(self._file.read_bytes())
            path, smallest = value["path"], value["smallest_chunk"]
            url = self._registry.address(path)
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None
        if not isinstance(smallest, int) or self._path(url) != path:
            return None
        self.kept = True
        return Session(url, smallest)

    def save(self, session: Session) -> None:
        path = self._path(session.url)
        if self._file is None:
            return
        if not path:
            self.forget()
            return
        value = {"path": path, "smallest_chunk": session.smallest_chunk}
        try:
            atomic.write_bytes(self._file, json.dumps(value).encode(), 0o600, durable=False)
        except UaitrainError:
            self.forget()
        else:
            self.kept = True

    def forget(self) -> None:
        self.kept = False
        if self._file:
            with contextlib.suppress(OSError):
                self._file.unlink()

    def _path(self, url: str) -> str:
        """What may be kept of an upload's address; nothing where that is not all of it."""
        parts = urlsplit(url)
        names = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
        within = parts.path.startswith(f"/v2/{self._repository}/blobs/uploads/")
        if not self._registry.is_ours(url) or not within or not names <= _HARMLESS:
            return ""
        return parts.path + (f"?{parts.query}" if parts.query else "")


@contextlib.contextmanager
def remembered(registry: Registry, repository: str, descriptor: Descriptor) -> Iterator[Memory]:
    """The memory of this blob's upload, which is this process' alone until the block ends.

    Another process that sends the same blob at the same time remembers nothing.
    """
    folder = registry.uploads
    if folder is None or descriptor.size < REMEMBERED_BYTES:
        yield Memory(registry, repository, None)
        return
    name = f"{registry.host}/{repository}@{descriptor.digest}"
    stem = folder / re.sub("[^a-zA-Z0-9.-]", "_", name)[-200:]
    lock = stem.with_name(f"{stem.name}.lock")
    held = _hold(folder, lock)
    if held is None:
        yield Memory(registry, repository, None)
        return
    try:
        yield Memory(registry, repository, stem.with_name(f"{stem.name}.json"))
    finally:
        with contextlib.suppress(OSError):
            lock.unlink()
        os.close(held)


def _hold(folder: Path, lock: Path) -> int | None:
    """The open, locked file; the kernel lets go of it however the process ends."""
    import fcntl

    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _tidy(folder)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it before us has perhaps removed it meanwhile.
        if os.fstat(handle).st_ino == lock.stat().st_ino:
            return handle
    except OSError:
        pass
    os.close(handle)
    return None


def _tidy(folder: Path) -> None:
    """What is older than any registry remembers it."""
    oldest = time.time() - _KEPT_SECONDS
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.lstat().st_mtime < oldest:
                path.unlink()
