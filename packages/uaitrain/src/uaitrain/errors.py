"""Every error a user can meet, as one tree, with the exit code of each branch.

    UaitrainError
    ├── UsageError               2  a flag, a name or uaitrain.toml is wrong
    ├── PreflightError           3  the job would fail or lose its results
    ├── SourceError              4  the code folder cannot be packed as it is
    ├── BaseError                5  a base image is missing, broken or cannot be built
    ├── RegistryError            6  the registry refused, failed or cannot be reached
    │   ├── CredentialsError     6  wrong or missing user name or password
    │   ├── NotFoundError        6  no such repository, tag or blob
    │   └── DigestError          6  bytes do not match the digest that names them
    ├── EngineError              7  Docker or Podman is missing or failed
    ├── StorageError             8  disk full, no permission, a local file is broken
    ├── BusyError                9  another uaitrain holds what this one needs
    ├── BackendError            10  a cluster or platform refused, failed or cannot be reached
    ├── RehearsalError          11  a rehearsed run did not survive what was done to it
    └── TrainingError            the run's own exit code, 1-127 or 143
No error: ``inspect --diff`` ends with 1 where two images differ, as diff does.
Interrupted by the user: 130 (SIGINT) or 143 (SIGTERM), as shells count. A bug in uaitrain: 70.

The command line prints the four parts and returns ``exit_code``; nothing else prints errors.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_DIFFERENT = 1
"""Of ``inspect --diff``: it has done its work, and found a difference."""

EXIT_BUG = 70
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class UaitrainError(Exception):
    """What went wrong, in the four parts that every message has.

    ``what`` is a sentence that contains the bad value; ``allowed`` says what would be right;
    ``next_step`` is one thing to do or to type. The last two may be empty where they would
    only repeat the first. No part ever holds a secret.
    """

    exit_code = 1

    def __init__(self, what: str, *, allowed: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.allowed = allowed
        self.next_step = next_step

    def __str__(self) -> str:
        lines = [self.what]
        if self.allowed:
            lines.append(f"  allowed: {self.allowed}")
        if self.next_step:
            lines.append(f"  next: {self.next_step}")
        return "\n".join(lines)


class UsageError(UaitrainError):
    exit_code = 2


class PreflightError(UaitrainError):
    exit_code = 3


class SourceError(UaitrainError):
    exit_code = 4


class BaseError(UaitrainError):
    exit_code = 5


class RegistryError(UaitrainError):
    exit_code = 6


class CredentialsError(RegistryError):
    pass


class NotFoundError(RegistryError):
    pass


class DigestError(RegistryError):
    pass


class EngineError(UaitrainError):
    exit_code = 7


class StorageError(UaitrainError):
    exit_code = 8


class BusyError(UaitrainError):
    exit_code = 9


class BackendError(UaitrainError):
    exit_code = 10


class RehearsalError(UaitrainError):
    exit_code = 11


class TrainingError(UaitrainError):
    def __init__(
        self, what: str, exit_code: int, *, allowed: str = "", next_step: str = ""
    ) -> None:
        super().__init__(what, allowed=allowed, next_step=next_step)
        self.exit_code = exit_code
