"""Pushing to real registries: what is sent, what is not, and what stays when it fails."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pytest
from support.fault_proxy import Fault, running_fault_proxy
from support.images import at, blob_layer, client, image, noise, tar_layer
from support.registry import RunningRegistry, running_registry
from uaitrain.errors import DigestError, RegistryError, StorageError, UsageError
from uaitrain.oci.descriptor import DOCKER_MANIFEST, Platform
from uaitrain.oci.image import Image
from uaitrain.oci.reference import Reference
from uaitrain.progress import Silent
from uaitrain.registry.pull import RegistryLayer, pull_image
from uaitrain.registry.push import EXISTING, MOUNTED, UPLOADED, push_image
from uaitrain.sinks.registry import RegistrySink
from uaitrain.values import dataclass

AMD64 = Platform()


@dataclass(frozen=True)
class _Kept(RegistryLayer):
    """Of a registry, with its bytes at hand."""

    blob: bytes

    def open(self) -> BinaryIO:
        return BytesIO(self.blob)


def _skopeo(running: RunningRegistry, name: str, *options: str) -> dict[str, object]:
    done = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", *options, f"docker://{running.host}/{name}"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    value = json.loads(done.stdout)
    assert isinstance(value, dict)
    return value


def test_what_was_pushed_satisfies_skopeo_and_comes_back_the_same(
    registry: RunningRegistry,
) -> None:
    pushed = image()
    report = push_image(client(registry.host), pushed, at(registry.host))

    assert [layer.outcome for layer in report.layers] == [UPLOADED, UPLOADED]
    inspected = _skopeo(registry, "team/mnist:v1")
    assert pushed.digest == inspected["Digest"] == report.digest
    assert [layer.descriptor.digest for layer in pushed.layers] == inspected["Layers"]
    pulled = pull_image(client(registry.host), at(registry.host), AMD64)
    assert pushed.digest == pulled.digest
    assert pushed.raw_config == pulled.image.raw_config
    assert [layer.open().read() for layer in pushed.layers] == [
        layer.open().read() for layer in pulled.image.layers
    ]


def test_a_docker_manifest_is_taken_too(registry: RunningRegistry) -> None:
    pushed = image().with_media_type(DOCKER_MANIFEST)
    push_image(client(registry.host), pushed, at(registry.host))

    assert pushed.digest == _skopeo(registry, "team/mnist:v1")["Digest"]
    assert pull_image(client(registry.host), at(registry.host), AMD64).image.media_type == (
        DOCKER_MANIFEST
    )


def test_an_image_that_is_there_costs_one_request(registry: RunningRegistry) -> None:
    push_image(client(registry.host), image(), at(registry.host))
    with running_fault_proxy(registry.host) as proxy:
        report = push_image(client(proxy.host), image(), at(proxy.host))

    assert report.unchanged
    assert report.sent == 0
    assert {EXISTING} == {layer.outcome for layer in report.layers}
    assert proxy.requests == ["GET /v2/team/mnist/manifests/v1"]


def test_an_edit_sends_the_new_layer_and_asks_about_no_other(registry: RunningRegistry) -> None:
    first, second = tar_layer("data/a", b"a"), tar_layer("data/b", noise(50_000))
    edited = tar_layer("data/a", b"edited")
    push_image(client(registry.host), image(second, first), at(registry.host))
    with running_fault_proxy(registry.host) as proxy:
        report = push_image(client(proxy.host), image(second, edited), at(proxy.host))

    assert [layer.outcome for layer in report.layers] == [EXISTING, UPLOADED]
    assert not any(second.descriptor.digest in request for request in proxy.requests)
    assert proxy.count(edited.descriptor.digest.replace(":", "%3A")) == 2


def test_the_manifest_is_the_last(registry: RunningRegistry) -> None:
    pushed = image(*(tar_layer(f"data/{i}", noise(2000, i)) for i in range(9)))
    with running_fault_proxy(registry.host) as proxy:
        push_image(client(proxy.host), pushed, at(proxy.host))

    assert proxy.requests[-1] == "PUT /v2/team/mnist/manifests/v1"


def test_a_layer_that_occurs_twice_is_sent_once(registry: RunningRegistry) -> None:
    layer = tar_layer("data/a", noise(2000))
    with running_fault_proxy(registry.host) as proxy:
        report = push_image(client(proxy.host), image(layer, layer), at(proxy.host))

    assert len(report.layers) == 2
    assert proxy.count(f"PUT .*digest={layer.descriptor.digest.replace(':', '%3A')}") == 1


@pytest.mark.parametrize("token", [False, True])
def test_layers_of_another_repository_are_mounted_not_sent(tmp_path: Path, token: bool) -> None:
    with running_registry(tmp_path, token=token) as running:
        registry = client(running.host, running.username, running.password)
        push_image(registry, image(), at(running.host, "vendor/base:1"))
        base = pull_image(registry, at(running.host, "vendor/base:1"), AMD64).image
        top = tar_layer("data/train.py", b"print(1)")
        twin = Image((*base.layers, top), base.config)
        report = push_image(registry, twin, at(running.host))

        assert [layer.outcome for layer in report.layers] == [MOUNTED, MOUNTED, UPLOADED]
        assert report.sent == top.descriptor.size + len(twin.raw_config)
        assert pull_image(registry, at(running.host), AMD64).digest == twin.digest


def test_a_layer_that_cannot_be_mounted_any_more_is_sent(registry: RunningRegistry) -> None:
    own = client(registry.host)
    push_image(own, image(), at(registry.host, "vendor/base:1"))
    base = pull_image(own, at(registry.host, "vendor/base:1"), AMD64).image
    first = base.layers[0]
    # The registry has the blob, but no link to it from where we want to mount it.
    hexed = first.descriptor.digest.partition(":")[2]
    (link,) = registry.data.rglob(f"vendor/base/_layers/sha256/{hexed}/link")
    kept = _Kept(first.diff_id, first.descriptor, own, "vendor/base", first.open().read())
    link.unlink()
    layers = (kept, *base.layers[1:])
    report = push_image(own, replace(base, layers=layers), at(registry.host))

    assert [layer.outcome for layer in report.layers] == [UPLOADED, MOUNTED]


def test_a_base_of_another_registry_is_copied_as_a_stream(
    registry: RunningRegistry, registry_htpasswd: RunningRegistry
) -> None:
    push_image(client(registry.host), image(), at(registry.host, "vendor/base:1"))
    base = pull_image(client(registry.host), at(registry.host, "vendor/base:1"), AMD64).image
    there = client(registry_htpasswd.host, registry_htpasswd.username, registry_htpasswd.password)
    report = push_image(there, base, at(registry_htpasswd.host))

    assert [layer.outcome for layer in report.layers] == [UPLOADED, UPLOADED]
    assert pull_image(there, at(registry_htpasswd.host), AMD64).digest == base.digest


def test_the_first_error_ends_the_push_and_no_tag_appears(registry: RunningRegistry) -> None:
    layers = [blob_layer(noise(3 << 20, seed)) for seed in range(6)]
    spoiled = replace(layers[3], opener=lambda: BytesIO(b"something else"))
    own = client(registry.host)
    with pytest.raises(StorageError, match="only 14 of 3145728"):
        push_image(own, image(*layers[:3], spoiled, *layers[4:]), at(registry.host), parallel=3)

    assert own.head_manifest("team/mnist", "v1") is None
    push_image(own, image(*layers), at(registry.host))
    assert own.head_manifest("team/mnist", "v1") == image(*layers).digest


def test_ctrl_c_leaves_no_tag_and_the_next_push_goes_on(registry: RunningRegistry) -> None:
    # Too much for the buffers between: while the proxy holds it, the second cannot arrive.
    layers = [blob_layer(noise(1000) * 31_000), blob_layer(noise(1000) * 30_000)]
    program = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from support.images import at, blob_layer, client, image, noise
from uaitrain.registry.push import push_image
layers = [blob_layer(noise(1000) * 31_000), blob_layer(noise(1000) * 30_000)]
push_image(client({{host!r}}), image(*layers), at({{host!r}}), parallel=1)
"""
    held, release = threading.Event(), threading.Event()

    def wait() -> None:
        held.set()
        release.wait(60)

    with running_fault_proxy(registry.host) as proxy:
        hold = Fault("^PUT .*uploads", before=wait)
        proxy.faults += [Fault("^PUT .*uploads", times=1), hold]
        child = subprocess.Popen(
            [sys.executable, "-c", program.format(host=proxy.host)], stderr=subprocess.PIPE
        )
        assert held.wait(30)
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=30)
        release.set()

    assert b"KeyboardInterrupt" in stderr
    assert child.returncode != 0
    own = client(registry.host)
    assert own.head_manifest("team/mnist", "v1") is None
    report = push_image(own, image(*layers), at(registry.host))
    assert [layer.outcome for layer in report.layers] == [EXISTING, UPLOADED]


