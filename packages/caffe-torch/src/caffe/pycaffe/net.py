"""``caffe.Net``: a net as pycaffe shows it.

Names and orders are Caffe's, with the splits that it puts in; ``blobs`` and ``params`` are views
that stay true while the net runs.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from caffe import blob as core_blob
from caffe import log, net, schema, weights
from caffe.errors import UsageError
from caffe.pycaffe import batches, mode
from caffe.pycaffe.blob import Array, Blob, BlobVec

Hook = Callable[[int], Any]
Arrays = dict[str, Array]


class LayerView:
    """A net layer: its ``type`` and its ``blobs``."""

    def __init__(self, layer: Any) -> None:
        self.type: str = layer.kind
        self.blobs = BlobVec(layer.learnable)


class Net:
    """``Net(file, phase)``, ``Net(file, weights, phase)``, and by keyword ``level``, ``stages``
    and ``weights``.

    Raises TypeError for other calls, CaffeError for a net or weights that cannot be.
    """

    def __init__(self, network_file: str, *arguments: Any, **named: Any) -> None:
        if arguments and isinstance(arguments[0], str):
            names: tuple[str, ...] = ("weights", "phase")
        else:
            names = ("phase", "level", "stages", "weights")
        given = dict(zip(names, arguments, strict=False))
        unknown = set(named) - {"phase", "level", "stages", "weights"}
        if len(arguments) > len(names) or unknown or set(given) & set(named):
            raise TypeError("Net(file, phase, level=0, stages=None, weights=None)")
        given.update(named)
        if not isinstance(network_file, str) or not isinstance(given.get("phase"), int):
            raise TypeError(
                "Net(file, phase, level=0, stages=None, weights=None): file is a path, phase is "
                "caffe.TRAIN or caffe.TEST"
            )
        param = schema.read_net(network_file).message
        param.state.phase = given["phase"]
        param.state.level = given.get("level") or 0
        param.state.stage.extend(given.get("stages") or ())
        core = net.Net(
            param,
            device=mode.device(),
            random=mode.random(),
            rank=mode.solver_rank(),
            ranks=mode.solver_count(),
            log=log.write,
        )
        if given.get("weights"):
            weights.load(core, given["weights"])
        self._core = core
        self._owner: Any = None
        weakref.finalize(self, core.close)

    @classmethod
    def of(cls, core: net.Net, owner: Any) -> Net:
        """The face of a net that ``owner`` made, and keeps running while this face lives."""
        self = cls.__new__(cls)
        self._core, self._owner = core, owner
        return self

    @property
    def name(self) -> str:
        return self._core.name

    @cached_property
    def _blobs(self) -> list[Blob]:
        return [Blob(blob) for blob in self._all_blobs]

    @cached_property
    def _all_blobs(self) -> list[core_blob.Blob]:
        return [blob for blob, _, _ in _made(self._core)]

    @cached_property
    def _blob_names(self) -> list[str]:
        return [name for _, name, _ in _made(self._core)]

    @cached_property
    def _blob_loss_weights(self) -> list[float]:
        return [weight for _, _, weight in _made(self._core)]

    @cached_property
    def _layer_names(self) -> list[str]:
        return self._core.layer_names

    @cached_property
    def blobs(self) -> OrderedDict[str, Blob]:
        return OrderedDict(zip(self._blob_names, self._blobs, strict=True))

    @cached_property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        return OrderedDict(zip(self._blob_names, self._blob_loss_weights, strict=True))

    @cached_property
    def params(self) -> OrderedDict[str, BlobVec]:
        return OrderedDict(
            (layer.name, BlobVec(layer.learnable)) for layer in self._core.layers if layer.learnable
        )

    @cached_property
    def layers(self) -> list[Any]:
        """Each has ``type`` and ``blobs``; a layer in Python is the user's own object."""
        return [getattr(layer, "user", None) or LayerView(layer) for layer in self._core.layers]

    @cached_property
    def layer_dict(self) -> OrderedDict[str, Any]:
        return OrderedDict(zip(self._layer_names, self.layers, strict=True))

    @cached_property
    def top_names(self) -> OrderedDict[str, list[str]]:
        return OrderedDict((node.layer.name, list(node.top_names)) for node in self._core.nodes)

    @cached_property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        return OrderedDict((node.layer.name, list(node.bottom_names)) for node in self._core.nodes)

    @cached_property
    def inputs(self) -> list[str]:
        return list(self._core.inputs)

    @cached_property
    def outputs(self) -> list[str]:
        return list(self._core.outputs)

    @property
    def _inputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.inputs]

    @property
    def _outputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.outputs]

    def _top_ids(self, layer: int) -> list[int]:
        return self._ids(self._core.nodes[layer].tops)

    def _bottom_ids(self, layer: int) -> list[int]:
        return self._ids(self._core.nodes[layer].bottoms)

    def _ids(self, blobs: Sequence[core_blob.Blob]) -> list[int]:
        numbers = {id(blob): index for index, blob in enumerate(self._all_blobs)}
        return [numbers[id(blob)] for blob in blobs]

    def forward(
        self,
        blobs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **inputs: Any,
    ) -> Arrays:
        """Run from layer ``start`` to ``end``, both included, with ``inputs`` put in first.

        Gives the outputs (with ``end``, that layer's tops) and what ``blobs`` names. Raises
        UsageError, ValueError for a layer that is not there or an array that does not fit.
        """
        first = 0 if start is None else self._layer_names.index(start)
        last = len(self._layer_names) - 1 if end is None else self._layer_names.index(end)
        wanted = [*(self.outputs if end is None else self.top_names[end]), *(blobs or [])]
        if inputs:
            if set(inputs) != set(self.inputs):
                raise UsageError(
                    "Input blob arguments do not match net inputs: "
                    f"{', '.join(sorted(inputs))} given",
                    allowed=", ".join(self.inputs) or "none",
                )
            for name, array in inputs.items():
                _put(self.blobs[name], "data", array, f'input "{name}"')
        self._forward(first, last)
        return {name: self.blobs[name].data for name in wanted}

    def backward(
        self,
        diffs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **top_diffs: Any,
    ) -> Arrays:
        """Run from layer ``start`` back to ``end``, both included, with the outputs' gradients
        ``top_diffs`` put in first.

        Gives the gradients of the inputs (with ``end``, of that layer's bottoms) and of what
        ``diffs`` names. Raises as :meth:`forward`.
        """
        first = len(self._layer_names) - 1 if start is None else self._layer_names.index(start)
        last = 0 if end is None else self._layer_names.index(end)
        wanted = [*(self.inputs if end is None else self.bottom_names[end]), *(diffs or [])]
        if top_diffs:
            if set(top_diffs) != set(self.outputs):
                raise UsageError(
                    "Top diff arguments do not match net outputs: "
                    f"{', '.join(sorted(top_diffs))} given",
                    allowed=", ".join(self.outputs) or "none",
                )
            for name, array in top_diffs.items():
                _put(self.blobs[name], "diff", array, f'gradient of "{name}"')
        self._backward(first, last)
        return {name: self.blobs[name].diff for name in wanted}

    def _forward(self, start: int, end: int) -> float:
        return float(self._core.forward(start, end))

    def _backward(self, start: int, end: int) -> None:
        self._core.backward(start, end)

    def forward_all(self, blobs: Sequence[str] | None = None, **inputs: Any) -> Arrays:
        """Forward over any number of items, in the net's batches; the last one is filled up with
        zeros, and what belongs to them is cut off. Outputs have to be batches. Raises
        UsageError."""
        parts: dict[str, list[Array]] = {}
        for batch in self._batch(inputs):
            for name, out in self.forward(blobs=blobs, **batch).items():
                parts.setdefault(name, []).append(out.copy())
        return batches.joined(parts, batches.length(inputs))

    def forward_backward_all(
        self,
        blobs: Sequence[str] | None = None,
        diffs: Sequence[str] | None = None,
        **arrays: Any,
    ) -> tuple[Arrays, Arrays]:
        """As :meth:`forward_all`, with backward after each batch: the outputs, the gradients.
        ``arrays`` are inputs and outputs' gradients, by name."""
        inputs = {name: array for name, array in arrays.items() if name in self.inputs}
        tops = {name: array for name, array in arrays.items() if name not in self.inputs}
        outs: dict[str, list[Array]] = {}
        found: dict[str, list[Array]] = {}
        top_batches = self._batch(tops) if tops else None
        for batch in self._batch(inputs):
            for name, out in self.forward(blobs=blobs, **batch).items():
                outs.setdefault(name, []).append(out.copy())
            given = next(top_batches) if top_batches is not None else {}
            for name, diff in self.backward(diffs=diffs, **given).items():
                found.setdefault(name, []).append(diff.copy())
        length = batches.length(inputs)
        return batches.joined(outs, length), batches.joined(found, length)

    def _batch(self, arrays: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        if not arrays:
            raise UsageError("nothing is given to run in batches", allowed=", ".join(self.inputs))
        size = self.blobs[next(iter(arrays))].shape[0]
        return batches.split(arrays, size)

    def set_input_arrays(self, data: Array, labels: Array) -> None:
        """What the MemoryData layer at the net's start reads: float32, C-contiguous, N×C×H×W
        and N. Raises UsageError."""
        layer: Any = self._core.layers[0]
        if layer.kind != "MemoryData":
            raise UsageError(
                "set_input_arrays may only be called if the first layer is a MemoryDataLayer; "
                f'"{layer.name}" is {layer.kind}'
            )
        if labels.ndim == 1:
            labels = np.ascontiguousarray(labels)
        layer.set_arrays(data, labels)

    def reshape(self) -> None:
        """Carry changed input shapes through the net. Raises ShapeError."""
        self._core.reshape()

    def clear_param_diffs(self) -> None:
        self._core.clear_learnable_diffs()

    def copy_from(self, path: str) -> None:
        """Take the weights of a file, layer by layer, by name. Raises SnapshotError."""
        weights.load(self._core, path)

    load_hdf5 = copy_from

    def save(self, path: str) -> None:
        """Write the weights as a .caffemodel. Raises SnapshotError."""
        weights.save(self._core, path, hdf5=False)

    def save_hdf5(self, path: str) -> None:
        """Write the weights as HDF5. Raises SnapshotError."""
        weights.save(self._core, path, hdf5=True)

    def share_with(self, other: Net) -> None:
        """Use the learnable blobs of layers of the same name in ``other``. Raises ShapeError, and
        TypeError for what is no net."""
        if not isinstance(other, Net):
            raise TypeError(f"weights are shared with a caffe.Net, not {type(other).__name__}")
        self._core.share_trained_layers_with(other._core)

    def before_forward(self, hook: Hook) -> None:
        """Call ``hook(number of the layer)`` before each layer's forward."""
        self._core.before_forward.append(hook)

    def after_forward(self, hook: Hook) -> None:
        self._core.after_forward.append(hook)

    def before_backward(self, hook: Hook) -> None:
        self._core.before_backward.append(hook)

    def after_backward(self, hook: Hook) -> None:
        self._core.after_backward.append(hook)


def _made(core: net.Net) -> list[tuple[core_blob.Blob, str, float]]:
    """Every blob in the order of making, its name and loss weight; automatic tops are there."""
    found: dict[int, tuple[core_blob.Blob, str, float]] = {}
    for node in core.nodes:
        for top, name, weight in zip(node.tops, node.top_names, node.loss_weights, strict=True):
            known = found.get(id(top))
            found[id(top)] = (top, name, weight or (known[2] if known else 0.0))
    return list(found.values())


def _put(blob: Blob, side: str, array: Any, what: str) -> None:
    given = np.asarray(array)
    if given.shape[:1] != blob.shape[:1]:
        raise UsageError(
            f"the {what} is not batch sized: its shape is {given.shape}",
            allowed=f"{blob.shape}",
            next_step="reshape the blob first, or use forward_all",
        )
    getattr(blob, side)[...] = given
