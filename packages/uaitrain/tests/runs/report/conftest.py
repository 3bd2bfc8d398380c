from __future__ import annotations

from support.caffe_rootfs import box3

__all__ = ["box3"]
