"""``uaitrain pack``: both images, the push, the commands."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from uaitrain.cli.access import access_from, add_access_arguments
from uaitrain.cli.console import Console
from uaitrain.errors import EXIT_OK, UsageError
from uaitrain.settings import (
    CONTAINER_ENGINES,
    FILE_NAME,
    LOCK_FILES,
    add_spec_arguments,
    spec_from,
)
from uaitrain.spec import CPU, GPU

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from uaitrain.destinations import PackOptions
    from uaitrain.flow import PackResult
    from uaitrain.spec import TrainSpec

_EXAMPLES = """\
examples:
  uaitrain pack                            build both, load them into Docker or Podman
  uaitrain pack --push                     and push the GPU image to where `image` says
  uaitrain pack --push --no-load           only push: needs no engine at all
  uaitrain pack --engine torch             train with our engine on PyTorch, also on CPUs
  uaitrain pack --layout images            both images into an OCI layout folder
  uaitrain pack --push --sbom --sign KEY   and attach an SBOM and signatures that cosign verifies
  printf %s "$PASSWORD" | uaitrain pack --push --username me --password-stdin

Standard output is the text of uaitrain_cmd.txt; uaitrain.log beside it tells what was done.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "pack",
        help="build both images, push the GPU image, write the commands",
        description="Turn the code folder into a CPU and a GPU image that share its layers, and\n"
        "write the commands that run them into uaitrain_cmd.txt.",
        epilog=_EXAMPLES,
    )
    add_spec_arguments(parser)
    add_pack_arguments(parser)
    parser.add_argument(
        "--profile", action="store_true", help="tell where the time of this pack went"
    )
    parser.add_argument("--push", action="store_true", help="push the GPU image")
    parser.add_argument(
        "--upgrade-packages",
        action="store_true",
        help="choose the versions of packages.* anew, not those of uaitrain.packages.lock",
    )
    parser.add_argument(
        "--sbom",
        action="store_true",
        help="attach to the pushed image what is in it and what it was made from",
    )
    parser.add_argument(
        "--sign",
        type=Path,
        metavar="KEY",
        help="sign the pushed image, and what is attached, with this key (PEM, ECDSA P-256), or\n"
        "with the CI's identity: keyless",
    )
    add_access_arguments(parser)


