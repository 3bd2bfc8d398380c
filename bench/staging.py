"""How fast the launcher's staging is beside rclone alone, and what a killed fetch moves again.

    scripts/with-venv bench/staging.py [--megabytes 5000] [--files 1000] [--rounds 3]

A real S3 server (`rclone serve s3`) on this machine serves a folder with the files. As stores do,
it lists without reading them (--etag-hash off: it would compute every MD5 anew at each listing; so
neither side has one to compare with). Taking turns,
whose order moves with each round, the data are fetched by our Stager and by `rclone copy` with the
same number of transfers; and sent to the bucket by both. Each begins with nothing at the target.
Then a fetch is killed when half of it is there and started again; a counting line before the
server tells how many bytes the second one moves. Figures go to results/staging.json, one entry
a size.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "packages/uaitrain/tests"))

from support.bases import kept_cache
from support.store import BUCKET, KEY, SECRET, Stage, Store, new_stage, running_store
from uaitrain.bases import mover_file
from uaitrain.progress import Silent

_RESULTS = Path(__file__).parent / "results" / "staging.json"
_SAME = ("--transfers=8", "--checkers=16", "--config=")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=5000)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files lie (default: a new one)")
    arguments = parser.parse_args()
    needed = 3 * arguments.megabytes * 10**6
    folder = arguments.folder or Path(tempfile.gettempdir())
    if shutil.disk_usage(folder).free < needed:
        parser.error(f"{needed / 1e9:.0f} GB are needed in {folder}; see --megabytes, --folder")
    os.environ.setdefault("UAITRAIN_CACHE", str(kept_cache()))
    mover = mover_file.fetch(Silent()) / mover_file.FILE
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        made = Path(name)
        with (
            running_store(mover, made / "served", "--etag-hash=") as store,
            new_stage(store, made / "m") as stage,
        ):
            # The line before the server costs time; only the bytes are counted through it.
            found = _measure(store, stage, arguments)
    known = json.loads(_RESULTS.read_text()) if _RESULTS.exists() else []
    kept = [one for one in known if one["megabytes"] != arguments.megabytes]
    _RESULTS.write_text(json.dumps([*kept, found], indent=2) + "\n")
    print(json.dumps(found, indent=2))


def _measure(store: Store, stage: Stage, arguments: argparse.Namespace) -> dict[str, Any]:
    host, port = store.line.server
    stage.environment["UAITRAIN_S3_ENDPOINT"] = f"http://{host}:{port}"
    size = arguments.megabytes * 10**6 // arguments.files
    for number in range(arguments.files):
        store.put(f"data/{number % 10}/{number:06d}.bin", secrets.token_bytes(size))
    sync()
    load = os.getloadavg()[0]
    times: dict[str, list[float]] = {}
    runs: list[tuple[str, Callable[[], None]]] = [
        ("fetch", lambda: _must(stage, "data")),
        ("fetch_rclone", lambda: _rclone(store, f"u:{BUCKET}/data/", stage.data)),
        ("send", lambda: _must(stage, "start", "finish")),
        ("send_rclone", lambda: _rclone(store, stage.output, f"u:{BUCKET}/out/")),
    ]
    for turn in range(arguments.rounds):
        for name, run in [*runs[turn % 4 :], *runs[: turn % 4]]:
            _prepare(name, store, stage)
            began = time.monotonic()
            run()
            times.setdefault(name, []).append(time.monotonic() - began)
            print(f"{name}: {times[name][-1]:.1f} s", flush=True)
    seconds = {name: round(statistics.median(each), 2) for name, each in times.items()}
    return {
        "megabytes": arguments.megabytes,
        "files": arguments.files,
        "rounds": arguments.rounds,
        "load_at_start": round(load, 2),
        "seconds": seconds,
        "fetch_of_rclone_percent": round(100 * seconds["fetch_rclone"] / seconds["fetch"]),
        "send_of_rclone_percent": round(100 * seconds["send_rclone"] / seconds["send"]),
        "after_kill": _killed(store, stage, size, arguments.files),
    }


def _prepare(name: str, store: Store, stage: Stage) -> None:
    """Nothing at the target, everything at the source."""
    shutil.rmtree(stage.data, ignore_errors=True)
    shutil.rmtree(store.bucket / "out", ignore_errors=True)
    shutil.rmtree(stage.output)
    stage.output.mkdir()
    if name.startswith("send"):
        for path in (store.bucket / "data").rglob("*.bin"):
            (stage.output / path.parent.name).mkdir(exist_ok=True)
            # The same bytes once on the disk.
            os.link(path, stage.output / path.parent.name / path.name)
    sync()


def _must(stage: Stage, *steps: str) -> None:
    if stage.start(*steps).wait():
        raise RuntimeError(stage.said)


def _rclone(store: Store, source: object, target: object) -> None:
    host, port = store.line.server
    subprocess.run(
        [str(store.mover), "copy", str(source), str(target), *_SAME],
        check=True,
        env={
            "PATH": os.environ["PATH"],
            "RCLONE_CONFIG_U_TYPE": "s3",
            "RCLONE_CONFIG_U_PROVIDER": "Other",
            "RCLONE_CONFIG_U_ENDPOINT": f"http://{host}:{port}",
            "RCLONE_CONFIG_U_ACCESS_KEY_ID": KEY,
            "RCLONE_CONFIG_U_SECRET_ACCESS_KEY": SECRET,
            "RCLONE_CONFIG_U_NO_CHECK_BUCKET": "true",
        },
    )


def _killed(store: Store, stage: Stage, size: int, files: int) -> dict[str, Any]:
    _prepare("fetch", store, stage)
    stage.environment["UAITRAIN_S3_ENDPOINT"] = store.line.url
    stage.start("data")
    while len(list(stage.data.rglob("*.bin"))) < files // 2:
        time.sleep(0.02)
    stage.kill()
    whole = len(list(stage.data.rglob("*.bin")))
    store.line.reset()
    _must(stage, "data")
    missing = (files - whole) * size
    return {
        "whole_at_kill": whole,
        "missing_bytes": missing,
        "moved_bytes": store.line.down,
        "moved_of_missing_percent": round(100 * store.line.down / missing, 1),
    }


def sync() -> None:
    os.sync()


if __name__ == "__main__":
    main()
