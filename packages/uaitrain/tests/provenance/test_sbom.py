"""The SBOM: valid by the schema, the same bytes for the same image, with what scanners look for."""

from __future__ import annotations

import json
import random
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from uaitrain.oci.digest import digest_of
from uaitrain.provenance.contents import File
from uaitrain.provenance.inventory import Installed, Inventory
from uaitrain.provenance.packages import DEB, PYPI, Package, System
from uaitrain.provenance.sbom import Named, render

IMAGE = Named("uhub.example/team/mnist", digest_of(b"image"))
BASE = Named("caffe-debian12-gpu", digest_of(b"base"))
CREATED = "2026-11-24T10:00:00Z"
PACKAGES = (
    Installed(Package(DEB, "libc6", "2.36-9+deb12u1", "amd64", "glibc"), True),
    Installed(Package(DEB, "libc6", "2.36-9+deb12u1", "amd64", "glibc", "twice"), True),
    Installed(Package(PYPI, "Nltk_Data", "3.9", licence="Apache License, Version 2.0"), False),
    Installed(Package(PYPI, "a", "1", licence="MIT"), True),
    Installed(Package(PYPI, "b", "1", licence="MIT OR Apache-2.0"), True),
    Installed(Package(PYPI, "c", "1", licence="((( \x1b"), True),
)
FILES = (File("data/train.py", "ab" * 32, 7), File("data/\udcff", "cd" * 32, 8))


def rendered(packages: tuple[Installed, ...] = PACKAGES) -> bytes:
    return render(IMAGE, BASE, Inventory(System("debian", "12"), packages, FILES), CREATED)


def by_purl(document: dict[str, Any]) -> dict[str, Any]:
    return {c["purl"]: c for c in document["components"] if "purl" in c}


def test_it_is_valid_and_depends_on_nothing_but_the_image() -> None:
    first = rendered()
    shuffled = list(PACKAGES)
    random.Random(1).shuffle(shuffled)  # noqa: S311 an order, no secret

    assert rendered(tuple(shuffled)) == first
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(first.decode()) is None


def test_it_says_what_scanners_look_for() -> None:
    document = json.loads(rendered())
    known = by_purl(document)
    image, base = document["metadata"]["component"], f"pkg:oci/{BASE.name}@{BASE.digest}"
    libc = "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64&distro=debian-12&upstream=glibc"
    needs = {each["ref"]: each.get("dependsOn", []) for each in document["dependencies"]}

    assert document["metadata"]["timestamp"].startswith("2026-11-24T10:00:00")
    assert image["version"] == IMAGE.digest
    assert [c["name"] for c in document["components"] if c["type"] == "operating-system"] == [
        "debian"
    ]
    assert known["pkg:pypi/nltk-data@3.9"]["licenses"] == [
        {"license": {"name": "Apache License, Version 2.0"}}
    ]
    assert known["pkg:pypi/a@1"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert known["pkg:pypi/b@1"]["licenses"] == [{"expression": "MIT OR Apache-2.0"}]
    assert set(needs[image["bom-ref"]]) == {base, "pkg:pypi/nltk-data@3.9"}
    assert {libc, "pkg:pypi/a@1"} <= set(needs[base])
    assert [c for c in document["components"] if c["type"] == "file"] == [
        {
            "type": "file",
            "name": name,
            "hashes": [{"alg": "SHA-256", "content": content}],
        }
        for name, content in (("/data/train.py", "ab" * 32), ("/data/\\xff", "cd" * 32))
    ]
