"""The store of Docker or Podman: only the layers that the engine lacks are sent."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time

from uaitrain.engines import Engine, store
from uaitrain.engines.engine import failure, says_full
from uaitrain.errors import EngineError
from uaitrain.oci.digest import hex_part
from uaitrain.oci.image import Image
from uaitrain.oci.reference import Reference
from uaitrain.progress import Progress, Task
from uaitrain.sinks import SinkReport, archive
from uaitrain.values import dataclass, replace


@dataclass(frozen=True)
class EngineSink:
    engine: Engine

    def put(self, image: Image, reference: Reference, progress: Progress) -> SinkReport:
        """Load ``image`` under ``reference``. Raises EngineError; then the old name still holds."""
        began = time.monotonic()
        reference = replace(reference, digest=None)
        total = len(image.layers)
        if _is_there(self.engine, image, reference):
            note = f"{self.engine.program} has it already"
            return self._report(0, total, 0, began, note)
        reused = store.shared_layers(self.engine, image.diff_ids)
        try:
            sent_bytes = self._load(image, reference, reused, progress)
        except _NotLoadedError as error:
            # An engine may list a chain it cannot build upon (Docker's containerd image store).
            if not reused or says_full(error.stderr):
                raise failure(self.engine, "load", error.stderr) from None
            reused = 0
            try:
                sent_bytes = self._load(image, reference, reused, progress)
            except _NotLoadedError as second:
                raise failure(self.engine, "load", second.stderr) from None
        return self._report(total - reused, reused, sent_bytes, began)

    def _report(
        self, sent: int, reused: int, sent_bytes: int, began: float, note: str = ""
    ) -> SinkReport:
        seconds = time.monotonic() - began
        return SinkReport(self.engine.program, sent, reused, sent_bytes, seconds, note=note)

    def _load(self, image: Image, reference: Reference, reused: int, progress: Progress) -> int:
        planned = archive.plan(image, store.full_name(self.engine, reference), reused)
        task = progress.start(f"load {reference} into {self.engine.program}", planned.layer_bytes)
        _stream(self.engine, planned, task)
        if not _is_there(self.engine, image, reference):
            raise _NotLoadedError(f"{reference} is not there after loading")
        task.done()
        return planned.layer_bytes


class _NotLoadedError(Exception):
    def __init__(self, stderr: str) -> None:
        super().__init__(stderr)
        self.stderr = stderr


def _is_there(engine: Engine, image: Image, reference: Reference) -> bool:
    found = store.find(engine, reference)
    # Docker's containerd image store names images by their manifest, the others by their config.
    ours = (hex_part(image.config_descriptor.digest), hex_part(image.digest))
    return found is not None and found.identifier in ours


def _stream(engine: Engine, planned: archive.Archive, task: Task) -> None:
    """Feed ``load``; when anything stops us, it gets a cut-off stream, which loads nothing."""
    with tempfile.TemporaryFile() as stderr:
        try:
            process = subprocess.Popen(
                engine.argv("load", "--quiet"),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=engine.child_environment(),
                # Ctrl-C is ours to handle: the stream must end before the engine does.
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(f"cannot start {engine.words[0]}: {error.strerror}") from None
        assert process.stdin is not None
        finished = False
        try:
            # An engine that gives up closes the pipe; its own words come below.
            with contextlib.suppress(BrokenPipeError):
                archive.write(planned, process.stdin, task)
            finished = True
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            if not finished:
                with contextlib.suppress(PermissionError):
                    process.terminate()
            process.wait()
        if process.returncode:
            stderr.seek(0)
            raise _NotLoadedError(stderr.read().decode(errors="replace"))
