"""One registry: its manifests, blobs and tags (OCI distribution-spec 1.1, Docker's HTTP API v2).

Uploads are in :mod:`uaitrain.registry.upload`, downloads in :mod:`uaitrain.registry.download`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Mapping
from urllib.parse import urljoin, urlsplit

from uaitrain.errors import DigestError, RegistryError, UsageError
from uaitrain.oci.descriptor import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_MANIFEST_BYTES,
    Descriptor,
)
from uaitrain.oci.digest import Digest, digest_of, parse_digest, verify
from uaitrain.oci.reference import DOCKER_HUB
from uaitrain.registry.auth import Authorizer, Scope, scope_of
from uaitrain.registry.failures import DamagedError, MissingBlobsError, is_registry, refusal
from uaitrain.registry.transport import Transport
from uaitrain.typed import cast
from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from uaitrain.registry.wire import Answer

PULL = ("pull",)
PUSH = ("pull", "push")
_ACCEPT = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))
MAX_PAGES = 1000
"""Of one list; registries give a hundred entries a page or more."""
_HUB_API = "registry-1.docker.io"


@dataclass(frozen=True)
class FetchedManifest:
    """A manifest or an index as the registry keeps it; ``digest`` is that of ``raw``."""

    raw: bytes
    media_type: str
    digest: Digest

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEX_TYPES


class Registry:
    """Talks to the registry that the user calls ``host``. Safe to use from several threads.

    ``uploads`` is a folder to remember begun uploads in; without one, none is.
    """

    def __init__(
        self,
        host: str,
        transport: Transport,
        authorizer: Authorizer,
        uploads: Path | None = None,
    ) -> None:
        self.host = host
        self.transport = transport
        self.uploads = uploads
        self.mounts = True
        """Whether it has not yet refused a mount from the repository itself."""
        self._auth = authorizer
        self._api = api_host(host)
        self._wide: set[str] = set()

    def expect_push(self, repository: str) -> None:
        """Ask for the right to push from the first request on: one token instead of two."""
        self._wide.add(repository)

    def ping(self) -> None:
        """Raises RegistryError unless a registry answers, whoever may use it."""
        answer = self.transport.request("GET", self.transport.url(self._api, "/v2/"))
        if answer.status == 401 or (answer.status == 200 and is_registry(answer)):
            return
        if answer.status == 200 and answer.body.strip() in (b"", b"{}"):
            return
        if answer.status == 200:
            raise self._not_a_registry()
        raise refusal(answer, f"ask {self.host} whether it is a registry")

    def get_manifest(self, repository: str, identifier: str) -> FetchedManifest:
        """``identifier`` is a tag or a digest. Raises NotFoundError, DigestError.

        What arrives damaged is asked for once more.
        """
        try:
            return self._get_manifest(repository, identifier)
        except DigestError:
            return self._get_manifest(repository, identifier)

    def _get_manifest(self, repository: str, identifier: str) -> FetchedManifest:
        doing = f"pull {self._name(repository, identifier)}"
        answer = self.call(
            "GET", self._manifest_path(repository, identifier), repository, doing=doing
        )
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        if media_type == "text/html":
            raise self._not_a_registry()
        if len(answer.body) > MAX_MANIFEST_BYTES:
            raise RegistryError(
                f"{self.host} sends a manifest of more than {MAX_MANIFEST_BYTES} bytes: {doing}",
                next_step="check the reference: this is no image",
            )
        digest = digest_of(answer.body)
        if identifier.startswith("sha256:"):
            verify(parse_digest(identifier), digest, f"manifest {identifier} of {self.host}")
        told = answer.headers.get("Docker-Content-Digest", "")
        if told.startswith("sha256:") and told != digest:
            verify(self._digest(told), digest, f"manifest {identifier} of {self.host}")
        return FetchedManifest(answer.body, _declared_type(answer.body) or media_type, digest)

    def manifest_address(self, repository: str, identifier: str) -> tuple[str, str]:
        """The URL that :meth:`get_manifest` reads, and what it accepts there."""
        path = self._manifest_path(repository, identifier)
        return self.transport.url(self._api, path), _ACCEPT

    def head_manifest(self, repository: str, identifier: str) -> Digest | None:
        """The digest that a tag has there; None where it is missing or its digest not told."""
        answer = self.call(
            "HEAD",
            self._manifest_path(repository, identifier),
            repository,
            expect=(200, 404),
            doing=f"look for {self._name(repository, identifier)}",
        )
        told = answer.headers.get("Docker-Content-Digest")
        return self._digest(told) if answer.status == 200 and told else None

    def put_manifest(self, repository: str, identifier: str, raw: bytes, media_type: str) -> Digest:
        """Store ``raw`` under a tag or its digest; what the registry has then must be ours.

        A manifest that it got damaged is sent once more. Raises DigestError, MissingBlobsError,
        CredentialsError, RegistryError.
        """
        ours = digest_of(raw)
        try:
            there = self._put_manifest(repository, identifier, raw, media_type)
        except (DigestError, DamagedError):
            there = None
        except MissingBlobsError as error:
            # Blobs that this manifest does not name: what was read there is not what was sent.
            if not error.digests or any(digest.encode() in raw for digest in error.digests):
                raise
            there = None
        if there != ours:
            # At once: what it stored instead has the tag now.
            there = self._put_manifest(repository, identifier, raw, media_type)
        if there != ours:
            # A header alone is not believed when it says otherwise.
            there = self.get_manifest(repository, identifier).digest
            verify(ours, there, f"what {self.host} stored as {identifier}")
        return ours

    def _put_manifest(
        self, repository: str, identifier: str, raw: bytes, media_type: str
    ) -> Digest:
        """The digest of what it stored, by its own word where it gives it."""
        doing = f"push {self._name(repository, identifier)}"
        answer = self.call(
            "PUT",
            self._manifest_path(repository, identifier),
            repository,
            actions=PUSH,
            headers={"Content-Type": media_type},
            body=raw,
            expect=(201, 200, 202),
            doing=doing,
        )
        told = answer.headers.get("Docker-Content-Digest")
        return self._digest(told) if told else self.get_manifest(repository, identifier).digest

    def head_blob(self, repository: str, digest: Digest, size: int | None = None) -> bool:
        """Whether the repository has the blob, by what it says: of ``size`` bytes, if given."""
        answer = self.call(
            "HEAD",
            f"/v2/{repository}/blobs/{digest}",
            repository,
            expect=(200, 404),
            doing=f"look for blob {digest} in {self._name(repository)}",
        )
        told = answer.headers.get("Docker-Content-Digest") or digest
        length = answer.headers.get("Content-Length") or str(size)
        return answer.status == 200 and told == digest and (size is None or length == str(size))

    def open_blob(self, repository: str, descriptor: Descriptor) -> BinaryIO:
        """The blob as a stream that goes on after broken connections.

        Before its last bytes are given out, size and digest are verified: reading raises
        DigestError where they are wrong. Nothing is asked for before the first read.
        """
        from uaitrain.registry.download import BlobReader
        from uaitrain.registry.wire import CHUNK

        # BinaryIO has attributes, such as name, that nobody reads from a stream.
        return cast("BinaryIO", io.BufferedReader(BlobReader(self, repository, descriptor), CHUNK))

    def read_blob(self, repository: str, descriptor: Descriptor) -> bytes:
        """A small blob (an image config) at once, verified; asked for once more if damaged."""
        if descriptor.size > MAX_MANIFEST_BYTES:
            raise RegistryError(
                f"blob {descriptor.digest} of {self.host} has {descriptor.size} bytes",
                allowed=f"at most {MAX_MANIFEST_BYTES} bytes for an image config",
            )
        try:
            return self._read_blob(repository, descriptor)
        except DigestError:
            return self._read_blob(repository, descriptor)

    def _read_blob(self, repository: str, descriptor: Descriptor) -> bytes:
        with self.open_blob(repository, descriptor) as stream:
            return stream.read()

    def tags(self, repository: str) -> list[str]:
        """All tags, sorted. Raises NotFoundError where there is no such repository."""
        found: set[str] = set()
        path: str | None = f"/v2/{repository}/tags/list"
        seen: set[str] = set()
        while path and path not in seen:
            seen.add(path)
            answer = self.call(
                "GET", path, repository, doing=f"list the tags of {self._name(repository)}"
            )
            found |= set(_tag_names(answer))
            path = next_page(answer)
            check_pages(len(seen), f"{self.host}'s list of tags")
        return sorted(found)

    def call(
        self,
        method: str,
        where: str,
        repository: str,
        *,
        actions: Collection[str] = PULL,
        also: Scope = frozenset(),
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        expect: Collection[int] = (200,),
        stream: bool = False,
        doing: str,
    ) -> Answer:
        """A request with our authorization; an answer other than expected becomes its error.

        ``where`` is a path, or an address that the registry gave; ``also`` widens the scope.
        """
        url = where if "://" in where else self.transport.url(self._api, where)
        scope = self._scope(repository, actions) | also
        ours = self.is_ours(url)
        sent = self._auth.header(scope) if ours else ""
        for again in (False, True):
            answer = self.transport.request(
                method, url, _authorized(headers, sent), body, stream=stream
            )
            if answer.status != 401 or again or not ours:
                break
            sent = self._auth.renew(answer.headers.get("WWW-Authenticate", ""), scope, sent)
        if answer.status in expect:
            return answer
        answer.close()
        raise self.error(answer, doing)

    def error(self, answer: Answer, doing: str) -> RegistryError:
        """The error for an answer that was not expected."""
        if answer.status == 401 and self.is_ours(answer.url) and (why := self._auth.refused()):
            return why
        return refusal(answer, doing)

    def authorization(self, url: str, repository: str) -> str:
        """The Authorization header for a push to ``url`` that :meth:`call` cannot make."""
        return self._auth.header(self._scope(repository, PUSH)) if self.is_ours(url) else ""

    def reauthorize(self, answer: Answer, repository: str, sent: str) -> None:
        """Get another header after a 401. Raises CredentialsError where there is none."""
        challenge = answer.headers.get("WWW-Authenticate", "")
        self._auth.renew(challenge, self._scope(repository, PUSH), sent)

    def address(self, path: str) -> str:
        """The URL of ``path`` on the registry's own host."""
        return self.transport.url(self._api, path)

    def is_ours(self, url: str) -> bool:
        """Whether ``url`` is on this registry's own host, the only one to get credentials."""
        return urlsplit(url).netloc == self._api

    def location(self, answer: Answer, doing: str) -> str:
        """Where an upload goes on. A proxy that ends TLS may have made it ``http``: mended."""
        given = answer.headers.get("Location")
        if not given:
            raise RegistryError(
                f"{self.host} does not say where to send the bytes: {doing}",
                next_step="check that the host is a registry and what its log says",
            )
        try:
            url = urljoin(answer.url, given)
            urlsplit(url)
        except ValueError:
            raise RegistryError(
                f"{self.host} gives a broken address to send the bytes to: {given[:100]!r}",
                next_step="check that the host is a registry and what its log says",
            ) from None
        if self.is_ours(url):
            url = urlsplit(url)._replace(scheme=urlsplit(answer.url).scheme).geturl()
        return url

    def _scope(self, repository: str, actions: Collection[str]) -> Scope:
        return scope_of(repository, *(PUSH if repository in self._wide else actions))

    def _name(self, repository: str, identifier: str = "") -> str:
        mark = "@" if identifier.startswith("sha256:") else ":"
        return f"{self.host}/{repository}{mark if identifier else ''}{identifier}"

    @staticmethod
    def _manifest_path(repository: str, identifier: str) -> str:
        return f"/v2/{repository}/manifests/{identifier}"

    def _digest(self, told: str) -> Digest:
        try:
            return parse_digest(told)
        except UsageError as error:
            raise RegistryError(f"{self.host} gives a broken digest: {error.what}") from None

    def _not_a_registry(self) -> RegistryError:
        return RegistryError(
            f"{self.host} answers, but not as a registry does",
            allowed="a registry with the HTTP API v2 (OCI distribution)",
            next_step="check the registry's host and port",
        )


