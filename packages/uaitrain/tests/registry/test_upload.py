"""Uploads that meet trouble: the blob arrives whole or not at all."""

from __future__ import annotations

import hashlib
import io
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fault_proxy import Fault, FaultProxy, running_fault_proxy
from support.images import blob_layer, client, noise
from support.registry import RunningRegistry, running_registry
from uaitrain.errors import DigestError, RegistryError, StorageError
from uaitrain.oci.descriptor import OCI_LAYER_GZIP, Descriptor
from uaitrain.oci.digest import Digest
from uaitrain.oci.layer import BlobLayer
from uaitrain.registry.failures import SilentError, TransientError
from uaitrain.registry.upload import upload_blob

MIB = 1 << 20
REPOSITORY = "team/mnist"
BIG = noise(5 * MIB)


def _upload(proxy: FaultProxy, layer: BlobLayer) -> int:
    return upload_blob(client(proxy.host), REPOSITORY, layer.descriptor, layer.open)


def _arrived(registry: RunningRegistry, layer: BlobLayer) -> bool:
    own = client(registry.host)
    if not own.head_blob(REPOSITORY, layer.descriptor.digest):
        return False
    assert own.open_blob(REPOSITORY, layer.descriptor).read() == layer.open().read()
    return True


def test_a_blob_goes_in_one_piece(registry: RunningRegistry) -> None:
    layer = blob_layer(BIG)
    with running_fault_proxy(registry.host) as proxy:
        assert _upload(proxy, layer) == len(BIG)

    assert [r.split()[0] for r in proxy.requests] == ["POST", "PUT"]
    assert _arrived(registry, layer)


@pytest.mark.parametrize("relative", [False, True])
def test_absolute_and_relative_locations_are_understood(tmp_path: Path, relative: bool) -> None:
    layer = blob_layer(noise(2000))
    with running_registry(tmp_path, relative_urls=relative) as running:
        own = client(running.host)
        assert upload_blob(own, REPOSITORY, layer.descriptor, layer.open) == 2000
        assert _arrived(running, layer)


def test_an_empty_blob_can_be_sent(registry: RunningRegistry) -> None:
    layer = blob_layer(b"")
    with running_fault_proxy(registry.host) as proxy:
        assert _upload(proxy, layer) == 0

    assert _arrived(registry, layer)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("^POST", status=429, headers={"Retry-After": "0"}),
        Fault("^POST", status=500, body=b"oops"),
        Fault("^PUT", status=502, times=2),
        Fault("^PUT", status=503),
        Fault("^PUT", status=404, body=b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}'),
        Fault("^PUT", reset_after=0),
        Fault("^PUT", reset_after=2 * MIB),
        Fault("^PUT", reset_after=5 * MIB - 1, times=2),
        Fault("^PUT", cut_after=0),
        Fault("^PUT", headers={"Content-Length": "10"}, cut_after=0),
    ],
    ids=lambda fault: f"{fault.pattern[1:]}-{fault.status or fault.reset_after}",
)
def test_what_may_work_when_tried_again_is_tried_again(
    registry: RunningRegistry, fault: Fault
) -> None:
    layer = blob_layer(BIG)
    with running_fault_proxy(registry.host, fault) as proxy:
        _upload(proxy, layer)

    assert fault.times == 0
    assert _arrived(registry, layer)


def test_an_upload_goes_on_where_it_broke_off(registry: RunningRegistry) -> None:
    layer = blob_layer(BIG)
    shown: list[int] = []
    broken = Fault("^PUT", reset_after=3 * MIB)
    with running_fault_proxy(registry.host, broken, resumable=True) as proxy:
        upload_blob(
            client(proxy.host), REPOSITORY, layer.descriptor, layer.open, advance=shown.append
        )
        lengths = [int(h["Content-Length"]) for h in proxy.seen if "Content-Range" in h]

    assert [r.split()[0] for r in proxy.requests] == ["POST", "PUT", "GET", "PUT"]
    assert lengths == [2 * MIB]
    assert sum(shown) == len(BIG)
    assert _arrived(registry, layer)


@pytest.mark.parametrize(
    ("smallest", "pieces"), [(2 * MIB, ["POST", "PUT"]), (70 * MIB, ["POST", "PUT"])]
)
def test_a_blob_smaller_than_a_chunk_goes_in_one_piece(
    registry: RunningRegistry, smallest: int, pieces: list[str]
) -> None:
    layer = blob_layer(BIG)
    wants = Fault("^POST", headers={"OCI-Chunk-Min-Length": str(smallest)})
    with running_fault_proxy(registry.host, wants) as proxy:
        _upload(proxy, layer)

    assert pieces == [r.split()[0] for r in proxy.requests]
    assert _arrived(registry, layer)


def test_a_registry_that_names_a_smallest_chunk_gets_chunks(registry: RunningRegistry) -> None:
    layer = blob_layer(noise(65 * MIB))
    wants = Fault("^POST", headers={"OCI-Chunk-Min-Length": "1000"})
    with running_fault_proxy(registry.host, wants, Fault("^PATCH", status=503)) as proxy:
        _upload(proxy, layer)

    assert [r.split()[0] for r in proxy.requests] == ["POST", "PATCH", "GET", "PATCH", "PUT"]
    assert _arrived(registry, layer)


