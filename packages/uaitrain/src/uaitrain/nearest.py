"""The word that somebody probably meant."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The one of ``known`` that looks most like ``word``, whatever its case; empty if none does.

    ``cutoff`` is difflib's: 1 for the same word, 0 for any.
    """
    # Nobody who spells well waits for it to load.
    import difflib

    by_lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else ""
