"""An NVIDIA driver, and what brings its GPUs into containers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from uaitrain.doctor.verdict import TEST_GPU, State, Surroundings, Verdict
from uaitrain.engines.engine import PODMAN

_DRIVER = Path("/proc/driver/nvidia/version")
_CDI_FOLDERS = (Path("/etc/cdi"), Path("/var/run/cdi"))
_TOOLKIT_PROGRAMS = ("nvidia-docker", "nvidia-container-runtime", "nvidia-container-toolkit")


def check(surroundings: Surroundings) -> Iterator[Verdict]:
    if not _DRIVER.exists():
        yield Verdict(
            "gpu",
            State.MISSING,
            f"no NVIDIA driver is loaded (there is no {_DRIVER})",
            "install the driver of your GPU (Debian: nvidia-driver, from non-free) and reboot",
            (TEST_GPU,),
        )
        return
    yield Verdict("gpu", State.PRESENT, "an NVIDIA driver is loaded")
    engine = surroundings.engine
    if engine and engine.program == PODMAN:
        yield from _for_podman()
    else:
        yield from _for_docker()


def _for_docker() -> Iterator[Verdict]:
    if found := next((name for name in _TOOLKIT_PROGRAMS if shutil.which(name)), None):
        yield Verdict("gpu", State.PRESENT, f"docker gets GPUs through {found}")
        return
    yield Verdict(
        "gpu",
        State.MISSING,
        "the NVIDIA container toolkit is not installed",
        "install NVIDIA's nvidia-container-toolkit, then sudo nvidia-ctk runtime configure "
        "--runtime=docker and sudo systemctl restart docker",
        (TEST_GPU,),
    )


def _for_podman() -> Iterator[Verdict]:
    if any(path for folder in _CDI_FOLDERS for path in folder.glob("nvidia*")):
        yield Verdict("gpu", State.PRESENT, "podman gets GPUs through a CDI description")
        return
    yield Verdict(
        "gpu",
        State.MISSING,
        "podman has no CDI description of the GPUs in /etc/cdi",
        "install NVIDIA's nvidia-container-toolkit, then "
        "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
        (TEST_GPU,),
    )
