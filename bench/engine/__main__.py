"""``python bench/engine``: the engine's speed beside real Caffe's; see :mod:`speed`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import speed

speed.main()
