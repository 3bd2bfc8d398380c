"""The launcher, the first process of every container: /opt/uaitrain/launch.pyz COMMAND [WORD ...]

This folder as a zip that Python runs, for Python 2.7 and 3, with the standard library alone.
`train.py` lies beside these modules in it: what it knows of solvers and snapshots is used here.
"""

import sys

from launcher import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