def test_a_piece_that_is_too_large_is_sent_as_chunks_that_resume(
    registry: RunningRegistry,
) -> None:
    layer = blob_layer(noise(9 * MIB))
    faults = (
        Fault("^PUT", status=413, body=b"<html>too large</html>"),
        Fault("^PATCH", status=413, body=b"<html>still too large</html>"),
        Fault("^PATCH", times=3),
        Fault("^PATCH", status=502),
    )
    with running_fault_proxy(registry.host, *faults) as proxy:
        _upload(proxy, layer)
        ranges = [h["Content-Range"] for h in proxy.seen if "Content-Range" in h]

    assert proxy.count("^POST") == 1
    assert ranges[:2] == ["0-8388607", "0-1048575"]
    assert ranges.count("3145728-4194303") == 2
    assert _arrived(registry, layer)


def test_a_limit_below_the_smallest_chunk_is_named(registry: RunningRegistry) -> None:
    layer = blob_layer(BIG)
    with (
        running_fault_proxy(registry.host, Fault("^(PUT|PATCH)", status=413, times=99)) as proxy,
        pytest.raises(RegistryError, match="takes no piece as small as ours"),
    ):
        _upload(proxy, layer)

    assert not _arrived(registry, layer)


def test_a_registry_that_never_recovers_is_given_up(registry: RunningRegistry) -> None:
    layer = blob_layer(BIG)
    with (
        running_fault_proxy(registry.host, Fault("^PUT", status=500, times=99)) as proxy,
        pytest.raises(TransientError, match="HTTP 500") as caught,
    ):
        _upload(proxy, layer)

    assert proxy.count("^PUT") == 4
    assert "_state" not in str(caught.value) or "_state=***" in str(caught.value)
    assert proxy.count("^DELETE") == 1


@pytest.mark.parametrize(("times", "arrives"), [(1, True), (9, False)])
def test_a_registry_that_stalls_is_asked_only_once_more(
    registry: RunningRegistry, times: int, arrives: bool
) -> None:
    layer = blob_layer(noise(1000))
    over = threading.Event()
    stall = Fault("^PUT", status=500, before=lambda: over.wait(30), times=times)
    with running_fault_proxy(registry.host, stall) as proxy:
        own = client(proxy.host, silence_seconds=0.2)
        try:
            upload_blob(own, REPOSITORY, layer.descriptor, layer.open)
        except SilentError:
            assert not arrives
        over.set()

    assert proxy.count("^PUT") == 2
    assert arrives is _arrived(registry, layer)


@pytest.mark.parametrize("where", [0, 2 * MIB, -1])
def test_bytes_damaged_on_the_way_are_sent_anew(registry: RunningRegistry, where: int) -> None:
    layer = blob_layer(BIG)
    with running_fault_proxy(registry.host, Fault("^PUT", spoil_at=where)) as proxy:
        assert _upload(proxy, layer) == 2 * len(BIG)

    assert _arrived(registry, layer)


def test_bytes_damaged_again_and_again_are_told(registry: RunningRegistry) -> None:
    layer = blob_layer(BIG)
    with (
        running_fault_proxy(registry.host, Fault("^PUT", spoil_at=0, times=9)) as proxy,
        pytest.raises(DigestError, match="other bytes than were sent"),
    ):
        _upload(proxy, layer)

    assert not _arrived(registry, layer)


def _raises() -> io.BytesIO:
    raise PermissionError(13, "Permission denied", "weights.bin")


@pytest.mark.parametrize(
    ("opener", "error", "says"),
    [
        (lambda: io.BytesIO(noise(5 * MIB, 2)), StorageError, "its bytes are others"),
        (lambda: io.BytesIO(BIG[:-1]), StorageError, "only 5242879 of 5242880"),
        (lambda: io.BytesIO(BIG + b"x"), StorageError, "more than 5242880"),
        (_raises, StorageError, "cannot read weights.bin: Permission denied"),
    ],
    ids=["others", "fewer", "more", "unreadable"],
)
def test_a_source_that_changed_never_becomes_a_blob(
    registry: RunningRegistry,
    opener: Callable[[], io.BytesIO],
    error: type[Exception],
    says: str,
) -> None:
    layer = blob_layer(BIG)
    own = client(registry.host)
    with pytest.raises(error, match=says):
        upload_blob(own, REPOSITORY, layer.descriptor, opener)

    assert not own.head_blob(REPOSITORY, layer.descriptor.digest)


def test_a_full_disk_is_named(small_disk: Path) -> None:
    layer = blob_layer(BIG)
    with running_registry(small_disk) as running:
        own = client(running.host)
        with pytest.raises(RegistryError, match="has no space left"):
            upload_blob(own, REPOSITORY, layer.descriptor, layer.open)


@pytest.mark.parametrize("answer", [Fault("^PUT", status=507), Fault("^POST", status=507)])
def test_insufficient_storage_is_not_tried_again(registry: RunningRegistry, answer: Fault) -> None:
    with (
        running_fault_proxy(registry.host, answer) as proxy,
        pytest.raises(RegistryError, match="has no space left"),
    ):
        _upload(proxy, blob_layer(BIG))

    assert proxy.count(answer.pattern) == 1


def test_memory_stays_small_however_large_the_blob(registry: RunningRegistry) -> None:
    class Endless(io.RawIOBase):
        """A stream of zeros that is never in memory as a whole."""

        left = 200 * MIB

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # of bytes
            count = min(len(buffer), self.left)
            buffer[:count] = bytes(count)
            self.left -= count
            return count

    block, hashed = bytes(MIB), hashlib.sha256()
    for _ in range(200):
        hashed.update(block)
    descriptor = Descriptor(OCI_LAYER_GZIP, Digest("sha256:" + hashed.hexdigest()), 200 * MIB)
    tracemalloc.start()
    try:
        own = client(registry.host)
        upload_blob(own, REPOSITORY, descriptor, lambda: io.BufferedReader(Endless()))
        with own.open_blob(REPOSITORY, descriptor) as stream:
            while stream.read(MIB):
                pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 20 * MIB
