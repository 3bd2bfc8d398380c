"""The labels by which a base that we built tells what it is."""

from __future__ import annotations

NAME = "dev.uaitrain.base.name"
PYTHON = "dev.uaitrain.base.python"
"""The version of ``/usr/bin/python``, such as ``3.9.2``; empty when there is none."""

ACCELERATOR = "dev.uaitrain.base.accelerator"
PACKAGES_DIGEST = "dev.uaitrain.base.packages-digest"
"""SHA-256 over the sorted lines ``package:architecture=version`` of all Debian packages."""

RECIPE_DIGEST = "dev.uaitrain.base.recipe-digest"
"""SHA-256 over the recipe, so that a base made by an older one is known as such."""

ENGINE = "dev.uaitrain.base.engine"
"""The training engine that we put in, such as ``caffe-torch 0.1.0``; absent where Debian's is."""
