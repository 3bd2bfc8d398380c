#!/usr/bin/env python3
"""UAI-Train's packing tool for Caffe jobs. Copy it beside your code folder and run it there:

python caffe_tool.py pack --help
"""

import sys

try:
    from uaitrain.cli.caffe_tool import run
except (ImportError, SyntaxError):
    # An old Python may be the one that reads this: nothing newer than 2.7 stands here.
    sys.exit(
        "caffe_tool.py: uaitrain is not installed for {0} (Python {1})\n"
        "  allowed: Python 3.11 or later, with uaitrain installed for it\n"
        "  next: use the Python that has uaitrain, or install it from its repository: "
        "{0} -m pip install packages/uaitrain".format(sys.executable, sys.version.split()[0])
    )

if __name__ == "__main__":
    run(__file__)
