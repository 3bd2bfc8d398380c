"""What will be sent, whole: the words of sbatch and the script that it reads."""

from __future__ import annotations

from typing import Any

from uaitrain.oci.reference import Reference
from uaitrain.shell import quote
from uaitrain.values import dataclass

SBATCH = ("sbatch", "--parsable", "--export=NONE")
"""The last option is repeated here because a variable (SBATCH_EXPORT) could undo the script's:
nothing of the submitter's environment goes to Slurm, which stores and may show it."""


@dataclass(frozen=True)
class SlurmRequest:
    """``script`` is standard input of :data:`SBATCH`. ``secrets`` are names of variables; their
    values go into a file that only the user can read, ``secrets`` in the run's folder."""

    image: Reference
    run_id: str
    script: str
    secrets: tuple[str, ...]
    bundle: str
    run_folder: str

    def show(self) -> str:
        lines = [f"# {self.image} is unpacked into {self.bundle} unless it is there."]
        if self.secrets:
            lines.append(
                f"# {', '.join(self.secrets)}: written to {self.run_folder}/secrets (mode 0600), "
                "removed when the run is over."
            )
        lines.append(f"# {' '.join(map(quote, SBATCH))} <<'SCRIPT'")
        return "\n".join(lines) + "\n" + self.script

    def to_json(self) -> dict[str, Any]:
        return {
            "argv": list(SBATCH),
            "script": self.script,
            "image": str(self.image),
            "bundle": self.bundle,
            "secrets": list(self.secrets),
        }