def test_a_registry_that_wants_dockers_format_leads_to_the_flag(
    registry: RunningRegistry,
) -> None:
    said = b'{"errors":[{"code":"MANIFEST_INVALID","message":"unknown media type"}]}'
    for fault in (
        Fault("^PUT .*manif", 2, status=400, body=said),
        Fault("^PUT .*manif", 2, status=415),
    ):
        with running_fault_proxy(registry.host, fault) as proxy:
            with pytest.raises(RegistryError) as caught:
                push_image(client(proxy.host), image(), at(proxy.host))
            assert "--manifest-format docker" in caught.value.next_step


def test_blobs_that_the_old_manifest_promised_in_vain_are_sent(
    registry: RunningRegistry,
) -> None:
    kept, new = tar_layer("data/a", b"a"), tar_layer("data/b", b"b")
    own = client(registry.host)
    push_image(own, image(kept), at(registry.host))
    hexed = kept.descriptor.digest.partition(":")[2]
    (link,) = registry.data.rglob(f"team/mnist/_layers/sha256/{hexed}/link")
    link.unlink()
    report = push_image(own, image(kept, new), at(registry.host))

    assert [layer.outcome for layer in report.layers] == [UPLOADED, UPLOADED]
    assert pull_image(own, at(registry.host), AMD64).image.layers[0].open().read()


