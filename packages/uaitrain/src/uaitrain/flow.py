"""The verbs from end to end, each short enough to read at a glance.

pack: read the folder ► preflight ► layers ► twin images ► local store ► commands ► registry.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from uaitrain import atomic, destinations, job_bases
from uaitrain.access import Registries
from uaitrain.assemble import Base, RunManifest, assemble
from uaitrain.bases import board_file, labels, mover_file
from uaitrain.bases.probe import has_python
from uaitrain.bases.resolve import ResolvedBase
from uaitrain.commands import Commands, deploy_argv, render_commands, run_argv, text
from uaitrain.destinations import PackOptions, Place, Reporter
from uaitrain.errors import PreflightError, StorageError, UaitrainError, UsageError
from uaitrain.files.cache import LayerCache
from uaitrain.files.inventory import Inventory
from uaitrain.files.layers import FileLayer, Taker, build_layers, folder_layers, given_layer
from uaitrain.files.plan import plan_layers
from uaitrain.files.select import select
from uaitrain.frameworks import launcher, stock
from uaitrain.oci.descriptor import DOCKER_MANIFEST, OCI_MANIFEST
from uaitrain.oci.image import Image
from uaitrain.oci.validate import validate
from uaitrain.origin import origin_of, source_date_epoch
from uaitrain.paths import cache_dir
from uaitrain.preflight import (
    BaseFacts,
    EngineAnswer,
    Finding,
    Severity,
    Subject,
    ask_engine,
    run_checks,
)
from uaitrain.progress import Progress
from uaitrain.runlog import RunLog
from uaitrain.spec import CPU, GPU, WORK_DIR, TrainSpec
from uaitrain.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from uaitrain.engines import Engine
    from uaitrain.provenance.attach import Attachment, Wanted

COMMANDS_FILE = "uaitrain_cmd.txt"
LOG_FILE = "uaitrain.log"
MANIFEST_FORMATS = {"oci": OCI_MANIFEST, "docker": DOCKER_MANIFEST}


@dataclass(frozen=True)
class Prepared:
    """A job that was looked at, before anything is built."""

    inventory: Inventory
    bases: Mapping[str, ResolvedBase]
    findings: tuple[Finding, ...]
    engine: EngineAnswer | None = None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the user should know about the bases."""
        told = (base.remark for base in self.bases.values() if base.remark)
        return tuple(dict.fromkeys(told))

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity is Severity.ERROR)


@dataclass(frozen=True)
class PackResult:
    """What a pack made of what, and where it went; ``places`` holds one report for each store and
    image."""

    inventory: Inventory
    findings: tuple[Finding, ...]
    images: Mapping[str, Image]
    bases: Mapping[str, ResolvedBase]
    layers: tuple[FileLayer, ...]
    places: tuple[Place, ...]
    commands: Commands
    commands_file: Path
    seconds: Mapping[str, float]
    attachments: tuple[Attachment, ...] = ()


def prepare(
    spec: TrainSpec,
    registries: Registries,
    log: RunLog,
    *,
    check: bool = True,
    remember: bool = False,
) -> Prepared:
    """Read the folder, find the bases, run the preflight, our engine's word included.

    With ``remember`` a job of which nothing changed gets the findings of the last time, and the
    engine, which takes seconds to start, is asked only where an image stands on it.
    """
    began = time.time_ns()
    with log.phase("reading the code folder"):
        inventory = select(spec.code, spec.ignore)
    with log.phase("finding the bases"):
        bases = job_bases.find(spec, registries)
    if not check:
        return Prepared(inventory, bases, ())
    with log.phase("preflight"):
        facts = {
            accelerator: BaseFacts(
                base.name,
                base.python or None,
                has_python(base.image, local=base.local),
                base.accelerator == CPU,
                base.image.labels.get(labels.ENGINE, ""),
            )
            for accelerator, base in bases.items()
        }
        subject = Subject(spec, inventory, facts)
        if remember:
            from uaitrain.preflight.remembered import checked

            return Prepared(inventory, bases, checked(subject, began, cache_dir()))
        findings, answer = ask_engine(subject, run_checks(subject))
    return Prepared(inventory, bases, findings, answer)


