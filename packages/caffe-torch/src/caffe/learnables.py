"""Who owns which learnable blob of a net, and what multiplies its rate and decay.

A blob whose ``param`` has a name belongs to the first layer that uses the name; the others share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caffe.blob import Blob
from caffe.layers.base import Layer, text
from caffe.log import Log
from caffe.proto import caffe_pb2


@dataclass
class Learnable:
    """A learnable blob that a layer owns: what multiplies its rate and its decay."""

    blob: Blob
    layer: str
    index: int
    lr_mult: float
    decay_mult: float
    has_lr: bool
    has_decay: bool


class Owners:
    """Fills ``learnables`` (the owned blobs in the net's order) and ``owners`` (for each layer,
    for each of its blobs, the index in ``learnables`` and whether it owns it)."""

    def __init__(
        self, learnables: list[Learnable], owners: list[list[tuple[int, bool]]], log: Log
    ) -> None:
        self._learnables = learnables
        self._owners = owners
        self._log = log
        self._named: dict[str, int] = {}

    def add(self, layer: Layer) -> bool:
        """Take the learnable blobs of ``layer``; gives whether any of them learns. Raises
        DefinitionError, ShapeError."""
        specs = layer.param.param
        if layer.forced_lr_mult is not None:
            while len(specs) < len(layer.learnable):
                specs.add(lr_mult=layer.forced_lr_mult)
        if len(specs) > len(layer.learnable):
            raise layer.refuse(
                f"{len(specs)} param entries for {len(layer.learnable)} learnable blobs"
            )
        owners: list[tuple[int, bool]] = []
        needs = False
        for index, blob in enumerate(layer.learnable):
            spec = specs[index] if index < len(specs) else caffe_pb2.ParamSpec()
            layer.learns[index] = spec.lr_mult != 0
            needs |= layer.learns[index]
            if spec.name and spec.name in self._named:
                owners.append((self._share(layer, index, blob, spec), False))
                continue
            if spec.name:
                self._named[spec.name] = len(self._learnables)
            owners.append((len(self._learnables), True))
            self._learnables.append(
                Learnable(
                    blob,
                    layer.name,
                    index,
                    spec.lr_mult,
                    spec.decay_mult,
                    spec.HasField("lr_mult"),
                    spec.HasField("decay_mult"),
                )
            )
        self._owners.append(owners)
        return needs

    def _share(self, layer: Layer, index: int, blob: Blob, spec: Any) -> int:
        number = self._named[spec.name]
        owner = self._learnables[number]
        self._log(
            "net.cpp:486",
            f"Sharing parameters '{spec.name}' owned by layer '{owner.layer}', param index "
            f"{owner.index}",
        )
        permissive = spec.share_mode == caffe_pb2.ParamSpec.PERMISSIVE
        fits = blob.count == owner.blob.count if permissive else blob.shape == owner.blob.shape
        if not fits:
            raise layer.misfit(
                f'learnable blob {index}, shared as "{spec.name}", has shape {text(blob.shape)}; '
                f'its owner, layer "{owner.layer}", has {text(owner.blob.shape)}',
                next_step="" if permissive else "share_mode: PERMISSIVE takes equal counts",
            )
        for field_name, has, value in (
            ("lr_mult", "has_lr", "lr_mult"),
            ("decay_mult", "has_decay", "decay_mult"),
        ):
            if not spec.HasField(field_name):
                continue
            if getattr(owner, has) and getattr(owner, value) != getattr(spec, field_name):
                raise layer.refuse(
                    f'"{spec.name}" has {field_name} {getattr(spec, field_name):g} here and '
                    f'{getattr(owner, value):g} in layer "{owner.layer}"',
                    next_step="say the same for all that share, or say it once",
                )
            setattr(owner, has, True)
            setattr(owner, value, getattr(spec, field_name))
        return number
