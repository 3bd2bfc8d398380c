"""A push that was killed goes on: what is remembered of an upload, and what never is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fault_proxy import Fault, FaultProxy, running_fault_proxy
from support.images import at, blob_layer, client, image, noise
from support.registry import PASSWORD, USERNAME, RunningRegistry, running_registry
from uaitrain.oci.descriptor import Platform
from uaitrain.oci.image import Image
from uaitrain.oci.layer import BlobLayer
from uaitrain.registry.client import Registry
from uaitrain.registry.pull import pull_image
from uaitrain.registry.push import EXISTING, UPLOADED, push_image
from uaitrain.registry.sessions import REMEMBERED_BYTES, Session, remembered

MIB = 1 << 20
SIZE = 24 * MIB
KILLED_AT = 14 * MIB
REPOSITORY = "team/mnist"
PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from support.images import at, blob_layer, client, image, noise
from uaitrain.registry.push import push_image
own = client(sys.argv[2], sys.argv[4], sys.argv[5], uploads=Path(sys.argv[3]))
push_image(own, image(blob_layer(noise({size}))), at(sys.argv[2]))
"""


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "uploads"


@pytest.fixture(scope="module")
def large() -> Image:
    return image(blob_layer(noise(SIZE)))


def _blob(image: Image) -> str:
    """The request that sends its layer."""
    return f"^PUT .*{image.layers[0].descriptor.digest.replace(':', '%3A')}"


def _push_and_kill(
    proxy: FaultProxy,
    uploads: Path,
    large: Image,
    username: str = "",
    password: str = "",
    spoil_at: int | None = None,
) -> None:
    """A process that pushes, killed after the registry has got ``KILLED_AT`` bytes of the blob."""
    proxy.faults.append(Fault(_blob(large), stall_after=KILLED_AT, spoil_at=spoil_at))
    words = [str(Path(__file__).parents[1]), proxy.host, str(uploads), username, password]
    child = subprocess.Popen([sys.executable, "-c", PROGRAM.format(size=SIZE), *words])
    try:
        while _stored(proxy) < KILLED_AT if proxy.resumable else proxy.received < KILLED_AT:
            assert child.poll() is None
            time.sleep(0.01)
    finally:
        child.kill()
        child.wait()


def _stored(proxy: FaultProxy) -> int:
    return max((offset for _, offset in proxy.uploads.values()), default=0)


def _is_whole(registry: Registry, expected: Image) -> bool:
    pulled = pull_image(registry, at(registry.host), Platform())
    for layer in pulled.image.layers:
        with layer.open() as stream:
            while stream.read(MIB):
                pass
    return pulled.digest == expected.digest


@pytest.mark.parametrize("kind", ["open", "htpasswd", "token"])
def test_only_what_is_missing_is_sent_after_a_kill(
    tmp_path: Path, uploads: Path, large: Image, kind: str
) -> None:
    login = (USERNAME, PASSWORD) if kind == "htpasswd" else None
    with (
        running_registry(tmp_path, htpasswd=login, token=kind == "token") as running,
        running_fault_proxy(running.host, resumable=True) as proxy,
    ):
        _push_and_kill(proxy, uploads, large, running.username, running.password)
        kept = b"".join(path.read_bytes() for path in uploads.iterdir())
        before = proxy.received
        own = client(proxy.host, running.username, running.password, uploads=uploads)
        report = push_image(own, large, at(proxy.host))

        assert report.layers[0].sent == SIZE - KILLED_AT
        assert proxy.received - before < SIZE - KILLED_AT + 10_000
        assert _is_whole(own, large)
        assert list(uploads.iterdir()) == []
        secrets = {running.password} | {h.get("Authorization", "") for h in proxy.seen}
        assert not any(s and s.split()[-1].encode() in kept for s in secrets)


def test_a_registry_that_cannot_go_on_gets_the_blob_afresh(
    registry: RunningRegistry, uploads: Path, large: Image
) -> None:
    with running_fault_proxy(registry.host) as proxy:
        _push_and_kill(proxy, uploads, large)
        own = client(proxy.host, uploads=uploads)
        report = push_image(own, large, at(proxy.host))

    assert report.layers[0].sent == SIZE
    assert _is_whole(client(registry.host), large)
    assert list(uploads.iterdir()) == []


def test_a_blob_that_was_finished_meanwhile_is_not_sent(
    registry: RunningRegistry, uploads: Path, large: Image
) -> None:
    with running_fault_proxy(registry.host, resumable=True) as proxy:
        _push_and_kill(proxy, uploads, large)
        other = client(registry.host)
        push_image(other, large, at(registry.host, "team/mnist:other"))
        proxy.faults.append(Fault("^GET .*uploads", status=404))
        report = push_image(client(proxy.host, uploads=uploads), large, at(proxy.host))

    assert (report.layers[0].outcome, report.layers[0].sent) == (EXISTING, 0)


def test_bytes_of_somebody_else_in_the_session_are_found_out(
    registry: RunningRegistry, uploads: Path, large: Image
) -> None:
    with running_fault_proxy(registry.host, resumable=True) as proxy:
        _push_and_kill(proxy, uploads, large, spoil_at=5 * MIB)
        report = push_image(client(proxy.host, uploads=uploads), large, at(proxy.host))

    assert report.layers[0].outcome == UPLOADED
    assert report.layers[0].sent == SIZE - KILLED_AT + SIZE
    assert _is_whole(client(registry.host), large)


