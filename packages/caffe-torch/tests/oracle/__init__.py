"""The oracle: real BVLC Caffe 1.0.0, asked live by the tests."""
