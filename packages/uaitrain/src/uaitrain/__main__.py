"""``python -m uaitrain``."""

from uaitrain.cli.main import run

run()
