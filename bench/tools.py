"""Who packs: our command and the other tools, each as command lines for the same work.

What Debian 12 lacks comes out of another Debian's package (``scripts/sid-tool``), TorchX from PyPI.
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
from typing import IO

import uaitrain as uaitrain_package
from works import Work

Pipeline = list[list[str]]

REPOSITORY = "bench/job"
BASE = "base:1"
_HERE = Path(__file__).resolve().parent
_SID_TOOL = _HERE.parent / "scripts" / "sid-tool"
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
    """``commands`` run in the work's folder, one after the other; ``prepare`` runs untimed.

    A command is a pipeline: one program, or several of which each feeds the next.
    """

    name: str
    commands: Callable[[Place, Work], list[Pipeline]]
    prepare: Callable[[Place, Work], list[list[str]]]
    environment: Mapping[str, str] = field(default_factory=dict)
    remark: str = ""


class NotHereError(Exception):
    """A tool is not on this machine, and why."""


def call(words: Sequence[str], environment: Mapping[str, str], folder: Path) -> str:
    """Standard output and error; raises CalledProcessError with both."""
    return pipe([list(words)], environment, folder)


def pipe(pipeline: Pipeline, environment: Mapping[str, str], folder: Path) -> str:
    """What its last program wrote to both outputs; raises CalledProcessError for any that failed.

    No shell is in between, whose start would count.
    """
    before: IO[bytes] | int = subprocess.DEVNULL
    feeders = []
    for words in pipeline[:-1]:
        feeder = subprocess.Popen(
            words,
            env=os.environ | environment,
            cwd=folder,
            stdin=before,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert feeder.stdout
        feeders.append(feeder)
        before = feeder.stdout
    try:
        done = subprocess.run(
            pipeline[-1],
            env=os.environ | environment,
            cwd=folder,
            stdin=before,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
    finally:
        for feeder in feeders:
            assert feeder.stdout
            # One whose reader is gone ends by that.
            feeder.stdout.close()
            feeder.wait()
    for feeder, words in zip(feeders, pipeline, strict=False):
        if feeder.returncode:
            raise subprocess.CalledProcessError(feeder.returncode, words, done.stdout)
    return done.stdout


def _from_debian(name: str, suite: str) -> tuple[str, str]:
    """A program's path and where it is from. Raises NotHereError."""
    if here := shutil.which(name):
        return here, "this machine's"
    try:
        found = subprocess.run(
            [str(_SID_TOOL), name, suite], capture_output=True, text=True, check=True
        )
    except subprocess.CalledProcessError as error:
        raise NotHereError(error.stderr.strip().splitlines()[-1]) from None
    return found.stdout.strip(), f"Debian {suite}'s"


def _dockerfile(place: Place, work: Work) -> str:
    path = work.folder / "Dockerfile"
    path.write_text(_DOCKERFILE.format(base=place.base))
    return str(path)


def uaitrain(scratch: Path) -> Tool:
    program = str(Path(sys.executable).with_name("uaitrain"))
    # As an installed package has it; a checkout whose user forbids writing it has not.
    compileall.compile_dir(Path(uaitrain_package.__file__).parent, quiet=2)

    def commands(place: Place, work: Work) -> list[Pipeline]:
        words = [program, "pack", "--push", "--no-load", "--solver", "/data/solver.prototxt"]
        return [[[*words, "--image", place.target, *_bases(place)]]]

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
    program = _docker_client()
    version = call([program, "--version"], {}, scratch).strip()
    environment = {"DOCKER_BUILDKIT": "0"}
    return _docker(
        "docker", [program, "build"], program, environment, f"classic builder, {version}"
    )


def _docker_client() -> str:
    program = shutil.which("docker")
    if not program:
        raise NotHereError("no docker client")
    return program


def buildkit(scratch: Path) -> Tool:
    """The engine's own BuildKit through buildx."""
    program = _docker_client()
    plugin, origin = _from_debian("docker-buildx", "trixie")
    plugins = scratch / "cli-plugins"
    plugins.mkdir()
    (plugins / "docker-buildx").symlink_to(plugin)
    (scratch / "config.json").write_text("{}")
    environment = {"DOCKER_CONFIG": str(scratch)}
    (scratch / "probe").mkdir()
    (scratch / "probe" / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    build = [program, "buildx", "build"]
    try:
        call([*build, "-q", "."], environment, scratch / "probe")
        version = call([program, "buildx", "version"], environment, scratch).split()[1]
    except subprocess.CalledProcessError as error:
        raise NotHereError(f"buildx does not build: {error.output.strip()[-300:]}") from None
    return _docker("buildkit", build, program, environment, f"{origin} buildx {version}")


def _docker(
    name: str, build: list[str], program: str, environment: Mapping[str, str], remark: str
) -> Tool:
    def commands(place: Place, work: Work) -> list[Pipeline]:
        file = _dockerfile(place, work)
        make = [*build, "-q", "-t", place.target, "-f", file, "code"]
        return [[make], [[program, "push", "-q", place.target]]]

    return Tool(name, commands, _empty_engine(program), environment, remark)


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

    version = call(["buildah", "--version"], {}, scratch).split("(")[0].strip()

    def commands(place: Place, work: Work) -> list[Pipeline]:
        file = _dockerfile(place, work)
        build = ["bud", "-q", "--isolation", "chroot", "--layers", "--pull-never"]
        push = ["push", "-q", "--tls-verify=false", place.target, f"docker://{place.target}"]
        return [[[*start, *build, "-t", place.target, "-f", file, "code"]], [[*start, *push]]]

    def prepare(place: Place, work: Work) -> list[list[str]]:
        remove = [*start, "rmi", "--all", "--force"]
        return [remove, [*start, "pull", "-q", "--tls-verify=false", place.base]]

    return Tool("buildah", commands, prepare, {}, f"{version}, rootful, overlay, --layers")


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

    def commands(place: Place, work: Work) -> list[Pipeline]:
        script = str(_HERE / "torchx_patch.py")
        repository = f"{place.host}/{REPOSITORY}"
        return [[[program, script, place.base, str(work.code), repository, "v1"]]]

    client = _docker_client()
    return Tool("torchx", commands, _empty_engine(client), {}, f"TorchX {version.strip()}")


def crane(scratch: Path) -> Tool:
    """A tar of the folder, appended to the base in the registry."""
    program, origin = _from_debian("crane", "sid")

    def commands(place: Place, work: Work) -> list[Pipeline]:
        archive = str(work.folder / "code.tar")
        return [[_tar(archive)], [_append(program, place, archive)]]

    return Tool("crane", commands, _nothing, {}, f"tar, then {origin} crane append")


def crane_pipe(scratch: Path) -> Tool:
    """The same without a file in between."""
    program, origin = _from_debian("crane", "sid")

    def commands(place: Place, work: Work) -> list[Pipeline]:
        return [[_tar("-"), _append(program, place, "-")]]

    return Tool("crane-pipe", commands, _nothing, {}, f"tar piped into {origin} crane append")


def _tar(archive: str) -> list[str]:
    return ["tar", "-cf", archive, "--transform", "s,^code,data,", "code"]


def _append(program: str, place: Place, archive: str) -> list[str]:
    return [program, "append", "--insecure", "-b", place.base, "-f", archive, "-t", place.target]


def _nothing(place: Place, work: Work) -> list[list[str]]:
    return []


TOOLS: Mapping[str, Callable[[Path], Tool]] = {
    "uaitrain": uaitrain,
    "docker": docker,
    "buildkit": buildkit,
    "buildah": buildah,
    "torchx": torchx,
    "crane": crane,
    "crane-pipe": crane_pipe,
}
