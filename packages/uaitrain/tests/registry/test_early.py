"""Layers that are sent while others are made: never named before the end, never sent twice."""

from __future__ import annotations

import io
import threading
from typing import BinaryIO

import pytest
from support.fault_proxy import Fault, FaultProxy, running_fault_proxy
from support.images import at, client, image, noise, tar_layer
from support.registry import RunningRegistry
from uaitrain.oci.layer import BlobLayer
from uaitrain.progress import Silent
from uaitrain.registry.early import EarlyUploads
from uaitrain.registry.failures import TransientError
from uaitrain.registry.push import EXISTING, UPLOADED, push_image
from uaitrain.registry.sessions import begin

LAYERS = tuple(tar_layer(f"data/{n}", noise(200_000, n)) for n in range(5))
REPOSITORY = "team/mnist"


def begun(host: str, layers: int = 1) -> EarlyUploads:
    """Uploads that expect so many layers and the config."""
    early = EarlyUploads(client(host), at(host), Silent())
    for _ in range(layers):
        early.expect()
    return early


def requests(proxy: FaultProxy, method: str) -> int:
    return sum(words.startswith(f"{method} ") for words in proxy.requests)


def sessions_left(registry: RunningRegistry) -> list[str]:
    """Distribution leaves a folder without this file when it cancels one."""
    return [path.parent.name for path in registry.data.rglob("_uploads/*/startedat")]


def test_what_was_sent_early_is_not_sent_again(registry: RunningRegistry) -> None:
    with running_fault_proxy(registry.host) as proxy:
        early = begun(proxy.host, 2)
        for layer in LAYERS[:4]:
            early.offer(layer)
        report = push_image(client(proxy.host), image(*LAYERS), at(proxy.host), early=early)
        started, sent = requests(proxy, "POST"), requests(proxy, "PUT")

    assert (started, sent) == (6, 7)  # five layers and the config, and the manifest
    assert [blob.outcome for blob in report.layers] == [UPLOADED] * 5
    assert sessions_left(registry) == []
    for layer in LAYERS:
        assert client(registry.host).head_blob(REPOSITORY, layer.descriptor.digest)


def test_the_registry_is_asked_once_what_it_has(registry: RunningRegistry) -> None:
    """A layer that the tag's image has is not sent, and uploads that nobody took are cancelled."""
    push_image(client(registry.host), image(*LAYERS), at(registry.host))
    with running_fault_proxy(registry.host) as proxy:
        early = begun(proxy.host, 2)
        for layer in LAYERS[:2]:
            early.offer(layer)
        report = push_image(client(proxy.host), image(*LAYERS), at(proxy.host), early=early)

        assert report.unchanged
        assert [blob.outcome for blob in report.layers] == [EXISTING] * 5
        assert (requests(proxy, "GET"), requests(proxy, "PUT")) == (1, 0)
        assert requests(proxy, "POST") == requests(proxy, "DELETE") == 3
    assert sessions_left(registry) == []


def test_what_failed_early_is_sent_by_the_push(registry: RunningRegistry) -> None:
    """The three uploads that are begun ahead are refused, then one for a layer."""
    with running_fault_proxy(registry.host, Fault("POST ", times=4, status=403)) as proxy:
        early = begun(proxy.host, 2)
        for layer in LAYERS:
            early.offer(layer)
        push_image(client(proxy.host), image(*LAYERS), at(proxy.host), early=early)

    assert client(registry.host).get_manifest(REPOSITORY, "v1").digest == image(*LAYERS).digest


def test_a_registry_that_was_waited_for_is_not_waited_for_again(registry: RunningRegistry) -> None:
    with running_fault_proxy(registry.host, Fault("POST ", times=99, status=503)) as proxy:
        early = begun(proxy.host)
        early.offer(LAYERS[0])
        with pytest.raises(TransientError, match="HTTP 503 again and again"):
            push_image(client(proxy.host), image(*LAYERS[:1]), at(proxy.host), early=early)
        early.abandon()
        asked = requests(proxy, "POST")
    with running_fault_proxy(registry.host, Fault("POST ", times=99, status=503)) as proxy:
        with pytest.raises(TransientError):
            begin(client(proxy.host), REPOSITORY)
        once = requests(proxy, "POST")

    # Both uploads that were begun ahead, and the layer's own where its thread had one left to try.
    assert 2 * once <= asked <= 3 * once


def test_what_a_registry_loses_meanwhile_is_sent_again(registry: RunningRegistry) -> None:
    own = client(registry.host)
    early = begun(registry.host)
    early.offer(LAYERS[0])
    digest = LAYERS[0].descriptor.digest.removeprefix("sha256:")
    assert LAYERS[0].descriptor.digest in early.finish()
    (blob,) = registry.data.rglob(f"sha256/{digest[:2]}/{digest}/data")
    (link,) = registry.data.rglob(f"_layers/sha256/{digest}/link")
    blob.unlink()
    link.unlink()

    push_image(own, image(*LAYERS), at(registry.host), early=early)
    assert own.head_blob(REPOSITORY, LAYERS[0].descriptor.digest)


def test_abandoned_uploads_end_at_the_next_piece(registry: RunningRegistry) -> None:
    """The layer's bytes stop coming until the uploads are abandoned; then nothing more is read."""
    reading, go_on = threading.Event(), threading.Event()
    opened: list[str] = []

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            reading.set()
            assert go_on.wait(20)
            return super().read(size)

    def slow(layer: BlobLayer) -> BlobLayer:
        def opener() -> BinaryIO:
            opened.append(layer.descriptor.digest)
            with layer.open() as file:
                return Slow(file.read())

        return BlobLayer(layer.diff_id, layer.descriptor, opener)

    early = begun(registry.host)
    for layer in LAYERS:
        early.offer(slow(layer))
    assert reading.wait(20)
    waker = threading.Timer(0.1, go_on.set)
    waker.start()
    early.abandon()
    waker.join()

    assert len(opened) <= 2  # one in each thread
    assert early.finish() == {}
