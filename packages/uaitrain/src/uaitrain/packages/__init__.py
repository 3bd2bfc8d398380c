"""What a job needs beyond its base, as image layers below its code.

packages.* ──► pins      what they stand for, from uaitrain.packages.lock or chosen anew
                 │            resolver (uv) for the base's Python, installed: what is there
                 ├──► wheel_layer   wheels, laid out as the base's Python finds them
                 ├──► build         wheels' files of what must be built, by an engine
                 └──► debian        apt-get in a container of the base, and what differs (unlike)
"""

from __future__ import annotations
