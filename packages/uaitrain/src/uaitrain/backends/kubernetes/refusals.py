"""What the API server refuses, as errors of ours, with its own words."""

from __future__ import annotations

import json

from uaitrain.errors import BackendError, CredentialsError, UaitrainError

MAKE_JOB = "create the Job"

_NEXT = {
    403: "kubectl auth can-i --list shows what you may do; ask whoever runs the cluster for more",
    404: "kubectl get namespaces shows what there is; --namespace names another",
    409: "a run of this id is there already: uaitrain runs, uaitrain cancel",
    422: "uaitrain submit kubernetes --dry-run shows what was sent",
    400: "uaitrain submit kubernetes --dry-run shows what was sent",
    429: "the server is busy: try again in a minute",
}


class UnreachableError(BackendError):
    """No answer: the next try may get one."""


class JobExistsError(BackendError):
    """Another Job has the name: what is there is not ours to delete."""


def of(what: str, status: int, answer: object, host: str) -> UaitrainError:
    """The server at ``host`` answered ``status`` when asked to do ``what``.

    Status 0 is the client's for a TLS connection that could not be made.
    """
    words = _words(answer)
    if status == 0:
        return unreachable(host, words)
    if status == 401:
        return no_login(host, words)
    kind = JobExistsError if status == 409 and what == MAKE_JOB else BackendError
    later = "try again later" if status >= 500 else ""
    return kind(
        f"cannot {what}: {host} answered {status}: {words}",
        next_step=_NEXT.get(status, later),
    )


def unreachable(host: str, why: object) -> UnreachableError:
    return UnreachableError(
        f"cannot reach the Kubernetes API server {host}: {_innermost(why)}",
        next_step="kubectl cluster-info asks the same; a VPN, a proxy or another context may help",
    )


def no_login(host: str, words: str) -> CredentialsError:
    return CredentialsError(
        f"{host} does not take this login: {words}",
        next_step="kubectl auth whoami asks the same; a login may have run out",
    )


def _words(answer: object) -> str:
    """The message of a ``Status`` object, else the first line of whatever a proxy said."""
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if isinstance(told, dict) and isinstance(told.get("message"), str):
        text = told["message"]
    return " ".join(text.split())[:600]


def _innermost(why: object) -> str:
    """Of a chain of retries the reason that lies at its bottom, without addresses of objects."""
    while isinstance(why, Exception):
        inner = getattr(why, "reason", None) or why.__cause__
        if not isinstance(inner, Exception):
            break
        why = inner
    text = str(why)
    return text.rpartition(">: ")[2] or text