def test_a_registry_that_is_wrong_about_its_digest_is_looked_at(registry: RunningRegistry) -> None:
    lies = Fault("^PUT .*manif", 2, headers={"Docker-Content-Digest": f"sha256:{'0' * 64}"})
    with running_fault_proxy(registry.host, lies) as proxy:
        push_image(client(proxy.host), image(), at(proxy.host))

    assert proxy.requests[-1] == "GET /v2/team/mnist/manifests/v1"
    assert proxy.count("PUT .*manif") == 2


@pytest.mark.parametrize("times", [1, 2])
def test_a_registry_that_stored_another_manifest_gets_ours_once_more(
    registry: RunningRegistry, times: int
) -> None:
    where = image().raw_manifest.index(b'"size":') + len(b'"size":')
    damaged = Fault("^PUT .*manif", times, spoil_at=where)
    refused = pytest.raises(DigestError) if times == 2 else contextlib.nullcontext()
    with running_fault_proxy(registry.host, damaged) as proxy, refused:
        push_image(client(proxy.host), image(), at(proxy.host))

    assert damaged.times == 0
    stored = client(registry.host).get_manifest("team/mnist", "v1").digest
    assert (stored == image().digest) is (times == 1)


def test_the_progress_ends_at_the_size_of_what_was_sent(registry: RunningRegistry) -> None:
    shown: dict[str, int] = {}

    class Counting:
        def start(self, name: str, total: int | None = None) -> Counting:
            task = Counting()
            task.name = name
            shown[name] = -(total or 0)
            return task

        name = ""

        def advance(self, amount: int) -> None:
            shown[self.name] += amount

        def done(self, note: str = "") -> None:
            pass

    broken = Fault("^PUT .*uploads", reset_after=1000)
    with running_fault_proxy(registry.host, broken) as proxy:
        push_image(client(proxy.host), image(), at(proxy.host), progress=Counting())

    assert set(shown.values()) == {0}
    assert len(shown) == 3


@pytest.mark.parametrize(
    "wrong", ["other.example.org/team/mnist:v1", "{host}/x@sha256:" + "0" * 64]
)
def test_a_reference_that_cannot_be_meant_is_refused(registry: RunningRegistry, wrong: str) -> None:
    reference = Reference.parse(wrong.format(host=registry.host))
    with pytest.raises(UsageError):
        push_image(client(registry.host), image(), reference)


def test_an_image_can_be_pushed_by_digest_alone(registry: RunningRegistry) -> None:
    reference = Reference(registry.host, "team/mnist", "", image().digest)
    push_image(client(registry.host), image(), reference)

    assert pull_image(client(registry.host), reference, AMD64).digest == image().digest


def test_the_sink_tells_what_was_sent(registry: RunningRegistry) -> None:
    sink = RegistrySink(client(registry.host))
    first = sink.put(image(), at(registry.host), Silent())
    second = sink.put(image(), at(registry.host), Silent())

    assert (first.sent, first.reused, first.note) == (2, 0, "")
    assert (second.sent, second.reused, second.sent_bytes) == (0, 2, 0)
    assert second.note == "the very image was there already"
