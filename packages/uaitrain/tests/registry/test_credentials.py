"""Where logins come from, and in which order."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest
from uaitrain.errors import CredentialsError, UsageError
from uaitrain.registry.credentials import Credentials, find_credentials
from uaitrain.secret import Secret

HOST = "uhub.example.org"


def _auth(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


@pytest.fixture
def docker_config() -> Path:
    folder = Path.home() / ".docker"
    folder.mkdir()
    return folder / "config.json"


@pytest.fixture
def podman_auth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "auth.json"
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))
    return file


def _helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def _write(file: Path, value: object) -> None:
    file.write_text(json.dumps(value))


def _login(found: Credentials | None) -> tuple[str, str]:
    assert found
    return found.username, found.password.reveal()


def test_each_source_gives_way_to_the_one_before_it(
    docker_config: Path, podman_auth: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_credentials(HOST) is None
    _write(podman_auth, {"auths": {HOST: {"auth": _auth("podman", "1")}}})
    assert _login(find_credentials(HOST)) == ("podman", "1")
    _write(docker_config, {"auths": {HOST: {"auth": _auth("docker", "2")}}})
    assert _login(find_credentials(HOST)) == ("docker", "2")
    monkeypatch.setenv("UAITRAIN_REGISTRY_USERNAME", "env")
    monkeypatch.setenv("UAITRAIN_REGISTRY_PASSWORD", "3")
    assert _login(find_credentials(HOST, target=True)) == ("env", "3")
    own = Credentials("me", Secret("4"))
    assert find_credentials(HOST, own, target=True) is own


def test_the_environments_login_goes_to_no_other_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UAITRAIN_REGISTRY_USERNAME", "env")
    monkeypatch.setenv("UAITRAIN_REGISTRY_PASSWORD", "secret")
    assert find_credentials("base.example.org") is None
    assert find_credentials(HOST, target=True)
    monkeypatch.setenv("UAITRAIN_REGISTRY_HOST", HOST)
    assert find_credentials("base.example.org", target=True) is None
    assert find_credentials(HOST)


def test_half_a_login_in_the_environment_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UAITRAIN_REGISTRY_PASSWORD", "s3cret")
    with pytest.raises(UsageError, match="UAITRAIN_REGISTRY_USERNAME") as caught:
        find_credentials(HOST, target=True)

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "host"),
    [
        (HOST, HOST),
        (f"https://{HOST}", HOST),
        (f"https://{HOST}/v1/", HOST),
        (f"https://{HOST}/v2/", HOST),
        (f"http://{HOST}:5000", f"{HOST}:5000"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
    ],
)
def test_dockers_keys_are_understood_in_every_spelling(
    docker_config: Path, key: str, host: str
) -> None:
    _write(docker_config, {"auths": {"other.org": {}, key: {"auth": _auth("a", "b:c ü")}}})

    assert _login(find_credentials(host)) == ("a", "b:c ü")
    assert find_credentials("another.org") is None


def test_the_config_folder_can_be_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    _write(tmp_path / "config.json", {"auths": {HOST: {"username": "a", "password": "b"}}})
    found = find_credentials(HOST)

    assert _login(found) == ("a", "b")
    assert found
    assert found.origin == str(tmp_path / "config.json")


def test_an_identity_token_is_read_and_not_shown(docker_config: Path) -> None:
    _write(docker_config, {"auths": {HOST: {"auth": _auth("u", ""), "identitytoken": "t0ken"}}})
    found = find_credentials(HOST)

    assert found
    assert found.identity_token == Secret("t0ken")
    assert "t0ken" not in repr(found)


def test_podmans_longest_prefix_wins(podman_auth: Path) -> None:
    entries = {
        HOST: "host",
        f"{HOST}/team": "team",
        f"{HOST}/team/mnist": "mnist",
        f"{HOST}/te": "never",
    }
    _write(podman_auth, {"auths": {k: {"auth": _auth(v, "x")} for k, v in entries.items()}})

    def who(repository: str) -> str:
        return _login(find_credentials(HOST, repository=repository))[0]

    assert who("team/mnist") == "mnist"
    assert who("team/other") == "team"
    assert who("else/mnist") == "host"
    assert who("") == "host"


def test_podmans_other_places_are_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Path.home() / ".config" / "containers"
    config.mkdir(parents=True)
    _write(config / "auth.json", {"auths": {HOST: {"auth": _auth("home", "x")}}})
    assert _login(find_credentials(HOST))[0] == "home"
    runtime = tmp_path / "run" / "containers"
    runtime.mkdir(parents=True)
    _write(runtime / "auth.json", {"auths": {HOST: {"auth": _auth("run", "x")}}})
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    assert _login(find_credentials(HOST))[0] == "run"


@pytest.mark.parametrize("section", [{"credsStore": "test"}, {"credHelpers": {HOST: "test"}}])
def test_a_helper_gets_the_host_on_its_input_and_gives_the_secret_on_its_output(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    docker_config: Path,
    section: dict[str, object],
) -> None:
    _write(docker_config, section | {"auths": {HOST: {}}})
    _helper(
        tmp_path,
        monkeypatch,
        "test",
        f'echo "$@" > {tmp_path}/argv; read host\n'
        'printf \'{"ServerURL":"%s","Username":"%s","Secret":"s3cret"}\' "$host" "$host"',
    )

    assert _login(find_credentials(HOST)) == (HOST, "s3cret")
    assert (tmp_path / "argv").read_text() == "get\n"


def test_a_helpers_token_is_an_identity_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, docker_config: Path
) -> None:
    _write(docker_config, {"credsStore": "test"})
    _helper(tmp_path, monkeypatch, "test", 'echo \'{"Username":"<token>","Secret":"t"}\'')
    found = find_credentials(HOST)

    assert found
    assert found.identity_token == Secret("t")


def test_a_helper_that_knows_nothing_leaves_it_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, docker_config: Path
) -> None:
    _write(docker_config, {"credsStore": "test", "auths": {HOST: {"auth": _auth("file", "x")}}})
    _helper(tmp_path, monkeypatch, "test", "echo credentials not found in native keychain; exit 1")

    assert _login(find_credentials(HOST))[0] == "file"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("exit 3", "failed with status 3"),
        ("echo s3cret", "gave no user name and secret"),
        (None, "not installed"),
    ],
)
def test_a_broken_helper_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    docker_config: Path,
    script: str | None,
    says: str,
) -> None:
    _write(docker_config, {"credHelpers": {HOST: "test"}})
    if script:
        _helper(tmp_path, monkeypatch, "test", script)
    with pytest.raises(CredentialsError, match="docker-credential-test") as caught:
        find_credentials(HOST)

    assert says in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        '{"auths": {"uhub.example.org": {"auth": "s3cret"',
        "[]",
        '{"auths": [1]}',
        '{"auths": {"uhub.example.org": "s3cret"}}',
        '{"auths": {"uhub.example.org": {"auth": "s3cret!"}}}',
        '{"auths": {"uhub.example.org": {"auth": "czNjcmV0"}}}',
        '{"credsStore": "../../s3cret"}',
        "\0\1",
    ],
)
def test_a_broken_file_is_named_and_nothing_of_it_shown(docker_config: Path, text: str) -> None:
    docker_config.write_text(text)
    with pytest.raises(UsageError) as caught:
        find_credentials(HOST)

    assert str(docker_config) in caught.value.what
    if "credsStore" not in text:
        assert "s3cret" not in str(caught.value)


def test_an_empty_file_is_no_login(docker_config: Path) -> None:
    docker_config.write_text("")

    assert find_credentials(HOST) is None
