"""What `torchx run --workspace` does to an image before the job starts: patch, then push.

Runs in the environment that has TorchX: torchx_patch.py BASE FOLDER REPOSITORY TAG
"""

from __future__ import annotations

import importlib
import sys


def main(base: str, folder: str, repository: str, tag: str) -> None:
    specs = importlib.import_module("torchx.specs")
    module = importlib.import_module("torchx.workspace.docker_workspace")
    workspace = module.DockerWorkspaceMixin()
    role = specs.Role(name="bench", image=base)
    cfg = {"image_repo": repository, "quiet": True}
    workspace.build_workspace_and_update_role(role, f"file://{folder}", cfg)
    workspace.push_images({role.image: (repository, tag)})


if __name__ == "__main__":
    main(*sys.argv[1:])
