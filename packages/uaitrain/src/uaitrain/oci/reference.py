"""Image references: the one place that parses and prints ``host:port/path/name:tag@digest``.

Grammar: distribution/reference, with Docker's rule that a first part is a registry host only
when it holds a dot or a colon, or is ``localhost``.
"""

from __future__ import annotations

import re

from uaitrain.errors import UsageError
from uaitrain.oci.digest import Digest, parse_digest
from uaitrain.values import dataclass, replace

DOCKER_HUB = "docker.io"
DEFAULT_TAG = "latest"

MAX_CHARACTERS = 1024
"""Host (253), repository (255), tag (128) and digest (71), and what joins them, are fewer."""

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
    r"|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?\Z"
)
_REPOSITORY_RULE = (
    "lower-case letters, digits and the separators . _ __ - between them, in parts joined by /"
)


def check_host(text: str) -> str:
    """Raises UsageError unless ``text`` is ``host`` or ``host:port``."""
    _, colon, port = text.rpartition(":")
    has_port = colon and port.isascii() and port.isdigit()
    if not _HOST.match(text) or (has_port and int(port) > 65535):
        raise UsageError(f"not a registry host: {text!r}", allowed="a host name or host:port")
    return text


def check_repository(text: str, what: str = "repository name") -> str:
    """Raises UsageError unless ``text`` is a legal repository path."""
    if not _REPOSITORY.match(text) or len(text) > 255:
        hint = f"for example {text.lower()}" if _REPOSITORY.match(text.lower()) else ""
        raise UsageError(
            f"not a legal {what}: {text!r}",
            allowed=_REPOSITORY_RULE + ("; at most 255 characters" if len(text) > 255 else ""),
            next_step=hint,
        )
    return text


def check_tag(text: str, what: str = "tag") -> str:
    """Raises UsageError unless ``text`` is a legal tag."""
    if not _TAG.match(text):
        raise UsageError(
            f"not a legal {what}: {text!r}",
            allowed="letters, digits, _ . and -, at most 128, not beginning with . or -",
        )
    return text


@dataclass(frozen=True)
class Reference:
    """A name for an image. ``registry`` is empty for a name that only an engine knows."""

    registry: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    @staticmethod
    def parse(text: str, default_registry: str = DOCKER_HUB) -> Reference:
        """Read ``text``; a missing tag becomes ``latest`` unless there is a digest.

        Raises UsageError.
        """
        if len(text) > MAX_CHARACTERS:
            raise UsageError(
                f"not an image reference: {text[:100]!r}… has {len(text)} characters",
                allowed=f"at most {MAX_CHARACTERS}",
            )
        rest, at, digest_text = text.partition("@")
        try:
            digest = parse_digest(digest_text) if at else None
        except UsageError as error:
            raise UsageError(
                f"not an image reference: {text[:300]!r}", allowed=error.allowed
            ) from None
        head, slash, tail = rest.partition("/")
        if slash and ("." in head or ":" in head or head == "localhost"):
            registry, path = check_host(head), tail
        else:
            registry, path = default_registry, rest
        repository, colon, tag = path.partition(":")
        if registry == DOCKER_HUB and "/" not in repository:
            repository = "library/" + repository
        check_repository(repository, "image reference")
        if colon:
            check_tag(tag)
        elif digest is None:
            tag = DEFAULT_TAG
        return Reference(registry, repository, tag, digest)

    @property
    def identifier(self) -> str:
        """What a manifest request names: the digest where there is one, else the tag."""
        return self.digest or self.tag

    def with_digest(self, digest: Digest) -> Reference:
        return replace(self, digest=digest)

    def __str__(self) -> str:
        name = f"{self.registry}/{self.repository}" if self.registry else self.repository
        if self.tag:
            name += f":{self.tag}"
        if self.digest:
            name += f"@{self.digest}"
        return name
