"""What an image says of itself, gathered (pure): base, layers, commands, origin."""

from __future__ import annotations

import json
from collections.abc import Mapping

from uaitrain.assemble import DIRTY_LABEL, RUN_LABEL
from uaitrain.oci.digest import Digest
from uaitrain.oci.image import Image
from uaitrain.values import dataclass

_PACKED = "uaitrain pack: "
"""How the history names the layers of a pack (assemble.py)."""

_ANNOTATION = "org.opencontainers.image."


@dataclass(frozen=True)
class LayerSummary:
    """``name`` is what the history says made it; ``size`` is in bytes, as the layer is stored.

    ``own``: a pack put it upon the base.
    """

    digest: Digest
    diff_id: Digest
    size: int
    name: str
    own: bool


@dataclass(frozen=True)
class Summary:
    """Empty is what the image does not say. ``commit`` is the last one that touched the code;
    ``dirty``: the folder held changes that it lacks. ``commands`` are argument vectors by
    ``deploy``, ``cpu`` and ``gpu``.
    """

    created: str
    made_by: str
    framework: str
    accelerator: str
    base_name: str
    base_digest: str
    commit: str
    dirty: bool
    commands: Mapping[str, tuple[str, ...]]
    layers: tuple[LayerSummary, ...]

    @property
    def own_layers(self) -> int:
        return sum(layer.own for layer in self.layers)


def summarize(image: Image) -> Summary:
    labels = {str(key): str(value) for key, value in image.labels.items()}

    def told(name: str) -> str:
        return labels.get(name) or image.annotations.get(name, "")

    version = told("dev.uaitrain.version")
    return Summary(
        str(image.config.get("created") or ""),
        f"uaitrain {version}" if version else "",
        told("dev.uaitrain.framework"),
        told("dev.uaitrain.accelerator"),
        told(f"{_ANNOTATION}base.name"),
        told(f"{_ANNOTATION}base.digest"),
        told(f"{_ANNOTATION}revision"),
        told(DIRTY_LABEL) == "true",
        _commands(labels.get(RUN_LABEL, "")),
        _layers(image),
    )


def _commands(text: str) -> dict[str, tuple[str, ...]]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    found = {name: value.get(name) for name in ("deploy", "cpu", "gpu")}
    return {
        name: tuple(str(word) for word in words)
        for name, words in found.items()
        if isinstance(words, list)
    }


def _layers(image: Image) -> tuple[LayerSummary, ...]:
    history = image.config.get("history")
    entries = history if isinstance(history, list) else []
    made = [e for e in entries if isinstance(e, dict) and not e.get("empty_layer")]
    names = [str(e.get("created_by") or e.get("comment") or "") for e in made]
    # A history that does not fit tells of other layers.
    if len(names) != len(image.layers):
        names = [""] * len(image.layers)
    return tuple(
        LayerSummary(
            layer.descriptor.digest,
            layer.diff_id,
            layer.descriptor.size,
            name.removeprefix(_PACKED),
            name.startswith(_PACKED),
        )
        for layer, name in zip(image.layers, names, strict=True)
    )