def pack(
    spec: TrainSpec, options: PackOptions, reporter: Reporter, wanted: Wanted | None = None
) -> PackResult:
    """Build both images and put them where they belong. Whatever fails, the log is written.

    ``wanted`` is what shall lie beside the pushed image.
    """
    log = RunLog()
    try:
        return _pack(spec, options, reporter, log, wanted)
    except UaitrainError as error:
        log.line(f"error: {error}")
        raise
    finally:
        try:
            log.write(options.folder / LOG_FILE)
        except StorageError as error:
            reporter.warn(f"no log of this run: {error.what}")


def _pack(
    spec: TrainSpec,
    options: PackOptions,
    reporter: Reporter,
    log: RunLog,
    wanted: Wanted | None = None,
) -> PackResult:
    if options.push and not spec.target.host:
        raise UsageError(
            f"cannot push {spec.target.gpu}: it names no registry",
            next_step="give --image host/registry/name:tag",
        )
    registries = Registries(options.access)
    prepared = prepare(spec, registries, log, check=options.check, remember=True)
    _judge(prepared, reporter, log)
    for remark in prepared.remarks:
        reporter.note(remark)
        log.line(remark)
    with destinations.EarlyPush(spec, registries, reporter, wanted=options.push) as early:
        return _make(spec, options, prepared, registries, early, reporter, log, wanted)


def _make(
    spec: TrainSpec,
    options: PackOptions,
    prepared: Prepared,
    registries: Registries,
    early: destinations.EarlyPush,
    reporter: Reporter,
    log: RunLog,
    wanted: Wanted | None,
) -> PackResult:
    """Both images from a job that was looked at, and each to its place."""
    with log.phase("layers"):
        layers = job_layers(spec, prepared.inventory, reporter.progress, early)
        layers = (*board_layers(spec, prepared.bases, reporter.progress, log), *layers)
        layers = (*mover_layers(spec, reporter.progress), *layers)
        under = package_layers(spec, prepared.bases, options, reporter.progress)
    images = twins(spec, prepared.bases, layers, options.manifest_format, under)
    engine = destinations.find_engine(options)
    places: list[Place] = []
    with log.phase("local images"):
        places += destinations.keep_cpu(spec, options, images[CPU], engine, reporter)
    commands, commands_file = _write_commands(spec, options, engine)
    if options.push:
        with log.phase("push"):
            places += destinations.push(spec, registries, images[GPU], reporter, early)
    with log.phase("local images"):
        places += destinations.keep_gpu(
            spec, options, prepared.bases[GPU], images[GPU], engine, reporter
        )
    for accelerator, report in places:
        log.line(f"{accelerator} image {images[accelerator].digest} -> {report.place}: {report}")
    LayerCache(cache_dir() / "layers").prune()
    attachments: tuple[Attachment, ...] = ()
    if options.push and wanted:
        from uaitrain.provenance.attach import Pushed, attach

        target = spec.target.gpu
        with log.phase("attachments"):
            attachments = attach(
                wanted,
                spec,
                Pushed(images[GPU], prepared.bases[GPU], options.settings_files),
                registries.connect(target.registry, target.repository),
                reporter.progress,
            )
        for each in attachments:
            log.line(f"attached to {target}: {each} {each.digest}")
    return PackResult(
        prepared.inventory,
        prepared.findings,
        images,
        prepared.bases,
        (*{each.diff_id: each for made in under.values() for each in made}.values(), *layers),
        tuple(places),
        commands,
        commands_file,
        log.seconds,
        attachments,
    )


def _judge(prepared: Prepared, reporter: Reporter, log: RunLog) -> None:
    if not prepared.findings:
        return
    from uaitrain.preflight.render import render

    shown = render(prepared.findings)
    log.line(shown)
    reporter.note(shown)
    if prepared.errors:
        count = len(prepared.errors)
        raise PreflightError(
            f"preflight found {count} error{'s' if count > 1 else ''}; nothing was packed",
            next_step="mend what is listed above, or pack anyway with --no-check",
        )


