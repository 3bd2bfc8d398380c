"""The ``caffe`` program: one file a command."""
