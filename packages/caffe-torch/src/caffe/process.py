"""What a process that trains wants set before torch loads, and of the C library.

torch's threads spin while they wait for work, for long. When another program keeps a core busy,
they spin against each other: LeNet on two cores falls to 10 iterations a second. Without spinning
each of some 70 waits an iteration costs a call of the kernel. Milliseconds an iteration of LeNet
by the count of spins, two threads on two cores, free and beside a program that keeps one busy:

    0: 12.7, 22    1000: 11.5, 22    5000: 10.0, 29    10000: 9.9, 35    30000: -, 69
"""

from __future__ import annotations

import ctypes
import os

_SPINS = "5000"
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_MAX = -4
_TOP_PAD_BYTES = 64 << 20


def prepare() -> None:
    """To be called before torch is imported. What the user has set stays."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def keep_memory() -> None:
    """Keep freed memory for the next iteration in place of giving it back to the kernel.

    A layer's top is a new tensor in every iteration. glibc maps large ones anew each time, and
    touching fresh pages costs more than some layers compute: a LeNet iteration takes 14 ms with
    it, 12.5 ms without. Does nothing where there is no glibc, or with CAFFE_MALLOC=default.
    """
    if os.environ.get("CAFFE_MALLOC") == "default":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt") and hasattr(library, "gnu_get_libc_version"):
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        library.mallopt(_M_TOP_PAD, _TOP_PAD_BYTES)
