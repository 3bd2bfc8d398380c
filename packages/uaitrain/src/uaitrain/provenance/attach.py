"""What ``pack`` puts beside a pushed image: the documents first, then what signs them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from uaitrain.bases.resolve import ResolvedBase
from uaitrain.errors import UaitrainError, UsageError
from uaitrain.oci.image import Image
from uaitrain.oci.layer import Layer
from uaitrain.paths import cache_dir
from uaitrain.progress import Progress
from uaitrain.spec import WORK_DIR, TrainSpec
from uaitrain.units import human_bytes
from uaitrain.values import dataclass

if TYPE_CHECKING:
    from uaitrain.provenance.inventory import Inventory
    from uaitrain.provenance.keyless import Keyless
    from uaitrain.provenance.keys import Signer
    from uaitrain.provenance.statement import Inputs
    from uaitrain.registry.client import Registry
    from uaitrain.registry.referrers import Artifact, Attached

EXTRA = "pip install 'uaitrain[sbom]'"


@dataclass(frozen=True)
class Wanted:
    """``sbom``: the SBOM and the provenance statement. ``signer`` signs the image, and both; or
    ``keyless`` does.
    """

    sbom: bool = False
    signer: Signer | None = None
    keyless: Keyless | None = None


@dataclass(frozen=True)
class Pushed:
    """A pushed image, and what it was made from; of ``settings_files`` lock files are told."""

    image: Image
    base: ResolvedBase
    settings_files: tuple[Path, ...] = ()

    @property
    def base_layers(self) -> Sequence[Layer]:
        return self.image.layers[: len(self.base.image.layers)]

    @property
    def own_layers(self) -> Sequence[Layer]:
        return self.image.layers[len(self.base.image.layers) :]


@dataclass(frozen=True)
class Attachment:
    """One document in the registry, as ``registry.referrers.Attached`` tells of it."""

    kind: str
    digest: str
    sent: int
    unchanged: bool

    def __str__(self) -> str:
        """For people: what it is and what it took."""
        how = "there already" if self.unchanged else f"{human_bytes(self.sent)} sent"
        return f"{self.kind} ({how})"


@dataclass(frozen=True)
class _Step:
    kind: str
    put: Callable[[], Attached]


def check_libraries() -> None:
    """Raises UsageError where what writes SBOMs is not installed."""
    try:
        import cyclonedx  # noqa: F401 only whether it is there
    except ImportError:
        raise UsageError("--sbom needs a library that is not installed", next_step=EXTRA) from None


def attach(
    wanted: Wanted, spec: TrainSpec, pushed: Pushed, registry: Registry, progress: Progress
) -> tuple[Attachment, ...]:
    """Put everything that is ``wanted`` beside the image, which stays whatever happens.

    Raises UaitrainError of the kind that befell it, with what is missing now.
    """
    found: list[Attachment] = []
    kind = "SBOM" if wanted.sbom else "signature"
    try:
        for step in _plan(wanted, spec, pushed, registry, progress):
            kind = step.kind
            task = progress.start(f"attach the {kind}")
            done = step.put()
            task.done("there already" if done.unchanged else "")
            found.append(Attachment(kind, done.digest, done.sent, done.unchanged))
    except UaitrainError as error:
        raise type(error)(
            f"{spec.target.gpu} is pushed, but its {kind} is not attached: {error.what}",
            allowed=error.allowed,
            next_step=error.next_step or "pack again: only what is missing is sent",
        ) from None
    return tuple(found)


@dataclass(frozen=True)
class _Beside:
    """Where the image lies in its registry, and what lies beside it."""

    registry: Registry
    repository: str
    name: str
    image: Image

    @cached_property
    def known(self) -> frozenset[str]:
        """What the image's list names already; it is asked for once."""
        from uaitrain.registry.referrers import referrers

        listed = referrers(self.registry, self.repository, self.image.digest)
        return frozenset(entry["digest"] for entry in listed)

    def step(self, kind: str, artifact: Artifact, tag: str = "") -> _Step:
        return _Step(kind, partial(self.attach, artifact, tag))

    def attach(self, artifact: Artifact, tag: str = "") -> Attached:
        from uaitrain.registry import referrers

        return referrers.attach(self.registry, self.repository, artifact, tag, self.known)


def _plan(
    wanted: Wanted, spec: TrainSpec, pushed: Pushed, registry: Registry, progress: Progress
) -> Iterator[_Step]:
    target = spec.target.gpu
    name = f"{target.registry}/{target.repository}"
    beside = _Beside(registry, target.repository, name, pushed.image)
    said: list[_Said] = []
    if wanted.sbom:
        said = yield from _documents(spec, pushed, beside, progress)
    if wanted.signer:
        yield from _signatures(wanted.signer, said, beside)
    if wanted.keyless:
        yield from _certified(wanted.keyless, said, beside)


_Said = tuple[str, str, bytes]
"""A kind, a predicate type and a statement."""


