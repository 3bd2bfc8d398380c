"""Run mmdebstrap: here, or in a container of a Debian image; explain how it failed.

The output is the tar of the finished tree, the same bytes for :mod:`uaitrain.bases.rootfs`
whichever way it was made.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from uaitrain.atomic import storage_error
from uaitrain.bases.recipe import EPOCH, Recipe
from uaitrain.engines.engine import Engine
from uaitrain.engines.find import PROGRAMS, probe
from uaitrain.errors import BaseError, StorageError, UaitrainError
from uaitrain.progress import Progress, Task
from uaitrain.values import dataclass

DEFAULT_BUILDER_IMAGE = "docker.io/library/debian:bookworm-slim"
MMDEBSTRAP = "mmdebstrap"
_ENVIRONMENT = {
    "SOURCE_DATE_EPOCH": str(EPOCH),
    "PYTHONHASHSEED": "0",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}
_INSTALL = (
    "apt-get -q update >&2 && DEBIAN_FRONTEND=noninteractive apt-get -q -y install "
    "--no-install-recommends mmdebstrap debian-archive-keyring ca-certificates >&2"
)
_OWN_NAMESPACES = (
    *("unshare", "--mount", "--propagation", "private"),
    *("--pid", "--fork", "--kill-child", "--mount-proc"),
)
"""As root, mmdebstrap mounts this machine's /dev, /proc and /sys into the tree. In namespaces of
its own nothing of that outlives it, however it ends, and no deletion can reach through a mount."""

_INSIDE = ("check/canmount", "check/signed-by")


@dataclass(frozen=True)
class Builder:
    """How to run mmdebstrap: here, or in a container of ``image`` by ``engine``.

    ``mirrors`` are archive addresses or ``deb`` lines as mmdebstrap takes them; none means its
    own default, which includes the security updates.
    """

    engine: Engine | None = None
    mirrors: tuple[str, ...] = ()
    image: str = DEFAULT_BUILDER_IMAGE

    @property
    def program(self) -> str:
        return self.engine.program if self.engine else MMDEBSTRAP


def arguments(recipe: Recipe, mirrors: Sequence[str], mode: str) -> list[str]:
    """The command line, which writes a tar to standard output."""
    return [
        "mmdebstrap",
        f"--mode={mode}",
        f"--variant={recipe.variant}",
        f"--architectures={recipe.architecture}",
        "--format=tar",
        # A suite that has reached its end is no longer re-signed; its signature still counts.
        '--aptopt=Acquire::Check-Valid-Until "false"',
        "--aptopt=Acquire::Retries 3",
        f"--include={','.join(recipe.packages)}",
        *(f'--customize-hook=chroot "$1" sh -c {shlex.quote(line)}' for line in recipe.finish),
        recipe.suite,
        "-",
        *mirrors,
    ]


def command(recipe: Recipe, builder: Builder, name: str, *, root: bool) -> list[str]:
    """What is executed for ``builder`` by a user who is ``root`` or not.

    ``name`` is that of the container, where there is one.
    """
    if builder.engine is None:
        argv = arguments(recipe, builder.mirrors, "root" if root else "unshare")
        dies_with_us = (
            ["setpriv", "--pdeathsig", "KILL"] if root else ["setpriv", "--pdeathsig", "TERM"]
        )
        if root:
            dies_with_us += _OWN_NAMESPACES
        return [*dies_with_us, *argv]
    inside = arguments(recipe, builder.mirrors, "root")
    inside.insert(1, f"--skip={','.join(_INSIDE)}")
    exports = [f"--env={key}={value}" for key, value in _ENVIRONMENT.items()]
    return builder.engine.argv(
        "run",
        "--rm",
        f"--name={name}",
        "--network=host",
        *exports,
        builder.image,
        "sh",
        "-c",
        f"(command -v mmdebstrap >/dev/null || ({_INSTALL})) && exec {shlex.join(inside)}",
    )


def find_builder(
    wanted: str = "", mirrors: tuple[str, ...] = (), image: str = DEFAULT_BUILDER_IMAGE
) -> Builder:
    """mmdebstrap, docker or podman: ``wanted``, or the first that works for this user.

    Raises BaseError that says what is missing for each.
    """
    refusals: list[str] = []
    for program in (wanted,) if wanted else (MMDEBSTRAP, *PROGRAMS):
        found = None if program == MMDEBSTRAP else probe(program)
        reason = _native_obstacle() if found is None else found.reason
        if not reason:
            return Builder(found.engine if found else None, mirrors, image)
        refusals.append(f"{program}: {reason}")
    raise BaseError(
        "no base image can be built on this machine: " + "; ".join(refusals),
        allowed="mmdebstrap (as root, or as a user with subordinate ids), docker or podman",
        next_step="sudo apt-get install mmdebstrap uidmap",
    )


def _native_obstacle() -> str:
    if not shutil.which("mmdebstrap"):
        return "not installed"
    if os.geteuid() == 0:
        return ""
    if not shutil.which("newuidmap"):
        return "newuidmap is missing (package uidmap), which a user who is not root needs"
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    for file in (Path("/etc/subuid"), Path("/etc/subgid")):
        with contextlib.suppress(OSError):
            owners = {line.split(":")[0] for line in file.read_text().splitlines()}
            if owners & {user, str(os.geteuid())}:
                continue
        return f"{file} gives {user} no ids (usermod --add-subuids … --add-subgids … {user})"
    return ""


def run(
    recipe: Recipe, builder: Builder, tree: Path, work: Path, log: Path, progress: Progress
) -> None:
    """Write the tar of the built tree to ``tree``; ``work`` is for temporary files.

    All that the build says goes to ``log``. Raises BaseError or StorageError.
    """
    argv = command(recipe, builder, work.name, root=os.geteuid() == 0)
    # An engine keeps its temporary files where its own user may write.
    added = builder.engine.environment if builder.engine else {**_ENVIRONMENT, "TMPDIR": str(work)}
    environment = {**os.environ, **added}
    try:
        with (
            tree.open("wb") as out,
            log.open("wb") as said,
            subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, env=environment
            ) as child,
        ):
            try:
                assert child.stderr is not None
                tail = _follow(child.stderr, said, progress)
                code = child.wait()
            finally:
                _stop(child, builder.engine, work.name)
    except FileNotFoundError:
        raise BaseError(
            f"{builder.program} is not installed",
            next_step=f"sudo apt-get install {builder.program}",
        ) from None
    except OSError as error:
        raise storage_error(error, tree) from None
    if code:
        raise explain(recipe, code, tail, log)


def _follow(stream: IO[bytes], log: IO[bytes], progress: Progress) -> list[str]:
    """Copy what the build says to the log, show its stages, keep the end."""
    tail: deque[str] = deque(maxlen=400)
    task: Task | None = None
    for raw in stream:
        log.write(raw)
        line = raw.decode("utf-8", "replace").rstrip()
        tail.append(line)
        stage = _STAGE.match(line)
        if stage:
            if task:
                task.done()
            task = progress.start(stage[1])
    if task:
        task.done()
    return list(tail)


def _stop(child: subprocess.Popen[bytes], engine: Engine | None, name: str) -> None:
    """mmdebstrap removes its temporary tree when it is asked to end; a container is removed."""
    if child.poll() is not None:
        return
    if engine:
        engine.ask("rm", "--force", name)
    with contextlib.suppress(ProcessLookupError):
        # As root everything lives in the child's namespaces and dies with it.
        child.send_signal(signal.SIGTERM if engine or os.geteuid() else signal.SIGKILL)
    try:
        child.wait(30)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


_STAGE = re.compile(
    r"I: ((?:running apt-get update|downloading packages|extracting archives|installing essential"
    r"|installing remaining|running --customize-hook|creating tarball)[^.:]*)"
)

_CAUSES: tuple[tuple[re.Pattern[str], type[UaitrainError], str, str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), kind, what, next_step)
    for pattern, kind, what, next_step in (
        (
            r"no space left on device|enospc|enough free space in",
            StorageError,
            "the disk is full",
            "free about 2.5 GB, or name a roomier place for temporary files by TMPDIR",
        ),
        (
            r"could not resolve|temporary failure resolving|could not connect|unable to connect"
            r"|connection timed out|connection refused|network is unreachable",
            BaseError,
            "the Debian mirror cannot be reached",
            "check the network, or name another mirror: --mirror URL (or UAITRAIN_DEBIAN_MIRROR)",
        ),
        (
            r"no_pubkey|is not signed|expkeysig|keyring.*(missing|not exist)",
            BaseError,
            "the mirror's signature cannot be checked",
            "sudo apt-get install debian-archive-keyring",
        ),
        (
            r"does not have a release file|404 +not found|no longer has a release file",
            BaseError,
            "the mirror does not carry this suite",
            "name a mirror that does: --mirror URL (or UAITRAIN_DEBIAN_MIRROR)",
        ),
        (
            r"unable to locate package|no installation candidate",
            BaseError,
            "the mirror lacks a package of the recipe",
            "name a complete mirror: --mirror URL (or UAITRAIN_DEBIAN_MIRROR)",
        ),
        (
            r"unshare|newuidmap|newgidmap|subuid|user namespace|operation not permitted",
            BaseError,
            "this user or this container may not make the namespaces that mmdebstrap needs",
            "build as root, or through an engine: --builder docker (or podman)",
        ),
        (
            r"unable to find image|error response from daemon|cannot connect to the docker daemon"
            r"|initializing source|short-name",
            BaseError,
            "the engine cannot run the builder image",
            "name a Debian image that it has: --builder-image NAME",
        ),
    )
)


def explain(recipe: Recipe, code: int, tail: Sequence[str], log: Path) -> UaitrainError:
    """The error for a build that ended with ``code``, from the last lines of what it said."""
    cause = next(
        (c for c in _CAUSES if any(c[0].search(line) for line in tail)),
        (None, BaseError, "the build failed", "see the log"),
    )
    said = [line for line in tail if re.match(r"(E|Err|W):", line) or "rror" in line] or list(tail)
    shown = "; ".join(line.strip()[:200] for line in said[:2])
    status = f"signal {-code}" if code < 0 else f"status {code}"
    return cause[1](
        f"base {recipe.name} was not built: {cause[2]} ({status}): {shown}",
        next_step=f"{cause[3]}; the whole log: {log}",
    )
