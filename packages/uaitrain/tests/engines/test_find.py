"""Which engine is used, and what is said when there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.engines import RunningDocker
from uaitrain.engines import find_engine, require_engine
from uaitrain.engines.engine import failure, last_line
from uaitrain.engines.facts import LocalFacts, local_facts
from uaitrain.errors import EngineError, UsageError


def _program(folder: Path, name: str, script: str) -> None:
    """A stand-in for a program whose state no test can bring about with the real one."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_docker_that_answers_is_used(
    docker_engine: RunningDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_engine.host)
    engine = find_engine()

    assert engine is not None
    assert engine.words == ("docker",)


def test_podman_is_used_while_docker_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    engine = find_engine()

    assert engine is not None
    assert engine.program == "podman"


def test_the_variable_names_the_engine_and_the_flag_wins(
    docker_engine: RunningDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_engine.host)
    monkeypatch.setenv("UAITRAIN_ENGINE", "podman")

    assert require_engine().program == "podman"
    assert require_engine("docker").program == "docker"


def test_an_unknown_engine_is_named_with_where_it_came_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UAITRAIN_ENGINE", "rkt")
    with pytest.raises(UsageError, match="UAITRAIN_ENGINE: no such engine: 'rkt'"):
        find_engine()


def test_a_daemon_that_is_not_running_is_the_reason_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(EngineError, match="Cannot connect to the Docker daemon") as caught:
        require_engine("docker")

    assert "systemctl start docker" in caught.value.next_step


def test_no_program_at_all_is_answered_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="docker is not installed; podman is not installed") as c:
        require_engine()

    assert c.value.next_step == "sudo apt-get install docker.io"


def test_sudo_stands_in_a_command_only_where_the_user_needs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Root's sudo cannot be made to need itself: these programs play a user outside the group.
    _program(
        tmp_path,
        "docker",
        '[ "$VIA_SUDO" ] && echo 20.10 || { echo "permission denied" >&2; exit 1; }',
    )
    _program(tmp_path, "sudo", '[ "$1" = -n ] && shift; VIA_SUDO=1 exec "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    engine = require_engine("docker")

    assert engine.words == ("sudo", "docker")
    assert local_facts(engine).words() == ("sudo", "docker")


def test_the_person_behind_sudo_owns_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1000")
    monkeypatch.setenv("SUDO_GID", "100")
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    assert local_facts(None).user == "1000:100"


def test_rootless_containers_get_no_user() -> None:
    assert LocalFacts("podman", uid=1000, gid=1000, rootless=True).user == ""


def test_a_usage_hint_is_not_taken_for_the_reason() -> None:
    assert last_line("docker: no such thing.\nSee 'docker run --help'.\n\n") == (
        "docker: no such thing."
    )


def test_a_full_disk_is_told_with_how_to_make_room(docker_engine: RunningDocker) -> None:
    error = failure(docker_engine.engine, "load", "write /x: no space left on device")

    assert "docker image prune" in error.next_step