def add_pack_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that both faces share."""
    group = parser.add_argument_group("packing")
    group.add_argument("--no-check", action="store_true", help="pack even if the preflight objects")
    group.add_argument("--no-load", action="store_true", help="leave the local engine alone")
    group.add_argument(
        "--container-engine",
        choices=CONTAINER_ENGINES,
        help="which engine loads the images",
    )
    group.add_argument(
        "--layout",
        type=Path,
        metavar="DIR",
        help="put both images into an OCI layout, not an engine",
    )
    group.add_argument(
        "--archive", type=Path, metavar="DIR", help="write each image as a tar for docker load"
    )
    group.add_argument(
        "--manifest-format",
        choices=("oci", "docker"),
        default="",
        help="type of the manifests (default: as the base's)",
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    from uaitrain.files.inventory import is_settled
    from uaitrain.flow import pack

    began, running = time.time_ns(), time.monotonic()
    spec = spec_from(arguments)
    access = access_from(arguments, spec.target.host)
    options = options_from(arguments, access, push=arguments.push)
    wanted = None
    if arguments.sbom or arguments.sign:
        from uaitrain.cli.provenance import wanted_from

        wanted = wanted_from(arguments)
    result = pack(spec, options, console, wanted)
    told = tuple(console.told)
    show(spec, result, console, as_json=arguments.json)
    if arguments.profile:
        from uaitrain.cli import profile

        total, spent = profile.since_start(), time.monotonic() - running
        for line in profile.table(result, max(0.0, total - spent), max(total, spent)):
            console.note(line)
        return EXIT_OK
    settled = is_settled(result.inventory.entries, began)
    if settled and not (
        wanted or arguments.json or console.has_warned or arguments.upgrade_packages
    ):
        from uaitrain.again.record import remember

        remember(sys.argv[1:], began, spec, options, result, told, speaks=not console.is_quiet)
    return EXIT_OK


def options_from(arguments: argparse.Namespace, access: Any, *, push: bool) -> PackOptions:
    from uaitrain.destinations import PackOptions

    if arguments.layout and arguments.archive:
        raise UsageError("--layout and --archive both say where the images go", allowed="one")
    return PackOptions(
        folder=Path.cwd(),
        access=access,
        push=push,
        load=not arguments.no_load,
        check=not arguments.no_check,
        engine=arguments.container_engine,
        layout=arguments.layout.absolute() if arguments.layout else None,
        archive=arguments.archive.absolute() if arguments.archive else None,
        manifest_format=arguments.manifest_format,
        settings_files=tuple(path for path in _settings_files(arguments) if path),
    )


def _settings_files(arguments: argparse.Namespace) -> tuple[Path | None, ...]:
    file = Path(getattr(arguments, "file", None) or FILE_NAME).absolute()
    locks = (file.with_name(name) for name in LOCK_FILES)
    return (file, *locks, arguments.ca_file)


def show(spec: TrainSpec, result: PackResult, console: Console, *, as_json: bool) -> None:
    """Standard output is exactly the commands file; what was done goes to stderr."""
    from uaitrain.commands import text

    if as_json:
        console.json(describe(spec, result))
    references = {CPU: spec.target.cpu, GPU: spec.target.gpu}
    for accelerator, report in result.places:
        console.note(f"{accelerator} image {references[accelerator]} -> {report.place}: {report}")
    if result.attachments:
        attached = ", ".join(str(each) for each in result.attachments)
        console.note(f"attached to {spec.target.gpu}: {attached}")
    console.note(f"the commands are also in {result.commands_file}")
    sys.stdout.flush()
    console.out(text(result.commands).rstrip("\n"))


def describe(spec: TrainSpec, result: PackResult) -> dict[str, Any]:
    """The result for programs.

    A layer is ``base``, ``new`` or ``reused`` (known, not read); ``push`` is what became of it at
    the registry: uploaded, existing or mounted.
    """
    images = {}
    pushed = {
        blob.digest: blob.outcome
        for _, report in result.places
        if (push := getattr(report, "push", None))
        for blob in push.layers
    }
    for accelerator, reference in ((CPU, spec.target.cpu), (GPU, spec.target.gpu)):
        image, base = result.images[accelerator], result.bases[accelerator]
        ours = {layer.diff_id: layer for layer in result.layers}
        layers = []
        for layer in image.layers:
            own, digest = ours.get(layer.diff_id), layer.descriptor.digest
            layers.append(
                image.layer_descriptor(layer).to_json()
                | {
                    "diff_id": layer.diff_id,
                    "name": own.name if own else "base",
                    "state": ("reused" if own.known else "new") if own else "base",
                }
                | ({"push": pushed[digest]} if accelerator == GPU and digest in pushed else {})
            )
        images[accelerator] = {
            "reference": str(reference),
            "digest": image.digest,
            "media_type": image.media_type,
            "size": sum(layer["size"] for layer in layers) + image.config_descriptor.size,
            "base": {"name": base.name, "digest": base.digest},
            "layers": layers,
        }
    return {
        "images": images,
        "places": [
            {
                "image": accelerator,
                "place": report.place,
                "new": report.sent,
                "reused": report.reused,
                "mounted": report.mounted,
                "sent_bytes": report.sent_bytes,
                "seconds": round(report.seconds, 3),
                "note": report.note,
            }
            for accelerator, report in result.places
        ],
        "attachments": [
            {
                "kind": each.kind,
                "digest": each.digest,
                "unchanged": each.unchanged,
                "sent_bytes": each.sent,
            }
            for each in result.attachments
        ],
        "commands": {
            "deploy": list(result.commands.deploy.argv),
            CPU: list(result.commands.cpu.argv),
            GPU: list(result.commands.gpu.argv),
        },
        "commands_file": str(result.commands_file),
        "seconds": {name: round(value, 3) for name, value in result.seconds.items()},
    }
