"""Logins against registries that really check them."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
import uaitrain.registry
from support.fault_proxy import Fault, running_fault_proxy
from support.images import at, client, image
from support.registry import PASSWORD, USERNAME, RunningRegistry, running_registry
from support.token_server import TokenServer
from uaitrain.errors import CredentialsError, RegistryError
from uaitrain.oci.descriptor import Platform
from uaitrain.registry.auth import parse_scope, render_scope, scope_of
from uaitrain.registry.challenge import Challenge, parse_challenges
from uaitrain.registry.credentials import Credentials
from uaitrain.registry.pull import pull_image
from uaitrain.registry.push import push_image
from uaitrain.secret import Secret


def _tokens(running: RunningRegistry) -> TokenServer:
    assert running.tokens
    return running.tokens


def test_basic_authentication_pushes_and_pulls(registry_htpasswd: RunningRegistry) -> None:
    own = client(registry_htpasswd.host, USERNAME, PASSWORD)
    push_image(own, image(), at(registry_htpasswd.host))

    assert pull_image(own, at(registry_htpasswd.host), Platform()).digest == image().digest


def test_a_known_login_is_sent_at_once(registry_htpasswd: RunningRegistry) -> None:
    with running_fault_proxy(registry_htpasswd.host) as proxy:
        push_image(client(proxy.host, USERNAME, PASSWORD), image(), at(proxy.host))
        bare = [h for h in proxy.seen if "Authorization" not in h]

    assert len(bare) == 1


@pytest.mark.parametrize("kind", ["htpasswd", "token"])
def test_a_wrong_password_is_refused_without_being_shown(tmp_path: Path, kind: str) -> None:
    login = (USERNAME, PASSWORD) if kind == "htpasswd" else None
    with running_registry(tmp_path, htpasswd=login, token=kind == "token") as running:
        with pytest.raises(CredentialsError, match="refuses the user name or password") as caught:
            push_image(client(running.host, USERNAME, "wr0ng"), image(), at(running.host))

        assert "wr0ng" not in str(caught.value)
        assert f"docker login {running.host}" in caught.value.next_step
        assert caught.value.exit_code == 6


def test_a_missing_password_is_asked_for(
    registry_htpasswd: RunningRegistry, registry_token: RunningRegistry
) -> None:
    for running in (registry_htpasswd, registry_token):
        with pytest.raises(CredentialsError, match="none are known"):
            push_image(client(running.host), image(), at(running.host))


def test_a_push_needs_one_token(registry_token: RunningRegistry) -> None:
    own = client(registry_token.host, USERNAME, PASSWORD)
    push_image(own, image(), at(registry_token.host))

    scopes = [request.scopes for request in _tokens(registry_token).requests]
    assert scopes == [("repository:team/mnist:pull,push",)]


def test_everybody_may_pull_what_is_public(registry_token: RunningRegistry) -> None:
    public = at(registry_token.host, "public/base:1")
    push_image(client(registry_token.host, USERNAME, PASSWORD), image(), public)
    pulled = pull_image(client(registry_token.host), public, Platform())

    assert pulled.digest == image().digest
    assert _tokens(registry_token).requests[-1].username == ""


def test_the_registry_refuses_a_token_that_grants_too_little(
    registry_token: RunningRegistry,
) -> None:
    _tokens(registry_token).withhold = frozenset({"push"})
    with pytest.raises(CredentialsError, match="does not let this user start an upload"):
        push_image(
            client(registry_token.host, USERNAME, PASSWORD), image(), at(registry_token.host)
        )


@pytest.mark.parametrize("method", ["POST", "PUT .*uploads", "PUT .*manifests"])
def test_a_token_revoked_at_any_step_is_renewed(
    registry_token: RunningRegistry, method: str
) -> None:
    tokens = _tokens(registry_token)
    challenge = f'Bearer realm="{tokens.url}",service="uaitrain-test-registry",error="invalid"'
    revoked = Fault(f"^{method}", status=401, headers={"WWW-Authenticate": challenge})
    with running_fault_proxy(registry_token.host) as proxy:
        own = client(proxy.host, USERNAME, PASSWORD)
        own.ping()
        proxy.faults.append(revoked)
        push_image(own, image(), at(proxy.host), parallel=1)

    assert revoked.times == 0
    assert len(tokens.requests) == 2


def test_a_short_lived_token_is_replaced_before_it_ends(registry_token: RunningRegistry) -> None:
    tokens = _tokens(registry_token)
    tokens.told = 1
    own = client(registry_token.host, USERNAME, PASSWORD)
    with pytest.raises(RegistryError):
        own.get_manifest("team/mnist", "none")
    first = own.authorization(f"http://{registry_token.host}/", "team/mnist")
    time.sleep(0.6)

    assert first != own.authorization(f"http://{registry_token.host}/", "team/mnist")
    assert all("pull" in s for r in tokens.requests for s in r.scopes)


def test_an_identity_token_takes_the_passwords_place(registry_token: RunningRegistry) -> None:
    tokens = _tokens(registry_token)
    own = client(registry_token.host, identity_token=tokens.refresh_token)
    push_image(own, image(), at(registry_token.host))

    assert {"POST"} == {request.method for request in tokens.requests}
    with pytest.raises(CredentialsError):
        pull_image(
            client(registry_token.host, identity_token="stale"),  # noqa: S106 made up
            at(registry_token.host),
            Platform(),
        )


def test_tokens_work_over_tls_with_a_private_authority(tmp_path: Path) -> None:
    with running_registry(tmp_path, tls=True, token=True) as running:
        own = client(running.host, USERNAME, PASSWORD, ca_file=running.ca_file)
        push_image(own, image(), at(running.host))

        assert pull_image(own, at(running.host), Platform()).digest == image().digest


def test_the_password_is_never_sent_to_a_plain_http_token_server(tmp_path: Path) -> None:
    elsewhere = 'Bearer realm="http://tokens.example.org/token",service="s"'
    stolen = Fault("^GET", status=401, headers={"WWW-Authenticate": elsewhere})
    with (
        running_registry(tmp_path, tls=True) as running,
        running_fault_proxy(running.host, stolen, tls=running.server) as proxy,
    ):
        own = client(proxy.host, USERNAME, PASSWORD, ca_file=running.ca_file)
        with pytest.raises(CredentialsError, match=r"wants the password sent to http://tokens"):
            own.get_manifest("team/mnist", "v1")


def test_an_unknown_kind_of_login_is_named(registry: RunningRegistry) -> None:
    asks = Fault("^GET", status=401, headers={"WWW-Authenticate": "Negotiate abc=="})
    with (
        running_fault_proxy(registry.host, asks) as proxy,
        pytest.raises(CredentialsError, match="negotiate"),
    ):
        client(proxy.host, USERNAME, PASSWORD).get_manifest("team/mnist", "v1")


def test_connect_looks_for_a_login_only_when_asked_for_one(
    registry: RunningRegistry,
    registry_htpasswd: RunningRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = Path.home() / ".docker" / "config.json"
    broken.parent.mkdir()
    broken.write_text("{")
    push_image(uaitrain.registry.connect(registry.host), image(), at(registry.host))

    monkeypatch.setenv("UAITRAIN_REGISTRY_USERNAME", USERNAME)
    monkeypatch.setenv("UAITRAIN_REGISTRY_PASSWORD", PASSWORD)
    there = uaitrain.registry.connect(registry_htpasswd.host, target=True)
    push_image(there, image(), at(registry_htpasswd.host))
    own = Credentials(USERNAME, Secret("wrong"))
    there = uaitrain.registry.connect(registry_htpasswd.host, credentials=own, target=True)
    with pytest.raises(CredentialsError, match="from the command line"):
        push_image(there, image(), at(registry_htpasswd.host))


def test_a_login_that_another_tool_made_is_found(
    registry_htpasswd: RunningRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    login = ["skopeo", "login", "--tls-verify=false", "-u", USERNAME, "--password-stdin"]
    subprocess.run(
        [*login, registry_htpasswd.host], input=PASSWORD.encode(), check=True, capture_output=True
    )
    push_image(
        uaitrain.registry.connect(registry_htpasswd.host), image(), at(registry_htpasswd.host)
    )


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="x"', [Challenge("basic", {"realm": "x"})]),
        (
            'Bearer realm="https://a/t?x=1,2",service="a b",scope="repository:x:pull,push"',
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://a/t?x=1,2",
                        "service": "a b",
                        "scope": "repository:x:pull,push",
                    },
                )
            ],
        ),
        (
            'Negotiate, NTLM TlRMTVNT==, Basic Realm = "say \\"hi\\"", charset=UTF-8',
            [
                Challenge("negotiate", {}),
                Challenge("ntlm", {}),
                Challenge("basic", {"realm": 'say "hi"', "charset": "UTF-8"}),
            ],
        ),
        (
            'Bearer realm="a", Basic realm="b"',
            [Challenge("bearer", {"realm": "a"}), Challenge("basic", {"realm": "b"})],
        ),
        ('realm="no scheme"', []),
        ("", []),
        ('Bearer realm="never ends', [Challenge("bearer", {})]),
    ],
)
def test_challenges_are_read_as_the_rfc_writes_them(header: str, expected: list[Challenge]) -> None:
    assert expected == parse_challenges(header)


def test_scopes_are_read_and_written() -> None:
    scope = scope_of("a/b", "push", "pull") | scope_of("c", "pull")

    assert render_scope(scope) == ["repository:a/b:pull,push", "repository:c:pull"]
    assert scope == parse_scope("repository:c:pull repository:a/b:push,pull")
