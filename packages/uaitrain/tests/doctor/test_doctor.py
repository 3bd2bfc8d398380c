"""What the doctor says of a machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.engines import RunningDocker
from uaitrain.cli.main import main
from uaitrain.doctor import CHECKS, examine, user_ids
from uaitrain.doctor.verdict import PACK, PUSH, TEST_CPU, VERBS, State
from uaitrain.errors import UsageError


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with no programs at all."""
    monkeypatch.setenv("PATH", str(tmp_path))


def test_every_module_of_a_check_stands_in_the_table() -> None:
    folder = Path(user_ids.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "verdict"}

    assert modules == {check.__module__.rpartition(".")[2] for check in CHECKS}


def test_a_running_docker_is_ready_for_local_tests(
    docker_engine: RunningDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_engine.host)
    report = examine("docker")

    assert report.obstacles(TEST_CPU) == ()
    assert any(verdict.what.startswith("docker 20.") for verdict in report.verdicts)


def test_a_docker_that_is_not_running_is_told_from_one_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    (obstacle,) = examine("docker").obstacles(TEST_CPU)

    assert "Cannot connect to the Docker daemon" in obstacle.what
    assert "systemctl start docker" in obstacle.mend


@pytest.mark.usefixtures("bare")
def test_a_bare_machine_is_told_debians_packages() -> None:
    report = examine()
    mends = " ".join(verdict.mend for verdict in report.verdicts)

    assert all(report.obstacles(verb) for verb in VERBS)
    for package in ("docker.io", "podman", "uidmap", "mmdebstrap"):
        assert package in mends
    assert all(v.mend for v in report.verdicts if v.state is State.MISSING)


@pytest.mark.usefixtures("bare")
def test_the_exit_code_tells_whether_packing_works(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--json"])
    told = json.loads(capsys.readouterr().out)

    assert code == 1
    assert told["verbs"][PACK] is False
    assert {finding["state"] for finding in told["findings"]} <= {s.value for s in State}


@pytest.mark.usefixtures("bare")
def test_people_read_one_line_a_verb(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor"])
    text = capsys.readouterr().out

    assert [line.split("  ")[0] for line in text.splitlines()[:5]] == list(VERBS)
    assert "get it: sudo apt-get install docker.io" in text


def test_a_credential_helper_that_is_not_there_stops_a_push() -> None:
    folder = Path(os.environ["HOME"]) / ".docker"
    folder.mkdir()
    (folder / "config.json").write_text('{"credsStore": "nowhere"}')

    assert any("docker-credential-nowhere" in verdict.what for verdict in examine().obstacles(PUSH))


def test_a_cache_that_cannot_be_made_stops_packing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UAITRAIN_CACHE", str(tmp_path / "file" / "cache"))

    assert any(verdict.check == "cache" for verdict in examine().obstacles(PACK))


@pytest.mark.parametrize("line", ["me:100000:65536", "1000:100000:65536"])
def test_subordinate_ids_are_found_by_name_and_by_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "subuid"
    path.write_text(f"other:1:1\n{line}\n")

    assert list(user_ids.ids_of("me", 1000, (path,))) == []


def test_missing_subordinate_ids_come_with_the_command_that_adds_them(tmp_path: Path) -> None:
    (verdict,) = user_ids.ids_of("me", 1000, (tmp_path / "subuid",))

    assert "usermod --add-subuids" in verdict.mend


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(UsageError, match="containerd"):
        examine("containerd")
