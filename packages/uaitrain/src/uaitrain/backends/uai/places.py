"""Where the platform takes data from and puts results: UFile (US3) or UFS. Pure.

The forms are those that the vendor's uai-sdk knows (``uai/utils/databackend_utils.py``):
``http://<bucket>.<region>.ufileos.com/<folder>/`` and ``<address>:/ufs-<id>/<folder>/``.
"""

from __future__ import annotations

import re

from uaitrain.errors import UsageError
from uaitrain.values import dataclass

UFILE = "UFile"
UFS = "UFS"

_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|\d\d?)"
_FORMS = {
    UFILE: re.compile(
        r"https?://[\w-]+(?:\.ufile\.ucloud\.com\.cn|\.[\w-]+\.ufileos\.com)/(?:[\w.-]+/)+",
        re.ASCII,
    ),
    UFS: re.compile(rf"{_BYTE}(?:\.{_BYTE}){{3}}:/ufs-[0-9a-zA-Z]+/(?:[\w.-]+/)*", re.ASCII),
}
_ALLOWED = (
    "a folder on UFile, http://<bucket>.<region>.ufileos.com/<folder>/, "
    "or on UFS, <address>:/ufs-<id>/<folder>/, with / at its end"
)


@dataclass(frozen=True)
class Place:
    """``backend`` is the platform's name for the kind of storage, UFILE or UFS."""

    backend: str
    path: str


def place_of(text: str, what: str) -> Place:
    """Raises UsageError; ``what`` says whose setting it is."""
    for backend, form in _FORMS.items():
        if form.fullmatch(text) and ".." not in text.split("/"):
            return Place(backend, text)
    raise UsageError(
        f"{what}: {text!r} is no place that the platform reaches"
        if text
        else f"{what} is missing: the platform has its own storage",
        allowed=_ALLOWED,
    )
