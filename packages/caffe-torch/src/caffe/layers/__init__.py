"""The table of net layer types: Caffe's name, and the module and class that do it.

A new type is one file and one row. Modules are imported when a net has their type.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any

from caffe.errors import DefinitionError
from caffe.layers.base import Context, Layer

TABLE = {
    # data
    "Data": "data:Data",
    "ImageData": "image_data:ImageData",
    "HDF5Data": "hdf5_data:HDF5Data",
    "HDF5Output": "hdf5_output:HDF5Output",
    "WindowData": "window_data:WindowData",
    "MemoryData": "memory_data:MemoryData",
    "DummyData": "dummy_data:DummyData",
    "Input": "input:Input",
    "Parameter": "parameter:Parameter",
    "Python": "python:Python",
    # vision
    "Convolution": "convolution:Convolution",
    "Deconvolution": "deconvolution:Deconvolution",
    "Pooling": "pooling:Pooling",
    "LRN": "lrn:LRN",
    "Crop": "crop:Crop",
    "Im2col": "im2col:Im2col",
    "SPP": "spp:SPP",
    # neuron
    "ReLU": "relu:ReLU",
    "PReLU": "prelu:PReLU",
    "ELU": "elu:ELU",
    "Sigmoid": "sigmoid:Sigmoid",
    "TanH": "tanh:TanH",
    "AbsVal": "absval:AbsVal",
    "BNLL": "bnll:BNLL",
    "Power": "power:Power",
    "Exp": "exp:Exp",
    "Log": "log:Log",
    "Dropout": "dropout:Dropout",
    "Threshold": "threshold:Threshold",
    "Clip": "clip:Clip",
    "Swish": "swish:Swish",
    # common
    "InnerProduct": "inner_product:InnerProduct",
    "Embed": "embed:Embed",
    "BatchNorm": "batch_norm:BatchNorm",
    "Scale": "scale:Scale",
    "Bias": "bias:Bias",
    "MVN": "mvn:MVN",
    "Softmax": "softmax:Softmax",
    "ArgMax": "argmax:ArgMax",
    "Eltwise": "eltwise:Eltwise",
    "Concat": "concat:Concat",
    "Slice": "slice:Slice",
    "Split": "split:Split",
    "Flatten": "flatten:Flatten",
    "Reshape": "reshape:Reshape",
    "Reduction": "reduction:Reduction",
    "Tile": "tile:Tile",
    "Filter": "filter:Filter",
    "BatchReindex": "batch_reindex:BatchReindex",
    "Silence": "silence:Silence",
    # loss and metric
    "SoftmaxWithLoss": "softmax_with_loss:SoftmaxWithLoss",
    "SigmoidCrossEntropyLoss": "sigmoid_cross_entropy_loss:SigmoidCrossEntropyLoss",
    "EuclideanLoss": "euclidean_loss:EuclideanLoss",
    "HingeLoss": "hinge_loss:HingeLoss",
    "ContrastiveLoss": "contrastive_loss:ContrastiveLoss",
    "InfogainLoss": "infogain_loss:InfogainLoss",
    "MultinomialLogisticLoss": "multinomial_logistic_loss:MultinomialLogisticLoss",
    "Accuracy": "accuracy:Accuracy",
    # recurrent
    "RNN": "rnn:RNN",
    "LSTM": "lstm:LSTM",
    "LSTMUnit": "lstm_unit:LSTMUnit",
}


def layer_class(kind: str) -> type[Layer]:
    """The class for Caffe's type name. Raises DefinitionError for a type that Caffe lacks."""
    row = TABLE.get(kind)
    if row is None:
        near = difflib.get_close_matches(kind, TABLE, n=1)
        raise DefinitionError(
            f'unknown layer type "{kind}"',
            allowed=", ".join(sorted(TABLE)),
            next_step=f'did you mean "{near[0]}"?' if near else "",
        )
    module, name = row.split(":")
    found: type[Layer] = getattr(import_module(f"caffe.layers.{module}"), name)
    return found


def create(param: Any, context: Context) -> Layer:
    """The layer of a LayerParameter."""
    try:
        found = layer_class(param.type)
    except DefinitionError as error:
        raise DefinitionError(
            f'layer "{param.name}": {error.what}',
            allowed=error.allowed,
            next_step=error.next_step,
        ) from None
    return found(param, context)


def __getattr__(name: str) -> Any:
    """``from caffe import layers as L; L.ReLU(...)``: pycaffe has a NetSpec's types here."""
    if not name[:1].isupper():
        raise AttributeError(f"module 'caffe.layers' has no attribute '{name}'")
    return getattr(import_module("caffe.pycaffe.net_spec").layers, name)


__all__ = ["TABLE", "Context", "Layer", "create", "layer_class"]
