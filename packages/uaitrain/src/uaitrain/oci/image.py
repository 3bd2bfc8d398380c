"""An image as a value: layers, config, annotations. A change gives a new image.

Formats: OCI image-spec (config.md, manifest.md); Docker distribution manifest schema 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property

from uaitrain.errors import RegistryError, UsageError
from uaitrain.oci.descriptor import (
    DOCKER_MANIFEST,
    MANIFEST_TYPES,
    OCI_CONFIG,
    OCI_MANIFEST,
    TO_DOCKER,
    TO_OCI,
    Descriptor,
    Platform,
)
from uaitrain.oci.digest import Digest, digest_of, parse_digest
from uaitrain.oci.layer import Layer
from uaitrain.values import dataclass, field, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def canonical_json(value: object) -> bytes:
    """The bytes we give to every JSON document we make: same value, same bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True)
class History:
    """One entry of the config's history, one for each layer."""

    created_by: str
    comment: str = ""


@dataclass(frozen=True)
class Image:
    """Layers from the lowest to the top, a config (OCI image config as JSON) and annotations.

    ``config["rootfs"]`` is derived from the layers; ``media_type`` (an OCI or a Docker manifest)
    decides the type names of everything in the manifest.
    """

    layers: tuple[Layer, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    media_type: str = OCI_MANIFEST

    def append(self, layers: Sequence[Layer], history: Sequence[History]) -> Image:
        """A new image with ``layers`` on top; ``history`` has one entry for each of them."""
        entries = [
            {"created": self.config.get("created"), "created_by": h.created_by}
            | ({"comment": h.comment} if h.comment else {})
            for h in history
        ]
        for entry in entries:
            if entry["created"] is None:
                del entry["created"]
        config = dict(self.config) | {"history": [*self.config.get("history", []), *entries]}
        return replace(self, layers=(*self.layers, *layers), config=config)

    def without_top(self) -> Image:
        """A new image without the topmost layer and what the history says of it."""
        config = dict(self.config) | {"history": list(self.config.get("history", []))[:-1]}
        return replace(self, layers=self.layers[:-1], config=config)

    def configure(
        self,
        *,
        created: str | None = None,
        working_dir: str | None = None,
        command: Sequence[str] | None = None,
        entry_point: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Image:
        """A new image with these settings; environment, labels and annotations are added to."""
        inner: dict[str, Any] = dict(self.config.get("config") or {})
        if working_dir is not None:
            inner["WorkingDir"] = working_dir
        if command is not None:
            inner["Cmd"] = list(command)
            inner.pop("Entrypoint", None)
        if entry_point is not None:
            inner["Entrypoint"] = list(entry_point)
        if environment:
            kept = [e for e in inner.get("Env") or [] if e.partition("=")[0] not in environment]
            inner["Env"] = kept + [f"{k}={v}" for k, v in sorted(environment.items())]
        if labels:
            inner["Labels"] = dict(sorted({**(inner.get("Labels") or {}), **labels}.items()))
        config = dict(self.config) | {"config": inner}
        if created is not None:
            config["created"] = created
        return replace(self, config=config, annotations={**self.annotations, **(annotations or {})})

    def with_media_type(self, media_type: str) -> Image:
        """The same image with a manifest of the other family (OCI or Docker)."""
        if media_type not in MANIFEST_TYPES:
            raise UsageError(f"not a manifest type: {media_type}")
        return replace(self, media_type=media_type)

    @property
    def platform(self) -> Platform:
        return Platform(
            str(self.config.get("os", "")),
            str(self.config.get("architecture", "")),
            str(self.config.get("variant", "")),
        )

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        return tuple(layer.diff_id for layer in self.layers)

    @property
    def labels(self) -> Mapping[str, str]:
        return (self.config.get("config") or {}).get("Labels") or {}

    def _typed(self, media_type: str) -> str:
        table = TO_DOCKER if self.media_type == DOCKER_MANIFEST else TO_OCI
        return table.get(media_type, media_type)

    @cached_property
    def raw_config(self) -> bytes:
        rootfs = {"type": "layers", "diff_ids": list(self.diff_ids)}
        return canonical_json(dict(self.config) | {"rootfs": rootfs})

    @cached_property
    def config_descriptor(self) -> Descriptor:
        return Descriptor(self._typed(OCI_CONFIG), digest_of(self.raw_config), len(self.raw_config))

    def layer_descriptor(self, layer: Layer) -> Descriptor:
        """The layer's descriptor as this image's manifest writes it."""
        return replace(layer.descriptor, media_type=self._typed(layer.descriptor.media_type))

    @cached_property
    def raw_manifest(self) -> bytes:
        manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": self.config_descriptor.to_json(),
            "layers": [self.layer_descriptor(layer).to_json() for layer in self.layers],
        }
        if self.annotations and self.media_type == OCI_MANIFEST:
            manifest["annotations"] = dict(sorted(self.annotations.items()))
        return canonical_json(manifest)

    @cached_property
    def digest(self) -> Digest:
        """The digest of the manifest: what a registry and a reference name."""
        return digest_of(self.raw_manifest)

    @cached_property
    def descriptor(self) -> Descriptor:
        return Descriptor(
            self.media_type, self.digest, len(self.raw_manifest), platform=self.platform
        )


@dataclass(frozen=True)
class Manifest:
    """What a manifest document says, judged: the descriptors of the config and the layers."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str]


class _TwiceError(ValueError):
    pass


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _TwiceError(name)
        found[name] = value
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number without bounds")
    return value


def _json_object(raw: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(
            raw, object_pairs_hook=_each_once, parse_constant=_no_number, parse_float=_finite
        )
        # A lone surrogate is no text: it could not be written again.
        canonical_json(value)
    except _TwiceError as error:
        raise RegistryError(
            f"the {what} says {str(error)[:100]!r} twice",
            allowed="each name once in a JSON object: readers differ in which one they take",
            next_step="no honest tool wrote this; do not use the image",
        ) from None
    except (ValueError, RecursionError):
        raise RegistryError(f"the {what} is not JSON: {raw[:60]!r}") from None
    if not isinstance(value, dict):
        raise RegistryError(f"the {what} is not a JSON object: {raw[:60]!r}")
    return value


def parse_manifest(raw: bytes, media_type: str) -> Manifest:
    """Raises RegistryError for anything that is not an image manifest."""
    value = _json_object(raw, "manifest")
    declared = value.get("mediaType") or media_type
    if declared not in MANIFEST_TYPES:
        raise RegistryError(
            f"the manifest has type {str(declared)[:100]!r}",
            allowed="an OCI image manifest or a Docker schema 2 manifest",
        )
    layers = value.get("layers")
    if value.get("schemaVersion") != 2 or not isinstance(layers, list):
        raise RegistryError("the manifest has no list of layers or is not of schema version 2")
    annotations = value.get("annotations")
    return Manifest(
        declared,
        Descriptor.from_json(value.get("config")),
        tuple(Descriptor.from_json(layer) for layer in layers),
        {str(k): str(v) for k, v in annotations.items()} if isinstance(annotations, dict) else {},
    )


def parse_index(raw: bytes) -> tuple[Descriptor, ...]:
    """The manifests an image index or manifest list names. Raises RegistryError."""
    manifests = _json_object(raw, "image index").get("manifests")
    if not isinstance(manifests, list):
        raise RegistryError("the image index has no list of manifests")
    return tuple(Descriptor.from_json(entry) for entry in manifests)


def parse_config(raw: bytes, layer_count: int) -> tuple[dict[str, Any], tuple[Digest, ...]]:
    """The config without its rootfs, and the diff_ids. Raises RegistryError."""
    value = _json_object(raw, "image config")
    rootfs = value.pop("rootfs", None)
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or len(diff_ids) != layer_count:
        raise RegistryError(
            "the image config does not give one diff_id for each of the manifest's "
            f"{layer_count} layers"
        )
    try:
        return value, tuple(parse_digest(d) for d in diff_ids)
    except UsageError as error:
        raise RegistryError(f"the image config is broken: {error.what}") from None
