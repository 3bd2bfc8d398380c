"""Layers that are sent while others are made: never named before the end, never sent twice."""

from __future__ import annotations

import io
import threading
from typing import BinaryIO

from support.fault_proxy import Fault, running_fault_proxy
from support.images import at, client, image, noise, tar_layer
from support.registry import RunningRegistry
from uaitrain.oci.layer import BlobLayer
from uaitrain.progress import Silent
from uaitrain.registry.early import EarlyUploads
from uaitrain.registry.push import UPLOADED, push_image

LAYERS = tuple(tar_layer(f"data/{n}", noise(200_000, n)) for n in range(5))
REPOSITORY = "team/mnist"


def test_what_was_sent_early_is_not_sent_again(registry: RunningRegistry) -> None:
    own = client(registry.host)
    early = EarlyUploads(own, REPOSITORY, Silent())
    for layer in LAYERS[:4]:
        early.offer(layer)
    sent = early.finish()
    assert {report.outcome for report in sent.values()} == {UPLOADED}
    assert set(sent) == {layer.descriptor.digest for layer in LAYERS[:4]}

    with running_fault_proxy(registry.host) as proxy:
        report = push_image(client(proxy.host), image(*LAYERS), at(proxy.host), early=sent)
        begun = [words for words in proxy.requests if words.startswith("POST ")]

    assert len(begun) == 2  # the fifth layer and the config
    assert [blob.outcome for blob in report.layers] == [UPLOADED] * 5
    for layer in LAYERS:
        assert own.head_blob(REPOSITORY, layer.descriptor.digest)


def test_what_failed_early_is_sent_by_the_push(registry: RunningRegistry) -> None:
    with running_fault_proxy(registry.host, Fault("POST ", times=99, status=403)) as proxy:
        early = EarlyUploads(client(proxy.host), REPOSITORY, Silent())
        for layer in LAYERS:
            early.offer(layer)
        sent = early.finish()
    assert sent == {}

    push_image(client(registry.host), image(*LAYERS), at(registry.host), early=sent)
    assert client(registry.host).get_manifest(REPOSITORY, "v1").digest == image(*LAYERS).digest


def test_what_a_registry_loses_meanwhile_is_sent_again(registry: RunningRegistry) -> None:
    own = client(registry.host)
    early = EarlyUploads(own, REPOSITORY, Silent())
    early.offer(LAYERS[0])
    sent = early.finish()
    digest = LAYERS[0].descriptor.digest.removeprefix("sha256:")
    (blob,) = registry.data.rglob(f"sha256/{digest[:2]}/{digest}/data")
    (link,) = registry.data.rglob(f"_layers/sha256/{digest}/link")
    blob.unlink()
    link.unlink()

    push_image(own, image(*LAYERS), at(registry.host), early=sent)
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

    early = EarlyUploads(client(registry.host), REPOSITORY, Silent())
    for layer in LAYERS:
        early.offer(slow(layer))
    assert reading.wait(20)
    waker = threading.Timer(0.1, go_on.set)
    waker.start()
    early.abandon()
    waker.join()

    assert len(opened) <= 2  # one in each thread
    assert early.finish() == {}
