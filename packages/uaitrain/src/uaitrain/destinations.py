"""Where the two images of a pack go: this machine's engine, a layout, archives, a registry."""

from __future__ import annotations

from pathlib import Path

from uaitrain.access import Access, Registries
from uaitrain.bases.resolve import ResolvedBase
from uaitrain.errors import StorageError
from uaitrain.oci.image import Image
from uaitrain.progress import Progress
from uaitrain.sinks import Sink, SinkReport
from uaitrain.spec import CPU, GPU, TrainSpec
from uaitrain.typed import Protocol
from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from uaitrain.engines import Engine
    from uaitrain.oci.layer import Layer
    from uaitrain.registry.early import EarlyUploads

LAYOUT_FOLDER = "uaitrain_images"

Place = tuple[str, SinkReport]
"""An accelerator, and the report of one store that took its image."""


class Reporter(Protocol):
    """Who tells the user what goes on (the command line's console)."""

    progress: Progress

    def note(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...


@dataclass(frozen=True)
class PackOptions:
    """How to pack, apart from what. ``folder`` gets the commands file and the log.

    ``layout`` is a folder for an OCI layout with both images, ``archive`` one for a tar of each;
    either takes the engine's place. ``manifest_format`` is a key of ``flow.MANIFEST_FORMATS`` or
    empty: as the base's. ``settings_files`` are the files that may have had a say in the job.
    """

    folder: Path
    access: Access
    push: bool = False
    load: bool = True
    check: bool = True
    engine: str | None = None
    layout: Path | None = None
    archive: Path | None = None
    manifest_format: str = ""
    settings_files: tuple[Path, ...] = ()


def find_engine(options: PackOptions) -> Engine | None:
    """The engine that shall get the images. Raises EngineError where a named one is missing."""
    if not options.load or options.layout or options.archive:
        return None
    from uaitrain import engines

    if options.engine:
        return engines.require_engine(options.engine)
    return engines.find_engine()


def _local_sink(
    spec: TrainSpec, options: PackOptions, engine: Engine | None, accelerator: str
) -> Sink | None:
    if options.archive:
        from uaitrain.sinks.layout import ArchiveFile

        try:
            options.archive.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make {options.archive}: {error.strerror}") from None
        return ArchiveFile(options.archive / f"{spec.target.image}-{accelerator}.tar")
    if options.layout:
        from uaitrain.sinks.layout import LayoutFolder

        return LayoutFolder(options.layout)
    if engine:
        from uaitrain.sinks.engine import EngineSink

        return EngineSink(engine)
    return None


def keep_cpu(
    spec: TrainSpec, options: PackOptions, image: Image, engine: Engine | None, reporter: Reporter
) -> list[Place]:
    """The CPU image is for local tests: where no engine takes it, a layout does."""
    sink = _local_sink(spec, options, engine, CPU)
    if sink is None and options.load:
        from uaitrain.sinks.layout import LayoutFolder

        folder = options.folder / LAYOUT_FOLDER
        reporter.warn(
            f"no container engine here: the CPU image {spec.target.cpu} goes to the OCI layout "
            f"{folder}; `uaitrain doctor` says how to get an engine"
        )
        sink = LayoutFolder(folder)
    return [(CPU, sink.put(image, spec.target.cpu, reporter.progress))] if sink else []


def keep_gpu(
    spec: TrainSpec,
    options: PackOptions,
    base: ResolvedBase,
    image: Image,
    engine: Engine | None,
    reporter: Reporter,
) -> list[Place]:
    """The GPU image is kept here too, unless its base would have to be downloaded for that."""
    sink = _local_sink(spec, options, engine, GPU)
    if sink is None:
        return []
    if engine and not base.local:
        from uaitrain.engines.store import shared_layers

        if shared_layers(engine, image.diff_ids) < len(base.image.layers):
            reporter.note(
                f"the GPU image is not loaded here: its base {base.name} is only in the registry; "
                f"{' '.join(engine.words)} pull {spec.target.gpu} fetches it"
            )
            return []
    return [(GPU, sink.put(image, spec.target.gpu, reporter.progress))]


class EarlyPush:
    """Layers of the GPU image on their way to the registry while others are being made.

    Its parts are loaded, and the registry is asked, when the first layer is going to be made.
    """

    def __init__(
        self, spec: TrainSpec, registries: Registries, reporter: Reporter, *, wanted: bool
    ) -> None:
        self._target, self._registries, self._reporter = spec.target.gpu, registries, reporter
        self._wanted = wanted
        self.uploads: EarlyUploads | None = None

    def __enter__(self) -> EarlyPush:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """What went wrong elsewhere ends the uploads too."""
        if error is not None and self.uploads:
            self.uploads.abandon()

    def expect(self) -> None:
        """A layer is going to be made."""
        if not self._wanted:
            return
        if self.uploads is None:
            from uaitrain.registry.early import EarlyUploads

            registry = self._registries.connect(self._target.registry, self._target.repository)
            registry.expect_push(self._target.repository)
            self.uploads = EarlyUploads(registry, self._target, self._reporter.progress)
        self.uploads.expect()

    def offer(self, layer: Layer) -> None:
        """Take a layer that can be opened now, from any thread."""
        if self.uploads:
            self.uploads.offer(layer)


def push(
    spec: TrainSpec,
    registries: Registries,
    image: Image,
    reporter: Reporter,
    early: EarlyPush | None = None,
) -> list[Place]:
    """Send the GPU image to the registry that the job names."""
    from uaitrain.sinks.registry import RegistrySink

    target = spec.target.gpu
    connection = registries.connect(target.registry, target.repository)
    sink = RegistrySink(connection, early=early.uploads if early else None)
    return [(GPU, sink.put(image, target, reporter.progress))]
