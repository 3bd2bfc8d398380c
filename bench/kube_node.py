"""A node whose kubelet is played: pods bound to it run, write, obey SIGTERM and end as a script
says, and their logs are served as a kubelet serves them. No container is started."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kube_control_plane import NAMESPACE, ControlPlane
from uaitrain.backends import RUN_LABEL

NAME = "node-1"
_ROOM = {"cpu": "8", "memory": "32Gi", "pods": "20"}
_STOP_SECONDS = 2.0
"""What a container needs for its snapshot."""


@dataclass(frozen=True)
class Act:
    """What the container of a pod does: writes for ``seconds``, then ends with ``code``."""

    seconds: float
    code: int


class Node:
    """``acts`` are played in turn, one a pod; the last one again and again."""

    def __init__(self, plane: ControlPlane) -> None:
        from kubernetes import client, config

        configuration = client.Configuration()
        config.load_kube_config(str(plane.kubeconfig), None, configuration, False)
        self._core = client.CoreV1Api(client.ApiClient(configuration))
        self.acts: list[Act] = []
        self.logs: dict[str, list[bytes]] = {}
        self.ended: set[str] = set()
        self._known: set[str] = set()
        self._stop = threading.Event()
        handler = type("Handler", (_Logs,), {"node": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(plane.certificate, plane.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NAME}}
        self._core.create_namespace(namespace)
        self._core.create_node(node)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        watching = threading.Thread(target=self._watch, daemon=True)
        watching.start()
        try:
            yield
        finally:
            self._stop.set()
            watching.join()
            self._server.shutdown()

    def count(self, kind: str, run: str) -> int:
        """Objects of ``run`` that the namespace holds: ``pod``, ``secret``, ``service``."""
        read = getattr(self._core, f"list_namespaced_{kind}")
        return len(read(NAMESPACE, label_selector=f"{RUN_LABEL}={run}").items)

    def _watch(self) -> None:
        port = {"kubeletEndpoint": {"Port": self._server.server_port}}
        while not self._stop.is_set():
            ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": _now()}
            told = {
                "capacity": _ROOM,
                "allocatable": _ROOM,
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": port,
                "conditions": [ready | {"lastTransitionTime": _now(), "reason": "KubeletReady"}],
            }
            self._core.patch_node_status(NAME, {"status": told})
            for pod in self._core.list_namespaced_pod(NAMESPACE).items:
                name = pod.metadata.name
                if pod.spec.node_name == NAME and name not in self._known:
                    self._known.add(name)
                    act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
                    threading.Thread(target=self._play, args=(name, act), daemon=True).start()
            self._stop.wait(0.3)

    def _play(self, name: str, act: Act) -> None:
        began = _now()
        self._pod(name, "Pending", {"waiting": {"reason": "ContainerCreating"}})
        self._stop.wait(1)
        self._pod(name, "Running", {"running": {"startedAt": began}})
        end, step, code = time.monotonic() + act.seconds, 0, act.code
        while time.monotonic() < end:
            self._write(name, f"iteration {step}")
            step += 1
            if self._is_asked_to_stop(name):
                self._write(name, "snapshot")
                self._stop.wait(_STOP_SECONDS)
                code = 143
                break
            self._stop.wait(0.3)
        self.ended.add(name)
        ended = {"exitCode": code, "reason": "Error" if code else "Completed"}
        times = {"startedAt": began, "finishedAt": _now()}
        self._pod(name, "Failed" if code else "Succeeded", {"terminated": ended | times})
        if code == 143:
            self._core.delete_namespaced_pod(name, NAMESPACE, grace_period_seconds=0)

    def _is_asked_to_stop(self, name: str) -> bool:
        pods = self._core.list_namespaced_pod(NAMESPACE).items
        return any(p.metadata.name == name and p.metadata.deletion_timestamp for p in pods)

    def _write(self, name: str, text: str) -> None:
        stamp = f"{_now()[:-1]}.{time.time_ns() % 10**9:09}Z"
        self.logs.setdefault(name, []).append(f"{stamp} {text}\n".encode())

    def _pod(self, name: str, phase: str, state: dict[str, Any]) -> None:
        container = {"name": "train", "ready": "running" in state, "restartCount": 0}
        container |= {"image": "x", "imageID": "x", "state": state}
        told = {"phase": phase, "containerStatuses": [container]}
        self._core.patch_namespaced_pod_status(name, NAMESPACE, {"status": told})


class _Logs(BaseHTTPRequestHandler):
    """``/containerLogs/<namespace>/<pod>/<container>``, as the API server asks a kubelet."""

    protocol_version = "HTTP/1.1"
    node: Node

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        name = url.path.split("/")[3]
        follow = "follow" in urllib.parse.parse_qs(url.query)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = 0
        while True:
            last = name in self.node.ended or not follow
            for line in self.node.logs.get(name, [])[sent:]:
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                sent += 1
            if last:
                self.wfile.write(b"0\r\n\r\n")
                return
            self.wfile.flush()
            time.sleep(0.05)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
