"""Runs inside the oracle's root folder, under its Python 3.9, beside real pycaffe.

Reads calls on standard input, answers on standard output. A message is a length (8 bytes, big
endian) and an npz archive: arrays by name, and ``source``, the Python text of a call. The text
sees ``np``, ``caffe``, ``args`` (the arrays of the call) and ``out`` (a dict for the answer).
Each call runs in a forked child: Caffe's global state, its random numbers and its aborts stay
there. When a child ends without an answer, the answer holds ``aborted``: what it printed.
"""

import io
import os
import struct
import sys
import tempfile
import traceback

os.environ.setdefault("GLOG_minloglevel", "2")
import numpy as np

answers = os.dup(1)
os.dup2(2, 1)
sys.path.insert(0, "/data")
import caffe  # noqa: E402


def read(handle, size):
    pieces = []
    while size:
        piece = os.read(handle, min(size, 1 << 20))
        if not piece:
            sys.exit(0)
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def run(source, args):
    out = {}
    exec(compile(source, "<call>", "exec"), {"np": np, "caffe": caffe, "args": args, "out": out})
    return out


def pack(arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def child(source, args, said, answer):
    os.dup2(said.fileno(), 1)
    os.dup2(said.fileno(), 2)
    try:
        data = pack(run(source, args))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    answer.write(data)
    answer.flush()
    os._exit(0)


def main():
    while True:
        (size,) = struct.unpack(">Q", read(0, 8))
        args = dict(np.load(io.BytesIO(read(0, size)), allow_pickle=False))
        source = str(args.pop("source"))
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as answer:
            pid = os.fork()
            if pid == 0:
                child(source, args, said, answer)
            _, status = os.waitpid(pid, 0)
            answer.seek(0)
            data = answer.read()
            said.seek(0)
            text = said.read().decode("utf-8", "replace")
            if status or not data:
                data = pack({"aborted": np.array("status %d\n%s" % (status, text))})
        payload = struct.pack(">Q", len(data)) + data
        while payload:
            payload = payload[os.write(answers, payload) :]


main()
