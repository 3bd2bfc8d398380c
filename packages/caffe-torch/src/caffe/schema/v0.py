"""V0 layers (``layers { layer { type: "conv" … } }``) to V1 layers, as Caffe brings them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffe.errors import DefinitionError
from caffe.proto import caffe_pb2
from caffe.schema.text import did_you_mean

_pb2: Any = caffe_pb2

TYPES = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}
PADDING = "padding"
"""A type of its own in V0; its ``pad`` goes to the layer that it feeds."""

_WEIGHTS = {"conv": "convolution_param", "innerproduct": "inner_product_param"}
_WINDOWS = {"conv": "convolution_param", "pool": "pooling_param"}
_LRN = {"lrn": "lrn_param"}
_WINDOW_DATA = {"window_data": "window_data_param"}
_IMAGES = {"images": "image_data_param"}
_BATCHES = {
    "data": "data_param",
    "hdf5_data": "hdf5_data_param",
    **_IMAGES,
    **_WINDOW_DATA,
}

_MOVES = {
    "num_output": (_WEIGHTS, "num_output"),
    "biasterm": (_WEIGHTS, "bias_term"),
    "weight_filler": (_WEIGHTS, "weight_filler"),
    "bias_filler": (_WEIGHTS, "bias_filler"),
    "pad": (_WINDOWS, "pad"),
    "kernelsize": (_WINDOWS, "kernel_size"),
    "group": ({"conv": "convolution_param"}, "group"),
    "stride": (_WINDOWS, "stride"),
    "pool": ({"pool": "pooling_param"}, "pool"),
    "dropout_ratio": ({"dropout": "dropout_param"}, "dropout_ratio"),
    "local_size": (_LRN, "local_size"),
    "alpha": (_LRN, "alpha"),
    "beta": (_LRN, "beta"),
    "k": (_LRN, "k"),
    "source": ({**_BATCHES, "infogain_loss": "infogain_loss_param"}, "source"),
    "batchsize": (_BATCHES, "batch_size"),
    "rand_skip": ({"data": "data_param", **_IMAGES}, "rand_skip"),
    "shuffle_images": (_IMAGES, "shuffle"),
    "new_height": (_IMAGES, "new_height"),
    "new_width": (_IMAGES, "new_width"),
    "concat_dim": ({"concat": "concat_param"}, "concat_dim"),
    "det_fg_threshold": (_WINDOW_DATA, "fg_threshold"),
    "det_bg_threshold": (_WINDOW_DATA, "bg_threshold"),
    "det_fg_fraction": (_WINDOW_DATA, "fg_fraction"),
    "det_context_pad": (_WINDOW_DATA, "context_pad"),
    "det_crop_mode": (_WINDOW_DATA, "crop_mode"),
    "hdf5_output_param": ({"hdf5_output": "hdf5_output_param"}, ""),
}
"""From a V0 field to the parameter message of each type that takes it, and its name there."""

_TRANSFORMS = {
    "scale": "scale",
    "meanfile": "mean_file",
    "cropsize": "crop_size",
    "mirror": "mirror",
}
_SAME = ("blobs", "blobs_lr", "weight_decay")
_KEPT = ("name", "input", "input_dim", "force_backward")
"""What Caffe keeps of a V0 net beside its layers; the rest did not exist then."""

Place = Callable[[int], str]


def to_v1(net: Any, place: Place, notes: list[str]) -> tuple[Any, list[int]]:
    """A V0 net in V1's form, and which of the old layers its layers were. Raises DefinitionError.

    A field that a type does not take is forgotten with a note, as Caffe forgets it.
    """
    layers, kept = _without_padding(net, place)
    new = _pb2.NetParameter()
    for name in _KEPT:
        value = getattr(net, name)
        if not isinstance(value, (str, bool)):
            getattr(new, name).extend(value)
        elif net.HasField(name):
            setattr(new, name, value)
    for index, layer in zip(kept, layers, strict=True):
        _layer_to_v1(layer, new.layers.add(), place(index), notes)
    return new, kept


def _without_padding(net: Any, place: Place) -> tuple[list[Any], list[int]]:
    source: dict[str, int] = dict.fromkeys(net.input, -1)
    layers: list[Any] = []
    kept: list[int] = []
    for index, connection in enumerate(net.layers):
        kind = connection.layer.type
        if kind != PADDING:
            layers.append(_pb2.V1LayerParameter())
            layers[-1].CopyFrom(connection)
            kept.append(index)
        for number, bottom in enumerate(connection.bottom):
            if bottom not in source:
                raise DefinitionError(
                    f'{place(index)}: layer "{connection.layer.name}": unknown bottom "{bottom}"',
                    allowed=", ".join(source) or "nothing: no layer before it has a top",
                    next_step=did_you_mean(bottom, source),
                )
            before = net.layers[source[bottom]] if source[bottom] >= 0 else None
            if before is None or before.layer.type != PADDING:
                continue
            if kind not in _WINDOWS or {1} != {
                len(connection.bottom),
                len(before.bottom),
                len(before.top),
            }:
                raise DefinitionError(
                    f'{place(index)}: layer "{connection.layer.name}" ({kind}) cannot take the '
                    f'padding layer "{before.layer.name}"',
                    allowed="a conv or pool layer with one bottom, after padding with one bottom "
                    "and one top",
                    next_step="write pad into the layer itself",
                )
            layers[-1].layer.pad = before.layer.pad
            layers[-1].bottom[number] = before.bottom[0]
        source.update(dict.fromkeys(connection.top, index))
    return layers, kept


def _layer_to_v1(old: Any, new: Any, place: str, notes: list[str]) -> None:
    new.bottom.extend(old.bottom)
    new.top.extend(old.top)
    if not old.HasField("layer"):
        return
    layer = old.layer
    for field, value in layer.ListFields():
        if field.name == "name":
            new.name = value
        elif field.name == "type":
            new.type = _type(layer, place)
        elif field.name in _SAME:
            getattr(new, field.name).MergeFrom(value)
        elif field.name in _TRANSFORMS:
            setattr(new.transform_param, _TRANSFORMS[field.name], value)
        elif field.name in _MOVES and layer.type in _MOVES[field.name][0]:
            owners, name = _MOVES[field.name]
            _move(value, getattr(new, owners[layer.type]), name)
        else:
            notes.append(
                f'{place}: layer "{layer.name}" ({layer.type}) takes no {field.name}; '
                "it is forgotten, as Caffe forgets it"
            )


def _move(value: Any, param: Any, name: str) -> None:
    if not name:
        param.CopyFrom(value)
        return
    field = param.DESCRIPTOR.fields_by_name[name]
    if field.is_repeated:
        getattr(param, name).append(value)
    elif field.message_type is not None:
        getattr(param, name).CopyFrom(value)
    else:
        # new_height and new_width were signed; Caffe casts them.
        unsigned = field.cpp_type == field.CPPTYPE_UINT32
        setattr(param, name, value & 0xFFFFFFFF if unsigned else value)


def _type(layer: Any, place: str) -> Any:
    if layer.type not in TYPES:
        raise DefinitionError(
            f'{place}: layer "{layer.name}": unknown V0 layer type "{layer.type}"',
            allowed=", ".join((*TYPES, PADDING)),
            next_step=did_you_mean(layer.type, TYPES),
        )
    return _pb2.V1LayerParameter.LayerType.Value(TYPES[layer.type])
