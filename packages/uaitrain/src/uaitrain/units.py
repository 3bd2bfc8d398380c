"""Numbers as people read them."""

from __future__ import annotations


def human_bytes(count: int) -> str:
    """``12.3 MB``: powers of 1000, as registries and disks are sold."""
    value = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
