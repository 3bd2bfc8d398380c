"""A push of one large blob, killed on the way: how much goes over the wire again?

    scripts/with-venv bench/resume.py [--gigabytes 5] [--at 0.6] [--results FILE]

The real command, ``uaitrain pack --push``, pushes a job whose folder holds one file of that size
to a real registry, and is killed (SIGKILL) when that share of the blob has been received. The same
command again has to finish it. Twice: as Debian's registry is, which cannot go on with an upload
that broke off in a request, and behind a proxy that keeps what came of one and can say how much
that is, as the protocol has it. Takes three times the size on the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
from faults import JOB, base
from support.fault_proxy import FaultProxy, running_fault_proxy
from support.images import client
from support.jobs import base_layout, make_job
from support.registry import running_registry
from uaitrain.oci.descriptor import Platform
from uaitrain.oci.reference import Reference
from uaitrain.oci.validate import validate
from uaitrain.registry.pull import pull_image

RESULTS = Path(__file__).parent / "results" / "resume.json"
COMMAND = [sys.executable, "-m", "uaitrain", "pack", "--push", "--no-load"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--at", type=float, default=0.6, help="share of the blob before the kill")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    size = int(options.gigabytes * 1e9)
    told: dict[str, object] = {"bytes": size, "load_at_start": machine.load()}
    tiny = base()
    for name, resumable in (("keeps what came", True), ("registry 2 as it is", False)):
        with tempfile.TemporaryDirectory(prefix="resume-") as folder:
            work = Path(folder)
            job = make_job(work / "job", "")
            layout = base_layout(work / "bases", tiny)
            _fill(job.code / "weights.bin", size)
            with (
                running_registry(work) as running,
                running_fault_proxy(running.host, resumable=resumable) as proxy,
            ):
                image = f"{proxy.host}/team/large:v1"
                (job.folder / "uaitrain.toml").write_text(JOB.format(image=image, base=layout))
                told[name] = _kill_and_go_on(proxy, job.folder, work, size, options.at)
                reference = Reference.parse(f"{running.host}/team/large:v1")
                pulled = pull_image(client(running.host), reference, Platform())
                validate(pulled.image, deep=True)
        print(name, json.dumps(told[name]), flush=True)
    told["machine"] = machine.facts({})
    options.results.write_text(json.dumps(told, indent=1) + "\n")


def _fill(path: Path, size: int) -> None:
    """Bytes that do not shrink, and no block of which is there twice."""
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for number in range(-(-size // len(block))):
            file.write((number.to_bytes(8, "big") + block[8:])[: size - file.tell()])


def _kill_and_go_on(
    proxy: FaultProxy, folder: Path, work: Path, size: int, share: float
) -> dict[str, object]:
    environment = os.environ | {"UAITRAIN_CACHE": str(work / "cache"), "HOME": str(work)}
    process = subprocess.Popen(
        COMMAND, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    while proxy.received < share * size:
        assert process.poll() is None, "it ended before the kill"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed_at = proxy.received
    time.sleep(2)  # what was on its way still arrives
    arrived, began = proxy.received, time.monotonic()
    subprocess.run(
        COMMAND,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        check=True,
    )
    again = proxy.received - arrived
    return {
        "received_before_the_kill": killed_at,
        "received_after_it": again,
        "share_sent_again": round((arrived + again - size) / size, 4),
        "seconds_of_the_second_pack": round(time.monotonic() - began, 1),
    }


if __name__ == "__main__":
    main()
