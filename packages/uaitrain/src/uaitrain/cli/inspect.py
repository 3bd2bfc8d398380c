"""``uaitrain inspect``: what an image is made of, and what differs between two."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from uaitrain.access import Registries
from uaitrain.cli.access import access_from, add_access_arguments
from uaitrain.cli.console import Console
from uaitrain.errors import EXIT_DIFFERENT, EXIT_OK, UsageError
from uaitrain.settings import CONTAINER_ENGINES

if TYPE_CHECKING:
    from uaitrain.inspection.compare import FileChange
    from uaitrain.inspection.layer_files import Entry, LayerFiles
    from uaitrain.inspection.look import Difference
    from uaitrain.inspection.source import Found
    from uaitrain.inspection.summary import Summary
    from uaitrain.oci.digest import Digest

_DESCRIPTION = """\
Show what an image is made of: its base, its layers and what is in them, its commands, the commit
of the code, and what is attached to it. Of an image in a registry only manifest and config are
fetched, unless --files or --diff asks for more.

IMAGE is one of
  HOST/NAME:TAG      in a registry: the name has the registry's host
  NAME:TAG           in Docker or Podman here: the name has no host
  engine:NAME:TAG    in Docker or Podman here, whatever the name
  oci:FOLDER[:NAME]  in an OCI layout
  archive:FILE       in a tar that `docker save`, `podman save` or `pack --archive` wrote"""

_EXAMPLES = """\
examples:
  uaitrain inspect registry.example.com/team/mnist:v1
  uaitrain inspect registry.example.com/team/mnist:v1 --files
  uaitrain inspect registry.example.com/team/mnist:v1 --diff registry.example.com/team/mnist:v2
  uaitrain inspect mnist-cpu:v1 --diff oci:uaitrain_images:mnist-cpu:v2 --patch

