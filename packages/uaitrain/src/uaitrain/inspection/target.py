"""Which image a word on the command line means (pure).

``oci:FOLDER[:NAME]`` is an OCI layout, ``archive:FILE`` what ``docker save`` wrote, ``engine:NAME``
an image of Docker or Podman on this machine. Without such a prefix a name with a registry's host
is in that registry, and one without is the engine's: the CPU image of a pack, for one.
"""

from __future__ import annotations

from pathlib import Path

from uaitrain.bases.catalogue import OCI_PREFIX, LayoutReference
from uaitrain.errors import UsageError
from uaitrain.oci.reference import Reference
from uaitrain.values import dataclass

ARCHIVE_PREFIX = "archive:"
ENGINE_PREFIX = "engine:"
FORMS = "HOST/NAME:TAG, engine:NAME:TAG, oci:FOLDER[:NAME] or archive:FILE"


@dataclass(frozen=True)
class InRegistry:
    reference: Reference


@dataclass(frozen=True)
class InEngine:
    reference: Reference


@dataclass(frozen=True)
class InArchive:
    path: Path


Target = InRegistry | InEngine | InArchive | LayoutReference


def parse_target(text: str) -> Target:
    """Raises UsageError with the forms there are."""
    if text.startswith(OCI_PREFIX):
        return LayoutReference.parse(text)
    if text.startswith(ARCHIVE_PREFIX):
        path = text.removeprefix(ARCHIVE_PREFIX)
        if not path:
            raise UsageError(f"not an archive: {text!r}", allowed="archive:FILE")
        return InArchive(Path(path).expanduser().absolute())
    try:
        reference = Reference.parse(text.removeprefix(ENGINE_PREFIX), "")
    except UsageError as error:
        raise UsageError(error.what, allowed=f"{FORMS}; {error.allowed}") from None
    if text.startswith(ENGINE_PREFIX) or not reference.registry:
        return InEngine(reference)
    return InRegistry(reference)
