"""``python -m uaitrain``."""

from uaitrain.entry import run

run()
