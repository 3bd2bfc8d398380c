"""Python: a net layer that is a class of the user's, as pycaffe has it.

``python_param.module`` is imported, its class ``layer`` made once. It gets blobs with numpy views:
of bottoms and of the tops' gradients they show the net's own tensors, what it writes into tops
and the bottoms' gradients is kept between calls, as in Caffe. Its ``reshape`` is called before
every forward: data layers change their shape there.

Where the module or the class cannot be had, Caffe ends in a SystemError; we say what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from caffe.blob import Blob, Memory
from caffe.errors import DefinitionError
from caffe.layers.base import Context, Layer, Shape, Tensor
from caffe.pycaffe import blob as view
from caffe.pycaffe.layer import Layer as UserLayer


class NoModuleError(DefinitionError, ImportError):
    """The module of a Python layer is not there."""


class Python(Layer):
    kind = "Python"
    bottoms = (0, None)
    tops = (0, None)
    in_place = True

    def __init__(self, param: Any, context: Context) -> None:
        super().__init__(param, context)
        self.user = self._made()
        self.user.blobs = view.BlobVec([], self._add)
        self.user.param_str = param.python_param.param_str
        self.user.phase = self.phase

    def setup(self, bottoms: Sequence[Shape]) -> None:
        device = self.context.device
        names = list(self.param.bottom)
        self._bottoms = [Blob(shape, device) for shape in bottoms]
        self._own = [
            index >= len(names) or names[index] != name for index, name in enumerate(self.param.top)
        ]
        self._tops = [
            Blob((), device) if own else self._bottoms[index] for index, own in enumerate(self._own)
        ]
        self._overwritten = [any(top is bottom for top in self._tops) for bottom in self._bottoms]
        self._bottom_views = [view.Blob(blob) for blob in self._bottoms]
        self._top_views = [view.Blob(blob) for blob in self._tops]
        self._call("setup", self._bottom_views, self._top_views)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        for blob, shape in zip(self._bottoms, bottoms, strict=True):
            blob.shape = tuple(shape)
        self._call("reshape", self._bottom_views, self._top_views)
        return [top.shape for top in self._tops]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        for blob, tensor, overwritten in zip(
            self._bottoms, bottoms, self._overwritten, strict=True
        ):
            _show(blob, tensor.clone() if overwritten else tensor)
        self._call("reshape", self._bottom_views, self._top_views)
        self._call("forward", self._bottom_views, self._top_views)
        return [top.data for top in self._tops]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        for top, diff, own in zip(self._tops, diffs, self._own, strict=True):
            top.diff_memory = Memory(top.device, diff if own else diff.clone())
        self._call("backward", self._top_views, list(wanted), self._bottom_views)
        return [
            blob.diff if want else None for blob, want in zip(self._bottoms, wanted, strict=True)
        ]

    def _add(self, shape: Shape) -> Blob:
        blob = Blob(shape, self.context.device)
        self.learnable.append(blob)
        self.learns.append(True)
        return blob

    def _made(self) -> Any:
        where = self.param.python_param
        try:
            module = import_module(where.module)
        except ModuleNotFoundError as error:
            if error.name != where.module:
                self._note(error, "import")
                raise
            raise NoModuleError(
                f'layer "{self.name}" (Python): there is no module "{where.module}"',
                next_step="put its folder into PYTHONPATH, or beside the program",
            ) from None
        except Exception as error:
            self._note(error, "import")
            raise
        made = getattr(module, where.layer, None)
        if made is None:
            raise self.refuse(f'the module "{where.module}" has no "{where.layer}"')
        if not (isinstance(made, type) and issubclass(made, UserLayer)):
            raise self.refuse(
                f'"{where.layer}" of the module "{where.module}" is no net layer',
                allowed="a class that derives from caffe.Layer",
            )
        return made(self.param)

    def _call(self, what: str, *arguments: Any) -> None:
        try:
            getattr(self.user, what)(*arguments)
        except Exception as error:
            self._note(error, what)
            raise

    def _note(self, error: Exception, what: str) -> None:
        """The user's exception goes on as it is, with its traceback and the layer's name."""
        where = self.param.python_param
        error.add_note(f'in {what} of layer "{self.name}" (Python: {where.module}.{where.layer})')


def _show(blob: Blob, tensor: Tensor) -> None:
    """Let ``blob`` live in ``tensor``: nothing is copied where numpy can see it."""
    blob.shape = tuple(tensor.shape)
    blob.data_memory = Memory(blob.device, tensor)
