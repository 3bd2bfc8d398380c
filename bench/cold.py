"""What a machine receives that packs for the first time and has no base, of any size, anywhere.

    scripts/with-venv bench/cold.py            to bench/results/cold.json

The base lies in the target registry, as the user's company has it; a proxy in between counts every
byte of both directions, answers' headers included. The base is the real Caffe's, where this
machine has it (``uaitrain base build caffe-1.0.0``), else noise of about the same size.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import machine
import report
import verify
from tools import BASE, Place, call, uaitrain
from works import Work, a_small

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "packages" / "uaitrain" / "tests"))

from support.images import noise, tar_layer  # noqa: E402 - found through the line above
from support.registry import running_registry  # noqa: E402
from support.tiny_image import busybox, tiny_base  # noqa: E402
from uaitrain.bases import labels  # noqa: E402
from uaitrain.bases.store import Store  # noqa: E402
from uaitrain.oci.image import History, Image  # noqa: E402
from uaitrain.oci.reference import Reference  # noqa: E402
from uaitrain.registry import connect  # noqa: E402
from uaitrain.registry.push import push_image  # noqa: E402

RESULTS = ROOT / "bench" / "results" / "cold.json"
CAFFE = "caffe-1.0.0-debian11-cpu"
_READ_BYTES = 1 << 16


@dataclass
class Counter:
    """Bytes that a client got through the proxy, and that it sent. ``host`` is the proxy's."""

    host: str = ""
    received: int = 0
    sent: int = 0
    connections: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *, received: int = 0, sent: int = 0, connections: int = 0) -> None:
        with self.lock:
            self.received += received
            self.sent += sent
            self.connections += connections

    def take(self) -> dict[str, int]:
        """What was counted since the last time."""
        with self.lock:
            taken = {
                "received_bytes": self.received,
                "sent_bytes": self.sent,
                "connections": self.connections,
            }
            self.received = self.sent = self.connections = 0
        return taken


@contextmanager
def counting(upstream: str) -> Iterator[Counter]:
    """A proxy in front of ``upstream`` (host:port) until the block ends."""
    name, _, port = upstream.rpartition(":")
    counter = Counter()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            client = cast(socket.socket, self.request)
            counter.add(connections=1)
            with socket.create_connection((name, int(port))) as server:
                back = threading.Thread(target=self._pump, args=(server, client, "received"))
                back.start()
                self._pump(client, server, "sent")
                back.join()

        def _pump(self, source: socket.socket, drain: socket.socket, kind: str) -> None:
            with suppress(OSError):
                while data := source.recv(_READ_BYTES):
                    counter.add(**{kind: len(data)})
                    drain.sendall(data)
            with suppress(OSError):
                drain.shutdown(socket.SHUT_WR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as proxy:
        proxy.daemon_threads = True
        counter.host = f"127.0.0.1:{proxy.server_address[1]}"
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield counter
        finally:
            proxy.shutdown()


def find_base(state: Path, synthetic_bytes: int) -> tuple[str, Image]:
    """The base and what it is called in the results."""
    store = Store.default()
    if not synthetic_bytes and store.has(CAFFE):
        return CAFFE, store.image(CAFFE)
    layer = tar_layer("noise", noise(synthetic_bytes or 248_000_000))
    base = tiny_base(busybox(state)).append([layer], [History("noise")])
    return "noise", base.configure(working_dir="/data", labels={labels.PYTHON: "3.9.2"})


def measure(state: Path, synthetic_bytes: int) -> dict[str, object]:
    (state / "scratch").mkdir()
    (state / "logins").mkdir()
    (state / "logins" / "config.json").write_text("{}")
    name, base = find_base(state, synthetic_bytes)
    work = a_small(state / "work")
    with running_registry(state) as registry, counting(registry.host) as counter:
        push_image(connect(registry.host), base, Reference.parse(f"{registry.host}/{BASE}"))
        tool = uaitrain(state / "scratch")
        place = Place(counter.host, state, {**tool.environment, "DOCKER_CONFIG": f"{state}/logins"})
        tool.prepare(place, work)
        told = {}
        for case in report.CASES:
            if case == "edited":
                work.edit(1)
            told[case] = _packed(tool.commands(place, work)[0][0], place, work, counter)
            print(f"  {case:<9} {told[case]}", file=sys.stderr, flush=True)
        verify.check(f"{registry.host}/{place.target.partition('/')[2]}", work, base=base)
    return {
        "received_bytes": told["first"]["received_bytes"],
        "base": name,
        "base_bytes": sum(layer.descriptor.size for layer in base.layers),
        "cases": told,
        "machine": machine.facts(os.environ),
    }


def _packed(
    command: list[str], place: Place, work: Work, counter: Counter
) -> dict[str, int | float]:
    counter.take()
    began = time.perf_counter()
    call(command, place.environment, work.folder)
    return {**counter.take(), "seconds": round(time.perf_counter() - began, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--noise", type=int, default=0, metavar="BYTES", help="no real base")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the JSON file")
    parser.add_argument("--scratch", type=Path, help="folder with 1 GB to work in (default: /tmp)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="uaitrain-cold-", dir=arguments.scratch) as state:
        told = measure(Path(state), arguments.noise)
    report.write(arguments.results, told)
    print(json.dumps({name: told[name] for name in ("received_bytes", "base", "base_bytes")}))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; the folder in which it worked is gone")
    except subprocess.CalledProcessError as failed:
        sys.exit(f"{' '.join(failed.cmd)} ended with {failed.returncode}:\n{failed.output}")
