"""Where a process begins: is it the same pack again? Else the command line."""

from __future__ import annotations

import os
import sys

from uaitrain import utf8


def run() -> None:
    """The program ``uaitrain``."""
    utf8.ensure()
    if sys.argv[1:2] == ["pack"] and "--profile" not in sys.argv:
        # A pack of which nothing has changed is over before the command line would be loaded.
        from uaitrain.again.recall import recall

        try:
            if recall(sys.argv[1:]):
                os._exit(0)
        except KeyboardInterrupt:
            os._exit(130)
    from uaitrain.cli.main import run as run_command_line

    run_command_line()
