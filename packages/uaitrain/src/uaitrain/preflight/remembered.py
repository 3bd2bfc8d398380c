"""A preflight that looks only at what has changed since the last one.

Three parts, each with a memory of its own: a job of which nothing has changed at all; what the
checks find in the job, as long as only program files have changed that none of them opened (most
edits are of that kind); and the search for secrets, file by file (``searched``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from uaitrain.files.inventory import Entry, Kind, is_settled
from uaitrain.preflight import ask_engine, in_order
from uaitrain.preflight.finding import Finding
from uaitrain.preflight.look import Look
from uaitrain.preflight.memory import Memory, key_of, rows_of
from uaitrain.preflight.subject import Subject

PROGRAM_SUFFIX = ".py"


def checked(subject: Subject, read_at_ns: int, folder: Path) -> tuple[Finding, ...]:
    """The findings of every check, with the memory in ``folder``.

    Our engine, which takes seconds to start, is asked only where an image stands on it.
    ``read_at_ns`` is a time before the inventory was read.
    """
    memory = Memory(folder / "preflight")
    key = key_of(subject, read_at_ns)
    found = memory.recall(key) if key else None
    if found is not None:
        return tuple(found)
    from uaitrain.preflight import folder_checks

    look = Look(subject, folder)
    job = _job_findings(look, memory, read_at_ns)
    own = [finding for _, check in folder_checks.CHECKS for finding in check(look)]
    findings = in_order((*job, *own))
    if key:
        memory.remember(key, findings)
    return findings


def _job_findings(look: Look, memory: Memory, read_at_ns: int) -> tuple[Finding, ...]:
    """What all other checks find."""
    subject = look.subject
    others: list[Entry] = []
    programs: list[Entry] = []
    for entry in subject.inventory.entries:
        is_program = entry.path.endswith(PROGRAM_SUFFIX) and entry.kind is Kind.FILE
        (programs if is_program else others).append(entry)
    names = [f"{entry.path} {entry.executable}" for entry in programs]
    key = key_of(subject, read_at_ns, others, "the job", *names)
    known = memory.recall_row(key) if key else None
    now = {entry.path: entry for entry in programs}
    if known and all(_told(now.get(path)) == told for path, told in known["opened"].items()):
        return tuple(rows_of(known["findings"]))
    from uaitrain.preflight import checks
    from uaitrain.preflight.opened import opened_below

    with opened_below(subject.spec.code) as opened:
        found = tuple(finding for _, check in checks.JOB_CHECKS for finding in check(look))
    if any(base.engine for base in subject.bases.values()):
        found, _ = ask_engine(subject, found)
    read = [now[path] for path in sorted(opened) if path in now]
    if key and is_settled(read, read_at_ns):
        memory.remember(key, found, {entry.path: _told(entry) for entry in read})
    return found


def _told(entry: Entry | None) -> Sequence[int] | None:
    if entry is None:
        return None
    return [entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode, entry.device]
