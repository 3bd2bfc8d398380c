"""Every fault that a network or a registry was told to have: the push comes through, or it ends
in one message; the tag names the whole old image or the whole new one.

The table of docs/architecture/03-registry.md has a row for each family.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.bases import REPOSITORY as ROOT
from support.connect_proxy import running_connect_proxy
from support.fault_proxy import Fault, running_fault_proxy
from support.images import QUICK, at, client, image, noise, tar_layer
from support.registry import RunningRegistry, running_registry
from uaitrain.errors import RegistryError
from uaitrain.oci.descriptor import Platform
from uaitrain.oci.validate import validate
from uaitrain.registry.auth import Authorizer
from uaitrain.registry.client import Registry
from uaitrain.registry.failures import UnreachableError
from uaitrain.registry.patience import SLOWEST_PIECE, Patience
from uaitrain.registry.pull import pull_image
from uaitrain.registry.push import push_image
from uaitrain.registry.transport import Transport

MIB = 1 << 20
OLD = image(tar_layer("data/a", b"old"), tar_layer("data/b", b"b"))
NEW = image(tar_layer("data/weights", noise(3 * MIB)), tar_layer("data/a", b"new"))
BLOB = NEW.layers[0].descriptor
PUT_BLOB = f"^PUT .*{BLOB.digest.replace(':', '%3A')}"
PUT_MANIFEST = "^PUT .*manifests"
LAST = len(NEW.raw_manifest) - 1
REQUESTS = {
    "asking for the tag": "^GET .*manifests",
    "asking for a blob": "^HEAD .*blobs",
    "starting an upload": "^POST",
    "sending a blob": PUT_BLOB,
    "putting the manifest": PUT_MANIFEST,
}
MISSING = b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"gone"}]}'
NO_MOUNT = b'{"errors":[{"code":"UNSUPPORTED","message":"no"}]}'


@dataclass(frozen=True)
class Case:
    """``ends``: "" where the push has to come through, else what its message has to say.

    A question mark at its end: where what was asked for had happened before the silence, the push
    finds that out and comes through.
    """

    name: str
    faults: tuple[Fault, ...]
    ends: str = ""


def _resets() -> Iterator[Case]:
    for name, pattern in REQUESTS.items():
        yield Case(f"{name}: before", (Fault(pattern, drop=True),))
        yield Case(f"{name}: no answer", (Fault(pattern, answer_reset=0),))
        yield Case(f"{name}: in the headers", (Fault(pattern, answer_reset=20),))
    for size, pattern in ((BLOB.size, PUT_BLOB), (LAST + 1, PUT_MANIFEST)):
        for where in (0, min(70_000, size // 4), size // 2, size - 1):
            yield Case(f"{pattern[:12]} at {where}", (Fault(pattern, reset_after=where),))
    yield Case("for ever", (Fault(PUT_BLOB, 99, reset_after=MIB),), "broke the connection off")


def _stalls() -> Iterator[Case]:
    for where in (0, 70_000, BLOB.size // 2, BLOB.size - 1):
        yield Case(
            f"sending a blob at {where}", (Fault(PUT_BLOB, 99, stall_after=where),), "silent"
        )
    for name, pattern in REQUESTS.items():
        if not pattern.startswith("^HEAD"):
            for where in (0, 20):
                stall = Fault(pattern, 99, answer_stall=where)
                ends = "silent?" if pattern == PUT_BLOB else "silent"
                yield Case(f"{name}: answer at {where}", (stall,), ends)


def _statuses() -> Iterator[Case]:
    for status in (408, 429, 500, 502, 503, 504):
        for name, pattern in REQUESTS.items():
            fault = Fault(pattern, 2, status=status, headers={"Retry-After": "0"})
            yield Case(f"{status} {name}", (fault,))
    busy = Fault("^POST", 99, status=429, headers={"Retry-After": "3600"})
    yield Case("429 for an hour", (busy,), "429 again and again and asks to stay away for 3600 s")
    yield Case("503 for ever", (Fault("^POST", 99, status=503),), "503 again and again")


def _bodies() -> Iterator[Case]:
    tag = "^GET .*manifests"
    for cut in (0, 1, 200):
        yield Case(f"manifest cut at {cut}", (Fault(tag, cut_after=cut),))
    yield Case("length too long", (Fault(tag, headers={"Content-Length": "9999"}, cut_after=999),))
    yield Case("length too short", (Fault(tag, headers={"Content-Length": "99"}),))
    yield Case(
        "length of no number", (Fault(tag, 9, headers={"Content-Length": "x"}),), "not in HTTP"
    )
    yield Case("manifest altered", (Fault(tag, change=lambda b: b.replace(b"size", b"Size")),))
    for answer in ("^POST", PUT_BLOB, PUT_MANIFEST):
        longer = Fault(answer, headers={"Content-Length": "10"}, cut_after=0)
        yield Case(f"{answer[:12]} length too long", (longer,))
        extra = Fault(
            answer, change=lambda b: b + b"HTTP/1.1 500 x\r\n\r\n", headers={"Content-Length": "0"}
        )
        yield Case(f"{answer[:12]} more than its length", (extra,))
    for where in (0, BLOB.size // 2, -1):
        yield Case(f"blob altered at {where}", (Fault(PUT_BLOB, spoil_at=where),))
    for word in (b"{", b'"size":', b"sha256:", b'"mediaType":"app', b"}"):
        where = NEW.raw_manifest.index(word) + len(word) - (word in (b"{", b"}"))
        yield Case(f"manifest altered at {where}", (Fault(PUT_MANIFEST, spoil_at=where),))
    yield Case(
        "blob altered for ever", (Fault(PUT_BLOB, 9, spoil_at=5),), "other bytes than were sent"
    )


def _sessions() -> Iterator[Case]:
    forgets = Fault(PUT_BLOB, status=404, body=MISSING)
    yield Case("forgotten once", (forgets,))
    yield Case("forgotten twice", (Fault(PUT_BLOB, 2, status=404, body=MISSING),))
    yield Case(
        "forgotten for ever",
        (Fault(PUT_BLOB, 99, status=404, body=MISSING),),
        "forgot the upload again and again",
    )
    yield Case("stands elsewhere", (Fault(PUT_BLOB, status=416),))
    too_large = Fault(PUT_BLOB, status=413)
    for told in ("0-7", "0-0", "0-99999999999999999999", "bytes 5-9", "0--1"):
        lies = Fault("^PATCH", headers={"Range": told})
        yield Case(f"says it has {told}", (Fault(PUT_BLOB, status=413), lies))
    yield Case(
        "takes chunks and loses them",
        (too_large, Fault("^PATCH", 99, headers={"Range": "0-7"})),
        "other bytes than were sent",
    )


def _lies() -> Iterator[Case]:
    head = "^HEAD .*blobs"
    length = {"Content-Length": str(BLOB.size)}
    yield Case("HEAD says yes to all", (Fault(head, 99, status=200),))
    yield Case("HEAD says yes, size and all", (Fault(head, 99, status=200, headers=length),))
    yield Case("HEAD says no to all", (Fault(head, 99, status=404),))
    yield Case(
        "HEAD of another digest",
        (Fault(head, 99, headers={"Docker-Content-Digest": f"sha256:{'1' * 64}"}),),
    )
    yield Case("mounts all and has nothing", (Fault("^POST .*mount=", 9, status=201),))
    for status in (400, 403, 404, 405, 501):
        yield Case(
            f"refuses mounts by {status}",
            (Fault("^POST .*mount=", 99, status=status, body=NO_MOUNT),),
        )
    wrong = {"Docker-Content-Digest": f"sha256:{'1' * 64}"}
    yield Case("names another digest for a blob", (Fault(PUT_BLOB, headers=wrong),))
    yield Case("names another digest for the manifest", (Fault(PUT_MANIFEST, headers=wrong),))


def _loris() -> Iterator[Case]:
    for name, pattern in REQUESTS.items():
        if not pattern.startswith("^HEAD"):
            ends = "silent?" if pattern == PUT_BLOB else "silent"
            yield Case(name, (Fault(pattern, 99, trickle=0.1),), ends)


TABLE: dict[str, Callable[[], Iterator[Case]]] = {
    "resets": _resets,
    "stalls": _stalls,
    "slow-loris": _loris,
    "408, 429 and 5xx": _statuses,
    "truncated, corrupted, wrong length": _bodies,
    "forgotten sessions, ignored ranges": _sessions,
    "lies and refused mounts": _lies,
}
OTHERS = ("refused connections", "401 in mid-push", "redirects to another host", "a proxy between")
"""Families whose tests are functions of their own, here and in ``test_auth.py``."""

_NUMBER = itertools.count()
CASES = [
    pytest.param(case, id=f"{family}: {case.name}")
    for family, cases in TABLE.items()
    for case in cases()
]


def _digest(host: str, name: str = "team/mnist:v1") -> str:
    """The digest that has the tag, of an image all of whose bytes are there."""
    pulled = pull_image(client(host), at(host, name), Platform())
    validate(pulled.image, deep=True)
    return pulled.digest


def _limited(work: Callable[[], object]) -> BaseException | None:
    """What ``work`` raised; it has to end."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(120)
    assert not thread.is_alive(), "it hangs"
    return raised[0] if raised else None


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """One registry for all cases: each has a repository of its own."""
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RunningRegistry]:
    with running_registry(tmp_path) as running:
        push_image(client(running.host), OLD, at(running.host))
        yield running


