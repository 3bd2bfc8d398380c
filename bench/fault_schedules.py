"""One schedule: which faults and which kill a push meets, drawn from a seed."""

from __future__ import annotations

import random
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "packages" / "uaitrain" / "tests"))

from support.fault_proxy import Fault, FaultProxy

MIB = 1 << 20
REQUESTS = {
    "anything": "",
    "manifest asked for": "^(GET|HEAD) .*manifests",
    "blob asked for": "^HEAD .*blobs",
    "blob read": "^GET .*blobs/sha256",
    "offset asked for": "^GET .*uploads",
    "upload started": "^POST",
    "blob sent": "^P(UT|ATCH) .*uploads",
    "manifest put": "^PUT .*manifests",
}
STATUSES = (400, 401, 403, 404, 405, 408, 413, 416, 429, 500, 502, 503, 504, 507)
KINDS = ("open", "htpasswd", "token")


@dataclass(frozen=True)
class Kill:
    """``number`` is sent when the proxy got that many requests and bytes of bodies."""

    number: signal.Signals
    requests: int
    received: int


@dataclass(frozen=True)
class Schedule:
    """``faults`` are told by a name each. ``kind`` is what login the registry asks for."""

    seed: int
    kind: str
    resumable: bool
    remote_base: bool
    noise: int
    faults: tuple[tuple[str, Fault], ...]
    kill: Kill | None

    def __str__(self) -> str:
        told = [f"{name} x{fault.times}" for name, fault in self.faults]
        if self.kill:
            told.append(
                f"{self.kill.number.name} at request {self.kill.requests}"
                f" and {self.kill.received} bytes"
            )
        return (
            f"seed {self.seed}: {self.kind}{', resumable' if self.resumable else ''}"
            f"{', base there' if self.remote_base else ''}, {self.noise} bytes of noise;"
            f" {'; '.join(told) or 'no fault'}"
        )


def draw(seed: int, proxies: Callable[[str], FaultProxy]) -> Schedule:
    """The schedule of ``seed``; ``proxies`` gives the one before the registry of a kind."""
    rng = random.Random(seed)  # noqa: S311 no secret is drawn here
    kind = rng.choice(KINDS)
    noise = rng.choice((0, 0, 30_000, 2 * MIB, 9 * MIB, 12 * MIB))
    count = rng.choice((0, 1, 1, 1, 2, 2, 3, 4))
    faults = tuple(_fault(rng, proxies(kind), noise) for _ in range(count))
    kill = None
    if rng.random() < (0.45 if count else 1.0):
        number = rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
        kill = Kill(number, rng.randint(1, 16), rng.choice((0, 0, rng.randint(0, noise + 10_000))))
    return Schedule(seed, kind, rng.random() < 0.4, rng.random() < 0.5, noise, faults, kill)


def _fault(rng: random.Random, proxy: FaultProxy, noise: int) -> tuple[str, Fault]:
    what = rng.choice(list(REQUESTS))
    way = rng.choice(list(_WAYS))
    times = rng.choice((1, 1, 1, 2, 3, 99))
    fault = _WAYS[way](rng, noise, proxy)
    fault.pattern, fault.times = REQUESTS[what], times
    if fault.spoil_at is not None and what in ("manifest put", "anything"):
        # Twice in a row is more than a client can mend (docs/architecture/03-registry.md).
        fault.times = 1
    return f"{what}: {way}", fault


def _where(rng: random.Random, noise: int) -> int:
    """An offset of each class: at the start, in the first piece, in the middle, far on."""
    return rng.choice(
        (0, 1, rng.randint(2, 400), rng.randint(400, 70_000), rng.randint(0, noise + 1))
    )


def _refused(rng: random.Random, noise: int, proxy: FaultProxy) -> Fault:
    seconds = rng.uniform(0.05, 0.4)

    def refuse() -> None:
        proxy.refuse()
        threading.Timer(seconds, proxy.listen).start()

    return Fault("", drop=True, before=refuse)


def _status(rng: random.Random, noise: int, proxy: FaultProxy) -> Fault:
    wait = rng.choice(({}, {}, {"Retry-After": "0"}, {"Retry-After": "1"}, {"Retry-After": "3600"}))
    body = rng.choice((b"", b"<html>", b'{"errors":[{"code":"UNKNOWN","message":"no"}]}'))
    headers = dict(wait) | rng.choice(({}, {"WWW-Authenticate": 'Basic realm="x"'}))
    return Fault("", status=rng.choice(STATUSES), headers=headers, body=body)


def _redirect(rng: random.Random, noise: int, proxy: FaultProxy) -> Fault:
    port = proxy.host.rpartition(":")[2]
    target = rng.choice(
        (
            f"http://localhost:{port}/v2/",
            "http://127.0.0.1:1/x",
            "http://registry.invalid/x",
            "/v2/",
        )
    )
    return Fault("", status=rng.choice((301, 302, 303, 307, 308)), headers={"Location": target})


def _wrong_header(rng: random.Random, noise: int, proxy: FaultProxy) -> Fault:
    header = rng.choice(
        (
            {"Content-Length": str(rng.choice((0, 3, 99_999)))},
            {"Docker-Content-Digest": f"sha256:{rng.randrange(16**64):064x}"},
            {"Docker-Content-Digest": "rubbish"},
            {"Range": rng.choice(("0-0", "0-7", f"0-{noise}", "0-99999999999", "rubbish"))},
            {"Location": "/v2/elsewhere/blobs/uploads/1?_state=x"},
            {"OCI-Chunk-Min-Length": rng.choice(("1", str(MIB), "9" * 30, "x"))},
        )
    )
    return Fault("", headers=header, cut_after=rng.choice((None, 0, 1)))


def _flip(rng: random.Random, noise: int, proxy: FaultProxy) -> Fault:
    where = rng.random()

    def change(body: bytes) -> bytes:
        at = int(where * len(body))
        return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :] if body else body

    return Fault("", change=change)


_WAYS: dict[str, Callable[[random.Random, int, FaultProxy], Fault]] = {
    "refused": _refused,
    "reset before": lambda rng, noise, proxy: Fault("", drop=True),
    "reset in the body": lambda rng, noise, proxy: Fault("", reset_after=_where(rng, noise)),
    "stalled in the body": lambda rng, noise, proxy: Fault("", stall_after=_where(rng, noise)),
    "reset in the answer": lambda rng, noise, proxy: Fault("", answer_reset=rng.randint(0, 300)),
    "stalled in the answer": lambda rng, noise, proxy: Fault("", answer_stall=rng.randint(0, 300)),
    "answer cut": lambda rng, noise, proxy: Fault("", cut_after=rng.randint(0, 500)),
    "answer in drops": lambda rng, noise, proxy: Fault("", trickle=rng.choice((0.0005, 0.02))),
    "another status": _status,
    "redirected": _redirect,
    "a yes that is none": lambda rng, noise, proxy: Fault("", status=rng.choice((200, 201, 204))),
    "a wrong header": _wrong_header,
    "body altered": lambda rng, noise, proxy: Fault(
        "", spoil_at=rng.choice((0, -1, _where(rng, noise)))
    ),
    "answer altered": _flip,
}
WAYS = tuple(_WAYS)
