"""A base, the job's layers and what the image says about itself: one finished image (pure).

Label names: OCI image-spec, annotations.md; ours begin with ``dev.uaitrain.``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from uaitrain import __version__
from uaitrain.errors import BaseError
from uaitrain.files.layers import FileLayer
from uaitrain.frameworks import launcher
from uaitrain.oci.digest import Digest
from uaitrain.oci.image import History, Image
from uaitrain.origin import Origin
from uaitrain.spec import DATA_DIR, OUTPUT_DIR, WORK_DIR, TrainSpec
from uaitrain.values import dataclass

MAX_LAYERS = 127
"""What Docker's overlay2 store can stack."""

RUN_LABEL = "dev.uaitrain.run"
DIRTY_LABEL = "dev.uaitrain.dirty"
"""There, and ``true``, where the code is not what its commit says."""

EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Base:
    """A base image with the name and digest that the finished image records."""

    image: Image
    name: str
    digest: Digest


@dataclass(frozen=True)
class RunManifest:
    """How the image is run: argument vectors inside the container, and where things lie."""

    deploy: tuple[str, ...]
    cpu: tuple[str, ...]
    gpu: tuple[str, ...]

    def to_json(self) -> str:
        return json.dumps(
            {
                "version": 1,
                "deploy": list(self.deploy),
                "cpu": list(self.cpu),
                "gpu": list(self.gpu),
                "working_dir": WORK_DIR,
                "mounts": {"data": DATA_DIR, "output": OUTPUT_DIR},
                "environment": {},
            },
            sort_keys=True,
        )


def assemble(
    base: Base,
    layers: Sequence[FileLayer],
    spec: TrainSpec,
    accelerator: str,
    runs: RunManifest,
    origin: Origin,
) -> Image:
    """The image of ``spec`` for ``accelerator`` on ``base``. Raises BaseError if too tall.

    Its entry point is the launcher. One that the base has is dropped: what it would do with a
    command is not known, and commands are to run as they are written.

    Nothing here but ``origin`` depends on when or where it is made.
    """
    if len(base.image.layers) + len(layers) > MAX_LAYERS:
        raise BaseError(
            f"the base {base.name} has {len(base.image.layers)} layers; with the job's "
            f"{len(layers)} that is more than engines can stack",
            allowed=f"{MAX_LAYERS} layers together",
            next_step="choose a base with fewer layers",
        )
    labels: dict[str, str] = {
        "org.opencontainers.image.title": spec.target.image,
        "org.opencontainers.image.created": origin.created,
        "org.opencontainers.image.base.name": base.name,
        "org.opencontainers.image.base.digest": base.digest,
        "dev.uaitrain.version": __version__,
        "dev.uaitrain.framework": str(spec.framework),
        "dev.uaitrain.accelerator": accelerator,
        RUN_LABEL: runs.to_json(),
    }
    if origin.commit:
        labels |= {"org.opencontainers.image.revision": origin.commit}
    if origin.dirty:
        labels |= {DIRTY_LABEL: "true"}
    labels |= spec.labels
    history = [History(f"uaitrain pack: {layer.name}") for layer in layers]
    command = runs.cpu if accelerator == "cpu" else runs.gpu
    return (
        base.image.configure(created=origin.created)
        .append(layers, history)
        .configure(
            working_dir=WORK_DIR,
            command=command,
            entry_point=launcher.ENTRY_POINT,
            labels=labels,
            annotations={
                key: labels[key] for key in labels if key.startswith("org.opencontainers.")
            },
        )
    )