@pytest.mark.parametrize("case", CASES)
def test_the_tag_names_the_whole_old_image_or_the_whole_new_one(
    stored: RunningRegistry, case: Case
) -> None:
    impatient = case.ends.startswith("silent")
    name = f"team/case-{next(_NUMBER)}:v1"
    push_image(client(stored.host), OLD, at(stored.host, name))
    with running_fault_proxy(stored.host, *case.faults) as proxy:
        own = client(proxy.host, silence_seconds=0.5 if impatient else 30.0)
        error = _limited(lambda: push_image(own, NEW, at(proxy.host, name)))
    there = _digest(stored.host, name)

    assert there in (OLD.digest, NEW.digest)
    if not case.ends or (case.ends.endswith("?") and error is None):
        assert error is None
        assert there == NEW.digest
    else:
        assert isinstance(error, RegistryError)
        assert case.ends.rstrip("?") in error.what
        assert error.next_step
        assert "_state=" not in str(error) or "_state=***" in str(error)


def test_the_table_of_the_documentation_has_a_row_for_each_family() -> None:
    text = (ROOT / "docs" / "architecture" / "03-registry.md").read_text()
    rows = re.findall(r"^\| \*\*(.*?)\*\* \|", text, re.MULTILINE)

    assert sorted(rows) == sorted([*TABLE, *OTHERS])


