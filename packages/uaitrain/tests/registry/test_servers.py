"""The servers that the other tests rely on do what they say."""

from __future__ import annotations

import base64

import pytest
import urllib3
from support.registry import RunningRegistry
from support.token_server import SERVICE


def _status(url: str, **headers: str) -> int:
    with urllib3.PoolManager(retries=False) as pool:
        return pool.request("GET", url, headers=headers).status


def _basic(running: RunningRegistry) -> str:
    return "Basic " + base64.b64encode(f"{running.username}:{running.password}".encode()).decode()


def test_an_open_registry_answers_and_comes_back_on_the_same_port(
    registry: RunningRegistry,
) -> None:
    host = registry.host
    assert _status(f"{registry.url}/v2/") == 200
    registry.stop()
    with pytest.raises(urllib3.exceptions.NewConnectionError):
        _status(f"{registry.url}/v2/")
    registry.start()
    assert registry.host == host
    assert _status(f"{registry.url}/v2/") == 200


def test_the_htpasswd_registry_wants_the_password(registry_htpasswd: RunningRegistry) -> None:
    url = f"{registry_htpasswd.url}/v2/"
    assert _status(url) == 401
    assert _status(url, Authorization=_basic(registry_htpasswd)) == 200


def test_the_registry_itself_verifies_the_tokens_scope(registry_token: RunningRegistry) -> None:
    assert registry_token.tokens
    token_url = f"{registry_token.tokens.url}?service={SERVICE}&scope="
    tags = f"{registry_token.url}/v2/team/mnist/tags/list"

    def token(scope: str) -> str:
        with urllib3.PoolManager(retries=False) as pool:
            headers = {"Authorization": _basic(registry_token)}
            answer = pool.request("GET", token_url + scope, headers=headers)
        return "Bearer " + str(answer.json()["token"])

    right = token("repository:team/mnist:pull")
    assert _status(tags) == 401
    assert _status(tags, Authorization=right[:-8] + "AAAAAAAA") == 401
    assert _status(tags, Authorization=token("repository:team/other:pull")) == 401
    assert _status(tags, Authorization=right) == 404
