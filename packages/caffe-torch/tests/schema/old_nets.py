"""Nets in the forms before Caffe 1.0, by name; each is brought to the 1.0 form by real Caffe."""

V0 = """
name: "v0"
input: "extra" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4
force_backward: true
layers { layer { name: "data" type: "data" source: "db" meanfile: "mean" batchsize: 8 cropsize: 27
                 mirror: true scale: 0.5 rand_skip: 3 }
         top: "data" top: "label" }
layers { layer { name: "pad1" type: "padding" pad: 2 } bottom: "data" top: "pad1" }
layers { layer { name: "conv1" type: "conv" num_output: 96 kernelsize: 11 stride: 4 group: 2
                 biasterm: false weight_filler { type: "gaussian" std: 0.01 }
                 bias_filler { type: "constant" value: 0.1 }
                 blobs_lr: 1. blobs_lr: 2. weight_decay: 1. weight_decay: 0. }
         bottom: "pad1" top: "conv1" }
layers { layer { name: "relu1" type: "relu" } bottom: "conv1" top: "conv1" }
layers { layer { name: "pad2" type: "padding" pad: 1 } bottom: "conv1" top: "pad2" }
layers { layer { name: "pool1" type: "pool" pool: AVE kernelsize: 3 stride: 2 }
         bottom: "pad2" top: "pool1" }
layers { layer { name: "pool2" type: "pool" pool: STOCHASTIC kernelsize: 3 pad: 1 }
         bottom: "pool1" top: "pool2" }
layers { layer { name: "norm1" type: "lrn" local_size: 3 alpha: 0.01 beta: 0.5 k: 2 }
         bottom: "pool2" top: "norm1" }
layers { layer { name: "cat" type: "concat" concat_dim: 0 } bottom: "norm1" bottom: "norm1"
         top: "cat" }
layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.3 } bottom: "cat" top: "cat" }
layers { layer { name: "ip" type: "innerproduct" num_output: 7 biasterm: true
                 weight_filler { type: "xavier" } bias_filler { value: 2 } }
         bottom: "cat" top: "ip" }
layers { layer { name: "loss" type: "softmax_loss" } bottom: "ip" bottom: "label" }
"""

NEWER = """
state { level: 2 } debug_info: true input_shape { dim: 3 }
layers { name: "v1" type: RELU bottom: "ip" top: "z" blobs_lr: 3 }
layer { name: "dropped" }
"""

V0_OTHER_TYPES = """
layers { layer { name: "images" type: "images" source: "list" batchsize: 2 rand_skip: 1
                 shuffle_images: true new_height: 32 new_width: -5 meanfile: "m" }
         top: "a" top: "label" }
layers { layer { name: "window" type: "window_data" source: "w" batchsize: 4
                 det_fg_threshold: 0.6 det_bg_threshold: 0.4 det_fg_fraction: 0.3
                 det_context_pad: 16 det_crop_mode: "square" mirror: true } top: "b" }
layers { layer { name: "h5" type: "hdf5_data" source: "h" batchsize: 4 } top: "c" }
layers { layer { name: "out" type: "hdf5_output" hdf5_output_param { file_name: "o" } }
         bottom: "a" bottom: "label" }
layers { layer { name: "info" type: "infogain_loss" source: "i" } bottom: "a" bottom: "label" }
layers { layer { name: "acc" type: "accuracy" } bottom: "a" bottom: "label" top: "acc" }
layers { layer { name: "t" type: "tanh" num_output: 3 pad: 2 source: "x" det_crop_mode: "q" }
         bottom: "a" top: "t" }
layers { layer { name: "l" type: "bnll" } bottom: "t" top: "l" }
layers { layer { name: "e" type: "euclidean_loss" } bottom: "l" bottom: "l" }
layers { layer { name: "f" type: "flatten" } bottom: "l" top: "f" }
layers { layer { name: "i" type: "im2col" kernelsize: 3 } bottom: "l" top: "i" }
layers { layer { name: "m" type: "multinomial_logistic_loss" } bottom: "f" bottom: "label" }
layers { layer { name: "s" type: "sigmoid" } bottom: "f" top: "s" }
layers { layer { name: "x" type: "softmax" } bottom: "f" top: "x" }
layers { layer { name: "sp" type: "split" } bottom: "x" top: "x1" top: "x2" }
layers { layer { name: "untyped" } bottom: "x" top: "u" }
layers { bottom: "u" top: "v" }
"""

