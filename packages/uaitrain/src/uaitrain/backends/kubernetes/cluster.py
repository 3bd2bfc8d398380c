"""The API server, through the official client: the only module that knows it.

Objects go in and come out as plain values, as the server writes them, so that a field that this
client's version does not know is no trouble. Every error of the client's becomes one of ours.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from uaitrain.backends.kubernetes.options import Options
from uaitrain.errors import BackendError, UsageError

EXTRA = "pip install 'uaitrain[kubernetes]'"
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_ANSWER_SECONDS = 30
_SILENCE_SECONDS = 300
"""After so long without a line a log is asked for anew: a connection may be dead unseen."""
_PAGE = 500
_NOT_ONE = (AttributeError, KeyError, TypeError, ValueError)
"""What the client's reader raises for YAML that is no kubeconfig."""
_JSON = {"Content-Type": "application/json"}
"""The client leaves it to the server to guess, which what stands between may not let pass."""


class Cluster:
    """One namespace's API, as ``options`` name it. Nothing is sent before a method is called."""

    def __init__(self, options: Options) -> None:
        self._api, self.host, own = _connect(options)
        self.namespace = options.namespace or own
        from kubernetes import client

        self._batch = client.BatchV1Api(self._api)
        self._core = client.CoreV1Api(self._api)

    def create(self, namespace: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Make the object ``manifest``, refusing fields that the server does not know."""
        makers: dict[str, Callable[..., Any]] = {
            "Job": self._batch.create_namespaced_job,
            "Secret": self._core.create_namespaced_secret,
            "Service": self._core.create_namespaced_service,
        }
        make, what = makers[manifest["kind"]], f"create the {manifest['kind']}"
        more = {"field_validation": "Strict", "_headers": _JSON}
        return dict(self._ask(what, make, namespace, manifest, **more))

    def delete_job(self, namespace: str, name: str) -> bool:
        """Delete a Job, its pods and all that it owns; it stays until the pods are gone.

        False: there is none.
        """
        found = self._ask(
            "delete the Job",
            self._batch.delete_namespaced_job,
            name,
            namespace,
            propagation_policy="Foreground",
            missing=None,
        )
        return found is not None

    def jobs(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        return self._list("list Jobs", self._batch.list_namespaced_job, namespace, selector)

    def pods(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        return self._list("list pods", self._core.list_namespaced_pod, namespace, selector)

    def log(self, namespace: str, pod: str, container: str, *, follow: bool) -> Iterator[bytes]:
        """The bytes of a container's log so far, each line with its time before it; with
        ``follow`` until the container ends.

        Raises LookupError for a pod that is gone or has not started, UnreachableError where the
        connection ends too early.
        """
        response = self._ask(
            "read the log",
            self._core.read_namespaced_pod_log,
            pod,
            namespace,
            container=container,
            follow=follow,
            timestamps=True,
            missing=None,
            waits=None,
            stream=True,
        )
        if response is None:
            raise LookupError(pod)
        with self._border("read the log"), closing(response):
            yield from response.stream(1 << 16)

    def version(self) -> str:
        """The server's own, such as ``v1.33.1``."""
        from kubernetes import client

        return str(
            self._ask("ask the version", client.VersionApi(self._api).get_code)["gitVersion"]
        )

    def may(self, verb: str, group: str, resource: str) -> bool:
        """Whether the server lets us do ``verb`` in the namespace."""
        from kubernetes import client

        attributes = {
            "namespace": self.namespace,
            "verb": verb,
            "group": group,
            "resource": resource,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        asks = client.AuthorizationV1Api(self._api).create_self_subject_access_review
        answer = self._ask("ask for permissions", asks, review, _headers=_JSON)
        return bool(answer["status"]["allowed"])

    def _list(
        self, what: str, read: Callable[..., Any], namespace: str, selector: str
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        rest: dict[str, str] = {}
        while True:
            page = self._ask(what, read, namespace, label_selector=selector, limit=_PAGE, **rest)
            found += page["items"]
            token = page["metadata"].get("continue")
            if not token:
                return found
            rest = {"_continue": token}

    def _ask(self, what: str, call: Callable[..., Any], *words: Any, **more: Any) -> Any:
        """The answer of ``call`` as plain values, or with ``stream`` the open response.

        ``missing`` is given back for an object that is not there (404), ``waits`` for a
        container that has no log yet (400).
        """
        stream = more.pop("stream", False)
        instead = {
            status: more.pop(name)
            for status, name in ((404, "missing"), (400, "waits"))
            if name in more
        }
        timeout = (_ANSWER_SECONDS, _SILENCE_SECONDS if stream else _ANSWER_SECONDS)
        from kubernetes.client.exceptions import ApiException

        with self._border(what):
            try:
                response = call(*words, _preload_content=False, _request_timeout=timeout, **more)
            except ApiException as error:
                if error.status in instead:
                    return instead[error.status]
                raise
            return response if stream else json.loads(response.data)

    @contextmanager
    def _border(self, what: str) -> Iterator[None]:
        import urllib3
        from kubernetes.client.exceptions import ApiException
        from kubernetes.config.config_exception import ConfigException

        from uaitrain.backends.kubernetes import refusals

        try:
            yield
        except ApiException as error:
            raise refusals.of(what, error.status, error.body or error.reason, self.host) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise refusals.unreachable(self.host, error) from None
        except ConfigException as error:
            raise refusals.no_login(self.host, str(error)) from None
        except ValueError as error:
            # The client's and JSON's; either may quote what it was given, a Secret's values too.
            raise BackendError(
                f"cannot {what}: {type(error).__name__} in the answer of {self.host}",
                next_step="is this address a Kubernetes API server? kubectl cluster-info",
            ) from None


def _connect(options: Options) -> tuple[Any, str, str]:
    """A client, the server's address, and the namespace that comes with the login."""
    try:
        from kubernetes import client, config
        from kubernetes.config.config_exception import ConfigException
        from yaml import YAMLError
    except ImportError:
        raise UsageError("the Kubernetes client is not installed", next_step=EXTRA) from None
    configuration = client.Configuration()
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
    return client.ApiClient(configuration), str(configuration.host), namespace or "default"


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
