"""An API server of ours that checks every request: HTTPS, routes, verbs, bodies, parameters.

It stands where no real one can: it keeps objects and streams logs, and a test plays the cluster
(``kube_objects``). Bodies are validated by the schemas that Kubernetes publishes, strictly. What
a client does wrong is answered as a server would, and kept in ``wrong``; the fixture fails for
it.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from support.certificates import self_signed, server_certificate
from support.kube_objects import Cluster

TOKEN = "let-me-in"  # noqa: S105 a made-up value of a test server
PAGE = 2
"""Objects in one answer at most: a client has to ask for the rest."""

_KINDS = {
    "/apis/batch/v1": {"jobs": "Job"},
    "/api/v1": {"secrets": "Secret", "services": "Service", "pods": "Pod"},
}
_ROUTE = re.compile(
    r"(?P<group>/api/v1|/apis/batch/v1)/namespaces/(?P<namespace>[^/]+)/(?P<kind>[a-z]+)"
    r"(?:/(?P<name>[^/]+))?(?P<log>/log)?"
)


@dataclass
class Server:
    """Running. ``requests`` are ``VERB kind`` in their order, ``refusals`` what such a request
    is answered with (status and message) instead, ``lose_answer`` requests that are done and yet
    not answered, once each, ``break_after`` the lines after which the next log streams are cut.
    ``unknown_fields`` of a Job are dropped, ``may_not`` is what the login has no right to."""

    url: str
    kubeconfig: Path
    cluster: Cluster = field(default_factory=Cluster)
    version: str = "v1.33.1"
    requests: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    lose_answer: list[str] = field(default_factory=list)
    break_after: list[int] = field(default_factory=list)
    unknown_fields: tuple[str, ...] = ()
    may_not: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


class _Refused(Exception):  # noqa: N818 an answer
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of_ours: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def __getattr__(self, name: str) -> Any:
        # Any other verb: http.server looks for do_VERB.
        if name.startswith("do_"):
            return lambda: self._answer(name.removeprefix("do_"))
        raise AttributeError(name)

    def _answer(self, verb: str) -> None:
        ours = self.server_of_ours
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        url = urllib.parse.urlsplit(self.path)
        asked = {name: values[-1] for name, values in urllib.parse.parse_qs(url.query).items()}
        try:
            scheme, _, token = self.headers.get("Authorization", "").partition(" ")
            if (scheme.lower(), token) != ("bearer", TOKEN):
                raise _Refused(401, "Unauthorized")
            told = self._do(verb, url.path, asked, body)
        except _Refused as refused:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
            self._send(refused.status, status | {"message": str(refused), "code": refused.status})
            return
        if told is not None:
            request = ours.requests[-1] if ours.requests else ""
            if request in ours.lose_answer:
                ours.lose_answer.remove(request)
                self.close_connection = True
                return
            self._send(201 if verb == "POST" else 200, told)

    def _do(self, verb: str, path: str, asked: dict[str, str], body: Any) -> Any:
        ours = self.server_of_ours
        if (verb, path) == ("GET", "/version/"):
            major, minor = ours.version.lstrip("v").split(".")[:2]
            return {"gitVersion": ours.version, "major": major, "minor": minor}
        if path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" and verb == "POST":
            return self._review(body)
        route = _ROUTE.fullmatch(path)
        kind = route and _KINDS[route["group"]].get(route["kind"])
        if not route or not kind:
            raise self._wrong(404, f"the server has no {verb} {path}")
        request = f"{verb} {kind}{' log' if route['log'] else ''}"
        ours.requests.append(request)
        if request in ours.refusals:
            raise _Refused(*ours.refusals[request])
        namespace, name = route["namespace"], route["name"]
        with ours.cluster.lock:
            if request == "GET Pod log":
                found = ours.cluster.pods.get(name)
                if not found:
                    raise _Refused(404, f'pods "{name}" not found')
            elif verb == "GET" and not name:
                return self._list(kind, namespace, asked)
            elif verb == "POST" and not name and kind != "Pod":
                return self._create(kind, namespace, asked, body)
            elif request == "DELETE Job" and name:
                return self._delete(namespace, name, asked)
            else:
                raise self._wrong(405, f"{verb} {path}: a run needs no such thing")
        self._stream(found, asked)
        return None

    def _create(self, kind: str, namespace: str, asked: dict[str, str], body: Any) -> Any:
        ours = self.server_of_ours
        if asked.get("fieldValidation") != "Strict":
            raise self._wrong(400, "unknown fields would be dropped: fieldValidation is not Strict")
        if body.get("kind") != kind or self.headers["Content-Type"] != "application/json":
            raise self._wrong(400, f"no {kind} in JSON: {self.headers['Content-Type']}")
        version = re.sub(r"^v|\.[0-9]+$", "", ours.version)
        try:
            kubernetes_validate.validate(body, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise self._wrong(422, f"{kind} is invalid: {error.message}") from None
        if namespace not in ours.cluster.namespaces:
            raise _Refused(404, f'namespaces "{namespace}" not found')
        name = body["metadata"]["name"]
        if name in ours.cluster.of(kind, namespace):
            raise _Refused(409, f'{kind.lower()}s "{name}" already exists')
        uids = {job["metadata"]["uid"] for job in ours.cluster.of("Job", namespace).values()}
        for owner in body["metadata"].get("ownerReferences", ()):
            if owner["uid"] not in uids:
                raise self._wrong(422, f"the owner of {kind} {name} is not there")
        ours.bodies.append(body)
        if kind == "Job":
            kept = {k: v for k, v in body["spec"].items() if k not in ours.unknown_fields}
            body = body | {"spec": kept}
        return ours.cluster.add(namespace, body)

    def _list(self, kind: str, namespace: str, asked: dict[str, str]) -> Any:
        cluster = self.server_of_ours.cluster
        if kind == "Pod":
            every = [p.told for p in cluster.pods.values()]
            every = [p for p in every if p["metadata"]["namespace"] == namespace]
        else:
            every = list(cluster.of(kind, namespace).values())
        chosen = [each for each in every if self._fits(each, asked.get("labelSelector", ""))]
        start = int(asked.get("continue", "0"))
        size = min(int(asked.get("limit", PAGE)), PAGE)
        rest = {"continue": str(start + size)} if start + size < len(chosen) else {}
        listed = {"kind": f"{kind}List", "metadata": {"resourceVersion": "1"} | rest}
        # Deep enough a copy that nobody changes it while it is written.
        return json.loads(json.dumps(listed | {"items": chosen[start : start + size]}))

    def _fits(self, told: dict[str, Any], selector: str) -> bool:
        labels = told["metadata"].get("labels", {})
        if match := re.fullmatch(r"([^=\s!,]+) in \(([^)]*)\)", selector):
            return labels.get(match[1]) in match[2].split(",")
        if match := re.fullmatch(r"([^=\s!,]+)(?:=([^=\s!,]+))?", selector):
            return match[1] in labels and match[2] in (None, labels[match[1]])
        raise self._wrong(400, f"unable to parse the selector {selector!r}")

    def _delete(self, namespace: str, name: str, asked: dict[str, str]) -> Any:
        cluster = self.server_of_ours.cluster
        if asked.get("propagationPolicy") != "Foreground":
            raise self._wrong(400, "the pods would outlive the Job: it is not Foreground")
        if name not in cluster.of("Job", namespace):
            raise _Refused(404, f'jobs.batch "{name}" not found')
        cluster.delete_job(namespace, name)
        return cluster.of("Job", namespace)[name]

    def _review(self, body: Any) -> Any:
        kubernetes_validate.validate(body, "1.33", strict=True)
        wanted = body["spec"]["resourceAttributes"]
        part = f"/{wanted['subresource']}" if wanted.get("subresource") else ""
        what = f"{wanted['verb']} {wanted['resource']}{part}"
        allowed = what not in self.server_of_ours.may_not
        return body | {"status": {"allowed": allowed}}

    def _stream(self, pod: Any, asked: dict[str, str]) -> None:
        """A log, line by line; cut off where ``break_after`` says so, in the middle of one."""
        ours = self.server_of_ours
        if not pod.told["status"].get("containerStatuses"):
            status = {"kind": "Status", "status": "Failure", "code": 400}
            return self._send(400, status | {"message": "container is waiting to start"})
        if asked.get("container") != "train" or not _is_true(asked.get("timestamps")):
            raise self._wrong(400, "which container? and without times no line can be told again")
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        limit = ours.break_after.pop(0) if ours.break_after else -1
        sent = 0
        while True:
            ended = pod.has_ended or not _is_true(asked.get("follow"))
            for line in pod.log[sent:]:
                if sent == limit:
                    self._chunk(line[: len(line) // 2])
                    self.connection.close()
                    self.close_connection = True
                    return None
                self._chunk(line)
                sent += 1
            if ended or pod.name not in ours.cluster.pods:
                return self._chunk(b"")
            time.sleep(0.01)

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _send(self, status: int, told: Any) -> None:
        data = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _wrong(self, status: int, what: str) -> _Refused:
        self.server_of_ours.wrong.append(what)
        return _Refused(status, what)


def _is_true(text: str | None) -> bool:
    """As Go reads it: clients before 37 write ``True``."""
    return text in ("true", "True")


def kubeconfig(path: Path, url: str, authority: Path, *, token: str = TOKEN) -> Path:
    """A kubeconfig of two contexts, one of them with a token that nobody knows."""
    told = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "good",
        "clusters": [
            {"name": "here", "cluster": {"server": url, "certificate-authority": str(authority)}}
        ],
        "users": [
            {"name": "me", "user": {"token": token}},
            {"name": "nobody", "user": {"token": "wrong"}},
        ],
        "contexts": [
            {"name": "good", "context": {"cluster": "here", "user": "me", "namespace": "training"}},
            {"name": "stranger", "context": {"cluster": "here", "user": "nobody"}},
        ],
    }
    path.write_text(json.dumps(told))
    return path


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    authority = self_signed(folder, "cluster-ca")
    pair = server_certificate(folder, authority)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    handler = type("Handler", (_Handler,), {})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.daemon_threads = True
    http.socket = context.wrap_socket(http.socket, server_side=True)
    url = f"https://127.0.0.1:{http.server_port}"
    server = Server(url, kubeconfig(folder / "kubeconfig", url, authority.certificate))
    handler.server_of_ours = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()


@pytest.fixture
def kube(tmp_path: Path) -> Iterator[Server]:
    """Fails for any request that a real server would refuse, or that no run needs."""
    with running(tmp_path) as server:
        yield server
    assert server.wrong == []
