"""``pack --profile``: where the seconds of this very pack went, and over what."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from uaitrain.files.inventory import Kind
from uaitrain.units import human_bytes

if TYPE_CHECKING:
    from uaitrain.flow import PackResult

_START = "starting Python and this program"
_REST = "images, commands, log"
_STARTTIME = 21
"""The field of /proc/<pid>/stat, from 0, in ticks since boot (proc(5))."""


def since_start() -> float:
    """Seconds since this process began, to a hundredth; 0 where the system does not tell."""
    try:
        text = Path("/proc/self/stat").read_text()
        # The name, in parentheses, may hold anything.
        ticks = int(text.rpartition(") ")[2].split()[_STARTTIME - 2])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0


def table(result: PackResult, starting: float, total: float) -> Iterator[str]:
    """Lines: each part with its seconds, its share, and what it was about.

    ``starting`` is the time before the pack began, ``total`` all of it, in seconds.
    """
    seconds = {_START: starting, **result.seconds}
    seconds[_REST] = max(0.0, total - sum(seconds.values()))
    about = _about(result)
    width = max(len(name) for name in seconds)
    yield f"{'where the time went':<{width}}  seconds  share"
    for name, spent in seconds.items():
        share = 100 * spent / total if total else 0.0
        row = f"{name:<{width}}  {spent:7.3f}  {share:3.0f} %"
        yield f"{row}  {about[name]}" if about.get(name) else row
    yield f"{'all':<{width}}  {total:7.3f}"


def _about(result: PackResult) -> dict[str, str]:
    files = sum(entry.kind is Kind.FILE for entry in result.inventory.entries)
    new = [layer for layer in result.layers if not layer.known]
    packed = sum(layer.descriptor.size for layer in new)
    sent = [
        blob
        for _, report in result.places
        if (push := getattr(report, "push", None))
        for blob in (*push.layers, push.config)
        if blob.sent
    ]
    slowest = max((blob.seconds for blob in sent), default=0.0)
    return {
        "reading the code folder": f"{files:,} files, {human_bytes(result.inventory.total_bytes)}",
        "finding the bases": ", ".join(dict.fromkeys(b.name for b in result.bases.values())),
        "preflight": f"{len(result.findings)} findings",
        "layers": f"{len(new)} of {len(result.layers)} made anew, {human_bytes(packed)} packed",
        "push": f"{len(sent)} blobs sent, {human_bytes(sum(b.sent for b in sent))}"
        + (f", the slowest took {slowest:.3f} s" if sent else ""),
    }