def job_layers(
    spec: TrainSpec, inventory: Inventory, progress: Progress, taker: Taker | None = None
) -> tuple[FileLayer, ...]:
    """The layers that both images share: the launcher, the stock entry if the code has none, then
    the code. New ones are offered to ``taker`` one by one."""
    cache = LayerCache(cache_dir() / "layers")
    first = launcher_layers(cache, taker)
    mtime = source_date_epoch() or 0
    prefix = WORK_DIR.strip("/")
    own = folder_layers(inventory, prefix, mtime, cache, progress, taker)
    if not stock.is_needed(spec, inventory):
        return first + own
    entry = stock.inventory()
    plans = [replace(plan, name=stock.LAYER) for plan in plan_layers(entry, prefix, mtime)]
    return first + build_layers(entry.root, plans, cache, progress) + own


def launcher_layers(cache: LayerCache, taker: Taker | None = None) -> tuple[FileLayer, ...]:
    """The first process of every container, the same layer for all jobs."""
    return (given_layer(launcher.LAYER, launcher.source(), launcher.plan, cache, taker),)


def board_layers(
    spec: TrainSpec, bases: Mapping[str, ResolvedBase], progress: Progress, log: RunLog
) -> tuple[FileLayer, ...]:
    """TensorBoard's sidecar, the same layer for all jobs; none where it is off or not at hand."""
    pythons = [base.python for base in bases.values()]
    folder = board_file.choose(spec.board, pythons, progress, log.line)
    if folder is None:
        return ()
    plans = [
        replace(plan, name=board_file.LAYER)
        for plan in plan_layers(select(folder), board_file.FOLDER)
    ]
    return build_layers(folder, plans, LayerCache(cache_dir() / "layers"), progress)


def mover_layers(spec: TrainSpec, progress: Progress) -> tuple[FileLayer, ...]:
    """The mover, the same layers for all jobs whose data or results lie behind a URI."""
    if not mover_file.is_needed(spec.ship):
        return ()
    folder = mover_file.fetch(progress)
    plans = [
        replace(plan, name=mover_file.LAYER)
        for plan in plan_layers(select(folder), mover_file.FOLDER)
    ]
    return build_layers(folder, plans, LayerCache(cache_dir() / "layers"), progress)


def package_layers(
    spec: TrainSpec,
    bases: Mapping[str, ResolvedBase],
    options: PackOptions,
    progress: Progress,
) -> Mapping[str, tuple[FileLayer, ...]]:
    """The packages that the job needs beyond its bases, for each of them."""
    if spec.packages is None:
        return {}
    from uaitrain.packages.layers import Installing, Target
    from uaitrain.packages.layers import package_layers as made

    targets = {
        accelerator: Target.of(base, spec.bases[accelerator].python)
        for accelerator, base in bases.items()
    }
    return made(Installing(spec.packages, progress, options.engine), targets)


def twins(
    spec: TrainSpec,
    bases: Mapping[str, ResolvedBase],
    layers: tuple[FileLayer, ...],
    manifest_format: str = "",
    under: Mapping[str, tuple[FileLayer, ...]] | None = None,
) -> Mapping[str, Image]:
    """The CPU and the GPU image: the same layers on two bases; ``under`` lies between them."""
    runs = RunManifest(deploy_argv(spec), run_argv(spec, CPU), run_argv(spec, GPU))
    origin = origin_of(spec.code)
    images = {}
    for accelerator, base in bases.items():
        own = (*(under or {}).get(accelerator, ()), *layers)
        image = assemble(
            Base(base.image, base.recorded_name, base.digest), own, spec, accelerator, runs, origin
        )
        if manifest_format:
            image = image.with_media_type(MANIFEST_FORMATS[manifest_format])
        validate(image)
        images[accelerator] = image
    return images


def _write_commands(
    spec: TrainSpec, options: PackOptions, engine: Engine | None
) -> tuple[Commands, Path]:
    """Before the push, so that a failed one loses nothing."""
    from uaitrain.engines.facts import local_facts

    facts = local_facts(engine)
    if engine:
        from uaitrain.engines.folders import make_folder

        # An engine would make it as root, and a run as the person could not write to it.
        make_folder(spec.output, facts)
    commands = render_commands(spec, facts)
    path = options.folder / COMMANDS_FILE
    data = text(commands).encode("utf-8", "surrogateescape")
    if not _holds(path, data):
        atomic.write_bytes(path, data)
    return commands, path


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False
