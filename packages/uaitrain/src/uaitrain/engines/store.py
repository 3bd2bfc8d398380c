"""What an engine's image store holds, and the small changes we make to it."""

from __future__ import annotations

from uaitrain.engines.engine import PODMAN, Engine, failure, parse_json_lines
from uaitrain.errors import EngineError, UsageError
from uaitrain.oci.digest import Digest, parse_digest
from uaitrain.oci.reference import DOCKER_HUB, Reference
from uaitrain.values import dataclass


@dataclass(frozen=True)
class StoredImage:
    """``identifier`` is the digest of the config, except in Docker's containerd image store."""

    identifier: str
    diff_ids: tuple[Digest, ...]


def full_name(engine: Engine, reference: Reference) -> str:
    """The whole name, host included, by which ``engine`` stores ``reference``."""
    if reference.registry:
        return str(reference)
    if engine.program == PODMAN:
        return f"localhost/{reference}"
    folder = "" if "/" in reference.repository else "library/"
    return f"{DOCKER_HUB}/{folder}{reference}"


def find(engine: Engine, reference: Reference) -> StoredImage | None:
    """The image of that name, or None. Raises EngineError only when the program won't start."""
    found = _inspect(engine, [full_name(engine, reference)])
    return found[0] if found else None


def has(engine: Engine, reference: Reference) -> bool:
    return find(engine, reference) is not None


def layer_chains(engine: Engine) -> list[tuple[Digest, ...]]:
    """The diff_ids of every image, each from the lowest layer up. Raises EngineError."""
    names = engine.answer("image", "ls", "--quiet", "--no-trunc", "--all").split()
    return [stored.diff_ids for stored in _inspect(engine, sorted(set(names)))]


def shared_layers(engine: Engine, diff_ids: tuple[Digest, ...]) -> int:
    """How many of the lowest layers of ``diff_ids`` the engine has in that very order.

    A layer's content depends on what lies below it, so only a common beginning counts.
    Raises EngineError.
    """
    most = 0
    for chain in layer_chains(engine):
        common = 0
        for ours, theirs in zip(diff_ids, chain, strict=False):
            if ours != theirs:
                break
            common += 1
        most = max(most, common)
    return most


def tag(engine: Engine, source: Reference, target: Reference) -> None:
    """Give an image another name. Raises EngineError."""
    engine.answer("tag", full_name(engine, source), full_name(engine, target))


def remove(engine: Engine, reference: Reference) -> bool:
    """Forget the name, and the image with its last one; False when it was not there.

    Raises EngineError, for instance while a container uses it.
    """
    if not has(engine, reference):
        return False
    engine.answer("rmi", full_name(engine, reference))
    return True


def _inspect(engine: Engine, names: list[str]) -> list[StoredImage]:
    if not names:
        return []
    # Podman knows this field only when it is written in exactly this way.
    template = '{"id":"{{.Id}}","layers":{{json .RootFS.Layers}}}'
    # An image may vanish between two questions: what could be inspected is what counts.
    done = engine.ask("image", "inspect", "--format", template, *names)
    if done.returncode and "no such image" not in done.stderr.lower() and not done.stdout.strip():
        lowered = done.stderr.lower()
        if "image not known" not in lowered and "failed to find image" not in lowered:
            raise failure(engine, "image inspect", done.stderr)
    found = []
    for value in parse_json_lines(done.stdout):
        if isinstance(value, dict):
            listed = value.get("layers")
            try:
                layers = tuple(parse_digest(text) for text in listed or [])
            except (UsageError, TypeError):
                raise EngineError(
                    f"{engine.program} describes an image's layers in a form that is not known "
                    f"here: {str(listed)[:100]!r}",
                    next_step="uaitrain doctor",
                ) from None
            identifier = str(value.get("id")).removeprefix("sha256:")
            found.append(StoredImage(identifier, layers))
    return found
