"""From ``-gpu 0,1`` to torch devices."""

from __future__ import annotations

import torch

from caffe.errors import DeviceError, UsageError

CPU = torch.device("cpu")


def count() -> int:
    """How many GPUs torch can use here."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def chosen(ids: str, number: int = 0) -> list[torch.device]:
    """The devices of ``-gpu`` (``0,1`` or ``all``) or of ``-num_gpus``; the CPU for neither.

    Raises UsageError for text that is not ids, DeviceError for a GPU that is not there.
    """
    if ids and number:
        raise UsageError("-gpu and -num_gpus both choose GPUs", allowed="one of them")
    if number:
        ids = ",".join(str(index) for index in range(number))
    if not ids:
        return [CPU]
    there = count()
    if ids == "all":
        wanted = list(range(there))
    else:
        try:
            wanted = [int(word) for word in ids.split(",")]
        except ValueError:
            raise UsageError(f"-gpu {ids}", allowed="ids such as 0 or 0,1, or all") from None
    missing = [index for index in wanted if not 0 <= index < there]
    if missing or not wanted:
        raise DeviceError(
            f"GPU {', '.join(map(str, missing)) or ids} is not here: torch sees {there} GPUs"
            + ("" if torch.version.cuda is not None else " and was built without CUDA"),
            next_step="solver_mode: CPU, or start the container with GPUs and a GPU image",
        )
    if len(set(wanted)) != len(wanted):
        raise UsageError(f"-gpu {ids} names a GPU twice", allowed="each GPU once")
    return [torch.device("cuda", index) for index in wanted]
