"""Attaching: what is put beside an image, and in which order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from support.cosign import KEY_PASSWORD
from support.fault_proxy import Fault, running_fault_proxy
from support.images import at, client, image, tar_layer
from support.registry import RunningRegistry
from uaitrain.bases.resolve import ResolvedBase
from uaitrain.errors import RegistryError
from uaitrain.oci.image import History, parse_manifest
from uaitrain.progress import Silent
from uaitrain.provenance.attach import Pushed, Wanted, attach
from uaitrain.provenance.keyless import Keyless
from uaitrain.provenance.keys import load_signer
from uaitrain.registry.client import Registry
from uaitrain.registry.push import push_image
from uaitrain.registry.referrers import referrers
from uaitrain.secret import Secret
from uaitrain.spec import CPU, GPU, BaseChoice, Framework, Target, TrainSpec


class StandIn:
    """For Sigstore's public service, which is on the internet only: signs nothing."""

    def bundle(self, statement: bytes) -> bytes:
        return b'{"unsigned":%s}' % statement


def pushed_to(host: str, folder: Path, name: str = "mnist") -> tuple[TrainSpec, Pushed]:
    base = image(tar_layer("bin/sh", b"x"))
    made = base.append([tar_layer("data/train.py", b"pass\n")], [History("code")])
    made = made.configure(created="2026-11-24T10:00:00Z")
    push_image(client(host), made, at(host, f"team/{name}:v1"))
    spec = TrainSpec(
        framework=Framework("caffe", "1.0.0"),
        code=folder,
        main_file="train.py",
        data=folder,
        output=folder,
        target=Target(host, "team", name, "v1"),
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


def test_wherever_it_is_cut_off_the_next_time_completes_it(
    registry: RunningRegistry, tmp_path: Path, cosign_key: Path
) -> None:
    signer = load_signer(cosign_key, lambda: Secret(KEY_PASSWORD))
    wanted = Wanted(sbom=True, signer=signer)
    writes = r"(PUT|POST) /v2/team/"
    with running_fault_proxy(registry.host) as proxy:
        spec, pushed = pushed_to(proxy.host, tmp_path, "whole")
        before = proxy.count(writes)
        attach(wanted, spec, pushed, client(proxy.host), Silent())
        total = proxy.count(writes) - before
        assert total > 20

        # A write out of three: before, between and after the parts of each document.
        for number in range(0, total, 3):
            name = f"cut{number}"
            spec, pushed = pushed_to(proxy.host, tmp_path, name)
            own = client(proxy.host)
            # So many go through, and the next one is refused.
            pattern = rf"(PUT|POST) /v2/team/{name}/"
            proxy.faults += [Fault(pattern, times=number), Fault(pattern, status=403)]
            with pytest.raises(RegistryError, match=r"is pushed, but its .* is not attached"):
                attach(wanted, spec, pushed, own, Silent())

            done = attach(wanted, spec, pushed, own, Silent())
            again = attach(wanted, spec, pushed, own, Silent())

            assert len(referrers(own, f"team/{name}", pushed.image.digest)) == 5
            assert not all(each.unchanged for each in done)
            assert all(each.unchanged for each in again)
            assert [each.digest for each in again] == [each.digest for each in done]


def _statement(own: Registry, entry: dict[str, Any]) -> dict[str, Any]:
    fetched = own.get_manifest("team/mnist", entry["digest"])
    layer = parse_manifest(fetched.raw, fetched.media_type).layers[0]
    value: dict[str, Any] = json.loads(own.read_blob("team/mnist", layer))["unsigned"]
    return value
