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
    compute_in_float32()
    return [torch.device("cuda", index) for index in wanted]


def compute_in_float32() -> None:
    """Let GPUs multiply float32 as float32, as Caffe does.

    By itself torch lets convolutions use TF32, which keeps 10 of the 23 bits behind the point.
    cudnn.benchmark stays off: it would try algorithms for each new shape, and take another one,
    with other last digits, from run to run.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
