"""The API server, through the official client, which only this module and ``login`` know.

Objects go in and come out as plain values, as the server writes them, so that a field that this
client's version does not know is no trouble. Every error of the client's becomes one of ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from uaitrain.backends.kubernetes import login, refusals
from uaitrain.backends.kubernetes.options import Options
from uaitrain.errors import BackendError
from uaitrain.values import dataclass

_CONNECT_SECONDS = 10
_ANSWER_SECONDS = 30
_SILENCE_SECONDS = 300
"""After so long without a line a log is asked for anew: a connection may be dead unseen."""
_PAGE = 500


@dataclass(frozen=True)
class Need:
    """Something that a run asks of the server. ``part`` is of the resource, such as its log."""

    verb: str
    group: str
    resource: str
    part: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{self.part and '/'}{self.part}"


NEEDS = (
    Need("create", "batch", "jobs"),
    Need("list", "batch", "jobs"),
    Need("delete", "batch", "jobs"),
    Need("list", "", "pods"),
    Need("get", "", "pods", "log"),
    Need("create", "", "secrets"),
    Need("create", "", "services"),
)
"""All that is asked, in the run's namespace. Secrets are for credentials, Services for nodes."""


class Cluster:
    """One namespace's API, as ``options`` name it. Nothing is sent before a method is called.

    ``answer_seconds`` is how long an answer may take.
    """

    def __init__(self, options: Options, answer_seconds: float = _ANSWER_SECONDS) -> None:
        self._answer_seconds = answer_seconds
        self._api, self.host, own = login.client(options)
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
        return dict(self._ask(what, make, namespace, manifest, field_validation="Strict"))

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

    def may(self, need: Need) -> bool:
        """Whether the server lets us do so in the namespace."""
        from kubernetes import client

        attributes = {
            "namespace": self.namespace,
            "verb": need.verb,
            "group": need.group,
            "resource": need.resource,
            "subresource": need.part,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        asks = client.AuthorizationV1Api(self._api).create_self_subject_access_review
        answer = self._ask("ask for permissions", asks, review)
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
        patience = self._answer_seconds
        timeout = (min(patience, _CONNECT_SECONDS), _SILENCE_SECONDS if stream else patience)
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
