"""The stock entry: our ``train.py`` goes into the image when the code folder has none."""

from __future__ import annotations

from pathlib import Path

from uaitrain.files.inventory import Inventory
from uaitrain.files.select import select
from uaitrain.frameworks import caffe
from uaitrain.spec import TrainSpec

NAME = caffe.STOCK_ENTRY
LAYER = f"stock {NAME}"


def is_needed(spec: TrainSpec, inventory: Inventory) -> bool:
    return spec.main_file == NAME and inventory.find(NAME) is None


def inventory() -> Inventory:
    """The stock entry alone, as a code folder of one file."""
    folder = Path(__file__).parent.parent / "container"
    chosen = select(folder)
    return Inventory(folder, tuple(e for e in chosen.entries if e.path == NAME))
