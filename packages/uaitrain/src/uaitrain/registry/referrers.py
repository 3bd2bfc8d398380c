"""Documents that lie beside an image and point to it (OCI distribution-spec 1.1, "Referrers").

A registry with the referrers API keeps the list itself. For one without, the list is an image
index under the tag ``sha256-<hex>``, which whoever adds a document has to write ("Referrers Tag
Schema"). The same bytes are the same document: what is there already is not sent again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import cached_property
from io import BytesIO
from typing import Any
from urllib.parse import quote

from uaitrain.errors import NotFoundError, RegistryError, UsageError
from uaitrain.oci.descriptor import MAX_MANIFEST_BYTES, OCI_INDEX, OCI_MANIFEST, Descriptor
from uaitrain.oci.digest import Digest, digest_of, hex_part, parse_digest
from uaitrain.oci.image import canonical_json
from uaitrain.registry.client import PUSH, Registry, check_pages, next_page
from uaitrain.registry.upload import upload_blob
from uaitrain.values import dataclass, field

EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"
"""The config of something that is no image (image-spec, "Guidance for an Empty Descriptor")."""

_NO_API = (400, 404, 405, 406, 501)
"""How registries say that they have no referrers API; the specification names 404."""

_ROUNDS = 5
"""How often the list is written when others write it at the same time."""


@dataclass(frozen=True)
class Artifact:
    """One document about the image that ``subject`` names."""

    artifact_type: str
    media_type: str
    content: bytes
    subject: Descriptor
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    @cached_property
    def raw_manifest(self) -> bytes:
        subject = Descriptor(self.subject.media_type, self.subject.digest, self.subject.size)
        empty = Descriptor(EMPTY_TYPE, digest_of(EMPTY), len(EMPTY))
        layer = Descriptor(self.media_type, digest_of(self.content), len(self.content))
        manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": self.artifact_type,
            "config": empty.to_json(),
            "layers": [layer.to_json()],
            "subject": subject.to_json(),
        }
        if self.annotations:
            manifest["annotations"] = dict(sorted(self.annotations.items()))
        return canonical_json(manifest)

    @cached_property
    def digest(self) -> Digest:
        return digest_of(self.raw_manifest)

    def entry(self) -> dict[str, Any]:
        """What a list of referrers says of it."""
        described = Descriptor(
            OCI_MANIFEST, self.digest, len(self.raw_manifest), dict(self.annotations)
        )
        return described.to_json() | {"artifactType": self.artifact_type}


@dataclass(frozen=True)
class Attached:
    """``digest`` is that of its manifest, or of its layer where several share a manifest.

    ``sent`` counts the bytes of blobs that travelled; ``unchanged``: all of it was there.
    """

    digest: Digest
    sent: int
    unchanged: bool


def attach(
    registry: Registry,
    repository: str,
    artifact: Artifact,
    tag: str = "",
    known: Collection[str] = (),
) -> Attached:
    """Put ``artifact`` beside its subject, and under ``tag`` where one is given.

    ``known`` are digests that the subject's list is known to name, so that it is not asked for.
    The document comes before the list that names it. Raises RegistryError and its kinds.
    """
    sent, listed, changed = 0, artifact.digest in known, False
    if registry.head_manifest(repository, artifact.digest) is None:
        sent = put_blob(registry, repository, EMPTY_TYPE, EMPTY)
        sent += put_blob(registry, repository, artifact.media_type, artifact.content)
        listed |= _put(registry, repository, artifact)
        changed = True
    if not listed:
        changed |= _list(registry, repository, artifact)
    if tag and registry.head_manifest(repository, tag) != artifact.digest:
        registry.put_manifest(repository, tag, artifact.raw_manifest, OCI_MANIFEST)
        changed = True
    return Attached(artifact.digest, sent, not changed)


def put_blob(registry: Registry, repository: str, media_type: str, content: bytes) -> int:
    """See to it that the repository has the blob; returns the bytes sent."""
    descriptor = Descriptor(media_type, digest_of(content), len(content))
    if registry.head_blob(repository, descriptor.digest):
        return 0
    return upload_blob(registry, repository, descriptor, lambda: BytesIO(content))


def fallback_tag(digest: Digest) -> str:
    """The tag of the list for the image ``digest``, where the registry keeps none itself."""
    return f"sha256-{hex_part(digest)}"


def referrers(registry: Registry, repository: str, subject: Digest) -> list[dict[str, Any]]:
    """What points to ``subject``: descriptors with ``artifactType`` and ``annotations``.

    Raises RegistryError for a list that is none.
    """
    listed = _by_api(registry, repository, subject)
    return _by_tag(registry, repository, subject) if listed is None else listed


def _put(registry: Registry, repository: str, artifact: Artifact) -> bool:
    """Whether the registry says that it has put the document on its list."""
    answer = registry.call(
        "PUT",
        f"/v2/{repository}/manifests/{artifact.digest}",
        repository,
        actions=PUSH,
        headers={"Content-Type": OCI_MANIFEST},
        body=artifact.raw_manifest,
        expect=(200, 201, 202),
        doing=f"attach {artifact.artifact_type} to {registry.host}/{repository}",
    )
    return answer.headers.get("OCI-Subject") == artifact.subject.digest


def _list(registry: Registry, repository: str, artifact: Artifact) -> bool:
    """See to it that the subject's list names ``artifact``; False where it does already."""
    subject = artifact.subject.digest
    listed = _by_api(registry, repository, subject)
    if listed is not None:
        if _names(listed, artifact):
            return False
        # It may have come here before the registry learnt to keep lists.
        if _put(registry, repository, artifact):
            return True
        raise RegistryError(
            f"{registry.host} stored {artifact.digest} but does not list it as a referrer "
            f"of {subject}",
            next_step="try again; if it stays so, look at the registry's log",
        )
    for written in range(_ROUNDS):
        listed = _by_tag(registry, repository, subject)
        if _names(listed, artifact):
            return written > 0
        entries = [*listed, artifact.entry()]
        raw = canonical_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
        if len(raw) > MAX_MANIFEST_BYTES:
            raise RegistryError(
                f"the list of what is attached to {subject} has grown to {len(raw)} bytes",
                allowed=f"at most {MAX_MANIFEST_BYTES} bytes, {len(listed)} documents are on it",
                next_step=f"delete the tag {fallback_tag(subject)} and attach anew",
            )
        registry.put_manifest(repository, fallback_tag(subject), raw, OCI_INDEX)
    raise RegistryError(
        f"others wrote the tag {fallback_tag(subject)} of {registry.host}/{repository} at the "
        f"same time, {_ROUNDS} times in a row",
        next_step="try again when they are done",
    )


