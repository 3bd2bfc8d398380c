"""Large data in parts and back: ``uaitrain data split`` and ``uaitrain data merge``.

A folder of parts is described by ``manifest.json``, which is written last; parts are named and
verified by it. Nothing is deleted before what replaces it was proven, so that both can be
killed at any moment and be run again.
"""
