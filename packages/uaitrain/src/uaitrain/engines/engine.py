"""An engine as a value: which program, how this user must call it, and what it answers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

from uaitrain.errors import EngineError
from uaitrain.values import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess

DOCKER = "docker"
PODMAN = "podman"

_NO_SPACE = "no space left on device"


@dataclass(frozen=True)
class Engine:
    """``words`` begin every command (``("sudo", "docker")`` where this user needs it).

    ``environment`` is added to the child's environment.
    """

    program: str
    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def needs_sudo(self) -> bool:
        return self.words[0] == "sudo"

    def argv(self, *arguments: str) -> list[str]:
        return [*self.words, *arguments]

    def child_environment(self) -> dict[str, str]:
        return os.environ | dict(self.environment)

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run to the end, output captured; the exit status is the caller's to judge.

        Raises EngineError only when the program cannot be started.
        """
        return self.run(self.argv(*arguments))

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """:meth:`ask` with a whole command, as a request has it."""
        import subprocess

        try:
            return subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                env=self.child_environment(),
                check=False,
            )
        except OSError as error:
            raise EngineError(
                f"cannot start {argv[0]}: {error.strerror}", next_step="uaitrain doctor"
            ) from None

    def answer(self, *arguments: str) -> str:
        """The standard output of a command that must succeed. Raises EngineError."""
        done = self.ask(*arguments)
        if done.returncode:
            raise failure(self, arguments[0], done.stderr)
        return done.stdout


def failure(engine: Engine, doing: str, stderr: str) -> EngineError:
    """What the engine's own last words mean for the user."""
    words = last_line(stderr) or "no reason given"
    full = says_full(words)
    return EngineError(
        f"{engine.program} {doing} failed: {words}",
        next_step=f"make room where {engine.program} keeps its images: "
        f"{' '.join(engine.words)} system df shows what they take, "
        f"{' '.join(engine.words)} image prune removes unused ones"
        if full
        else "uaitrain doctor",
    )


def says_full(words: str) -> bool:
    """Whether an engine's message is about a full disk."""
    return _NO_SPACE in words.lower()


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # Docker's client ends many errors by pointing at its help.
    telling = [line for line in lines if not line.startswith(("See '", "Run 'docker"))]
    return telling[-1] if telling else ""


def parse_json_lines(text: str) -> list[object]:
    """One JSON value a line, as ``--format '{{json …}}'`` prints; other lines are passed over."""
    values = []
    for line in text.splitlines():
        try:
            values.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return values
