"""What every test gets: a clean environment; what it may ask for: real servers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.bases import caffe_base, torch_base  # noqa: F401 fixtures
from support.cosign import cosign, cosign_key  # noqa: F401 fixtures
from support.engines import docker_engine, podman_engine  # noqa: F401 fixtures
from support.registry import PASSWORD, USERNAME, RunningRegistry, running_registry
from support.tiny_image import tiny  # noqa: F401 a fixture

# Under nohup, and in a shell's background, these are ignored, and every child would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGQUIT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)

# No test depends on how fast the machine is.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

_LEAKING = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("DOCKER_CONFIG", "DOCKER_HOST", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"),
    *("UAITRAIN_REGISTRY_USERNAME", "UAITRAIN_REGISTRY_PASSWORD", "SOURCE_DATE_EPOCH"),
    *("UAITRAIN_SIGN_PASSWORD", "COSIGN_PASSWORD"),
    *("UCLOUD_PUBLIC_KEY", "UCLOUD_PRIVATE_KEY", "REQUESTS_CA_BUNDLE"),
    *("UAITRAIN_CONFIG", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "UAITRAIN_STATE", "XDG_STATE_HOME"),
    *("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"),
)


@pytest.fixture(autouse=True)
def _clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in _LEAKING:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("UAITRAIN_CACHE", str(home / "cache"))


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RunningRegistry]:
    """Open to everybody, plain HTTP on loopback."""
    with running_registry(tmp_path) as running:
        yield running


@pytest.fixture
def registry_htpasswd(tmp_path: Path) -> Iterator[RunningRegistry]:
    """Asks for a user name and password (basic), plain HTTP on loopback."""
    with running_registry(tmp_path, htpasswd=(USERNAME, PASSWORD)) as running:
        yield running


@pytest.fixture
def registry_tls(tmp_path: Path) -> Iterator[RunningRegistry]:
    """HTTPS with the certificate of a private CA."""
    with running_registry(tmp_path, tls=True) as running:
        yield running


@pytest.fixture
def registry_token(tmp_path: Path) -> Iterator[RunningRegistry]:
    """Wants a bearer token of its token server."""
    with running_registry(tmp_path, token=True) as running:
        yield running
