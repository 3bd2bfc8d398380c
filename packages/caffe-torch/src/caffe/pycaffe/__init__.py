"""The face that pycaffe's users know, over the engine: views of blobs, nets, solvers, images.

Here alone lives what Caffe keeps globally: mode, device, random numbers, which solver of how many.
"""
