"""Nets in the forms before Caffe 1.0, brought to it as Caffe brings them.

The order is Caffe's: V0 layers to V1, the data layers' transformation fields to
``transform_param``, V1 layers to V2, ``input`` fields to an Input layer, and the three ``param``
of a BatchNorm layer to rates of 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from caffe.errors import DefinitionError
from caffe.proto import caffe_pb2
from caffe.schema.v0 import to_v1

_pb2: Any = caffe_pb2

Origin = tuple[str, int]
"""The field of the net as it was written that a layer comes from, and the index there."""

TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
}
"""V1's types by the names of their enum."""

_DATA = {"DATA": "data_param", "IMAGE_DATA": "image_data_param", "WINDOW_DATA": "window_data_param"}
_TRANSFORMS = ("scale", "mean_file", "crop_size", "mirror")
_PARAM_FIELDS = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}
"""V1's fields that hold one value for each learnable blob, and what ParamSpec calls them."""

BATCH_NORM_PARAMS = 3


@dataclass(frozen=True)
class Upgraded:
    """``origins[i]`` is what ``net.layer[i]`` was; ``notes`` are sentences for a person."""

    net: Any
    origins: tuple[Origin, ...]
    notes: tuple[str, ...]


def upgraded(message: Any, place: Callable[[Origin], str]) -> Upgraded:
    """A copy of a NetParameter in the 1.0 form. Raises DefinitionError."""
    notes: list[str] = []
    net = _pb2.NetParameter()
    net.CopyFrom(message)
    name = "layers" if net.layers else "layer"
    kept = list(range(len(net.layers or net.layer)))
    if any(layer.HasField("layer") for layer in net.layers):
        net, kept = to_v1(net, lambda index: place(("layers", index)), notes)
        notes.append("the definition has V0 layers, as Caffe wrote them in 2013")
    _move_transforms(net)
    if net.layers:
        if net.layer:
            raise DefinitionError(
                f"{place(('layer', 0))}: the net has both layer and layers fields",
                allowed='layer { type: "Convolution" … } alone',
                next_step="write every layers { type: CONVOLUTION … } as layer with type in quotes",
            )
        _to_v2(net)
        notes.append("the definition has V1 layers (layers with a type in capitals)")
    origins: list[Origin] = [(name, index) for index in kept]
    if net.input:
        if _inputs_to_layer(net, place):
            origins.insert(0, ("input", 0))
        notes.append("the definition has input fields in place of an Input layer")
    for layer in net.layer:
        if layer.type == "BatchNorm" and len(layer.param) == BATCH_NORM_PARAMS:
            for param in layer.param:
                param.lr_mult = param.decay_mult = 0
    return Upgraded(net, tuple(origins), tuple(notes))


def _move_transforms(net: Any) -> None:
    """As Caffe does: once one data layer says one, all data layers have a transform_param."""
    kinds = _pb2.V1LayerParameter.LayerType.Name
    data = [
        (layer, getattr(layer, _DATA[kinds(layer.type)]))
        for layer in net.layers
        if kinds(layer.type) in _DATA
    ]
    if not any(param.HasField(name) for _, param in data for name in _TRANSFORMS):
        return
    for layer, param in data:
        param.SetInParent()
        layer.transform_param.SetInParent()
        for name in _TRANSFORMS:
            if param.HasField(name):
                setattr(layer.transform_param, name, getattr(param, name))
                param.ClearField(name)


def _to_v2(net: Any) -> None:
    for old in net.layers:
        new = net.layer.add()
        for field, value in old.ListFields():
            if field.name in _PARAM_FIELDS:
                for index, one in enumerate(value):
                    while len(new.param) <= index:
                        new.param.add()
                    setattr(new.param[index], _PARAM_FIELDS[field.name], one)
            elif field.name == "type":
                new.type = TYPES[_pb2.V1LayerParameter.LayerType.Name(value)]
            elif field.name == "layer":
                continue
            elif field.is_repeated:
                getattr(new, field.name).MergeFrom(value)
            elif field.message_type is not None:
                getattr(new, field.name).CopyFrom(value)
            else:
                setattr(new, field.name, value)
    net.ClearField("layers")


def _inputs_to_layer(net: Any, place: Callable[[Origin], str]) -> bool:
    """The first layer is an Input layer now, unless no shape is given; as in Caffe the inputs
    are forgotten then. Raises DefinitionError where Caffe reads beyond the end."""
    given = bool(net.input_shape or net.input_dim)
    if given:
        layers = [_pb2.LayerParameter(name="input", type="Input"), *net.layer]
        for index, name in enumerate(net.input):
            layers[0].top.append(name)
            dims = (
                [list(shape.dim) for shape in net.input_shape[index : index + 1]]
                if net.input_shape
                else [list(net.input_dim[4 * index : 4 * index + 4])]
            )
            if not dims or (not net.input_shape and len(dims[0]) != 4):
                raise DefinitionError(
                    f'{place(("input", index))}: input "{name}" has no shape',
                    allowed="one input_shape, or four input_dim, for each input",
                )
            layers[0].input_param.shape.add().dim.extend(dims[0])
        del net.layer[:]
        net.layer.extend(layers)
    for name in ("input", "input_shape", "input_dim"):
        net.ClearField(name)
    return given
