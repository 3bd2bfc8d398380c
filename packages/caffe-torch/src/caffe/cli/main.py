"""Dispatch, and how the program ends.

Like Caffe, a refusal is a log line of severity F and the end by SIGABRT (134 in a shell); an
unknown flag is 1; everything else 0. Programs that watch Caffe rely on it.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from caffe import log
from caffe.cli.arguments import HELP, Flags, UnknownFlagError, parse
from caffe.errors import CaffeError
from caffe.version import CAFFE_VERSION, __version__

COMMANDS = {
    "train": "train or finetune a model",
    "test": "score a model",
    "device_query": "show GPU diagnostic information",
    "time": "benchmark model execution time",
    "shapes": "show every blob's shape and the memory that training needs",
}
PLACES = {"train": "caffe.cpp:167", "test": "caffe.cpp:258", "time": "caffe.cpp:331"}
REFUSED = 134
INTERRUPTED = 130
UNREAD = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (default: the process's); gives the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        command, flags = parse(words)
    except UnknownFlagError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    if flags.version:
        print(f"caffe version {CAFFE_VERSION} (caffe-torch {__version__})")
        return 0
    if not command or flags.help:
        print(usage())
        return 0
    if command not in COMMANDS:
        log.write("caffe.cpp:78", "Available caffe actions:", log.ERROR)
        for name in sorted(COMMANDS):
            log.write("caffe.cpp:81", f"\t{name}", log.ERROR)
        return refuse("caffe.cpp:83", f"Unknown action: {command}")
    run: Callable[[Flags], int] = import_module(f"caffe.cli.{command}").run
    try:
        return run(flags)
    except CaffeError as error:
        return refuse(PLACES.get(command, "caffe.cpp:439"), str(error))
    except BrokenPipeError:
        # Whoever read our output has stopped; closing it once more must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except KeyboardInterrupt:
        return INTERRUPTED
    except (MemoryError, RuntimeError) as error:
        reason = _of_the_device(error)
        if not reason:
            raise
        return refuse("syncedmem.hpp:28", reason)


def _of_the_device(error: Exception) -> str:
    """What torch's exceptions about memory and GPUs mean for a person; empty for any other."""
    said = str(error).split("\n", 1)[0]
    if isinstance(error, MemoryError) or "memory" in said.lower():
        return (
            f"out of memory ({said}); next: a smaller batch_size or num_output; caffe shapes tells "
            "the need"
        )
    if "device-side assert" in said:
        return f"the GPU refused a value ({said}); next: train on the CPU, which names the label"
    return f"{said}" if "CUDA error" in said else ""


def usage() -> str:
    lines = ["caffe: command line brew", "usage: caffe <command> <args>", "", "commands:"]
    lines += [f"  {name:<15} {what}" for name, what in COMMANDS.items()]
    return "\n".join([*lines, "", HELP])


def refuse(place: str, text: str) -> int:
    """Say why, and end as a failed CHECK does."""
    log.write(place, text, log.FATAL)
    sys.stdout.flush()
    if os.getpid() != 1:
        # The first process of a container cannot die by a signal; it returns the status instead.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGABRT)
    return REFUSED
