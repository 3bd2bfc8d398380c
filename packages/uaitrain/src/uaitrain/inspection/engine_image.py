"""An image in Docker's or Podman's store: what the engine says of it; its layers only if asked for.

An engine hands its layers out as a whole archive, which is written to a temporary file when the
first of them is opened.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import BinaryIO

from uaitrain.engines import Engine
from uaitrain.engines.engine import failure, parse_json_lines
from uaitrain.engines.store import full_name
from uaitrain.errors import EngineError, UsageError
from uaitrain.inspection.archive import read_archive
from uaitrain.oci.descriptor import OCI_LAYER, Descriptor
from uaitrain.oci.digest import Digest, parse_digest
from uaitrain.oci.image import Image
from uaitrain.oci.layer import BlobLayer
from uaitrain.oci.reference import Reference


class EngineImage:
    """Close it to remove the archive."""

    def __init__(self, engine: Engine, reference: Reference) -> None:
        """Raises EngineError where the engine has no such image."""
        self._engine, self._name = engine, full_name(engine, reference)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._saved: dict[Digest, BlobLayer] = {}
        done = engine.ask("image", "inspect", self._name)
        if done.returncode:
            raise EngineError(
                f"{engine.program} has no image {reference}",
                next_step=f"{' '.join(engine.words)} image ls shows what is there; an image of a "
                "registry is named with its host",
            )
        try:
            (value,) = json.loads(done.stdout)
            diff_ids = [parse_digest(each) for each in value["RootFS"].get("Layers") or []]
            inner = value.get("Config")
            config = {
                "os": str(value.get("Os", "")),
                "architecture": str(value.get("Architecture", "")),
                "created": str(value.get("Created") or ""),
                "config": inner if isinstance(inner, dict) else {},
            }
            self.digest = parse_digest("sha256:" + str(value["Id"]).removeprefix("sha256:"))
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError, UsageError):
            raise EngineError(
                f"{engine.program} describes {reference} in a form that is not known here",
                next_step=f"uaitrain inspect archive:FILE reads what {engine.program} save writes",
            ) from None
        history, sizes = self._history(len(diff_ids))
        layers = tuple(
            BlobLayer(diff_id, Descriptor(OCI_LAYER, diff_id, size), partial(self._open, diff_id))
            for diff_id, size in zip(diff_ids, sizes, strict=True)
        )
        self.image = Image(layers, config | ({"history": history} if history else {}))

    def close(self) -> None:
        if self._folder:
            self._folder.cleanup()

    def _history(self, count: int) -> tuple[list[dict[str, object]], list[int]]:
        """What the engine tells of each layer; nothing where its lines do not fit the layers."""
        form = "{{json .}}"
        done = self._engine.ask(
            "history", "--no-trunc", "--human=false", "--format", form, self._name
        )
        # Docker writes a line for each, Podman one list.
        values = parse_json_lines(done.stdout)
        told = [row for each in values for row in (each if isinstance(each, list) else [each])]
        rows = [row for row in told if isinstance(row, dict)]
        sized = []
        for row in reversed(rows):
            size = str(row.get("Size", row.get("size", "")))
            sized.append((str(row.get("CreatedBy", "")), int(size) if size.isdigit() else 0))
        if len(sized) != count:
            # Lines without a layer are told from empty layers by nothing but their size.
            sized = [row for row in sized if row[1]]
        if len(sized) != count:
            return [], [0] * count
        return [{"created_by": text} for text, _ in sized], [size for _, size in sized]

    def _open(self, diff_id: Digest) -> BinaryIO:
        if not self._saved:
            image, _ = read_archive(self._save())
            self._saved = {layer.diff_id: layer for layer in image.layers}  # type: ignore[misc] # an archive's layers
        if diff_id not in self._saved:
            raise EngineError(f"{self._engine.program} save {self._name} lacks layer {diff_id}")
        return self._saved[diff_id].open()

    def _save(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="uaitrain-inspect-")
        path = Path(self._folder.name) / "image.tar"
        with path.open("wb") as file:
            done = subprocess.run(
                self._engine.argv("save", self._name),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.PIPE,
                env=self._engine.child_environment(),
                check=False,
            )
        if done.returncode:
            raise failure(self._engine, "save", done.stderr.decode(errors="replace"))
        return path
