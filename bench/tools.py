"""Who packs: our command and the other tools, each as command lines for the same work.

A tool is made for one registry that holds only the base. ``prepare`` brings it to the state of
"first": the base at hand, nothing of the work known. What is timed is ``commands`` alone.
"""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uaitrain as uaitrain_package
from works import Work

REPOSITORY = "bench/job"
BASE = "base:1"
_HERE = Path(__file__).resolve().parent
_DOCKERFILE = "FROM {base}\nWORKDIR /data\nCOPY . /data/\n"


@dataclass(frozen=True)
class Place:
    """Where a tool works: a registry, folders of its own, and what it finds in the environment."""

    host: str
    state: Path
    environment: Mapping[str, str]

    @property
    def base(self) -> str:
        return f"{self.host}/{BASE}"

    @property
    def target(self) -> str:
        return f"{self.host}/{REPOSITORY}:v1"


@dataclass(frozen=True)
class Tool:
    """``commands`` run in the work's folder, one after the other; ``prepare`` runs untimed."""

    name: str
    commands: Callable[[Place, Work], list[list[str]]]
    prepare: Callable[[Place, Work], list[list[str]]]
    environment: Mapping[str, str] = field(default_factory=dict)
    remark: str = ""


class NotHereError(Exception):
    """A tool is not on this machine, and why."""


def call(words: Sequence[str], environment: Mapping[str, str], folder: Path) -> str:
    """Standard output and error; raises CalledProcessError with both."""
    return subprocess.run(
        words,
        env=os.environ | environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    ).stdout


def _dockerfile(place: Place, work: Work) -> str:
    path = work.folder / "Dockerfile"
    path.write_text(_DOCKERFILE.format(base=place.base))
    return str(path)


def uaitrain(scratch: Path) -> Tool:
    program = str(Path(sys.executable).with_name("uaitrain"))
    # As an installed package has it; a checkout whose user forbids writing it has not.
    compileall.compile_dir(Path(uaitrain_package.__file__).parent, quiet=2)

    def commands(place: Place, work: Work) -> list[list[str]]:
        words = [program, "pack", "--push", "--no-load", "--solver", "/data/solver.prototxt"]
        return [[*words, "--image", place.target, *_bases(place)]]

    def prepare(place: Place, work: Work) -> list[list[str]]:
        shutil.rmtree(scratch / "cache", ignore_errors=True)
        return []

    environment = {
        "UAITRAIN_CACHE": str(scratch / "cache"),
        "UAITRAIN_CONFIG": str(scratch / "config"),
    }
    return Tool("uaitrain", commands, prepare, environment, "pack --push --no-load")


def _bases(place: Place) -> list[str]:
    return ["--base-cpu", place.base, "--base-gpu", place.base]


def docker(scratch: Path) -> Tool:
    program = shutil.which("docker")
    if not program:
        raise NotHereError("no docker client")
    return _docker("docker", program, "0", "classic builder")


def buildkit(scratch: Path) -> Tool:
    """BuildKit through buildx, or through a client that still speaks to the engine's own."""
    folder = scratch / "probe"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    clients = [Path(entry) / "docker" for entry in os.environ["PATH"].split(":")]
    for client in dict.fromkeys(path for path in clients if os.access(path, os.X_OK)):
        try:
            call([str(client), "build", "-q", "."], {"DOCKER_BUILDKIT": "1"}, folder)
        except subprocess.CalledProcessError:
            continue
        version = call([str(client), "--version"], {}, folder).split(",")[0].lower()
        return _docker("buildkit", str(client), "1", f"client: {version}")
    raise NotHereError("no docker client here can reach BuildKit (install docker-buildx)")


def _docker(name: str, program: str, builder: str, remark: str) -> Tool:
    def commands(place: Place, work: Work) -> list[list[str]]:
        file = _dockerfile(place, work)
        build = [program, "build", "-q", "-t", place.target, "-f", file, "code"]
        return [build, [program, "push", "-q", place.target]]

    return Tool(name, commands, _empty_engine(program), {"DOCKER_BUILDKIT": builder}, remark)


def _empty_engine(program: str) -> Callable[[Place, Work], list[list[str]]]:
    """The engine is the bench's own, so everything may go."""

    def prepare(place: Place, work: Work) -> list[list[str]]:
        return [
            [program, "image", "prune", "--all", "--force"],
            [program, "builder", "prune", "--all", "--force"],
            [program, "pull", "-q", place.base],
        ]

    return prepare


def buildah(scratch: Path) -> Tool:
    if not shutil.which("buildah"):
        raise NotHereError("no buildah")
    store = ["--root", str(scratch / "root"), "--runroot", str(scratch / "run")]
    start = ["buildah", *store, "--storage-driver", "overlay"]
    try:
        call([*start, "images"], {}, scratch)
    except subprocess.CalledProcessError as error:
        raise NotHereError(f"buildah does not run: {error.output.strip()}") from None

    def commands(place: Place, work: Work) -> list[list[str]]:
        file = _dockerfile(place, work)
        build = ["bud", "-q", "--isolation", "chroot", "--layers", "--pull-never"]
        push = ["push", "-q", "--tls-verify=false", place.target, f"docker://{place.target}"]
        return [[*start, *build, "-t", place.target, "-f", file, "code"], [*start, *push]]

    def prepare(place: Place, work: Work) -> list[list[str]]:
        remove = [*start, "rmi", "--all", "--force"]
        return [remove, [*start, "pull", "-q", "--tls-verify=false", place.base]]

    return Tool("buildah", commands, prepare, {}, "rootful, overlay, --layers")


def torchx(scratch: Path) -> Tool:
    """TorchX's workspace patch, in an environment of its own that goes with the bench."""
    folder = scratch / "venv"
    program = str(folder / "bin" / "python")
    try:
        venv.create(folder, with_pip=True)
        call([program, "-m", "pip", "install", "-q", "torchx", "docker"], {}, scratch)
        version = call([program, "-c", "import torchx; print(torchx.__version__)"], {}, scratch)
    except subprocess.CalledProcessError as error:
        raise NotHereError(f"TorchX could not be installed: {error.output[-300:]}") from None

    def commands(place: Place, work: Work) -> list[list[str]]:
        script = str(_HERE / "torchx_patch.py")
        return [[program, script, place.base, str(work.code), f"{place.host}/{REPOSITORY}", "v1"]]

    client = shutil.which("docker") or "docker"
    return Tool("torchx", commands, _empty_engine(client), {}, f"TorchX {version.strip()}")


def crane(scratch: Path) -> Tool:
    """A tar of the folder, appended to the base in the registry."""
    if not shutil.which("crane"):
        raise NotHereError("no crane on this machine, and none in its Debian")

    def commands(place: Place, work: Work) -> list[list[str]]:
        archive = str(work.folder / "code.tar")
        tar = ["tar", "-cf", archive, "--transform", "s,^code,data,", "code"]
        append = ["crane", "append", "--insecure", "-b", place.base, "-f", archive]
        return [tar, [*append, "-t", place.target]]

    return Tool("crane", commands, lambda place, work: [], {}, "tar, then crane append")


TOOLS: Mapping[str, Callable[[Path], Tool]] = {
    "uaitrain": uaitrain,
    "docker": docker,
    "buildkit": buildkit,
    "buildah": buildah,
    "crane": crane,
    "torchx": torchx,
}
