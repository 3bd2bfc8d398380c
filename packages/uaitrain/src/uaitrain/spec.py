"""What a training job is: the value that every face of the tool ends in.

The faces (``uaitrain.toml`` and flags in :mod:`uaitrain.settings`, the manual's parameters in
:mod:`uaitrain.compat`) judge their input and build a :class:`TrainSpec`; everything after them
trusts it.
"""

from __future__ import annotations

from pathlib import Path

from uaitrain.oci.reference import Reference
from uaitrain.secret import Secret
from uaitrain.values import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from uaitrain.package_settings import Packages

CPU = "cpu"
GPU = "gpu"

CAFFE = "caffe"
TORCH = "torch"
ENGINES = (CAFFE, TORCH)
"""What trains: BVLC's own Caffe, or ours on PyTorch, which takes the same jobs."""

BOARD_AUTO, BOARD_ON, BOARD_OFF = BOARD_CHOICES = ("auto", "on", "off")
"""Whether images get TensorBoard's writer: where it is at hand, always, never."""

WORK_DIR = "/data"
DATA_DIR = "/data/data"
OUTPUT_DIR = "/data/output"
LOG_DIR = "/data/output/log"
"""The container's contract: where code, data, results and logs lie inside."""

PYTHON = "/usr/bin/python"
"""The container's contract: what runs the main file."""

UHUB_PUBLIC = "uhub.ucloud.cn"
UHUB_INTERNAL = "uhub.service.ucloud.cn"


@dataclass(frozen=True)
class Framework:
    """What trains, such as ``caffe-1.0.0``."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}-{self.version}"


CAFFE_1 = Framework("caffe", "1.0.0")
"""What the package's own bases and its stock entry are for."""


@dataclass(frozen=True)
class BaseChoice:
    """Which base image, for one accelerator.

    ``wanted`` is a catalogue entry's name, an image reference, or empty: then the first entry of
    the catalogue that fits framework, accelerator, ``os``, ``python`` and ``engine`` (each may be
    empty).
    """

    wanted: str = ""
    os: str = ""
    python: str = ""
    engine: str = ""


@dataclass(frozen=True)
class Target:
    """The images' names: ``<image>-cpu:<tag>`` here, ``<host>/<registry>/<image>:<tag>`` there.

    ``host`` and ``registry`` are empty for a job that stays on this machine.
    """

    host: str
    registry: str
    image: str
    tag: str

    @property
    def cpu(self) -> Reference:
        return Reference("", f"{self.image}-cpu", self.tag)

    @property
    def gpu(self) -> Reference:
        path = "/".join(part for part in (self.registry, self.image) if part)
        return Reference(self.host, path, self.tag)


@dataclass(frozen=True)
class Account:
    """Who the user is on the registry and on the platform; any part may be missing."""

    username: str = ""
    password: Secret | None = None
    public_key: str = ""
    private_key: Secret | None = None
    project_id: str = ""


@dataclass(frozen=True)
class Resources:
    """What a run needs, on each node. ``shm_bytes`` is the size of ``/dev/shm``."""

    gpus: int = 1
    shm_bytes: int = 1 << 30


@dataclass(frozen=True)
class TrainSpec:
    """A training job, judged.

    ``code``, ``data`` and ``output`` are absolute paths on this machine. ``main_file`` is
    relative to ``code``, with ``/``. ``solver`` and ``snapshot`` are paths as the container
    sees them (relative ones against ``/data``). ``arguments`` are appended as they are.
    ``board`` is whether the images get TensorBoard's writer: ``auto``, ``on`` or ``off``.
    ``ship`` has the settings of :mod:`uaitrain.ship_settings` by their keys, complete.
    ``lock`` is the file that pins the bases, where there is one.
    ``packages`` is what it needs beyond its base, None for nothing.
    """

    framework: Framework
    code: Path
    main_file: str
    data: Path
    output: Path
    target: Target
    solver: str = ""
    snapshot: str = ""
    arguments: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    bases: dict[str, BaseChoice] = field(
        default_factory=lambda: {CPU: BaseChoice(), GPU: BaseChoice()}
    )
    internal_uhub: bool = False
    account: Account = Account()
    resources: Resources = Resources()
    board: str = BOARD_AUTO
    labels: dict[str, str] = field(default_factory=dict)
    ship: dict[str, Any] = field(default_factory=dict)
    packages: Packages | None = None
    lock: Path | None = None
