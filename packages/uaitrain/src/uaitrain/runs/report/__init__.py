"""``uaitrain report``: one run as one HTML page that needs nothing else.

``telling`` reads a log into curves and last words, ``gather`` adds what is known elsewhere,
``page`` writes the HTML and ``drawing`` its curves. What a page shows is a :class:`RunReport`.
"""

from __future__ import annotations

from uaitrain.runs.report.model import Curve, Fact, RunReport, Section
from uaitrain.runs.report.page import render

__all__ = ["Curve", "Fact", "RunReport", "Section", "render"]
