"""What a net layer is: a lifecycle that the net walks, and the checks that all types share.

A net makes a layer, calls :meth:`Layer.setup` once with the shapes of its bottoms,
:meth:`Layer.reshape` whenever they change, and :meth:`Layer.forward` and :meth:`Layer.backward`
in turn. Tensors come in and go out; blobs, files, logs and devices are the net's business.

A type either writes ``forward`` and ``backward`` itself, where it is hot or where Caffe's
gradient is not the derivative of its output, or it writes ``compute`` and inherits both: a small
autograd graph of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from caffe import fillers
from caffe.blob import Blob, Shape
from caffe.errors import CaffeError, DefinitionError, ShapeError
from caffe.log import Log, silent
from caffe.random import Random

Tensor = torch.Tensor
TRAIN = 0
TEST = 1


@dataclass(frozen=True)
class Context:
    """Where a layer lives: its phase, device, random numbers, which solver of how many, and a log
    for what a layer says while it runs. ``for_gpu``: the net is only looked at here, and what a GPU
    alone can compute is let pass."""

    phase: int
    device: torch.device
    random: Random
    rank: int = 0
    ranks: int = 1
    log: Log = silent
    for_gpu: bool = False

    @property
    def on_gpu(self) -> bool:
        return self.for_gpu or self.device.type != "cpu"


class Layer:
    """One net layer of a type.

    ``bottoms`` and ``tops`` are the least and the most that a type takes (``None``: no most).
    ``learnable`` are its learnable blobs, ``learns[i]`` whether the gradient of blob ``i`` is
    wanted; the net sets it from the lr_mult. ``wants_backward`` is set by the net before the first
    forward: without it nothing needs to be kept.
    """

    kind: ClassVar[str] = ""
    bottoms: ClassVar[tuple[int, int | None]] = (1, 1)
    tops: ClassVar[tuple[int, int | None]] = (1, 1)
    as_many_tops_as_bottoms: ClassVar[bool] = False
    in_place: ClassVar[bool] = False
    """Whether a top may have the name of its bottom."""
    is_loss: ClassVar[bool] = False
    """The first top has a loss weight of 1 where the definition says nothing."""
    auto_tops: ClassVar[bool] = False
    """Tops up to the least number are made where the definition names none (Caffe's
    AutoTopBlobs)."""
    takes_missing_diffs: ClassVar[bool] = False
    """``backward`` gets None for a top that no gradient reaches, in place of zeros."""
    shares_data: ClassVar[bool] = False
    """The tops are the bottom's memory, seen in their own shapes: what is written into one is in
    all. The net does not call ``forward``."""
    shares_diff: ClassVar[bool] = False
    """The same of the gradient."""
    shares_learnable: ClassVar[bool] = False
    """The first top is the first learnable blob, data and gradient, from the first forward on."""
    forced_lr_mult: ClassVar[float | None] = None
    """The lr_mult of every learnable blob, where the type does not leave it to the definition."""
    reads_bottoms: ClassVar[bool] = False
    reads_tops: ClassVar[bool] = False
    """Whether Caffe's backward reads the data of the bottoms, or of the tops, as they are by then:
    such a type has a :meth:`reread`."""
    copies_bottoms: ClassVar[bool] = False
    """Whether Caffe's backward uses what the bottoms held in forward, from a copy of its own."""
    keeps_tops: ClassVar[bool] = False
    """The tops hold what somebody else puts there; ``forward`` is not called."""

    def __init__(self, param: Any, context: Context) -> None:
        self.param = param
        self.name: str = param.name
        self.context = context
        self.phase = context.phase
        self.learnable: list[Blob] = []
        self.learns: list[bool] = []
        self.wants_backward = True
        self._given = list(param.blobs)
        self._graph: tuple[list[Tensor], list[Tensor], list[Tensor]] | None = None

    def setup(self, bottoms: Sequence[Shape]) -> None:
        """Judge the parameters and make the learnable blobs. Raises DefinitionError."""

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        """The tops' shapes for these bottoms. Raises ShapeError. No side effect that a later
        call with other shapes would not undo."""
        raise NotImplementedError(self.kind)

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        """The tops' data. Must not write into ``bottoms``. The default asks :meth:`compute`."""
        keep = self.wants_backward
        leaves = [bottom.detach().requires_grad_(keep) for bottom in bottoms]
        params = [
            blob.data.detach().requires_grad_(keep and learns)
            for blob, learns in zip(self.learnable, self.learns, strict=True)
        ]
        with torch.set_grad_enabled(keep):
            tops = self.compute(leaves, params)
        self._graph = (leaves, params, tops) if keep else None
        return [top.detach() for top in tops]

    def compute(self, bottoms: list[Tensor], params: list[Tensor]) -> list[Tensor]:
        """The tops as a differentiable function of bottoms and learnable blobs."""
        raise NotImplementedError(self.kind)

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        """From the tops' gradients to the bottoms' (None where not wanted).

        The gradients of learnable blobs are added by :meth:`add_gradient`.
        """
        if self._graph is None:
            raise self.refuse("backward comes before forward")
        leaves, params, tops = self._graph
        inputs = [leaf for leaf, want in zip(leaves, wanted, strict=True) if want]
        learning = [index for index, learns in enumerate(self.learns) if learns]
        asked = inputs + [params[index] for index in learning]
        usable = [(t, d) for t, d in zip(tops, diffs, strict=True) if t.requires_grad]
        grads: Sequence[Tensor | None]
        if usable and asked:
            grads = torch.autograd.grad(
                [top for top, _ in usable],
                asked,
                [diff for _, diff in usable],
                retain_graph=True,
                allow_unused=True,
            )
        else:
            grads = [None] * len(asked)
        for index, grad in zip(learning, grads[len(inputs) :], strict=True):
            if grad is not None:
                self.add_gradient(index, grad)
        found = iter(grads[: len(inputs)])
        return [
            _or_zeros(next(found), leaf) if want else None
            for leaf, want in zip(leaves, wanted, strict=True)
        ]

    def constants(self) -> dict[int, Tensor]:
        """By number, the tops that are filled once, when the net is made. ``forward`` gives them
        too; in a net they keep what somebody else may have written into them."""
        return {}

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        """Go back with these, which the blobs hold by now, wherever Caffe's backward reads blobs.

        Called between forward and backward when they may be others than in forward. What Caffe
        keeps in buffers of its own stays as forward left it.
        """

    def add_learnable(self, shape: Shape, filler: Any) -> Blob:
        """The next learnable blob: from the definition's ``blobs`` if it has any, else filled by
        ``filler`` (a FillerParameter). Raises DefinitionError when the given one does not fit."""
        index = len(self.learnable)
        blob = Blob(shape, self.context.device)
        if self._given:
            if index >= len(self._given):
                raise self.refuse(f"has {len(self._given)} blobs in its definition, needs more")
            blob.data_memory.put(
                fillers.from_proto(self._given[index], blob.shape, self.refuse).to(blob.device)
            )
        else:
            blob.data_memory.put(
                fillers.fill(filler, blob.shape, self.context.random, self.refuse).to(blob.device)
            )
        self.learnable.append(blob)
        self.learns.append(True)
        return blob

    def add_gradient(self, index: int, gradient: Tensor) -> None:
        """Add to the gradient of learnable blob ``index``."""
        self.learnable[index].diff.add_(gradient.reshape(self.learnable[index].shape))

    def close(self) -> None:
        """End what runs beside the layer, such as a thread that reads data."""

    def may_force_backward(self, bottom: int) -> bool:
        """Whether ``force_backward`` reaches this bottom (labels: no)."""
        return True

    def refuse(self, what: str, *, allowed: str = "", next_step: str = "") -> DefinitionError:
        """The error that names this layer; to be raised."""
        return DefinitionError(
            f'layer "{self.name}" ({self.kind}): {what}', allowed=allowed, next_step=next_step
        )

    def misfit(self, what: str, *, allowed: str = "", next_step: str = "") -> ShapeError:
        """As :meth:`refuse`, for shapes."""
        return ShapeError(
            f'layer "{self.name}" ({self.kind}): {what}', allowed=allowed, next_step=next_step
        )

    def axis(self, axis: int, shape: Shape, field: str = "axis") -> int:
        """``axis`` of ``shape`` counted from the front. Raises ShapeError."""
        if not -len(shape) <= axis < len(shape):
            raise self.misfit(
                f"{field} {axis} does not exist in a bottom of shape {text(shape)}",
                allowed=f"{-len(shape)} to {len(shape) - 1}",
            )
        return axis % len(shape)


def text(shape: Sequence[int]) -> str:
    """A shape for people: ``64×1×28×28``."""
    return "×".join(str(size) for size in shape) or "scalar"


def _or_zeros(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient


__all__ = ["TEST", "TRAIN", "CaffeError", "Context", "Layer", "Shape", "Tensor", "text"]