def api_host(host: str) -> str:
    """Where the registry that people call ``host`` is."""
    return _HUB_API if host in (DOCKER_HUB, "index.docker.io") else host


def scope_for_mount(source: str) -> Scope:
    return scope_of(source, *PULL)


def _authorized(headers: Mapping[str, str] | None, authorization: str) -> dict[str, str]:
    base = {"Accept": _ACCEPT} if headers is None else dict(headers)
    return base | ({"Authorization": authorization} if authorization else {})


def _declared_type(raw: bytes) -> str:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return ""
    declared = value.get("mediaType") if isinstance(value, dict) else None
    return declared if isinstance(declared, str) else ""


def _tag_names(answer: Answer) -> list[str]:
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        value = None
    tags = value.get("tags") if isinstance(value, dict) else None
    return [str(tag) for tag in tags or []] if isinstance(tags, list | None) else []


def next_page(answer: Answer) -> str | None:
    """Where a list goes on (RFC 8288), on the registry's own host; None at its end."""
    target, _, relation = answer.headers.get("Link", "").partition(">")
    if not target.startswith("<") or "next" not in relation:
        return None
    try:
        parts = urlsplit(urljoin(answer.url, target[1:]))
    except ValueError:
        return None
    return f"{parts.path}?{parts.query}"


def check_pages(read: int, what: str) -> None:
    """Raises RegistryError for a list that has no end."""
    if read >= MAX_PAGES:
        raise RegistryError(
            f"{what} goes on after {read} pages",
            allowed=f"at most {MAX_PAGES} pages",
            next_step="check that the host is a registry and what its log says",
        )
