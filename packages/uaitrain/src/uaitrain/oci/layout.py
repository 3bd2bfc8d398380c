"""An OCI image layout in a folder: images by name, blobs by digest.

Format: OCI image-spec, image-layout.md.

Any number of processes may read and write one layout. A blob appears under its digest only when
it is complete and verified; ``index.json`` is replaced in one step under a lock; blobs are
collected only while nobody writes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from uaitrain.atomic import make_temporary, storage_error, write_bytes
from uaitrain.errors import NotFoundError, RegistryError, StorageError
from uaitrain.oci.blob import CHUNK, Verifier
from uaitrain.oci.descriptor import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_MANIFEST_BYTES,
    OCI_INDEX,
    Descriptor,
    Platform,
)
from uaitrain.oci.digest import Digest, digest_of, hex_part, verify
from uaitrain.oci.image import Image, canonical_json, parse_config, parse_index, parse_manifest
from uaitrain.oci.layer import BlobLayer
from uaitrain.progress import Progress, Silent
from uaitrain.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

REFERENCE_NAME = "org.opencontainers.image.ref.name"
MARKER = "oci-layout"
MARKER_BYTES = canonical_json({"imageLayoutVersion": "1.0.0"})
INDEX = "index.json"
MAX_INDEX_BYTES = 16 * 1024 * 1024
"""Of ``index.json``: some 50,000 images."""
MAX_NESTING = 8
"""How deep indexes may lie in indexes; two are met in practice."""
_BLOBS = Path("blobs", "sha256")
_PARTIAL = ".partial-"


@dataclass(frozen=True)
class Layout:
    """The layout in folder ``path``; the folder is made by the first :meth:`put`."""

    path: Path

    def names(self) -> tuple[str, ...]:
        """The names of the images, sorted. Raises StorageError for a folder that is no layout."""
        named = (e.annotations.get(REFERENCE_NAME, "") for e in self._entries())
        return tuple(sorted({name for name in named if name}))

    def descriptor(self, name: str) -> Descriptor:
        """The descriptor of the image or index that ``name`` stands for.

        An empty ``name`` stands for the only image there is. Raises NotFoundError.
        """
        entries = self._entries()
        found = [e for e in entries if e.annotations.get(REFERENCE_NAME, "") == name]
        if not found and not name:
            found = list(entries)
        if len(found) == 1:
            return found[0]
        raise NotFoundError(
            f"{self.path} has {'more than one' if found else 'no'} image named {name!r}",
            allowed=", ".join(self.names()) or "nothing: the layout is empty",
        )

    def image(self, name: str, platform: Platform | None = None) -> Image:
        """Read an image; its layers open files of this layout.

        From an image index, the image for ``platform`` (linux/amd64 by default) is taken.
        Raises NotFoundError, StorageError, RegistryError, DigestError.
        """
        return self._image(self.descriptor(name), platform or Platform(), name)

    def has_blob(self, digest: Digest, size: int | None = None) -> bool:
        try:
            found = self._blob(digest).stat().st_size
        except FileNotFoundError:
            return False
        except OSError as error:
            raise storage_error(error, self._blob(digest), "read") from None
        return size is None or found == size

    def open_blob(self, digest: Digest) -> BinaryIO:
        """The blob's bytes as they lie on the disk: the reader verifies them."""
        path = self._blob(digest)
        try:
            return _open_file(path)
        except FileNotFoundError:
            raise StorageError(
                f"{self.path} is broken: blob {digest} is missing",
                next_step="remove the image from it and put it there again",
            ) from None
        except OSError as error:
            raise storage_error(error, path, "read") from None

    def put(self, image: Image, name: str, progress: Progress | None = None) -> Descriptor:
        """Store ``image`` as ``name``, replacing what had that name.

        Only blobs that are not there are read; each is verified while it is written. Until the
        last step the name means what it meant before. Raises StorageError, DigestError and what
        a layer's ``open`` raises.
        """
        progress = progress or Silent()
        descriptor = replace(image.descriptor, annotations={REFERENCE_NAME: name})
        self._create()
        with self._lock("blobs", fcntl.LOCK_SH):
            for layer in image.layers:
                blob = layer.descriptor
                task = progress.start(hex_part(blob.digest)[:12], blob.size)
                if self.has_blob(blob.digest, blob.size):
                    task.done("already there")
                    continue
                with self.writer(blob) as target, layer.open() as source:
                    while chunk := source.read(CHUNK):
                        target.write(chunk)
                        task.advance(len(chunk))
                task.done()
            documents = (
                (image.config_descriptor, image.raw_config),
                (image.descriptor, image.raw_manifest),
            )
            for document, data in documents:
                if not self.has_blob(document.digest, document.size):
                    with self.writer(document) as target:
                        target.write(data)
            with self._lock("index", fcntl.LOCK_EX):
                self._replace_entry(name, descriptor)
        self.collect()
        return descriptor

    def remove(self, name: str) -> None:
        """Forget ``name`` and free the blobs that only it used. Raises NotFoundError."""
        self.descriptor(name)
        with self._lock("index", fcntl.LOCK_EX):
            self._replace_entry(name, None)
        self.collect()

    def collect(self) -> int:
        """Delete blobs that no image uses; the number of bytes freed.

        Does nothing while another process writes: that writer collects when it is done.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._lock("blobs", fcntl.LOCK_EX | fcntl.LOCK_NB))
                stack.enter_context(self._lock("index", fcntl.LOCK_EX))
            except BlockingIOError:
                return 0
            try:
                seen: set[Digest] = set()
                for entry in self._entries():
                    self._reach(entry, seen)
                used = {hex_part(digest) for digest in seen}
            except (RegistryError, StorageError):
                return 0
            return self._sweep(used)

    @contextlib.contextmanager
    def writer(self, blob: Descriptor) -> Iterator[Verifier]:
        """Write one blob; it appears only if its bytes are those that ``blob`` names."""
        final = self._blob(blob.digest)
        partial_path = ""
        try:
            handle, partial_path = make_temporary(final.parent, _PARTIAL)
            with os.fdopen(handle, "wb") as file:
                verifier = Verifier(file)
                yield verifier
                verifier.check(blob, f"blob for {self.path}")
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            Path(partial_path).replace(final)
        except OSError as error:
            raise storage_error(error, final) from None
        finally:
            with contextlib.suppress(OSError):
                if partial_path:
                    Path(partial_path).unlink()

    def _blob(self, digest: Digest) -> Path:
        return self.path / _BLOBS / hex_part(digest)

    def _create(self) -> None:
        try:
            (self.path / _BLOBS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, self.path) from None
        with self._lock("index", fcntl.LOCK_EX):
            if not (self.path / MARKER).exists():
                write_bytes(self.path / MARKER, MARKER_BYTES)
            if not (self.path / INDEX).exists():
                self._write_index([])

    @contextlib.contextmanager
    def _lock(self, what: str, kind: int) -> Iterator[None]:
        """``blobs`` is shared by writers and exclusive to collection; ``index`` is exclusive."""
        path = self.path / f".{what}.lock"
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise storage_error(error, path) from None
        try:
            try:
                fcntl.flock(handle, kind)
            except BlockingIOError:
                raise  # somebody else has it, which the caller asked to know
            except OSError as error:
                # Some network file systems have no locks.
                raise storage_error(error, path, "lock") from None
            yield
        finally:
            os.close(handle)

    def _entries(self) -> tuple[Descriptor, ...]:
        try:
            with _open_file(self.path / INDEX) as file:
                raw = file.read(MAX_INDEX_BYTES + 1)
            if len(raw) > MAX_INDEX_BYTES:
                raise StorageError(
                    f"{self.path / INDEX} is longer than {MAX_INDEX_BYTES} bytes",
                    allowed=f"at most {MAX_INDEX_BYTES} bytes",
                    next_step="use another folder: no tool of ours wrote this",
                )
            return parse_index(raw)
        except FileNotFoundError:
            if not self.path.exists():
                return ()
            raise StorageError(
                f"not an OCI image layout: {self.path} has no {INDEX}",
                next_step="name a folder that an earlier push to oci: wrote",
            ) from None
        except OSError as error:
            raise storage_error(error, self.path / INDEX, "read") from None
        except RegistryError as error:
            raise StorageError(f"{self.path / INDEX} is broken: {error.what}") from None

    def _replace_entry(self, name: str, new: Descriptor | None) -> None:
        kept = [e for e in self._entries() if e.annotations.get(REFERENCE_NAME) != name]
        self._write_index([*kept, *([new] if new else [])])

    def _write_index(self, entries: list[Descriptor]) -> None:
        value: Mapping[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [entry.to_json() for entry in entries],
        }
        write_bytes(self.path / INDEX, canonical_json(value))

    def _document(self, descriptor: Descriptor) -> bytes:
        """A manifest, an index or a config: small, read whole and verified."""
        if descriptor.size > MAX_MANIFEST_BYTES:
            raise StorageError(
                f"{descriptor.digest} in {self.path} is {descriptor.size} bytes long",
                allowed=f"at most {MAX_MANIFEST_BYTES} bytes for a manifest or a config",
            )
        with self.open_blob(descriptor.digest) as file:
            try:
                data = file.read(MAX_MANIFEST_BYTES + 1)
            except OSError as error:
                raise storage_error(error, self._blob(descriptor.digest), "read") from None
        verify(descriptor.digest, digest_of(data), f"{self.path}")
        return data

    def _image(
        self, descriptor: Descriptor, platform: Platform, name: str, depth: int = 0
    ) -> Image:
        _check_depth(depth, self.path)
        raw = self._document(descriptor)
        if descriptor.media_type in INDEX_TYPES:
            listed = parse_index(raw)
            for entry in listed:
                if entry.platform is None or entry.platform.matches(platform):
                    return self._image(entry, platform, name, depth + 1)
            raise NotFoundError(
                f"{name!r} in {self.path} has no image for {platform}",
                allowed=", ".join(str(e.platform) for e in listed) or "nothing: it is empty",
            )
        manifest = parse_manifest(raw, descriptor.media_type)
        config, diff_ids = parse_config(self._document(manifest.config), len(manifest.layers))
        layers = tuple(
            BlobLayer(diff_id, blob, partial(self.open_blob, blob.digest))
            for diff_id, blob in zip(diff_ids, manifest.layers, strict=True)
        )
        return Image(layers, config, manifest.annotations, manifest.media_type)

    def _reach(self, descriptor: Descriptor, seen: set[Digest], depth: int = 0) -> None:
        """Add every blob that ``descriptor`` needs; what is not understood raises RegistryError.

        Each document is read once, however often it is named.
        """
        _check_depth(depth, self.path)
        if descriptor.digest in seen:
            return
        seen.add(descriptor.digest)
        if descriptor.media_type in INDEX_TYPES:
            for entry in parse_index(self._document(descriptor)):
                self._reach(entry, seen, depth + 1)
        elif descriptor.media_type in MANIFEST_TYPES:
            manifest = parse_manifest(self._document(descriptor), descriptor.media_type)
            seen.add(manifest.config.digest)
            seen.update(layer.digest for layer in manifest.layers)
        else:
            raise RegistryError(f"not an image: {descriptor.media_type}")

    def _sweep(self, used: set[str]) -> int:
        freed = 0
        with os.scandir(self.path / _BLOBS) as files:
            for file in files:
                if file.name not in used:
                    freed += file.stat(follow_symlinks=False).st_size
                    Path(file.path).unlink()
        return freed


def _check_depth(depth: int, path: Path) -> None:
    if depth > MAX_NESTING:
        raise RegistryError(
            f"{path} has image indexes in image indexes, more than {MAX_NESTING} deep",
            allowed=f"at most {MAX_NESTING}",
        )


def _open_file(path: Path) -> BinaryIO:
    """A plain file only: a pipe in its place would be waited for, a device never end."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        regular = stat.S_ISREG(os.fstat(handle).st_mode)
        if not regular:
            raise StorageError(
                f"{path} is no plain file",
                allowed="files and folders in an OCI image layout",
                next_step="use another folder: no tool of ours wrote this",
            )
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise
