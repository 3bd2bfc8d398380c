"""UCloud's AI training platform: the vendor's signed API, spoken by the vendor's own SDK.

Where the names come from. ``ucloud-sdk-python3`` signs and sends, but has no service module for
the training platform; its generic ``Client.invoke(action, parameters)`` is the way. Actions,
parameters, their types and the fields of answers are those that the vendor's public uai-sdk
documents (``uaitrain/api/*.py`` there, "Identical with UAI Train … API func"); how the ids are
looked up is what its ``create`` command does. The signature and the common codes are on
https://docs.ucloud.cn/api/summary/signature and https://docs.ucloud.cn/api/summary/public.

No such server can be had for a test. The real platform was never reached by this code: it is
tested against a local server that verifies the signature and every parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uaitrain.backends.uai.backend import UaiBackend
from uaitrain.backends.uai.options import options_from


def connect(options: Mapping[str, Any]) -> UaiBackend:
    """``options`` are the settings of the table ``uai``, by their keys (``uai.region``, …).

    Nothing is sent, and no key is read, before the platform is asked something. Raises
    UsageError for an option that cannot be.
    """
    return UaiBackend(options_from(options))
