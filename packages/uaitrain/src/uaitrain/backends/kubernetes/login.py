"""Who we are to which API server: a kubeconfig, found as kubectl does, or a pod's own account."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from uaitrain.backends.kubernetes.options import Options
from uaitrain.errors import UsageError

EXTRA = "pip install 'uaitrain[kubernetes]'"
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_NOT_ONE = (AttributeError, KeyError, TypeError, ValueError)
"""What the client's reader raises for YAML that is no kubeconfig."""


def client(options: Options) -> tuple[Any, str, str]:
    """A client, the server's address, and the namespace that comes with the login.

    Raises UsageError where there is no login or no client library.
    """
    try:
        from kubernetes import client, config
        from kubernetes.config.config_exception import ConfigException
        from yaml import YAMLError
    except ImportError:
        raise UsageError("the Kubernetes client is not installed", next_step=EXTRA) from None
    configuration = client.Configuration()
    configuration.retries = 1
    files = _kubeconfig(options)
    try:
        if files:
            config.load_kube_config(files, options.context or None, configuration, False)
            namespace = _namespace_of(config, files, options.context)
        elif "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(configuration)
            namespace = (_SERVICE_ACCOUNT / "namespace").read_text().strip()
        else:
            raise UsageError(
                "no kubeconfig: there is no ~/.kube/config, and KUBECONFIG names no file",
                allowed="a kubeconfig by --kubeconfig or $KUBECONFIG, or a pod's service account",
                next_step="get one from whoever runs the cluster; kubectl config view shows it",
            )
    except (ConfigException, YAMLError, OSError, *_NOT_ONE) as error:
        raise UsageError(
            f"cannot use the kubeconfig {files or 'of this pod'}: {_told(error)}",
            next_step="kubectl config get-contexts shows what there is",
        ) from None
    api = client.ApiClient(configuration)
    # Left to the server to guess otherwise, which what stands between may not let pass.
    api.set_default_header("Content-Type", "application/json")
    return api, str(configuration.host), namespace or "default"


def _kubeconfig(options: Options) -> str:
    """The files to read, as ``kubectl`` looks for them, or empty."""
    if options.kubeconfig:
        path = Path(options.kubeconfig).expanduser()
        if not path.is_file():
            raise UsageError(f"--kubeconfig: no such file: {options.kubeconfig!r}")
        return str(path)
    named = [name for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    found = named or ["~/.kube/config"]
    return os.pathsep.join(
        str(path) for path in (Path(name).expanduser() for name in found) if path.is_file()
    )


def _namespace_of(config: Any, files: str, context: str) -> str:
    contexts, current = config.list_kube_config_contexts(files)
    chosen = next((each for each in contexts if each["name"] == context), current)
    return str(chosen["context"].get("namespace") or "")


def _told(error: Exception) -> str:
    """An error of the reader's without what it quotes of the file, which holds keys."""
    from kubernetes.config.config_exception import ConfigException

    if isinstance(error, (ConfigException, OSError)):
        return str(error)
    return f"it is not one ({type(error).__name__})"
