"""An image layer: what an implementer gives, and nothing that can be derived from it."""

from __future__ import annotations

from collections.abc import Callable

from uaitrain.oci.descriptor import Descriptor
from uaitrain.oci.digest import Digest
from uaitrain.typed import Protocol
from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO


class Layer(Protocol):
    """One change set of an image.

    ``diff_id`` is the digest of the uncompressed tar, ``descriptor`` names the blob as it is
    stored. ``open()`` gives the blob's bytes (as stored, of ``descriptor.size`` bytes), from
    its start each time; whoever reads them verifies them against the digest.
    """

    @property
    def diff_id(self) -> Digest: ...

    @property
    def descriptor(self) -> Descriptor: ...

    def open(self) -> BinaryIO: ...


@dataclass(frozen=True)
class BlobLayer:
    """A layer whose blob lies somewhere already: a file, a layout or a registry."""

    diff_id: Digest
    descriptor: Descriptor
    opener: Callable[[], BinaryIO]

    def open(self) -> BinaryIO:
        return self.opener()
