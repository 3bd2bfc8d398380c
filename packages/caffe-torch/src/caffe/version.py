"""The engine's own version, and the Caffe that it is compatible with."""

__version__ = "0.1.0"
CAFFE_VERSION = "1.0.0"
