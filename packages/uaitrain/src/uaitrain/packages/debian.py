"""Debian packages by apt-get in a container of the base; what that changes is one image layer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from uaitrain.bases.resolve import ResolvedBase
from uaitrain.engines import Engine
from uaitrain.errors import BaseError
from uaitrain.oci.layer import Layer
from uaitrain.packages import apt
from uaitrain.packages.container import ScriptError, image_of, ran, words
from uaitrain.packages.kept import PackageLayer, keep, pip_log, work_folder
from uaitrain.packages.pins import DebianPins, request_of
from uaitrain.progress import Progress

NAME = "Debian packages"

FindEngine = Callable[[], Engine]
"""Gives the engine, or raises EngineError; called only where one is needed."""

_WAY = "2"
"""Counts the changes in how the layer is made."""

_INSTALL = """\
if [ -s /run/uaitrain/pins ]; then
  apt --allow-downgrades install $(cat /run/uaitrain/pins)
fi
chmod -R a+rwX /run/uaitrain
"""
_CHOOSE = """\
apt --simulate install {wanted} >/run/uaitrain/simulated
sed -n 's/^Inst \\([^ :]*\\)[^(]*(\\([^ ]*\\) [^[]*\\[\\([a-z0-9]*\\)\\].*/\\1:\\3=\\2/p' \\
  /run/uaitrain/simulated | sed "s/:all=/:$(dpkg --print-architecture)=/" | sort >/run/uaitrain/pins
"""


def pin(
    wanted: Sequence[str], base: ResolvedBase, find_engine: FindEngine, progress: Progress
) -> tuple[DebianPins, PackageLayer | None]:
    """Choose the versions of ``wanted`` and of all they need, and install them.

    Raises EngineError, BaseError, StorageError.
    """
    with work_folder() as work:
        layer = _install(base, find_engine, _CHOOSE.format(wanted=words(wanted)), work, progress)
        chosen = tuple((work / "pins").read_text("utf-8").split())
        pins = DebianPins(base.digest, request(wanted), chosen)
        # What was just made is what the pins are known by from now on.
        return pins, layer_of(pins, base, find_engine, progress, layer)


def request(wanted: Sequence[str]) -> str:
    return request_of(wanted)


def layer_of(
    pins: DebianPins,
    base: ResolvedBase,
    find_engine: FindEngine,
    progress: Progress,
    made: Layer | None = None,
) -> PackageLayer | None:
    """The layer of ``pins``, None where the base has all of it already.

    Raises EngineError, BaseError, StorageError.
    """
    if not pins.packages:
        return None

    def make(work: Path) -> Layer:
        (work / "pins").write_text("".join(f"{each}\n" for each in pins.packages), "utf-8")
        return _install(base, find_engine, "", work, progress)

    source = json.dumps([_WAY, base.digest, *pins.packages])
    return keep(NAME, source, make, made)


def _install(
    base: ResolvedBase, find_engine: FindEngine, choose: str, work: Path, progress: Progress
) -> Layer:
    engine = find_engine()
    image = image_of(engine, base, progress)
    apt.name_mirrors(work)
    task = progress.start(f"installing Debian packages in a container of {base.name}")
    try:
        with ran(engine, image, apt.READY + choose + _INSTALL, work, told={}) as container:
            task.done()
            return container.difference(progress)
    except ScriptError as error:
        raise explain(error.said, base.name) from None


_CAUSES = (
    (r"Unable to locate package (\S+)", "there is no package {0}", "correct packages.apt"),
    (
        r"Version '(\S+)' for '(\S+)' was not found",
        "the mirrors have {1} no longer in the version {0} of the lock",
        "uaitrain pack --upgrade-packages chooses anew",
    ),
    (
        r"no package source",
        "the base has no package source",
        "name a mirror: UAITRAIN_DEBIAN_MIRROR=URL",
    ),
    (
        r"Temporary failure|Could not resolve|Could not connect|Failed to fetch",
        "the mirror cannot be reached",
        "check the network, or name a mirror: UAITRAIN_DEBIAN_MIRROR=URL",
    ),
    (r"apt-get: not found", "it has no apt-get", "use a Dockerfile on the base"),
    (r"unmet dependencies", "they do not fit together", "correct packages.apt"),
)


def explain(said: str, base: str) -> BaseError:
    """The error for an apt-get that failed, from what it said."""
    what, next_step = "", "see the log"
    for pattern, text, mend in _CAUSES:
        if found := re.search(pattern, said):
            what, next_step = text.format(*found.groups()), mend
            break
    if not what:
        lines = [line for line in said.splitlines() if line.startswith("E:")]
        what = lines[-1].removeprefix("E: ")[:200] if lines else "apt-get failed"
    return BaseError(
        f"no Debian packages on the base {base}: {what}",
        next_step=f"{next_step}; the whole log: {pip_log()}",
    )
