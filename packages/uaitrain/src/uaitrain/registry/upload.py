"""Blobs into a registry: in one piece, or in chunks; resumed where it broke off.

Protocol: OCI distribution-spec 1.1, "Pushing blobs". One PUT with the whole blob is the default.
Chunks are sent where the registry names a smallest chunk (OCI-Chunk-Min-Length) or refuses the
piece as too large.

After a failure the registry is asked how much it has, and the rest is sent. Distribution 2 (the
common ``registry:2``) cannot say so after a piece that broke off in its middle: there the blob is
sent again from its start. A blob is given up after as many attempts without progress as
``transport.Retry`` allows, or when the registry fell silent twice in a row. Where the registry got
other bytes than were read here, the whole is sent anew, once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote, urljoin, urlsplit

from uaitrain.errors import DigestError, RegistryError, UaitrainError
from uaitrain.oci.descriptor import Descriptor
from uaitrain.oci.digest import parse_digest, verify
from uaitrain.registry.client import PUSH, Registry
from uaitrain.registry.failures import SilentError, TransientError, UnreachableError
from uaitrain.registry.patience import SLOWEST_PIECE
from uaitrain.registry.sending import Outgoing
from uaitrain.registry.sessions import Memory, Session, begin, cancel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from uaitrain.registry.wire import Answer

_TOO_LARGE = 413
_CHUNKS = (64 << 20, 8 << 20, 1 << 20)
"""Chunk sizes in bytes to try, one after the other, as long as the registry answers 413."""
_SLOWEST_COMMIT = 20e6
"""Bytes per second at which a registry is expected to check and store a blob at least."""
_STREAM = {"Content-Type": "application/octet-stream"}
_REDIRECTS = (307, 308)
_MOST_REDIRECTS = 5


def upload_blob(
    registry: Registry,
    repository: str,
    descriptor: Descriptor,
    opener: Callable[[], BinaryIO],
    *,
    session: Session | None = None,
    memory: Memory | None = None,
    advance: Callable[[int], None] = lambda amount: None,
) -> int:
    """Send the blob that ``opener`` gives; returns the bytes sent, repeated ones included.

    What ``memory`` has of an earlier upload is gone on with, else ``session``, else a new one.
    ``advance`` hears of every piece, with a negative amount where pieces were lost.
    Raises RegistryError, CredentialsError, DigestError (the registry got other bytes),
    StorageError (the blob is not what ``descriptor`` says) and what the blob's stream raises.
    """
    memory = memory or Memory(registry, repository, None)
    return _Upload(registry, repository, descriptor, opener, session, memory, advance).run()


class _Refused(Exception):  # noqa: N818 not an error yet: chunks may help
    """A piece was too large for the registry."""


class _Upload:
    def __init__(
        self,
        registry: Registry,
        repository: str,
        descriptor: Descriptor,
        opener: Callable[[], BinaryIO],
        session: Session | None,
        memory: Memory,
        advance: Callable[[int], None],
    ) -> None:
        from uaitrain.registry.wire import CHUNK

        self._registry = registry
        self._repository = repository
        self._descriptor = descriptor
        self._session: Session | None = None
        self._given = session
        self._memory = memory
        self._advance = advance
        self._source = Outgoing(opener, descriptor, CHUNK, self._count)
        self._doing = f"push blob {descriptor.digest} to {registry.host}/{repository}"
        self._backoff = registry.transport.backoff()
        self._chunk = 0
        self._sizes = list(_CHUNKS)
        self._stored = 0
        self._farthest = 0
        self._shown = 0
        self._renewed = False
        self._damaged = False

    def run(self) -> int:
        silent = False
        try:
            if self._goes_on():
                return self._source.sent
            while True:
                try:
                    self._attempt()
                    return self._source.sent
                except _Refused:
                    self._smaller_chunks()
                except DigestError:
                    if self._damaged:
                        raise
                    self._damaged = True
                    self._source.close()
                    self._start_anew()
                except TransientError as error:
                    again = silent and isinstance(error, SilentError)
                    silent = isinstance(error, SilentError)
                    if again or not self._backoff.pause(error.wait):
                        raise
                    if self._find_offset():
                        return self._source.sent
                    self._note_progress()
        except (SilentError, UnreachableError):
            raise
        except BaseException as error:
            self._leave(error)
            raise
        finally:
            self._source.close()

    def _goes_on(self) -> bool:
        """Take the session that is there; True where all of the blob is, too.

        A remembered one comes first; whoever gives one has looked that there is none.
        """
        earlier = self._memory.recall()
        if earlier is None:
            self._take(self._given)
            return False
        self._take(earlier)
        done = self._find_offset()
        if done:
            return True
        self._note_progress()
        return False

    def _leave(self, error: BaseException) -> None:
        """No half blob is left lying in a registry that can be reached, unless to go on with."""
        is_final = isinstance(error, UaitrainError) and not isinstance(error, TransientError)
        if self._session and (is_final or not self._memory.kept):
            cancel(self._registry, self._repository, self._session)
        if is_final:
            self._memory.forget()

    def _take(self, session: Session | None) -> None:
        self._session = session
        if session:
            self._memory.save(session)
        else:
            self._memory.forget()

    def _start_anew(self) -> None:
        if self._session:
            cancel(self._registry, self._repository, self._session)
        self._take(None)
        self._stored = 0

    def _note_progress(self) -> None:
        """Attempts are counted since the upload last came a piece farther than ever before."""
        if self._stored >= self._farthest + SLOWEST_PIECE:
            self._farthest = self._stored
            self._backoff.reset()

    def _attempt(self) -> None:
        session = self._session or self._begin()
        self._show(self._stored)
        if session.smallest_chunk and not self._chunk:
            self._chunk = max(session.smallest_chunk, self._sizes.pop(0))
        size = self._descriptor.size
        while self._chunk and size - self._stored > self._chunk:
            self._patch(self._stored + self._chunk)
        self._commit()

    def _begin(self) -> Session:
        session = begin(self._registry, self._repository)
        assert session, "nothing was to be mounted"
        self._take(session)
        self._stored = 0
        return session

    def _patch(self, end: int) -> None:
        assert self._session
        headers = {"Content-Range": f"{self._stored}-{end - 1}"}
        answer = self._send("PATCH", self._session.url, end, headers, (202, 204))
        url = self._registry.location(answer, self._doing)
        self._take(Session(url, self._session.smallest_chunk))
        told = _offset(answer) or end
        if not self._stored < told <= end:
            raise TransientError(
                f"{self._registry.host} lost pieces that it had taken: {self._doing}",
                next_step="look at the registry's log; are there several without shared storage?",
            )
        self._stored = told
        self._note_progress()

    def _commit(self) -> None:
        assert self._session
        separator = "&" if urlsplit(self._session.url).query else "?"
        url = f"{self._session.url}{separator}digest={quote(self._descriptor.digest, safe='')}"
        size = self._descriptor.size
        headers = {"Content-Range": f"{self._stored}-{size - 1}"} if self._stored < size else {}
        answer = self._send("PUT", url, size, headers if self._stored else {}, (201, 204))
        self._take(None)
        told = answer.headers.get("Docker-Content-Digest", "")
        if told.startswith("sha256:") and told != self._descriptor.digest:
            what = f"blob {self._descriptor.digest} as {self._registry.host} stored it"
            verify(self._descriptor.digest, parse_digest(told), what)

    def _send(
        self, method: str, url: str, end: int, headers: dict[str, str], expect: tuple[int, ...]
    ) -> Answer:
        length = end - self._stored
        for _ in range(_MOST_REDIRECTS):
            sent = self._registry.authorization(url, self._repository)
            answer = self._registry.transport.send(
                method,
                url,
                _STREAM
                | {"Content-Length": str(length)}
                | headers
                | ({"Authorization": sent} if sent else {}),
                self._source.part(self._stored, end) if length else b"",
                extra_seconds=length / _SLOWEST_COMMIT,
            )
            target = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or not target:
                break
            url = urljoin(answer.url, target)
        if answer.status in expect:
            self._renewed = False
            return answer
        if answer.status == _TOO_LARGE:
            raise _Refused
        if answer.status == 401 and not self._renewed:
            self._renewed = True
            self._registry.reauthorize(answer, self._repository, sent)
            raise TransientError(f"{self._registry.host} wants a new login: {self._doing}")
        if answer.status in (404, 416):
            # The session is forgotten or stands elsewhere; the bytes are still ours to send.
            raise TransientError(
                f"{self._registry.host} forgot the upload again and again: {self._doing}",
                next_step="look at the registry's log; are there several without shared storage?",
            )
        raise self._registry.error(answer, self._doing)

    def _smaller_chunks(self) -> None:
        smaller = [size for size in self._sizes if not self._chunk or size < self._chunk]
        smallest = self._session.smallest_chunk if self._session else 0
        smaller = [size for size in smaller if size >= smallest and size < self._descriptor.size]
        if not smaller:
            raise RegistryError(
                f"{self._registry.host} takes no piece as small as ours: {self._doing}",
                next_step="raise the body limit of the registry or of the proxy before it",
            ) from None
        self._chunk, self._sizes = smaller[0], smaller[1:]
        self._find_offset()

    def _find_offset(self) -> bool:
        """Ask how much of the upload is there; begin anew where the registry cannot say.

        True: all of it is, only the answer that said so was lost.
        """
        if self._session is None:
            return False
        try:
            answer = self._registry.call(
                "GET",
                self._session.url,
                self._repository,
                actions=PUSH,
                expect=(204, 202),
                doing=self._doing,
            )
            url = self._registry.location(answer, self._doing)
        except (SilentError, UnreachableError):
            raise
        except RegistryError:
            self._start_anew()
            return self._registry.head_blob(
                self._repository, self._descriptor.digest, self._descriptor.size
            )
        self._take(Session(url, self._session.smallest_chunk))
        self._stored = min(_offset(answer) or 0, self._descriptor.size)
        return False

    def _count(self, amount: int) -> None:
        self._shown += amount
        self._advance(amount)

    def _show(self, position: int) -> None:
        if self._shown != position:
            self._advance(position - self._shown)
            self._shown = position


def _offset(answer: Answer) -> int | None:
    """How many bytes are there by the Range header (``0-<last>``); some say 0-0 for none."""
    told = answer.headers.get("Range", "").strip()
    match = re.fullmatch(r"(?:bytes=)?0-([0-9]{1,18})", told)
    return int(match[1]) + 1 if match and match[1] != "0" else None
