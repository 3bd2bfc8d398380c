"""The base images: can the container's command start on them?"""

from __future__ import annotations

from collections.abc import Iterator

from uaitrain.preflight.finding import Finding
from uaitrain.preflight.look import Look
from uaitrain.preflight.rule import error, warning
from uaitrain.spec import GPU

NO_PYTHON = error(
    "base-without-python",
    "a base has no /usr/bin/python",
    "the container's command is /usr/bin/python: it cannot start",
    "choose a base with it, or add a link to python3 or python2.7 to that base",
)
CPU_BUILD = warning(
    "base-cpu-build",
    "the GPU image's base is a CPU build of the framework",
    "the GPU run fails at once: this build has no GPU mode",
    "build one (uaitrain base build caffe-1.0.0 --engine torch --accelerator gpu) or name one "
    "(--base-gpu)",
)
RULES = (NO_PYTHON, CPU_BUILD)


def check(look: Look) -> Iterator[Finding]:
    for accelerator, base in look.subject.bases.items():
        if base.has_python is False:
            yield NO_PYTHON.finding(f"the {accelerator} base {base.name} has no /usr/bin/python")
        if accelerator == GPU and base.is_cpu_build:
            yield CPU_BUILD.finding(f"the gpu base {base.name} is a CPU build")
