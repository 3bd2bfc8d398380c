"""Caffe's messages; :mod:`caffe_pb2` costs the import of protobuf, so ask for it late."""
