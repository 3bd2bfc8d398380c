"""Attaching: what is put beside an image, and in which order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from support.images import at, client, image, tar_layer
from support.registry import RunningRegistry
from uaitrain.bases.resolve import ResolvedBase
from uaitrain.oci.image import History, parse_manifest
from uaitrain.progress import Silent
from uaitrain.provenance.attach import Pushed, Wanted, attach
from uaitrain.provenance.keyless import Keyless
from uaitrain.registry.client import Registry
from uaitrain.registry.push import push_image
from uaitrain.registry.referrers import referrers
from uaitrain.spec import CPU, GPU, BaseChoice, Framework, Target, TrainSpec


class StandIn:
    """For Sigstore's public service, which is on the internet only: signs nothing."""

    def bundle(self, statement: bytes) -> bytes:
        return b'{"unsigned":%s}' % statement


def pushed_to(host: str, folder: Path) -> tuple[TrainSpec, Pushed]:
    base = image(tar_layer("bin/sh", b"x"))
    made = base.append([tar_layer("data/train.py", b"pass\n")], [History("code")])
    made = made.configure(created="2026-11-24T10:00:00Z")
    push_image(client(host), made, at(host, "team/mnist:v1"))
    spec = TrainSpec(
        framework=Framework("caffe", "1.0.0"),
        code=folder,
        main_file="train.py",
        data=folder,
        output=folder,
        target=Target(host, "team", "mnist", "v1"),
        bases={CPU: BaseChoice(), GPU: BaseChoice()},
    )
    return spec, Pushed(
        made, ResolvedBase(base, "oci:/x:tiny", base.digest, None, True, "3.11", "cpu")
    )


def test_a_certified_bundle_for_each_statement_and_the_image(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    spec, pushed = pushed_to(registry.host, tmp_path)
    own = client(registry.host)
    wanted = Wanted(sbom=True, keyless=cast(Keyless, StandIn()))

    done = attach(wanted, spec, pushed, own, Silent())

    assert [each.kind for each in done] == [
        "SBOM",
        "provenance statement",
        "signed SBOM",
        "signed provenance statement",
        "signature",
    ]
    listed = referrers(own, "team/mnist", pushed.image.digest)
    assert [entry["digest"] for entry in listed] == [each.digest for each in done]
    assert [_statement(own, entry)["predicateType"] for entry in listed[2:]] == [
        entry["annotations"]["dev.sigstore.bundle.predicateType"] for entry in listed[2:]
    ]


def _statement(own: Registry, entry: dict[str, Any]) -> dict[str, Any]:
    fetched = own.get_manifest("team/mnist", entry["digest"])
    layer = parse_manifest(fetched.raw, fetched.media_type).layers[0]
    value: dict[str, Any] = json.loads(own.read_blob("team/mnist", layer))["unsigned"]
    return value
