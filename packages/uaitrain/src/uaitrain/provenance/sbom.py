"""The SBOM as a CycloneDX document (version 1.6, JSON), deterministic: same image, same bytes.

The library writes everything but the list of our own files: there may be 100,000 of them, and
it takes more than a millisecond for each. Each is an object of the same three fields.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from uaitrain import __version__
from uaitrain.oci.digest import Digest, hex_part
from uaitrain.oci.image import canonical_json
from uaitrain.provenance import packages
from uaitrain.provenance.contents import File
from uaitrain.provenance.inventory import Installed, Inventory
from uaitrain.provenance.packages import Package, System
from uaitrain.values import dataclass

MEDIA_TYPE = "application/vnd.cyclonedx+json"
PREDICATE_TYPE = "https://cyclonedx.org/bom"

_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
"""RFC 4122's for URLs; a serial number is derived from the image's package URL."""


@dataclass(frozen=True)
class Named:
    """An image by its name (without tag; host and all, where there is one) and digest."""

    name: str
    digest: Digest

    @property
    def purl(self) -> PackageURL:
        """``pkg:oci`` (purl-spec, types-doc/oci-definition.md)."""
        qualifiers = {"repository_url": self.name.lower()} if "/" in self.name else {}
        return PackageURL(
            "oci", None, self.name.rpartition("/")[2].lower(), self.digest, qualifiers
        )


def render(image: Named, base: Named, inventory: Inventory, created: str) -> bytes:
    """The document. ``created`` is the image's own time (RFC 3339): no clock is asked."""
    root = _image(image)
    below = _image(base)
    packer = Component(type=ComponentType.APPLICATION, name="uaitrain", version=__version__)
    bom = Bom(
        serial_number=uuid.uuid5(_NAMESPACE, str(image.purl)),
        metadata=BomMetaData(
            component=root,
            timestamp=datetime.fromisoformat(created),
            tools=ToolRepository(components=[packer]),
        ),
    )
    bom.components.add(below)
    if inventory.system.name:
        bom.components.add(_system(inventory.system))
    ours: list[Component] = [below]
    its: list[Component] = []
    seen: set[str | None] = set()
    for each in inventory.packages:
        component = _package(each, inventory.system)
        if component.bom_ref.value in seen:
            continue
        seen.add(component.bom_ref.value)
        bom.components.add(component)
        (its if each.from_base else ours).append(component)
    bom.register_dependency(root, ours)
    bom.register_dependency(below, its)
    document: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    document["components"] += _files(inventory.files)
    return canonical_json(document)


def _image(image: Named) -> Component:
    return Component(
        type=ComponentType.CONTAINER,
        name=image.name,
        version=image.digest,
        purl=image.purl,
        bom_ref=str(image.purl),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=hex_part(image.digest))],
    )


def _system(system: System) -> Component:
    """Scanners look up Debian's packages by it."""
    name = f"{system.name}-{system.version}"
    return Component(
        type=ComponentType.OPERATING_SYSTEM,
        name=system.name,
        version=system.version,
        bom_ref=f"os:{name}",
    )


def _package(installed: Installed, system: System) -> Component:
    package = installed.package
    purl = _purl(package, system)
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        purl=purl,
        bom_ref=str(purl),
        licenses=_licences(package.licence),
    )


def _purl(package: Package, system: System) -> PackageURL:
    """purl-spec, types-doc: ``deb`` and ``pypi``."""
    if package.kind == packages.PYPI:
        return PackageURL("pypi", None, package.name, package.version)
    qualifiers = {
        "arch": package.architecture,
        "distro": "-".join(word for word in (system.name, system.version) if word),
        "upstream": package.source,
    }
    return PackageURL(
        "deb",
        system.name or "debian",
        package.name,
        package.version,
        {key: value for key, value in qualifiers.items() if value},
    )


def _licences(text: str) -> list[Any]:
    """An SPDX identifier or expression where it is one, else the words as they stand."""
    if not text:
        return []
    return [LicenseFactory().make_from_string(text)]


def _files(files: Iterable[File]) -> list[dict[str, Any]]:
    return [
        {
            "type": "file",
            "name": "/" + printable(file.path),
            "hashes": [{"alg": "SHA-256", "content": file.sha256}],
        }
        for file in files
    ]


def printable(path: str) -> str:
    """A name that is no UTF-8 as text, with its odd bytes as ``\\xff``."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