def _names(listed: list[dict[str, Any]], artifact: Artifact) -> bool:
    return any(entry["digest"] == artifact.digest for entry in listed)


def _by_api(registry: Registry, repository: str, subject: Digest) -> list[dict[str, Any]] | None:
    """The registry's own list; None where it keeps none."""
    where: str | None = f"/v2/{repository}/referrers/{quote(subject, safe=':')}"
    found: list[dict[str, Any]] = []
    seen: set[str] = set()
    while where and where not in seen:
        seen.add(where)
        answer = registry.call(
            "GET",
            where,
            repository,
            headers={"Accept": OCI_INDEX},
            expect=(200, *_NO_API),
            doing=f"ask {registry.host} what is attached to {subject}",
        )
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        if answer.status != 200 or kind != OCI_INDEX:
            return None
        found += _entries(answer.body, f"{registry.host}'s list of what is attached to {subject}")
        where = next_page(answer)
        check_pages(len(seen), f"{registry.host}'s list of what is attached to {subject}")
    return found


def _by_tag(registry: Registry, repository: str, subject: Digest) -> list[dict[str, Any]]:
    tag = fallback_tag(subject)
    try:
        fetched = registry.get_manifest(repository, tag)
    except NotFoundError:
        return []
    if fetched.media_type != OCI_INDEX:
        raise RegistryError(
            f"the tag {tag} of {registry.host}/{repository} is no list of attached documents: "
            f"{fetched.media_type[:100]!r}",
            next_step="delete that tag, or use another repository",
        )
    return _entries(fetched.raw, f"the tag {tag} of {registry.host}/{repository}")


def _entries(raw: bytes, what: str) -> list[dict[str, Any]]:
    try:
        manifests = json.loads(raw)["manifests"] or []
        for entry in manifests:
            parse_digest(entry["digest"])
    except (ValueError, RecursionError, KeyError, TypeError, UsageError):
        raise RegistryError(f"{what} is no image index: {raw[:60]!r}") from None
    return list(manifests)