LAYER = blob_layer(noise(1000) * (REMEMBERED_BYTES // 1000 + 1))


def _remember(registry: Registry, url: str, layer: BlobLayer = LAYER) -> Session | None:
    """What the next process finds after an upload at ``url`` was remembered."""
    with remembered(registry, REPOSITORY, layer.descriptor) as memory:
        memory.save(Session(url, 5))
    with remembered(registry, REPOSITORY, layer.descriptor) as memory:
        return memory.recall()


def test_an_upload_is_remembered_for_this_user_alone(uploads: Path) -> None:
    own = client("127.0.0.1:1", uploads=uploads)
    url = f"http://127.0.0.1:1/v2/{REPOSITORY}/blobs/uploads/1?_state=abc"

    assert _remember(own, url) == Session(url, 5)
    (file,) = uploads.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert uploads.stat().st_mode & 0o777 == 0o700
    assert set(json.loads(file.read_bytes())) == {"path", "smallest_chunk"}


@pytest.mark.parametrize(
    "url",
    [
        "https://storage.example/upload/1?_state=abc",
        "http://127.0.0.1:1/v2/team/mnist/blobs/uploads/1?X-Amz-Signature=s3cret",
        "http://127.0.0.1:1/v2/team/mnist/blobs/uploads/1?_state=a&token=s3cret",
        "http://user:s3cret@127.0.0.1:1/v2/team/mnist/blobs/uploads/1",
        "http://127.0.0.1:1/elsewhere/s3cret",
        "http://127.0.0.1:1/v2/team/other/blobs/uploads/1",
    ],
)
def test_an_address_that_may_be_a_right_to_write_is_not_remembered(uploads: Path, url: str) -> None:
    own = client("127.0.0.1:1", uploads=uploads)
    assert _remember(own, f"http://127.0.0.1:1/v2/{REPOSITORY}/blobs/uploads/1")

    assert _remember(own, url) is None
    assert list(uploads.iterdir()) == []


def test_small_blobs_are_not_remembered(uploads: Path) -> None:
    own = client("127.0.0.1:1", uploads=uploads)
    url = f"http://127.0.0.1:1/v2/{REPOSITORY}/blobs/uploads/1"

    assert _remember(own, url, blob_layer(b"small")) is None
    assert not uploads.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"path": 5, "smallest_chunk": 0}',
        b'{"path": "/v2/team/mnist/blobs/uploads/1", "smallest_chunk": "0"}',
        b'{"path": "//evil.example/v2/team/mnist/blobs/uploads/1", "smallest_chunk": 0}',
        b'{"path": "@evil.example/v2/team/mnist/blobs/uploads/1", "smallest_chunk": 0}',
        b'{"path": "/v2/team/other/blobs/uploads/1", "smallest_chunk": 0}',
        b"[" * 99999,
    ],
)
def test_a_memory_that_somebody_altered_is_none(uploads: Path, content: bytes) -> None:
    own = client("127.0.0.1:1", uploads=uploads)
    _remember(own, f"http://127.0.0.1:1/v2/{REPOSITORY}/blobs/uploads/1")
    (file,) = uploads.iterdir()
    file.write_bytes(content)

    with remembered(own, REPOSITORY, LAYER.descriptor) as memory:
        assert memory.recall() is None


def test_one_process_at_a_time_goes_on_with_an_upload(uploads: Path) -> None:
    own = client("127.0.0.1:1", uploads=uploads)
    url = f"http://127.0.0.1:1/v2/{REPOSITORY}/blobs/uploads/1"
    _remember(own, url)

    with remembered(own, REPOSITORY, LAYER.descriptor) as first:
        assert first.recall() == Session(url, 5)
        with remembered(own, REPOSITORY, LAYER.descriptor) as second:
            assert second.recall() is None
            second.save(Session(url, 7))
            second.forget()
        assert first.recall() == Session(url, 5)


def _a_file(uploads: Path) -> None:
    uploads.parent.mkdir(parents=True)
    uploads.write_bytes(b"")


def _a_link(uploads: Path) -> None:
    uploads.mkdir(parents=True)
    name = f"127.0.0.1_1_team_mnist_{LAYER.descriptor.digest.replace(':', '_')}.lock"
    (uploads / name).symlink_to(uploads.parent / "victim")


@pytest.mark.parametrize("prepare", [_a_file, _a_link])
def test_where_nothing_can_be_remembered_nothing_is(
    uploads: Path, prepare: Callable[[Path], None]
) -> None:
    prepare(uploads)
    own = client("127.0.0.1:1", uploads=uploads)

    assert _remember(own, f"http://127.0.0.1:1/v2/{REPOSITORY}/blobs/uploads/1") is None
    assert not (uploads.parent / "victim").exists()


def test_what_registries_have_forgotten_is_forgotten_here_too(uploads: Path) -> None:
    own = client("127.0.0.1:1", uploads=uploads)
    _remember(own, f"http://127.0.0.1:1/v2/{REPOSITORY}/blobs/uploads/1")
    (file,) = uploads.iterdir()
    week_ago = time.time() - 8 * 24 * 3600
    os.utime(file, (week_ago, week_ago))

    with remembered(own, REPOSITORY, LAYER.descriptor) as memory:
        assert memory.recall() is None
