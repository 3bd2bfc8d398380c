"""The rehearsal of preemption: a run is stopped, killed and started again, and proves itself.

The packed image trains through the local engine, with one run id for all starts, into a folder
of the rehearsal's own. Claims are made about any main file: from the exit codes, from the pairs
in the output folder, and from the iterations that Caffe's log lines tell.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from uaitrain.errors import EXIT_OK, EXIT_TERMINATED, RehearsalError
from uaitrain.runs.attempts import KILLED, Attempt, Attempts, KillAtWrite, Nothing, TermAt

TERM_SHARE = 0.35
"""The share of the iterations after which SIGTERM comes: a pair is there, more are to come."""

WENT_ON = "went on"
MOST_SHOWN = 12
MOST_KILLS = 5
"""How often SIGKILL is tried anew when a snapshot was whole before it came."""


@dataclass(frozen=True)
class Claim:
    """What a rehearsal looked at: proven or not, and the numbers that say so."""

    name: str
    proven: bool
    text: str

    def __str__(self) -> str:
        return f"{'✓' if self.proven else '✗'} {self.text}"


@dataclass(frozen=True)
class Rehearsal:
    claims: tuple[Claim, ...]
    attempts: tuple[Attempt, ...]

    @property
    def failed(self) -> tuple[Claim, ...]:
        return tuple(claim for claim in self.claims if not claim.proven)

    def error(self) -> RehearsalError | None:
        """What to tell the user about what was not proven."""
        if not self.failed:
            return None
        count = len(self.failed)
        return RehearsalError(
            f"{count} of {len(self.claims)} claims not proven: {self.failed[0].text}",
            allowed="SIGTERM: a snapshot, then exit code 143; a start with --snapshot goes on "
            "from it; snapshots appear whole",
            next_step="docs/manual/local-test.md tells what a main file has to do; the stock "
            "train.py does it",
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "proven": not self.failed,
            "claims": [vars(claim) for claim in self.claims],
            "starts": [
                {
                    "number": each.number,
                    "exit_code": each.exit_code,
                    "seconds": round(each.seconds, 3),
                    "begins_at": each.begins_at,
                    "first_iteration": each.first,
                    "last_iteration": each.last,
                    "interrupted_at": each.interrupted_at,
                    "snapshots": list(each.appeared),
                }
                for each in self.attempts
            ],
        }


def rehearse(attempts: Attempts, tell: Callable[[Claim], None]) -> Rehearsal:
    """SIGTERM, SIGKILL within a snapshot, the end, and one start more; each claim goes to ``tell``
    as soon as it is settled. Raises EngineError.
    """
    claims: list[Claim] = []

    def settle(claim: Claim) -> None:
        claims.append(claim)
        tell(claim)

    first = attempts.start(TermAt(TERM_SHARE))
    settle(stopped(first))
    if first.exit_code != EXIT_OK and first.saved == 0 and first.first is None:
        # It does not train at all: whatever is done to it would prove nothing.
        return Rehearsal(tuple(claims), tuple(attempts.done))
    for kills_left in reversed(range(MOST_KILLS)):
        killed = attempts.start(KillAtWrite())
        settle(went_on(killed, attempts.display, attempts.max_iter))
        within = killed_within(killed)
        if within.proven or killed.exit_code != KILLED or not kills_left:
            settle(within)
            break
    last = attempts.start(Nothing())
    settle(went_on(last, attempts.display, attempts.max_iter))
    settle(finished(attempts.done))
    settle(history(attempts.done))
    settle(none_taken(attempts.halves, [claim for claim in claims if claim.name == WENT_ON]))
    again = attempts.start(Nothing())
    settle(stays_finished(again))
    return Rehearsal(tuple(claims), tuple(attempts.done))


def stopped(attempt: Attempt) -> Claim:
    """SIGTERM was answered by a snapshot and exit code 143."""
    at = attempt.interrupted_at
    if at is None:
        text = f"{_start(attempt)}: it ended with exit code {attempt.exit_code} before SIGTERM came"
        return Claim("stopped", False, text + _last_words(attempt))
    text = f"{_start(attempt)}: SIGTERM at iteration {at}, exit code {attempt.exit_code}"
    if attempt.exit_code == EXIT_OK and 0 < attempt.max_iter == attempt.saved:
        text += ": the training was over before it arrived; rehearse with more --iterations"
        return Claim("stopped", False, text)
    if attempt.exit_code != EXIT_TERMINATED:
        return Claim("stopped", False, f"{text}, not {EXIT_TERMINATED}{_last_words(attempt)}")
    if attempt.saved < attempt.last:
        kept = f"is of iteration {attempt.saved}" if attempt.after else "is not there"
        text += f", the last iteration told is {attempt.last}, but the newest whole snapshot {kept}"
        return Claim("stopped", False, text)
    return Claim("stopped", True, f"{text}, a whole snapshot of iteration {attempt.saved}")


def went_on(attempt: Attempt, display: int, max_iter: int) -> Claim:
    """The training began where the newest whole pair is: nothing lost, nothing skipped.

    ``display`` is the step between iterations that are told, ``max_iter`` 0 where nobody knows.
    """
    wanted, first = attempt.begins_at, attempt.first
    text = f"{_start(attempt)}: the newest whole snapshot is of iteration {wanted}"
    if first is None and attempt.exit_code == EXIT_OK and 0 < max_iter <= wanted:
        return Claim(WENT_ON, True, f"{text}, and nothing was left to train")
    if first is None:
        return Claim(WENT_ON, False, f"{text}, and it trained nothing{_last_words(attempt)}")
    text += f", the first iteration told is {first}"
    if first == 0 < wanted:
        return Claim(WENT_ON, False, f"{text}: the training started again at 0")
    if first < wanted:
        return Claim(WENT_ON, False, f"{text}: the training went back")
    if first > wanted + max(1, display):
        return Claim(WENT_ON, False, f"{text}: iterations are missing")
    return Claim(WENT_ON, True, text)


def killed_within(attempt: Attempt) -> Claim:
    """SIGKILL came while a snapshot was being written, before it was whole."""
    name = "killed within a snapshot"
    if attempt.caught is None or attempt.exit_code != KILLED:
        text = f"{_start(attempt)}: it ended with exit code {attempt.exit_code}"
        return Claim(name, False, f"{text} before it wrote a snapshot{_last_words(attempt)}")
    text = f"{_start(attempt)}: SIGKILL while a snapshot was being written ({attempt.caught.name}"
    text += f" had {attempt.caught.bytes:,} bytes)"
    if attempt.saved > attempt.begins_at:
        return Claim(name, False, f"{text}, but iteration {attempt.saved} was whole already")
    return Claim(name, True, f"{text}, at iteration {attempt.interrupted_at}")


def finished(attempts: Sequence[Attempt]) -> Claim:
    """The last start ended well, at exactly ``max_iter``, and whole weights of it are there.

    It may have had nothing left to train: a kill can come after the final snapshot.
    """
    attempt = attempts[-1]
    last = max(each.last for each in attempts)
    max_iter = max(each.max_iter for each in attempts)
    text = f"{_start(attempt)}: exit code {attempt.exit_code}, the last iteration told is "
    text += f"{last}, whole weights of iteration {attempt.saved}, max_iter {max_iter or 'unknown'}"
    exact = 0 < max_iter == attempt.saved and last <= max_iter
    if attempt.exit_code != EXIT_OK or not exact:
        return Claim("finished", False, text + _last_words(attempt))
    return Claim("finished", True, text)


def history(attempts: Sequence[Attempt]) -> Claim:
    """No iteration stands twice in what was saved, over all starts.

    Within one start the same moment may be saved twice, by the solver and at SIGTERM.
    """
    wrong, saved = "", list[int]()
    for attempt in attempts:
        new = list(dict.fromkeys(attempt.appeared))
        if new != sorted(new) or (saved and new and new[0] <= saved[-1]):
            wrong = wrong or f"start {attempt.number} saved {new[0]} after {(saved or new)[-1]}"
        saved += new
    shown = ", ".join(map(str, saved)) if len(saved) <= MOST_SHOWN else f"{len(saved)} of them"
    text = f"snapshots in their order: {shown or 'none'}: "
    text += wrong or "no iteration twice, none going back"
    return Claim("history", bool(saved) and not wrong, text)


def none_taken(halves: Collection[str], starts: Sequence[Claim]) -> Claim:
    """No start went on from a half-written pair, such as one that a kill left behind."""
    text = "half-written snapshots under their final names: "
    text += ", ".join(sorted(halves)) if halves else "none"
    taken = any(not claim.proven for claim in starts)
    text += "; a start did not go on from the newest whole one" if taken else "; none was taken"
    return Claim("none taken", not taken, text)


def stays_finished(attempt: Attempt) -> Claim:
    """Another start of a finished run trains nothing and succeeds."""
    text = f"{_start(attempt)}, after the end: exit code {attempt.exit_code} in "
    text += f"{attempt.seconds:.1f} s, "
    text += "nothing was trained" if attempt.first is None else "it trained again"
    good = attempt.exit_code == EXIT_OK and attempt.first is None and not attempt.appeared
    return Claim("stays finished", good, text)


def _start(attempt: Attempt) -> str:
    return f"start {attempt.number}"


def _last_words(attempt: Attempt) -> str:
    last = next((line for line in reversed(attempt.tail) if line.strip()), "")
    return f"; its last line: {last.strip()[:200]}" if last else ""
