"""Connections that fail, and how: each failure gets its message, none gets through as it is."""

from __future__ import annotations

import inspect
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.fault_proxy import Fault, running_fault_proxy
from support.images import QUICK, at, client, image
from support.registry import RunningRegistry
from uaitrain.errors import NotFoundError, RegistryError, UsageError
from uaitrain.registry import http1
from uaitrain.registry.breaks import converted, not_connected
from uaitrain.registry.failures import TransientError, UnreachableError, printable, redact
from uaitrain.registry.push import push_image
from uaitrain.registry.transport import Backoff, Retry, Transport, is_loopback


@contextmanager
def _listening(says: bytes | None) -> Iterator[str]:
    """Something on a port that takes connections and says ``says``, or nothing for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                held.append(connection)
                if says is not None:
                    connection.recv(65536)
                    connection.sendall(says)
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_registry_that_is_down_is_not_waited_for() -> None:
    paused: list[float] = []
    transport = Transport(retry=Retry(), sleep=paused.append)
    host = f"127.0.0.1:{_free_port()}"
    with pytest.raises(UnreachableError, match="cannot be reached: Connection refused"):
        transport.request("GET", transport.url(host, "/v2/"))

    assert paused == []


def test_a_registry_that_goes_down_on_the_way_is_waited_for(registry: RunningRegistry) -> None:
    paused: list[float] = []

    def sleep(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 2:
            registry.start()

    transport = Transport(retry=QUICK, sleep=sleep)
    url = transport.url(registry.host, "/v2/")
    assert transport.request("GET", url).status == 200
    registry.stop()
    assert transport.request("GET", url).status == 200
    assert len(paused) == 2


def test_an_unknown_host_name_is_named() -> None:
    with pytest.raises(UnreachableError, match=r"registry\.invalid: no such host name"):
        client("registry.invalid").ping()


def test_a_silent_registry_does_not_hang_us() -> None:
    with _listening(None) as host:
        own = client(host, silence_seconds=0.05)
        with pytest.raises(TransientError, match="fell silent"):
            own.ping()


@pytest.mark.parametrize(
    ("says", "message"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not in HTTP"),
        (b"", "broke the connection off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort", "broke the connection off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "not as a registry does"),
        (b"HTTP/1.1 404 Nope\r\nContent-Length: 0\r\n\r\n", "not answer as a registry does"),
        (b"HTTP/1.1 301 X\r\nLocation: /v2/\r\nContent-Length: 0\r\n\r\n", "in circles"),
        (
            b"HTTP/1.1 302 X\r\nLocation: http://a.org/?k=s3cret\r\nContent-Length: 0\r\n\r\n",
            "refused to speak http to a.org",
        ),
    ],
)
def test_what_is_no_registry_is_told_apart(says: bytes, message: str) -> None:
    with _listening(says) as host:
        with pytest.raises(RegistryError, match=message) as caught:
            client(host).ping()

        assert "s3cret" not in str(caught.value)


def test_an_unknown_authority_is_named_with_the_way_out(registry_tls: RunningRegistry) -> None:
    with pytest.raises(RegistryError, match="authority that this machine does not know") as caught:
        push_image(client(registry_tls.host), image(), at(registry_tls.host))

    assert "--ca-file" in caught.value.next_step


def test_a_private_authority_is_trusted_when_named(registry_tls: RunningRegistry) -> None:
    own = client(registry_tls.host, ca_file=registry_tls.ca_file)
    report = push_image(own, image(), at(registry_tls.host))

    assert report.digest == own.head_manifest("team/mnist", "v1")


def test_an_authority_does_not_hide_that_another_registry_speaks_plain_http(
    registry: RunningRegistry, registry_tls: RunningRegistry
) -> None:
    push_image(client(registry.host, ca_file=registry_tls.ca_file), image(), at(registry.host))


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_useless_ca_file_is_named(
    registry_tls: RunningRegistry, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "ca.pem"
    if content:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=r"ca\.pem: no certificate"):
        client(registry_tls.host, ca_file=file).ping()


def test_plain_http_to_other_machines_needs_the_users_word() -> None:
    transport = Transport(insecure={"lab:5000", "named"})

    assert transport.url("uhub.ucloud.cn").startswith("https:")
    assert transport.url("lab:5000").startswith("http:")
    assert transport.url("named:80").startswith("http:")
    assert transport.url("lab:5001").startswith("https:")
    with pytest.raises(RegistryError, match="refused to speak http") as caught:
        transport.request("GET", "http://uhub.ucloud.cn/v2/")
    assert "--insecure-registry uhub.ucloud.cn" in caught.value.next_step


def test_https_to_a_plain_registry_of_another_machine_is_not_downgraded(
    registry: RunningRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Loopback is the only other machine there is: a client is made to take it for one.
    monkeypatch.setattr("uaitrain.registry.transport.is_loopback", lambda netloc: False)
    with pytest.raises(RegistryError, match="does not speak HTTPS") as caught:
        client(registry.host).ping()

    assert f"--insecure-registry {registry.host}" in caught.value.next_step
    client(registry.host, insecure=frozenset({registry.host})).ping()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("a.localhost", True),
        ("127.0.0.1:1", True),
        ("127.9.9.9", True),
        ("[::1]:5000", True),
        ("localhost.evil.org", False),
        ("127.0.0.1.evil.org", False),
        ("10.0.0.1", False),
    ],
)
def test_loopback_is_known_by_name_and_address(host: str, expected: bool) -> None:
    assert expected is is_loopback(host)


def test_a_redirect_to_another_host_goes_without_our_login(registry: RunningRegistry) -> None:
    with running_fault_proxy(registry.host) as storage:
        redirect = Fault("^GET", status=307, headers={"Location": f"http://{storage.host}/v2/?s=1"})
        with running_fault_proxy(registry.host, redirect) as proxy:
            transport = Transport(retry=QUICK)
            headers = {"Authorization": "Basic c2VjcmV0"}
            answer = transport.request("GET", f"http://{proxy.host}/v2/", headers)

            assert answer.status == 200
            assert "Authorization" in proxy.seen[0]
            assert "Authorization" not in storage.seen[0]


def test_the_environments_proxy_is_used_and_left_out_where_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    says = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    with _listening(says) as host:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:s3cret@{host}")
        with pytest.raises(UnreachableError, match="the proxy does not let us through") as caught:
            client("registry.invalid").ping()
        assert "s3cret" not in str(caught.value)
        monkeypatch.setenv("NO_PROXY", "registry.invalid")
        with pytest.raises(UnreachableError, match="no such host name"):
            client("registry.invalid").ping()


def test_retry_after_is_honoured_and_bounded(registry: RunningRegistry) -> None:
    paused: list[float] = []
    transport = Transport(retry=Retry(attempts=6, patience=60), sleep=paused.append)
    busy = [Fault("^GET", status=429, headers={"Retry-After": s}) for s in ("7", "20", "3600")]
    with running_fault_proxy(registry.host, *busy) as proxy:
        answer = transport.request("GET", f"http://{proxy.host}/v2/")

    assert answer.status == 429
    assert paused == [7.0, 20.0]


def test_refusals_are_not_tried_again(registry: RunningRegistry) -> None:
    with running_fault_proxy(registry.host) as proxy:
        with pytest.raises(NotFoundError):
            client(proxy.host).get_manifest("team/mnist", "v1")

        assert len(proxy.requests) == 1


def test_all_pauses_together_are_bounded() -> None:
    paused: list[float] = []
    backoff = Backoff(Retry(), paused.append)
    while backoff.pause():
        pass

    assert len(paused) == 5
    assert sum(paused) <= 0.5 + 1 + 2 + 4 + 8


def test_urls_show_nothing_but_what_is_known_to_be_harmless() -> None:
    url = "https://user:pw@host/v2/x/blobs/uploads/1?_state=abc&digest=sha256:1&X-Signature=s"

    shown = redact(url)

    assert shown == "https://host/v2/x/blobs/uploads/1?_state=***&digest=sha256:1&X-Signature=***"


def test_what_a_server_says_cannot_move_the_cursor() -> None:
    assert printable("a\x1b[2Jb\n\x07") == "a [2Jb  "
    assert len(printable("x" * 9999)) == 300


def _exceptions() -> list[type[Exception]]:
    own = [kind for _, kind in inspect.getmembers(http1, inspect.isclass)]
    return [
        *(kind for kind in own if issubclass(kind, http1.HttpError)),
        *(ssl.SSLError, ssl.SSLCertVerificationError, ssl.SSLEOFError, socket.gaierror),
        *(OSError, TimeoutError, ConnectionResetError, ConnectionRefusedError),
    ]


@pytest.mark.parametrize("kind", _exceptions())
def test_every_exception_of_the_libraries_below_has_a_counterpart(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    with pytest.raises(RegistryError, match=r"registry\.example"):
        raise converted(error, "registry.example")
    for proxied in (True, False):
        with pytest.raises(RegistryError, match=r"registry\.example"):
            raise not_connected(error, "registry.example", proxied=proxied)
