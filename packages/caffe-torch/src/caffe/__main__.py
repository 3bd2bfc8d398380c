"""``python -m caffe`` and the ``caffe`` program."""

from __future__ import annotations

from caffe import process

process.prepare()

from caffe.cli.main import main  # noqa: E402 - the environment has to be set before torch loads


def run() -> None:
    """The ``caffe`` program: ends the process with Caffe's exit status."""
    raise SystemExit(main())


if __name__ == "__main__":
    run()
