"""Signing without a key, as far as it goes without Sigstore's public service.

Fulcio and Rekor are on the internet only: what is held here is that our statements are ones for
the library, and how a job without identity, with a useless one, and without network ends.
"""

from __future__ import annotations

import base64
import json
import time

import pytest
from sigstore.dsse import Statement
from uaitrain.cli.provenance import _keyless
from uaitrain.errors import RegistryError, UsageError
from uaitrain.oci.digest import digest_of
from uaitrain.provenance.keyless import VARIABLE, Keyless, find_identity
from uaitrain.provenance.statement import SIGN_TYPE, SLSA_TYPE, statement

CI = ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "CIRCLECI")


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def token(**changes: object) -> str:
    """A well-formed token that nobody has signed: only Sigstore's service would look."""
    now = int(time.time())
    claims = {"iss": "https://ci.example", "sub": "job", "aud": "sigstore"}
    return ".".join(
        [
            _part({"alg": "RS256", "typ": "JWT"}),
            _part({**claims, "iat": now - 10, "exp": now + 600, **changes}),
            "c2lnbmF0dXJl",
        ]
    )


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*CI, VARIABLE):
        monkeypatch.delenv(name, raising=False)
    # Whatever this machine's network can do: nothing is asked.
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")


def test_without_an_identity_it_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="there is no identity to sign as") as caught:
        _keyless()

    assert VARIABLE in caught.value.allowed


@pytest.mark.parametrize(
    "given", ["hunter2-no-token", token(aud="other"), token(exp=1), token(sub=None)]
)
def test_a_token_for_something_else_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv(VARIABLE, given)

    with pytest.raises(UsageError, match="is not one for Sigstore") as caught:
        find_identity()
    assert given not in str(caught.value)


def test_a_service_that_cannot_be_reached_is_said_to_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, token())
    text = statement("uhub.example/team/mnist", digest_of(b"image"), SIGN_TYPE, {})

    with pytest.raises(RegistryError, match="cannot be reached") as caught:
        Keyless().bundle(text)
    assert token() not in str(caught.value)


@pytest.mark.parametrize(("kind", "predicate"), [(SIGN_TYPE, {}), (SLSA_TYPE, {"a": [1]})])
def test_the_library_takes_our_statements(kind: str, predicate: dict[str, list[int]]) -> None:
    Statement(statement("uhub.example/team/mnist", digest_of(b"image"), kind, predicate))