def _documents(
    spec: TrainSpec, pushed: Pushed, beside: _Beside, progress: Progress
) -> Generator[_Step, None, list[_Said]]:
    """The SBOM and the provenance statement; returned are the statements to be signed."""
    from uaitrain.provenance import sbom, statement
    from uaitrain.registry import referrers

    image, name = beside.image, beside.name
    inventory = look(pushed, progress)
    base = sbom.Named(_base_name(pushed.base), pushed.base.digest)
    task = progress.start("write the SBOM")
    ours = sbom.Named(name, image.digest)
    document = sbom.render(ours, base, inventory, image.config["created"])
    task.done()
    predicate = statement.provenance(spec, _inputs(spec, str(base.purl), pushed, inventory))
    about_build = statement.statement(name, image.digest, statement.SLSA_TYPE, predicate)
    about_parts = statement.statement(
        name, image.digest, sbom.PREDICATE_TYPE, statement.about_sbom(document)
    )
    artifact = referrers.Artifact(sbom.MEDIA_TYPE, sbom.MEDIA_TYPE, document, image.descriptor)
    # The tag is where cosign looks.
    yield beside.step("SBOM", artifact, f"{referrers.fallback_tag(image.digest)}.sbom")
    artifact = referrers.Artifact(
        statement.MEDIA_TYPE,
        statement.MEDIA_TYPE,
        about_build,
        image.descriptor,
        {"in-toto.io/predicate-type": statement.SLSA_TYPE},
    )
    yield beside.step("provenance statement", artifact)
    return [
        ("signed SBOM", sbom.PREDICATE_TYPE, about_parts),
        ("signed provenance statement", statement.SLSA_TYPE, about_build),
    ]


def _signatures(signer: Signer, said: Sequence[_Said], beside: _Beside) -> Iterator[_Step]:
    """The image itself is signed last: who sees that can have the rest."""
    from uaitrain.provenance import signatures, statement

    image, name = beside.image, beside.name
    where = (beside.registry, beside.repository)
    for kind, predicate_type, text in said:
        signed = signatures.envelope(signer, text)
        bundle = signatures.bundle(image.descriptor, signer, signed, predicate_type)
        yield beside.step(kind, bundle)
        older = partial(signatures.attach_envelope, *where, signed, predicate_type, image.digest)
        yield _Step(f"{kind} for cosign 2", older)
    text = statement.statement(name, image.digest, statement.SIGN_TYPE, {})
    signed = signatures.envelope(signer, text)
    bundle = signatures.bundle(image.descriptor, signer, signed, statement.SIGN_TYPE)
    yield beside.step("signature", bundle)
    payload = signatures.payload(name, image.digest)
    older = partial(signatures.attach_signature, *where, signer, payload, image.digest)
    yield _Step("signature for cosign 2", older)


def _certified(keyless: Keyless, said: Sequence[_Said], beside: _Beside) -> Iterator[_Step]:
    """Bundles only: what cosign 2 looks for by itself holds no certificate."""
    from uaitrain.provenance import signatures, statement

    image = beside.image

    def put(predicate_type: str, text: bytes) -> Attached:
        content = keyless.bundle(text)
        return beside.attach(signatures.artifact(image.descriptor, content, predicate_type))

    text = statement.statement(beside.name, image.digest, statement.SIGN_TYPE, {})
    for kind, predicate_type, each in (*said, ("signature", statement.SIGN_TYPE, text)):
        yield _Step(kind, partial(put, predicate_type, each))


def look(pushed: Pushed, progress: Progress) -> Inventory:
    """What the image holds. Layers that were never looked into are read."""
    from uaitrain.provenance.contents import Reader
    from uaitrain.provenance.inventory import merge

    reader = Reader(cache_dir() / "contents", progress)
    base, own = pushed.base_layers, pushed.own_layers
    found = merge(
        [
            reader.read(layer, f"layer {number} of {len(base)} of {pushed.base.name}", files=False)
            for number, layer in enumerate(base, 1)
        ],
        [
            reader.read(layer, f"layer {number} of {len(own)} of the job", files=True)
            for number, layer in enumerate(own, 1)
        ],
    )
    reader.prune()
    return found


def _inputs(spec: TrainSpec, base: str, pushed: Pushed, inventory: Inventory) -> Inputs:
    from uaitrain.provenance import sources
    from uaitrain.provenance.inventory import directory_digest
    from uaitrain.provenance.statement import Inputs

    requirements = spec.packages.requirements if spec.packages else None
    return Inputs(
        base,
        pushed.base.digest,
        directory_digest(inventory.files, WORK_DIR),
        sources.commit_of(spec.code),
        (
            *sources.own_locks(pushed.settings_files, requirements),
            *sources.lock_files(inventory.files),
        ),
    )


def _base_name(base: ResolvedBase) -> str:
    """A name without tag; of a base in a layout on this machine only the last word."""
    if base.reference:
        return f"{base.reference.registry}/{base.reference.repository}"
    return base.name.rpartition("/")[2].rpartition(":")[2]
