"""Through a real forward proxy: CONNECT for HTTPS, whole addresses for HTTP, with its login."""

from __future__ import annotations

import pytest
from support.connect_proxy import running_connect_proxy
from support.registry import RunningRegistry
from uaitrain.errors import UsageError
from uaitrain.registry.failures import UnreachableError
from uaitrain.registry.transport import Transport

HOST = "registry.example"


def test_https_goes_through_a_tunnel_and_is_verified_at_its_end(
    registry_tls: RunningRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_connect_proxy(registry_tls.host) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        transport = Transport(ca_file=registry_tls.ca_file)
        answers = [transport.request("GET", f"https://{HOST}/v2/") for _ in range(2)]
        transport.close()

    assert [answer.status for answer in answers] == [200, 200]
    assert proxy.seen == [f"CONNECT {HOST}:443 HTTP/1.1"]  # the second used the connection again


def test_plain_http_names_the_whole_address_to_the_proxy(
    registry: RunningRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_connect_proxy(registry.host) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        transport = Transport(insecure={HOST})
        answer = transport.request("GET", f"http://{HOST}/v2/")
        transport.close()

    assert answer.status == 200
    assert proxy.seen == [f"GET http://{HOST}/v2/ HTTP/1.1"]


def test_a_proxy_that_wants_another_login_is_told_apart_from_the_registry(
    registry_tls: RunningRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_connect_proxy(registry_tls.host) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://wrong:secret-word@127.0.0.1:{proxy.port}")
        transport = Transport(ca_file=registry_tls.ca_file)
        with pytest.raises(UnreachableError, match="the proxy does not let us through") as caught:
            transport.request("GET", f"https://{HOST}/v2/")

    assert "secret-word" not in str(caught.value)


def test_a_kind_of_proxy_that_we_cannot_use_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")

    with pytest.raises(UsageError, match="'socks5'"):
        Transport().request("GET", f"https://{HOST}/v2/")
