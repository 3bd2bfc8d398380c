"""The entry of ``uaitrain``: the table of verbs, exit codes, interrupts.

Only the verb that was asked for is imported, so that each starts fast.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from uaitrain import __version__
from uaitrain.cli.console import Console
from uaitrain.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_TERMINATED,
    StorageError,
    UaitrainError,
    UsageError,
)
from uaitrain.typed import Protocol, cast

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import NoReturn

VERBS = {
    "init": "write uaitrain.toml for the folder at hand",
    "check": "preflight alone: find what would make the job fail",
    "pack": "build both images, push the GPU image, write the commands",
    "test": "run the local test here, with live progress",
    "submit": "run the packed job on a backend: Slurm, Kubernetes, ...",
    "runs": "list the submitted runs: state, iteration, loss, accuracy",
    "show": "everything about one run",
    "logs": "what a run has written",
    "cancel": "end a run",
    "report": "one run as one HTML page",
    "inspect": "what an image is made of, and what differs between two",
    "base": "base images: list, build, push, lock, remove",
    "data": "split and merge large data files",
    "doctor": "what this machine can do, what is missing, how to get it",
}

_HELP = """\
uaitrain {version}: turn a folder of training code into container images that train.

usage: uaitrain VERB [options]        uaitrain VERB --help explains a verb

{verbs}

A first job:
  uaitrain base build caffe-1.0.0 --accelerator cpu     once: the base image with Caffe
  uaitrain init                                         writes uaitrain.toml; edit it
  uaitrain pack --push                                  two images and uaitrain_cmd.txt
  uaitrain test                                         trains here, in the CPU image
  uaitrain submit slurm                                 trains there; `uaitrain runs` lists runs

Exit codes: 0 done, 1 different (`inspect --diff`), 2 usage, 3 preflight, 4 code folder, 5 base
image, 6 registry, 7 engine, 8 disk, 9 busy, 10 cluster, 70 a bug of ours, 130 and 143 interrupted;
`test` and `submit --follow` end as the run ends.
"""


_DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


class Verb(Protocol):
    """What each module ``uaitrain.cli.<verb>`` has."""

    def add_parser(
        self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]
    ) -> None: ...

    def run(self, arguments: argparse.Namespace, console: Console) -> int: ...


class Terminated(BaseException):
    """SIGTERM, raised in the main thread so that everything is cleaned up on the way out."""


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    # Whoever sends it again must not break the cleaning up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the return value is the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _run(words), Console(as_json="--json" in words))


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        verbs = "\n".join(f"  {name:<8} {text}" for name, text in VERBS.items())
        print(_HELP.format(version=__version__, verbs=verbs), end="", flush=True)
        return EXIT_OK
    if words[0] in ("-V", "--version"):
        print(f"uaitrain {__version__}", flush=True)
        return EXIT_OK
    return _run_verb(words)


def guarded(body: Callable[[], int], console: Console) -> int:
    """Call ``body``; turn what it raises into a message and an exit code."""
    previous = signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        return body()
    except UaitrainError as error:
        console.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        console.note("interrupted; nothing was left half-done")
        return EXIT_INTERRUPTED
    except Terminated:
        console.note("terminated; nothing was left half-done")
        return EXIT_TERMINATED
    except BrokenPipeError:
        # Whoever read our output went away; Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except OSError as error:
        if error.errno not in _DISK_TROUBLE:
            return _tell_bug(error, console)
        reason = os.strerror(error.errno or 0)
        trouble = StorageError(f"cannot write the output: {reason}", next_step="free some space")
        console.error(trouble)
        return trouble.exit_code
    except Exception as error:  # noqa: BLE001 - the last border: a bug is told as one
        return _tell_bug(error, console)
    finally:
        console.close()
        signal.signal(signal.SIGTERM, previous)


def _run_verb(words: list[str]) -> int:
    name = words[0]
    if name not in VERBS:
        from uaitrain.nearest import nearest

        close = nearest(name, VERBS)
        raise UsageError(
            f"unknown verb {name!r}",
            allowed=", ".join(VERBS),
            next_step=f"uaitrain {close}" if close else "uaitrain --help",
        )
    verb = cast(Verb, importlib.import_module(f"uaitrain.cli.{name}"))
    from uaitrain.cli import flags

    arguments = flags.parse(verb, words)
    if arguments is None:
        from uaitrain.cli import parser

        arguments = parser.parse(verb, words)
    console = Console(quiet=arguments.quiet, as_json=arguments.json)
    try:
        return verb.run(arguments, console)
    finally:
        console.close()


def _tell_bug(error: Exception, console: Console) -> int:
    import traceback

    from uaitrain import atomic, paths

    console.warn(f"this is a bug of uaitrain: {type(error).__name__}: {error}")
    report = paths.cache_dir() / "bug.txt"
    try:
        report.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(report, "".join(traceback.format_exception(error)).encode(), 0o600)
    except (OSError, UaitrainError):
        traceback.print_exception(error)
    else:
        console.note(f"  where it happened is in {report}")
    return EXIT_BUG


def run() -> NoReturn:
    """The console script's entry."""
    leave_with(main)


def leave_with(body: Callable[[], int]) -> NoReturn:
    """Run the process' whole work and end with its exit code.

    A small pack takes as long as its imports. So the cycle collector comes rarely, and nothing
    is taken apart at the end: together they were a quarter of the time.
    """
    gc.set_threshold(100_000)
    code = body()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        pass  # whoever read our output had enough
    except OSError:
        code = code or StorageError.exit_code
    os._exit(code)
