"""``uaitrain report``: one run as one HTML page."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from uaitrain.cli.console import Console
from uaitrain.errors import EXIT_OK, UaitrainError, UsageError

if TYPE_CHECKING:
    from uaitrain.runs.report import RunReport
    from uaitrain.runs.report.gather import Job

_DESCRIPTION = """\
Write one HTML page about a run: curves of loss, accuracy, learning rate and speed, settings,
image and data digest, environment, exit code and reason, the log's last lines. The page needs no
network and no other file; print it, mail it, keep it.

RUN is a run of `uaitrain runs`, or what its id begins or ends with. Without it, the newest run in
the output folder of uaitrain.toml, or in --output."""

_EXAMPLES = """\
examples:
  uaitrain report                            the last local test of this folder's job
  uaitrain report 3f2a1c                     a submitted run
  uaitrain report --output ./output          any output folder, without uaitrain.toml
  uaitrain report --log run.log --write a.html
"""

_ASK_SECONDS = 10.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "report", help="a run as one HTML page", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.add_argument("run", metavar="RUN", nargs="?", default="")
    parser.add_argument("--output", metavar="DIR", help="output folder of a local run")
    parser.add_argument("--log", type=Path, metavar="FILE", help="its log, if not the newest one")
    parser.add_argument("--data", metavar="DIR", help="its data folder")
    parser.add_argument("--file", type=Path, metavar="TOML", help="settings file of its job")
    parser.add_argument(
        "--data-contents",
        action="store_true",
        help="digest what the data files hold, not their names, sizes and times",
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="the page (default: report-<run>.html here)"
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    from uaitrain import atomic
    from uaitrain.runs.report import render

    report = _of_store(arguments, console) if arguments.run else _of_folder(arguments, console)
    path = arguments.write or Path(f"report-{_file_word(report.title)}.html")
    page = render(report)
    atomic.write_bytes(path.absolute(), page.encode())
    if arguments.json:
        console.json(
            {
                "report": str(path.absolute()),
                "bytes": len(page.encode()),
                "title": report.title,
                "state": report.state,
                "curves": [curve.key for curve in report.curves],
            }
        )
        return EXIT_OK
    console.out(str(path))
    return EXIT_OK


def _of_store(arguments: argparse.Namespace, console: Console) -> RunReport:
    from uaitrain.runs.following import lines_of
    from uaitrain.runs.refresh import refresh
    from uaitrain.runs.report.gather import from_run
    from uaitrain.runs.store import Store

    for flag in ("output", "log", "data", "file"):
        if getattr(arguments, flag) is not None:
            raise UsageError(
                f"--{flag} and RUN: a submitted run knows its own", allowed="one of them"
            )
    store = Store()
    asked = refresh(store, [store.find(arguments.run)], _ASK_SECONDS)
    for name, reason in asked.reasons.items():
        console.warn(f"{name}: {reason}; the report has the last known values")
    (found,) = asked.runs
    return from_run(
        found,
        lambda: lines_of(found, follow=False, tail=None),
        contents=arguments.data_contents,
        progress=console.progress,
    )


def _of_folder(arguments: argparse.Namespace, console: Console) -> RunReport:
    from uaitrain.runs.report.gather import from_folder

    output, job = _job(arguments)
    if arguments.log is not None and not arguments.log.is_file():
        raise UsageError(f"--log: no file {str(arguments.log)!r}")
    if not output.is_dir() and arguments.log is None:
        raise UsageError(
            f"no output folder {str(output)!r}",
            next_step="uaitrain test makes one; --output names another",
        )
    return from_folder(
        output,
        job,
        log=arguments.log,
        contents=arguments.data_contents,
        progress=console.progress,
    )


def _job(arguments: argparse.Namespace) -> tuple[Path, Job]:
    """The output folder, and what uaitrain.toml says of the job where there is one."""
    from uaitrain import settings
    from uaitrain.runs.report.gather import Job
    from uaitrain.settings import absolute

    output = absolute(Path.cwd(), arguments.output) if arguments.output else None
    data = absolute(Path.cwd(), arguments.data) if arguments.data else None
    if arguments.file is None and not Path(settings.FILE_NAME).exists():
        if output is None and arguments.log is None:
            raise UsageError(
                "which run?",
                allowed="RUN, --output DIR, or a folder with uaitrain.toml",
                next_step="uaitrain runs lists the submitted ones",
            )
        return output or arguments.log.absolute().parent.parent, Job(data=data)
    named = argparse.Namespace(
        file=arguments.file, spec_output=arguments.output, spec_data=arguments.data
    )
    spec = settings.spec_from(named)
    job = Job(
        name=spec.target.image,
        data=spec.data,
        image=str(spec.target.cpu),
        image_digest=_digest_here(spec),
        settings=(
            ("framework", str(spec.framework)),
            ("main file", spec.main_file),
            ("solver file", spec.solver),
            ("arguments", " ".join(spec.arguments)),
            ("code", str(spec.code)),
        ),
    )
    return spec.output, job


def _digest_here(spec: object) -> str:
    """Of the image that this machine's engine has now, where it can be asked."""
    from uaitrain.access import Access, Registries
    from uaitrain.runs import packed
    from uaitrain.spec import CPU, TrainSpec

    assert isinstance(spec, TrainSpec)
    with contextlib.suppress(UaitrainError):
        options = {"local.engine": spec.ship.get("local.engine", "")}
        return packed.find(spec, CPU, "local", options, Registries(Access())).digest
    return ""


def _file_word(title: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in title).strip("-.") or "run"