With --diff the exit code is 0 where the images hold the same, 1 where something differs.
Layers that both images have are not read. A file that lies over one of a shared layer is
therefore listed as added.
"""

_HOW = {"added": "+", "removed": "-", "changed": "~"}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "inspect",
        help="what an image is made of, and what differs between two",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument("--files", action="store_true", help="list the files of the pack's layers")
    parser.add_argument(
        "--all-layers", action="store_true", help="with --files: of the base's layers as well"
    )
    parser.add_argument("--diff", metavar="OTHER", help="what has changed in OTHER, file by file")
    parser.add_argument(
        "--patch", action="store_true", help="with --diff: show changed lines of small text files"
    )
    parser.add_argument(
        "--container-engine", choices=CONTAINER_ENGINES, help="which engine is asked for images"
    )
    add_access_arguments(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    from uaitrain.inspection.source import opened
    from uaitrain.inspection.summary import summarize
    from uaitrain.inspection.target import InRegistry, parse_target

    _check(arguments)
    target = parse_target(arguments.image)
    other = parse_target(arguments.diff) if arguments.diff else None
    host = target.reference.registry if isinstance(target, InRegistry) else ""
    registries = Registries(access_from(arguments, host))
    with opened(target, registries, arguments.container_engine) as found:
        if other:
            with opened(other, registries, arguments.container_engine) as second:
                return _diff(found, second, arguments, console)
        summary = summarize(found.image)
        files: dict[Digest, LayerFiles] = {}
        if arguments.files:
            from uaitrain.inspection.look import list_files

            everything = arguments.all_layers
            files = list_files(found, summary, console.progress, everything=everything)
    if arguments.json:
        from uaitrain.inspection.shown import shown_json

        console.json(shown_json(_described(found, summary, files)))
    _print(_lines(found, summary, files), console)
    return EXIT_OK


def _check(arguments: argparse.Namespace) -> None:
    for flag, needed, is_there in (
        ("--patch", "--diff OTHER", not arguments.patch or arguments.diff),
        ("--all-layers", "--files", not arguments.all_layers or arguments.files),
    ):
        if not is_there:
            raise UsageError(f"{flag} goes with {needed}", next_step=f"give {needed} as well")
    if arguments.files and arguments.diff:
        raise UsageError("--diff lists the files that differ, --files all of one image: give one")


def _print(lines: Iterator[str], console: Console) -> None:
    console.out("\n".join(lines))


def _lines(found: Found, summary: Summary, files: dict[Digest, LayerFiles]) -> Iterator[str]:
    from uaitrain.inspection.shown import shown
    from uaitrain.shell import quote
    from uaitrain.units import human_bytes

    yield shown(found.name)
    job = ", ".join(each for each in (summary.framework, summary.accelerator) if each)
    base = " ".join(each for each in (summary.base_name, summary.base_digest) if each)
    commit = summary.commit + (" and changes that were not committed" if summary.dirty else "")
    rows = {
        "digest": found.digest,
        "place": found.place,
        "platform": found.image.platform,
        "created": summary.created,
        "made by": summary.made_by,
        "job": job,
        "base": base,
        "commit": commit,
    }
    commands = {
        f"{name} command": " ".join(map(quote, words)) for name, words in summary.commands.items()
    }
    for name, value in (rows | commands).items():
        if str(value):
            yield f"  {name:<15}{shown(value)}"
    size = human_bytes(sum(layer.size for layer in summary.layers))
    own = f", {summary.own_layers} of them of the pack" if summary.own_layers else ""
    yield f"layers: {len(summary.layers)}{own}, {size}"
    for number, layer in enumerate(summary.layers, 1):
        there = files.get(layer.diff_id)
        count = f", {_counted(there)}" if there else ""
        name = shown(layer.name)
        name = f"{name[:99]}…" if len(name) > 100 else name or "(its history says nothing)"
        side = "pack" if layer.own else "base" if summary.own_layers else ""
        name = f"{side}: {name}" if side else name
        yield f"  {number:>3} {human_bytes(layer.size):>9}{count}  {name}"
        for path, entry in sorted(there.entries.items()) if there else ():
            yield f"        {_entry_line(path, entry)}"
        for path in there.hidden if there else ():
            yield f"        removed     {shown(path)}"
    if found.unheard:
        yield f"attached: not known: {shown(found.unheard)}"
    elif found.attached:
        yield f"attached: {len(found.attached)}"
        for each in found.attached:
            kind = each.get("artifactType") or each.get("mediaType")
            yield f"  {shown(kind)} {shown(each.get('digest'))}"


def _counted(files: LayerFiles) -> str:
    from uaitrain.inspection.layer_files import FOLDER

    count = sum(entry.kind != FOLDER for entry in files.entries.values())
    return f"{count} file{'' if count == 1 else 's'}"


def _entry_line(path: str, entry: Entry) -> str:
    from uaitrain.inspection.layer_files import FOLDER
    from uaitrain.inspection.shown import shown

    end = "/" if entry.kind == FOLDER else f" -> {shown(entry.target)}" if entry.target else ""
    return f"{entry.mode:04o} {entry.size:>12} {shown(path)}{end}"


def _described(found: Found, summary: Summary, files: dict[Digest, LayerFiles]) -> dict[str, Any]:
    layers = []
    for layer in summary.layers:
        row: dict[str, Any] = {
            "digest": layer.digest,
            "diff_id": layer.diff_id,
            "bytes": layer.size,
            "name": layer.name,
            "from": "pack" if layer.own else "base",
        }
        if layer.diff_id in files:
            there = files[layer.diff_id]
            row["files"] = [_row(path, each) for path, each in sorted(there.entries.items())]
            row["removed"] = list(there.hidden)
        layers.append(row)
    return {
        "name": found.name,
        "digest": found.digest,
        "place": found.place,
        "platform": str(found.image.platform),
        "created": summary.created,
        "made_by": summary.made_by,
        "framework": summary.framework,
        "accelerator": summary.accelerator,
        "base": {"name": summary.base_name, "digest": summary.base_digest},
        "commit": summary.commit,
        "dirty": summary.dirty,
        "commands": {name: list(words) for name, words in summary.commands.items()},
        "labels": dict(found.image.labels),
        "annotations": dict(found.image.annotations),
        "layers": layers,
        "attached": [dict(each) for each in found.attached],
    }


def _row(path: str, entry: Entry) -> dict[str, Any]:
    return {
        "path": path,
        "kind": entry.kind,
        "mode": f"{entry.mode:04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "bytes": entry.size,
        "sha256": entry.sha256,
        "target": entry.target,
    }


def _diff(before: Found, after: Found, arguments: argparse.Namespace, console: Console) -> int:
    from uaitrain.inspection.look import difference

    found = difference(before, after, console.progress, patches=arguments.patch)
    if arguments.json:
        from uaitrain.inspection.shown import shown_json

        console.json(shown_json(_described_diff(before, after, found)))
    _print(_diff_lines(before, after, found), console)
    return EXIT_OK if found.nothing else EXIT_DIFFERENT


def _diff_lines(before: Found, after: Found, found: Difference) -> Iterator[str]:
    from uaitrain.inspection.shown import shown

    yield f"- {shown(before.name)} {before.digest}"
    yield f"+ {shown(after.name)} {after.digest}"
    if found.nothing:
        yield "nothing differs"
        return
    if not found.same_base:
        yield "another base:"
        yield f"  - {shown(found.before.base_name)} {shown(found.before.base_digest)}"
        yield f"  + {shown(found.after.base_name)} {shown(found.after.base_digest)}"
    if found.settings:
        yield f"settings: {len(found.settings)} differ"
        for each in found.settings:
            yield f"  {shown(each.name)}"
            for sign, value in (("-", each.before), ("+", each.after)):
                if value is not None:
                    yield f"    {sign} {shown(value)}"
    yield f"files: {len(found.files)} differ; {found.read_layers} layers were read"
    for change in found.files:
        yield f"  {_change_line(change)}"
        for line in found.patches.get(change.path, ()):
            yield f"      {shown(line)}"


def _change_line(change: FileChange) -> str:
    from uaitrain.inspection.shown import shown
    from uaitrain.units import human_bytes

    sizes = [human_bytes(each.entry.size) for each in (change.before, change.after) if each]
    modes = [f"{each.entry.mode:04o}" for each in (change.before, change.after) if each]
    told = list(change.what)
    if "mode" in told:
        told[told.index("mode")] = f"mode {' -> '.join(modes)}"
    size = " -> ".join(dict.fromkeys(sizes))
    facts = ", ".join(each for each in (*told, size) if each)
    return f"{_HOW[change.how]} {shown(change.path)}" + (f"  ({facts})" if facts else "")


def _described_diff(before: Found, after: Found, found: Difference) -> dict[str, Any]:
    return {
        "before": {"name": before.name, "digest": before.digest},
        "after": {"name": after.name, "digest": after.digest},
        "same": found.nothing,
        "base": {
            "same": found.same_base,
            "before": {"name": found.before.base_name, "digest": found.before.base_digest},
            "after": {"name": found.after.base_name, "digest": found.after.base_digest},
        },
        "settings": [
            {"name": each.name, "before": each.before, "after": each.after}
            for each in found.settings
        ],
        "files": [
            {
                "path": each.path,
                "how": each.how,
                "what": list(each.what),
                "before": _row(each.path, each.before.entry) if each.before else None,
                "after": _row(each.path, each.after.entry) if each.after else None,
            }
            | ({"patch": found.patches[each.path]} if each.path in found.patches else {})
            for each in found.files
        ],
        "read_layers": found.read_layers,
    }
