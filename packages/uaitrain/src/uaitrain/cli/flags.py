"""A plain command line, read without argparse, which takes as long to load as to push a file.

The verb tells its flags as it tells them to argparse. Whatever is not plain (``--help``, a
mistake, a word that is no flag) is argparse's, so there is one place for helps and errors; a test
compares both on the same command lines.
"""

from __future__ import annotations

from types import SimpleNamespace

from uaitrain.typed import cast

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from typing import Any

    from uaitrain.cli.main import Verb

COMMON = {"--json": "print one JSON value", "--quiet": "no remarks"}
"""The flags of every verb."""

FEW = frozenset({"pack"})
"""The verbs whose modules do without argparse."""

_PLAIN = frozenset({"dest", "default", "action", "type", "choices", "metavar", "help"})
_TAKES_VALUE = ("store", "append")


class _UnusualError(Exception):
    """argparse has to see to it."""


def parse(verb: Verb, words: list[str]) -> argparse.Namespace | None:
    """The arguments of ``words``, whose first one names ``verb``; None where argparse is needed."""
    if words[0] not in FEW:
        return None
    recorder = _Recorder()
    try:
        verb.add_parser(cast("Any", recorder))
        for flag in COMMON:
            recorder.add_argument(flag, action="store_true")
        found = SimpleNamespace(verb=words[0], **recorder.defaults)
        recorder.read(words[1:], found)
    except _UnusualError:
        return None
    return cast("argparse.Namespace", found)


class _Recorder:
    """Takes the place of argparse's parser, groups and subparsers: notes what flags there are."""

    def __init__(self) -> None:
        self._flags: dict[str, dict[str, Any]] = {}
        self.defaults: dict[str, Any] = {}

    def add_parser(self, name: str, **_: object) -> _Recorder:
        return self

    def add_argument_group(self, title: str) -> _Recorder:
        return self

    def add_argument(self, *names: str, **options: Any) -> None:
        action = options.get("action", "store")
        known = action in (*_TAKES_VALUE, "store_true") and _PLAIN.issuperset(options)
        if len(names) != 1 or not names[0].startswith("--") or not known:
            raise _UnusualError
        default = options.get("default", False if action == "store_true" else None)
        if isinstance(default, str) and "type" in options:
            raise _UnusualError
        target = options.get("dest") or names[0][2:].replace("-", "_")
        self._flags[names[0]] = {**options, "action": action, "dest": target}
        self.defaults[target] = default

    def read(self, words: Iterable[str], found: SimpleNamespace) -> None:
        waiting = iter(words)
        for word in waiting:
            name, equals, value = word.partition("=")
            flag = self._flags.get(name)
            if flag is None:
                raise _UnusualError
            if flag["action"] == "store_true":
                if equals:
                    raise _UnusualError
            elif not equals:
                value = next(waiting, "-")
                # What begins with a dash may be another flag, and then the value is missing.
                if value.startswith("-"):
                    raise _UnusualError
            self._store(flag, value, found)

    def _store(self, flag: dict[str, Any], text: str, found: SimpleNamespace) -> None:
        target, value = flag["dest"], cast("Any", text)
        if flag["action"] == "store_true":
            value = True
        elif "type" in flag:
            try:
                value = flag["type"](text)
            except (ValueError, TypeError):
                raise _UnusualError from None
        if flag.get("choices") and value not in flag["choices"]:
            raise _UnusualError
        if flag["action"] == "append":
            value = [*(getattr(found, target) or ()), value]
        setattr(found, target, value)
