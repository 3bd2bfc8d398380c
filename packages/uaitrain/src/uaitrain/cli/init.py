"""``uaitrain init``: write uaitrain.toml for the folder at hand."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from uaitrain import atomic
from uaitrain.cli.console import Console
from uaitrain.errors import EXIT_OK, UsageError
from uaitrain.settings import FILE_NAME

_GPU_BASE = "caffe-torch-debian12-gpu"
_TEMPLATE = """\
# A training job. Flags of `uaitrain pack`, `check` and `test` win over this file.
framework = "caffe-1.0.0"
code = {code}            # becomes /data in the image
main = {main}        # the stock train.py is put in when the folder has none
solver = {solver}
data = {data}            # local runs: /data/data
output = "output"        # local runs: /data/output; results and snapshots belong there
image = {image}
# arguments = ["--timing=True"]     more arguments for the main file
{ignore}   stays out of the image, besides .git, caches and keys

[base]
cpu = "caffe-1.0.0-debian11-cpu"    # uaitrain base list shows what there is
gpu = {gpu_base}

[resources]
gpus = 1
shm = "1g"
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "init",
        help="write uaitrain.toml for the folder at hand",
        description="Look at a folder and write a uaitrain.toml that describes it; edit it then.",
        epilog="example:\n  uaitrain init --image uhub.ucloud.cn/my-registry/mnist:v1",
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="default: here")
    parser.add_argument("--image", metavar="REF", help="where the image is to go")
    parser.add_argument("--force", action="store_true", help="replace a uaitrain.toml")


def run(arguments: argparse.Namespace, console: Console) -> int:
    folder = arguments.folder.absolute()
    if not folder.is_dir():
        raise UsageError(f"no such folder: {str(arguments.folder)!r}")
    path = folder / FILE_NAME
    if path.exists() and not arguments.force:
        raise UsageError(f"{path} is there already", next_step="uaitrain init --force replaces it")
    text = _TEMPLATE.format(**_guess(folder, arguments.image))
    atomic.write_bytes(path, text.encode())
    if arguments.json:
        console.json({"file": str(path)})
    console.out(f"wrote {path}; edit it, then: uaitrain check")
    return EXIT_OK


def _gpu_base() -> str:
    """Our GPU base where it has been built, else the CPU base, so that the job can be packed."""
    from uaitrain.bases.store import Store

    if Store.default().has(_GPU_BASE):
        return f'"{_GPU_BASE}"    # our engine on PyTorch: it trains on GPUs'
    return (
        '"caffe-1.0.0-debian11-cpu"    # a CPU build: build a GPU base, and name it here:\n'
        f"# uaitrain base build {_GPU_BASE}"
    )


def _guess(folder: Path, image: str | None) -> dict[str, str]:
    """What the folder's contents suggest, as TOML values."""
    code = folder / "code" if (folder / "code").is_dir() else folder
    solvers = sorted(p.name for p in code.glob("*solver*.prototxt"))
    mains = sorted(p.name for p in code.glob("train*.py"))
    name = "".join(c if c.isascii() and c.isalnum() else "-" for c in folder.name.lower())
    values = {
        "code": "code" if code != folder else ".",
        "main": mains[0] if mains else "train.py",
        "solver": f"/data/{solvers[0] if solvers else 'solver.prototxt'}",
        "data": "data",
        "image": image or f"{name.strip('-') or 'job'}:uaitrain",
    }
    texts = {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}
    texts["gpu_base"] = _gpu_base()
    # Where the code lies beside its data and results, those must not be packed with it.
    texts["ignore"] = (
        'ignore = ["/data/", "/output/"]  #'
        if code == folder
        else '# ignore = ["*.log"]             '
    )
    return texts
