"""Pulling: by tag, by digest, through an index, and what is wrong with what comes."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.fault_proxy import Fault, running_fault_proxy
from support.images import QUICK, at, blob_layer, client, image, noise
from support.registry import RunningRegistry, running_registry
from uaitrain.errors import BaseError, DigestError, NotFoundError, RegistryError
from uaitrain.oci.descriptor import DOCKER_INDEX, OCI_INDEX, Descriptor, Platform
from uaitrain.oci.digest import digest_of
from uaitrain.oci.image import Image
from uaitrain.registry.failures import SilentError, TransientError
from uaitrain.registry.pull import pull_image
from uaitrain.registry.push import push_image
from uaitrain.registry.upload import upload_blob

AMD64, ARM64 = Platform(), Platform("linux", "arm64")
MIB = 1 << 20


def _push_index(registry: RunningRegistry, media_type: str, *, platforms: bool) -> list[Image]:
    own = client(registry.host)
    images = [image(architecture=name) for name in ("arm64", "amd64")]
    entries = []
    for number, one in enumerate(images):
        push_image(own, one, at(registry.host, f"team/mnist:part{number}"))
        entry = replace(one.descriptor, platform=one.platform if platforms else None)
        entries.append(entry.to_json())
    raw = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}).encode()
    own.put_manifest("team/mnist", "v1", raw, media_type)
    return images


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_INDEX])
def test_an_index_is_resolved_by_platform(registry: RunningRegistry, media_type: str) -> None:
    arm, amd = _push_index(registry, media_type, platforms=True)

    for platform, expected in ((AMD64, amd), (ARM64, arm)):
        pulled = pull_image(client(registry.host), at(registry.host), platform)
        assert expected.digest == pulled.digest
        assert pulled.pinned.digest == expected.digest
    with pytest.raises(BaseError, match="no image for linux/riscv64") as caught:
        pull_image(client(registry.host), at(registry.host), Platform("linux", "riscv64"))
    assert "linux/amd64, linux/arm64" in caught.value.allowed


def test_an_index_may_leave_the_platform_to_the_config(registry: RunningRegistry) -> None:
    _, amd = _push_index(registry, OCI_INDEX, platforms=False)

    assert pull_image(client(registry.host), at(registry.host), AMD64).digest == amd.digest


def test_a_single_manifest_must_be_for_the_platform_too(registry: RunningRegistry) -> None:
    push_image(client(registry.host), image(architecture="arm64"), at(registry.host))
    with pytest.raises(BaseError, match="no image for linux/amd64") as caught:
        pull_image(client(registry.host), at(registry.host), AMD64)

    assert "linux/arm64" in caught.value.allowed


def test_an_image_can_be_named_by_its_digest(registry: RunningRegistry) -> None:
    push_image(client(registry.host), image(), at(registry.host))
    pinned = at(registry.host).with_digest(image().digest)

    assert pull_image(client(registry.host), pinned, AMD64).digest == image().digest


def test_only_the_manifest_and_the_config_are_read(registry: RunningRegistry) -> None:
    push_image(client(registry.host), image(), at(registry.host))
    with running_fault_proxy(registry.host) as proxy:
        pulled = pull_image(client(proxy.host), at(proxy.host), AMD64)

    assert len(proxy.requests) == 2
    assert proxy.requests[1].endswith(pulled.image.config_descriptor.digest)


def test_a_config_that_was_read_before_is_not_asked_for(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    push_image(client(registry.host), image(), at(registry.host))
    kept = tmp_path / "configs"
    first = pull_image(client(registry.host), at(registry.host), AMD64, kept)
    with running_fault_proxy(registry.host) as proxy:
        again = pull_image(client(proxy.host), at(proxy.host), AMD64, kept)
        assert len(proxy.requests) == 1
        (file,) = kept.iterdir()
        file.write_bytes(b"{}")
        mended = pull_image(client(proxy.host), at(proxy.host), AMD64, kept)
        assert len(proxy.requests) == 3

    assert first.image.raw_config == again.image.raw_config == mended.image.raw_config
    assert file.read_bytes() == first.image.raw_config


def test_what_does_not_exist_is_named(registry: RunningRegistry) -> None:
    push_image(client(registry.host), image(), at(registry.host))
    for name in ("team/mnist:v2", "team/none:v1"):
        with pytest.raises(NotFoundError, match=name):
            pull_image(client(registry.host), at(registry.host, name), AMD64)


def _spoil(body: bytes) -> bytes:
    return bytes([body[0] ^ 1]) + body[1:]


@pytest.mark.parametrize("which", ["manifests/sha256", "blobs"])
@pytest.mark.parametrize(
    "change",
    [_spoil, lambda body: body[:-1], lambda body: body + b"x"],
    ids=["bit", "less", "more"],
)
def test_bytes_that_do_not_match_their_digest_are_refused(
    registry: RunningRegistry, which: str, change: object
) -> None:
    push_image(client(registry.host), image(), at(registry.host))
    with running_fault_proxy(registry.host) as proxy:
        proxy.faults.append(Fault(f"^GET .*{which}", change=change, times=9))  # type: ignore[arg-type]  # the table's functions are untyped
        pinned = at(proxy.host).with_digest(image().digest)
        with pytest.raises(DigestError):
            pull_image(client(proxy.host), pinned, AMD64)


def test_a_config_that_arrives_damaged_is_asked_for_once_more(registry: RunningRegistry) -> None:
    push_image(client(registry.host), image(), at(registry.host))
    damaged = Fault("^GET .*blobs", change=_spoil)
    with running_fault_proxy(registry.host, damaged) as proxy:
        pulled = pull_image(client(proxy.host), at(proxy.host), AMD64)

    assert damaged.times == 0
    assert pulled.digest == image().digest


@pytest.mark.parametrize(
    "fault",
    [Fault("^GET", 99, trickle=0.02), Fault("^GET", 99, answer_stall=1000)],
    ids=["in drops", "then silent"],
)
def test_a_blob_that_does_not_go_on_is_given_up(registry: RunningRegistry, fault: Fault) -> None:
    layer = blob_layer(noise(3 * MIB))
    upload_blob(client(registry.host), "team/mnist", layer.descriptor, layer.open)
    with running_fault_proxy(registry.host, fault) as proxy:
        stream = client(proxy.host, silence_seconds=0.3).open_blob("team/mnist", layer.descriptor)
        with pytest.raises(SilentError):
            stream.read()
        stream.close()


def test_a_blob_that_comes_byte_by_byte_and_breaks_off_is_given_up(
    registry: RunningRegistry,
) -> None:
    layer = blob_layer(noise(1000))
    upload_blob(client(registry.host), "team/mnist", layer.descriptor, layer.open)
    with running_fault_proxy(registry.host, Fault("^GET", 999, cut_after=1)) as proxy:
        stream = client(proxy.host).open_blob("team/mnist", layer.descriptor)
        with pytest.raises(TransientError, match="broke the connection off"):
            stream.read()
        stream.close()

    assert len(proxy.requests) == QUICK.attempts


def test_a_base_that_arrives_damaged_from_elsewhere_is_copied_once_more(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    layer = blob_layer(noise(3 * MIB))
    damaged = Fault("^GET .*blobs", change=_spoil, times=0)
    push_image(client(registry.host), image(layer), at(registry.host, "vendor/base:1"))
    with (
        running_registry(tmp_path) as target,
        running_fault_proxy(registry.host, damaged) as proxy,
    ):
        base = pull_image(client(proxy.host), at(proxy.host, "vendor/base:1"), AMD64).image
        damaged.times = 1
        push_image(client(target.host), base, at(target.host))
        copied = pull_image(client(target.host), at(target.host), AMD64)

        assert damaged.times == 0
        assert copied.image.layers[0].open().read() == layer.open().read()


@pytest.mark.parametrize("times", [1, 2])
def test_a_manifest_altered_behind_its_own_header_is_asked_for_once_more(
    registry: RunningRegistry, times: int
) -> None:
    push_image(client(registry.host), image(), at(registry.host))
    alter = Fault(
        "^GET .*manifests/v1", times, change=lambda body: body.replace(b"layer", b"Layer")
    )
    refused = pytest.raises(DigestError) if times == 2 else contextlib.nullcontext()
    with running_fault_proxy(registry.host, alter) as proxy, refused:
        assert pull_image(client(proxy.host), at(proxy.host), AMD64).digest == image().digest

    assert alter.times == 0


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"<html>", b'{"schemaVersion":1}', b"[" * 99999]
)
def test_a_manifest_that_is_none_is_refused(registry: RunningRegistry, body: bytes) -> None:
    push_image(client(registry.host), image(), at(registry.host))
    odd = Fault("^GET", status=200, body=body)
    with running_fault_proxy(registry.host, odd) as proxy, pytest.raises(RegistryError):
        pull_image(client(proxy.host), at(proxy.host), AMD64)


def test_a_manifest_larger_than_any_may_be_is_refused(registry: RunningRegistry) -> None:
    huge = Fault("^GET", status=200, body=bytes(5 * MIB))
    with (
        running_fault_proxy(registry.host, huge) as proxy,
        pytest.raises(RegistryError, match="more than 4194304 bytes"),
    ):
        pull_image(client(proxy.host), at(proxy.host), AMD64)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_blob_goes_on_where_the_connection_broke(registry: RunningRegistry, ranges: bool) -> None:
    data = noise(5 * MIB)
    layer = blob_layer(data)
    own = client(registry.host)
    upload_blob(own, "team/mnist", layer.descriptor, layer.open)
    whole = Fault("^GET", status=200, body=data, times=0 if ranges else 1)
    breaks = [Fault("^GET", cut_after=2 * MIB + 17), Fault("^GET", cut_after=MIB)]
    with running_fault_proxy(registry.host, *breaks, whole) as proxy:
        stream = client(proxy.host).open_blob("team/mnist", layer.descriptor)
        assert stream.read() == data
        stream.close()
        asked = [h.get("Range") for h in proxy.seen]

    assert asked == [None, "bytes=2097169-5242879", "bytes=3145745-5242879"]


def test_the_last_bytes_of_a_damaged_blob_are_not_given_out(registry: RunningRegistry) -> None:
    data = noise(3 * MIB)
    layer = blob_layer(data)
    upload_blob(client(registry.host), "team/mnist", layer.descriptor, layer.open)
    with running_fault_proxy(registry.host, Fault("^GET", change=_spoil)) as proxy:
        stream = client(proxy.host).open_blob("team/mnist", layer.descriptor)
        got = stream.read(2 * MIB)
        with pytest.raises(DigestError):
            stream.read(MIB)
        stream.close()

    assert len(got) == 2 * MIB


def test_tags_are_listed(registry: RunningRegistry) -> None:
    own = client(registry.host)
    for tag in ("v2", "v1"):
        push_image(own, image(), at(registry.host, f"team/mnist:{tag}"))

    assert own.tags("team/mnist") == ["v1", "v2"]
    with pytest.raises(NotFoundError):
        own.tags("team/none")


def test_pages_of_tags_are_joined(registry: RunningRegistry) -> None:
    link = {"Link": '</v2/team/mnist/tags/list?last=a&n=1>; rel="next"'}
    first = Fault("^GET .*list$", status=200, body=b'{"tags":["a"]}', headers=link)
    second = Fault("^GET .*last=a", status=200, body=b'{"tags":["b"]}')
    with running_fault_proxy(registry.host, first, second) as proxy:
        assert client(proxy.host).tags("team/mnist") == ["a", "b"]


def test_a_config_of_gigabytes_is_not_read(registry: RunningRegistry) -> None:
    with pytest.raises(RegistryError, match="at most"):
        client(registry.host).read_blob(
            "team/mnist", Descriptor("application/json", digest_of(b""), 1 << 32)
        )
