"""Ask real Caffe: source text and arrays in, arrays out."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from support.caffe_rootfs import _ENTER, _ENVIRONMENT, caffe_root

Arrays = dict[str, np.ndarray[Any, Any]]


class OracleAbortedError(Exception):
    """Caffe aborted or Python raised; the text is what was printed."""


class Oracle:
    """One process with real pycaffe; ``folder`` is its ``/data``. ``environment`` adds to the
    usual one, which asks for one thread."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        shutil.copy(Path(__file__).with_name("server.py"), folder / "oracle_server.py")
        namespace = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
        # Each oracle has a /tmp of its own: several runs of the tests may go on at once.
        private = f'mount -t tmpfs tmpfs "$0/tmp" && {_ENTER}'
        enter = ["sh", "-c", private, str(caffe_root()), str(folder), "+0:+0"]
        program = ["/usr/bin/python3", "/data/oracle_server.py"]
        self._process = subprocess.Popen(
            [*namespace, *enter, *program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**_ENVIRONMENT, "GLOG_minloglevel": "2", **environment},
        )

    def __call__(self, source: str, **arrays: Any) -> Arrays:
        """Run ``source`` (dedented) with ``args`` = ``arrays``; gives what it put into ``out``.

        Raises OracleAbortedError.
        """
        buffer = io.BytesIO()
        np.savez(buffer, source=np.array(textwrap.dedent(source)), **arrays)
        data = buffer.getvalue()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(struct.pack(">Q", len(data)) + data)
        self._process.stdin.flush()
        (size,) = struct.unpack(">Q", self._process.stdout.read(8))
        answer = dict(np.load(io.BytesIO(self._process.stdout.read(size)), allow_pickle=False))
        if "aborted" in answer:
            raise OracleAbortedError(str(answer["aborted"]))
        return answer

    def write(self, name: str, text: str | bytes) -> str:
        """A file that the oracle sees; its path there."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return f"/data/{name}"

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def named(arrays: Arrays, prefix: str) -> Mapping[str, np.ndarray[Any, Any]]:
    """The arrays whose names begin with ``prefix``, without it."""
    return {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}
