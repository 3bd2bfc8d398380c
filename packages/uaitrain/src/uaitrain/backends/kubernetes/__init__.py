"""Runs on Kubernetes: one batch/v1 Job each, with what belongs to it.

``options`` judges the settings, ``manifests`` renders a job, ``cluster`` talks to the API server,
``status`` and ``logs`` tell what became of a run, and ``backend`` puts them together.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from uaitrain.backends.kubernetes.backend import Kubernetes
from uaitrain.backends.kubernetes.options import judge


def connect(options: Mapping[str, Any]) -> Kubernetes:
    """The cluster that ``options`` name; it is asked when something is done.

    Raises UsageError for options that cannot be.
    """
    judged = judge(options)
    caller = (os.getuid(), os.getgid())
    if 0 not in caller:
        judged = dataclasses.replace(judged, caller=caller)
    return Kubernetes(judged)
