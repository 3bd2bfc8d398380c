"""What is said about an image, as in-toto statements (pure, deterministic).

Formats: in-toto attestation framework, "Statement v1"; SLSA, "Provenance v1".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from uaitrain import __version__
from uaitrain.oci.digest import Digest, hex_part
from uaitrain.oci.image import canonical_json
from uaitrain.preflight.secrets import KINDS, NAMES
from uaitrain.provenance.contents import File
from uaitrain.provenance.sources import Commit
from uaitrain.spec import GPU, TrainSpec
from uaitrain.values import dataclass

MEDIA_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
SLSA_TYPE = "https://slsa.dev/provenance/v1"
SIGN_TYPE = "https://sigstore.dev/cosign/sign/v1"
"""What cosign says of an image that it signs; the predicate is empty."""

BUILD_TYPE = "urn:uaitrain:pack:v1"
BUILDER = "urn:uaitrain:local"
"""The packer on somebody's machine: no service vouches for it (SLSA build level 1)."""

_HIDDEN = "***"
_SECRET_FLAG = re.compile(rb"(?i)\A-{0,2}[a-z0-9_.-]*" + NAMES + rb"[a-z0-9_.-]*(=|\Z)")


@dataclass(frozen=True)
class Inputs:
    """Everything that went in, besides the settings. ``code_digest`` is a ``dirHash``."""

    base_name: str
    base_digest: Digest
    code_digest: str
    commit: Commit | None
    locks: tuple[File, ...]


def statement(
    name: str, digest: Digest, predicate_type: str, predicate: Mapping[str, Any]
) -> bytes:
    """A statement about the image ``digest``, which is called ``name`` (without tag)."""
    return canonical_json(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": hex_part(digest)}}],
            "predicateType": predicate_type,
            "predicate": dict(predicate),
        }
    )


def provenance(spec: TrainSpec, inputs: Inputs) -> dict[str, Any]:
    """The predicate: from what, by what and with which settings the GPU image was made.

    There is no time in it, and no path of this machine, so that the same inputs say the same.
    """
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": _settings(spec),
            "internalParameters": {},
            "resolvedDependencies": list(_dependencies(inputs)),
        },
        "runDetails": {"builder": {"id": BUILDER, "version": {"uaitrain": __version__}}},
    }


def _settings(spec: TrainSpec) -> dict[str, Any]:
    choice, packages = spec.bases[GPU], spec.packages
    return {
        "framework": str(spec.framework),
        "main": spec.main_file,
        "solver": spec.solver,
        "snapshot": spec.snapshot,
        "arguments": masked(spec.arguments),
        "ignore": list(spec.ignore),
        "image": str(spec.target.gpu),
        "board": spec.board,
        "packages": {
            "pip": list(packages.pip) if packages else [],
            "sdist": list(packages.sdist) if packages else [],
            "apt": list(packages.apt) if packages else [],
        },
        "base": {
            "wanted": _without_path(choice.wanted),
            "os": choice.os,
            "python": choice.python,
            "engine": choice.engine,
        },
    }


def _without_path(base: str) -> str:
    """A base in a layout on this machine by its name alone."""
    return f"oci:{base.rpartition(':')[2]}" if base.startswith("oci:") else base


def _dependencies(inputs: Inputs) -> Iterable[dict[str, Any]]:
    yield {
        "name": "base",
        "uri": inputs.base_name,
        "digest": {"sha256": hex_part(inputs.base_digest)},
    }
    yield {"name": "code", "digest": {"dirHash": inputs.code_digest}}
    if inputs.commit:
        commit: dict[str, Any] = {
            "name": "git",
            "digest": {"gitCommit": inputs.commit.sha1},
            "annotations": {"dirty": inputs.commit.dirty},
        }
        yield commit | ({"uri": f"git+{inputs.commit.remote}"} if inputs.commit.remote else {})
    for lock in inputs.locks:
        yield {"name": lock.path, "digest": {"sha256": lock.sha256}}


def masked(arguments: Sequence[str]) -> list[str]:
    """``arguments`` with ``***`` for what looks like a secret, by the preflight's own rules."""
    found: list[str] = []
    follows = False
    for argument in arguments:
        raw = argument.encode("utf-8", "surrogateescape")
        flag = _SECRET_FLAG.match(raw)
        if follows and not argument.startswith("-"):
            found.append(_HIDDEN)
        elif flag and flag[1]:
            found.append(f"{argument.partition('=')[0]}={_HIDDEN}")
        elif any(k.pattern.search(raw.lower() if k.folded else raw) for k in KINDS):
            found.append(_HIDDEN)
        else:
            found.append(raw.decode("utf-8", "backslashreplace"))
        follows = bool(flag and not flag[1] and argument.startswith("-"))
    return found


def about_sbom(document: bytes) -> dict[str, Any]:
    """An SBOM as a predicate."""
    predicate: dict[str, Any] = json.loads(document)
    return predicate