def test_a_registry_that_refuses_connections_from_the_start_is_told_at_once(
    registry: RunningRegistry,
) -> None:
    with running_fault_proxy(registry.host) as proxy:
        proxy.refuse()
        error = _limited(lambda: push_image(client(proxy.host), NEW, at(proxy.host)))

    assert isinstance(error, UnreachableError)
    assert _digest(registry.host) == OLD.digest


def test_a_registry_that_refuses_connections_for_a_while_is_waited_for(
    registry: RunningRegistry,
) -> None:
    pauses: list[float] = []
    with running_fault_proxy(registry.host) as proxy:

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 2:
                proxy.listen()

        proxy.faults.append(Fault(PUT_BLOB, drop=True, before=proxy.refuse))
        transport = Transport(retry=QUICK, sleep=sleep)
        own = Registry(proxy.host, transport, Authorizer(transport, proxy.host, "", lambda: None))
        error = _limited(lambda: push_image(own, NEW, at(proxy.host), parallel=1))

    assert error is None
    assert len(pauses) >= 2
    assert _digest(registry.host) == NEW.digest


@pytest.mark.parametrize("status", [0, 307, 308])
def test_another_host_gets_the_bytes_and_no_login(registry: RunningRegistry, status: int) -> None:
    asks = Fault("^GET", status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    with (
        running_fault_proxy(registry.host) as storage,
        running_fault_proxy(registry.host, asks) as proxy,
    ):
        own = client(proxy.host, "me", "s3cret")

        def elsewhere(fault: Fault) -> None:
            """Where the upload would go here, but there."""
            real = client(registry.host).call(
                "POST", "/v2/team/mnist/blobs/uploads/", "team/mnist", expect=(202,), doing="test"
            )
            fault.headers["Location"] = real.headers["Location"].replace(
                registry.host, storage.host
            )

        if status:
            moved = Fault(PUT_BLOB, status=status)
            digest = BLOB.digest.replace(":", "%3A")
            moved.before = lambda: (
                elsewhere(moved),
                moved.headers.update(Location=f"{moved.headers['Location']}&digest={digest}"),
            )
        else:
            moved = Fault("^POST", 1, status=202)
            moved.before = lambda: elsewhere(moved)
        proxy.faults.append(moved)
        error = _limited(lambda: push_image(own, NEW, at(proxy.host)))

    assert error is None
    assert storage.count("^PUT") == 1
    assert not any("Authorization" in headers for headers in storage.seen)
    assert sum("Authorization" in headers for headers in proxy.seen) > 3
    assert _digest(registry.host) == NEW.digest


def test_a_manifest_is_not_put_to_another_host(registry: RunningRegistry) -> None:
    with running_fault_proxy(registry.host) as other:
        headers = {"Location": f"http://{other.host}/v2/team/mnist/manifests/v1"}
        moved = Fault(PUT_MANIFEST, 9, status=307, headers=headers)
        with running_fault_proxy(registry.host, moved) as proxy:
            error = _limited(lambda: push_image(client(proxy.host), NEW, at(proxy.host)))

    assert isinstance(error, RegistryError)
    assert "HTTP 307" in error.what
    assert other.requests == []
    assert _digest(registry.host) == OLD.digest


@pytest.mark.parametrize("cut_after", [0, 1000, 2 * MIB])
def test_a_proxy_between_that_breaks_a_tunnel_is_gone_through_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_after: int
) -> None:
    with (
        running_registry(tmp_path, tls=True) as running,
        running_connect_proxy(running.host) as between,
    ):
        monkeypatch.setenv("HTTPS_PROXY", between.url)
        name = "registry.example"
        own = client(name, ca_file=running.ca_file)
        push_image(own, OLD, at(name))
        own.transport.close()
        between.cut_after = cut_after
        error = _limited(lambda: push_image(own, NEW, at(name), parallel=1))
        there = pull_image(own, at(name), Platform())
        validate(there.image, deep=True)

    assert error is None
    assert between.cut_after is None
    assert there.digest == NEW.digest
    assert set(between.seen) == {f"CONNECT {name}:443 HTTP/1.1"}


def test_a_stream_may_be_slow_but_has_to_go_on() -> None:
    patience = Patience(60, 120)
    patience.flow()
    for _ in range(1000):
        patience.waited(59, SLOWEST_PIECE)
        assert patience.seconds() == 60
    patience.waited(59, SLOWEST_PIECE - 1)
    assert patience.seconds() == 1
    patience.waited(1, 0)
    with pytest.raises(TimeoutError):
        patience.seconds()


def test_a_small_answer_has_its_time_in_all() -> None:
    patience = Patience(60, 120)
    for _ in range(119):
        patience.waited(1, SLOWEST_PIECE)
    assert patience.seconds() == 1
    patience.waited(1, SLOWEST_PIECE)
    with pytest.raises(TimeoutError):
        patience.seconds()