V1 = """
name: "v1"
input: "in" input: "in2" input_shape { dim: 2 dim: 3 } input_shape { dim: 4 }
state { phase: TRAIN level: 2 stage: "s" }
debug_info: true
layers { name: "d" type: DATA top: "data" top: "label" include { phase: TRAIN }
         data_param { source: "db" backend: LMDB batch_size: 3 scale: 0.25 mean_file: "m"
                      crop_size: 5 mirror: true } }
layers { name: "e" type: DATA top: "data" top: "label" exclude { phase: TRAIN }
         data_param { source: "db" batch_size: 3 } }
layers { name: "w" type: WINDOW_DATA top: "win" window_data_param { source: "w" crop_size: 3 } }
layers { name: "n" type: IMAGE_DATA top: "img" image_data_param { source: "w" mirror: false } }
layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" blobs_lr: 1 blobs_lr: 2
         weight_decay: 1 weight_decay: 0 weight_decay: 3 param: "shared" param: "b"
         blob_share_mode: PERMISSIVE convolution_param { num_output: 2 kernel_size: 3 pad: 1 } }
layers { name: "r" type: RELU bottom: "c" top: "c" relu_param { negative_slope: 0.1 } }
layers { name: "l" type: SOFTMAX_LOSS bottom: "c" bottom: "label" top: "l" loss_weight: 0.5
         loss_param { ignore_label: 3 normalize: false } }
layers { name: "nothing" bottom: "c" top: "q" }
layers { name: "none" type: NONE bottom: "q" }
"""

EVERY_V1_TYPE = "\n".join(
    f'layers {{ name: "n{number}" type: {number} top: "t{number}" }}' for number in range(40)
)

EVERY_V1_PARAM = """
layers { type: CONCAT
  concat_param { axis: 2 } convolution_param { group: 2 } data_param { source: "s" }
  dropout_param { dropout_ratio: 0.1 } hdf5_data_param { source: "s" }
  hdf5_output_param { file_name: "s" } image_data_param { source: "s" }
  infogain_loss_param { source: "s" } inner_product_param { num_output: 1 }
  lrn_param { local_size: 3 } pooling_param { pool: AVE } window_data_param { source: "s" }
  power_param { power: 2 } memory_data_param { width: 3 } argmax_param { top_k: 2 }
  eltwise_param { coeff: [1, 2] } threshold_param { threshold: 1 } dummy_data_param { num: 3 }
  accuracy_param { top_k: 3 } hinge_loss_param { norm: L2 } relu_param { engine: CAFFE }
  slice_param { slice_point: 1 slice_point: 2 } mvn_param { eps: 1 } loss_weight: [1, 0]
  transform_param { scale: 2 } tanh_param { engine: CUDNN } sigmoid_param { engine: CAFFE }
  softmax_param { axis: 0 } contrastive_loss_param { margin: 2 } exp_param { base: 2 }
  loss_param { normalize: true } blobs { shape { dim: 2 } data: [1, 2] } }
"""

INPUTS = """
name: "inputs" input: "a" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4
layer { name: "r" type: "ReLU" bottom: "a" top: "r" }
layer { name: "s" type: "ReLU" bottom: "r" top: "s" }
"""
INPUT_SHAPES = """
input: "a" input: "b" input_shape { dim: 1 dim: 2 } input_shape { } input_shape { dim: 7 }
input_dim: 3
layer { name: "r" type: "ReLU" bottom: "a" top: "r" }
"""
INPUTS_WITHOUT_SHAPE = 'input: "a" layer { name: "r" type: "ReLU" bottom: "a" top: "r" }'

BATCH_NORM = """
layer { name: "old" type: "BatchNorm" bottom: "a" top: "a" param { lr_mult: 2 } param { }
        param { name: "shared" lr_mult: 0 } }
layer { name: "two" type: "BatchNorm" bottom: "a" top: "a" param { lr_mult: 0 } param { lr_mult: 0 }
}
layer { name: "scale" type: "Scale" bottom: "a" top: "a" param { } param { } param { } }
"""
NEW = """
layer { name: "d" type: "Data" data_param { scale: 2 crop_size: 3 } top: "d" }
input_dim: 3
"""

NETS = {
    "V0": V0,
    "V0, other types": V0_OTHER_TYPES,
    "V0 with newer fields": V0 + NEWER,
    "V1": V1,
    "V1, every type": EVERY_V1_TYPE,
    "V1, every parameter": EVERY_V1_PARAM,
    "input_dim": INPUTS,
    "input_shape": INPUT_SHAPES,
    "input without shape": INPUTS_WITHOUT_SHAPE,
    "BatchNorm with three param": BATCH_NORM,
    "1.0": NEW,
}

REFUSED = {
    "layer and layers": 'layers { name: "a" } layer { name: "b" }',
    "an unknown V0 type": 'layers { layer { name: "a" type: "konv" } }',
    "an unknown V0 bottom": 'layers { layer { name: "a" type: "relu" } bottom: "x" }',
    "padding before relu": """
        layers { layer { name: "d" type: "data" } top: "d" }
        layers { layer { name: "p" type: "padding" pad: 1 } bottom: "d" top: "p" }
        layers { layer { name: "r" type: "relu" } bottom: "p" top: "r" }""",
    "padding and another bottom": """
        layers { layer { name: "d" type: "data" } top: "d" }
        layers { layer { name: "p" type: "padding" pad: 1 } bottom: "d" top: "p" }
        layers { layer { name: "c" type: "conv" } bottom: "p" bottom: "d" top: "r" }""",
}
