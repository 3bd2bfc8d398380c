"""A stand-in for UCloud's API, because no real one can be had: it verifies what it is sent.

It speaks HTTP on loopback, checks the signature by its own reckoning (the algorithm of
https://docs.ucloud.cn/api/summary/signature: all parameters but the signature, sorted by name,
names and values joined without escapes, the private key behind them, SHA-1 in hex), and holds
every call to a table of the actions' parameters: those that the vendor's public uai-sdk documents
(``uaitrain/api/*.py`` there). A job goes through the words of ``life``, one step each time it is
listed.
"""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support.certificates import KeyPair

PUBLIC_KEY = "someone@example.com1296235120854146120"
PRIVATE_KEY = "46f0/9bb9+fab4f12dfc160dae12273d5332b5debe="

REQUIRED, OPTIONAL = True, False
COMMON: Mapping[str, tuple[type, bool]] = {
    "Action": (str, REQUIRED),
    "PublicKey": (str, REQUIRED),
    "Region": (str, REQUIRED),
    "Zone": (str, REQUIRED),
    "ProjectId": (str, OPTIONAL),
}
ACTIONS: Mapping[str, Mapping[str, tuple[type, bool]]] = {
    "GetUAITrainAvailableTrainMode": {},
    "GetUAITrainAvailableResource": {
        "NodeType": (str, OPTIONAL),
        "TrainModeId": (int, REQUIRED),
    },
    "GetUAITrainAvailableBackend": {"TrainModeId": (int, REQUIRED)},
    "CreateUAITrainJob": {
        "TrainJobName": (str, REQUIRED),
        "TrainWorkId": (int, REQUIRED),
        "CodeUhubPath": (str, REQUIRED),
        "DataUfilePath": (str, REQUIRED),
        "InputDataBackendId": (int, REQUIRED),
        "OutputUfilePath": (str, REQUIRED),
        "OutputDataBackendId": (int, REQUIRED),
        "DockerCmd": (str, REQUIRED),
        "MaxExecuteTime": (int, REQUIRED),
        "TrainWorkAmount": (int, OPTIONAL),
        "TrainModeId": (int, REQUIRED),
        "DistAIFrame": (int, OPTIONAL),
        "TrainPublicKey": (str, REQUIRED),
        "TrainPrivateKey": (str, REQUIRED),
        "TrainJobMemo": (str, OPTIONAL),
        "BusinessGroup": (str, OPTIONAL),
    },
    "GetUAITrainJobList": {
        "TrainJobId": (str, OPTIONAL),
        "Offset": (int, OPTIONAL),
        "Limit": (int, OPTIONAL),
    },
    "StopUAITrainJob": {"TrainJobId": (str, REQUIRED)},
    "GetUAITrainRunningInfo": {"TrainJobId": (str, REQUIRED)},
    "GetUAITrainRunningLogTopicList": {"TrainJobId": (str, REQUIRED)},
    "GetUAITrainRunningLog": {"TrainJobId": (str, REQUIRED), "LogTopicId": (str, REQUIRED)},
}
OVER = ("Done", "Stopped", "Deleted", "Error")


def signature(parameters: Mapping[str, str], private_key: str) -> str:
    signed = "".join(name + parameters[name] for name in sorted(parameters) if name != "Signature")
    return hashlib.sha1((signed + private_key).encode()).hexdigest()  # noqa: S324 the platform's


@dataclass
class PlatformJob:
    """``logs`` are what each question after the log gets, topic by topic; the last one stays."""

    number: int
    parameters: Mapping[str, str]
    life: list[str]
    logs: dict[str, list[list[str]]] = field(default_factory=dict)
    started: int = 0
    ended: int = 0

    @property
    def handle(self) -> str:
        return f"uaitrain-{self.number:04d}"

    @property
    def word(self) -> str:
        return self.life[0]

    def step(self) -> None:
        if len(self.life) > 1:
            self.life.pop(0)
        if self.word != "ToDo" and not self.started:
            self.started = 1_000_000 + self.number
        if self.word in OVER and not self.ended:
            self.ended = self.started + 60

    def row(self) -> dict[str, Any]:
        return {
            "TrainJobId": self.handle,
            "TrainJobName": self.parameters["TrainJobName"],
            "TrainJobMemo": self.parameters.get("TrainJobMemo", ""),
            "BusinessGroup": self.parameters.get("BusinessGroup", ""),
            "CreateTime": 999_000 + self.number,
            "StartTime": self.started,
            "EndTime": self.ended,
            "MaxExecuteTime": int(self.parameters["MaxExecuteTime"]),
            "Status": self.word,
        }


Fault = Callable[["Exchange"], bool]
"""Called before the answer; True when it has answered in its own way."""


@dataclass
class Platform:
    """Running. ``calls`` are the parameters of every call that was understood, ``refused`` what
    was wrong with the others; ``faults`` wait for the next call of their action."""

    url: str
    life: list[str] = field(default_factory=lambda: ["ToDo", "Doing", "Done"])
    stopping: list[str] = field(default_factory=lambda: ["Stopping", "Stopped"])
    page: int = 0
    jobs: list[PlatformJob] = field(default_factory=list)
    calls: list[dict[str, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def counts(self) -> Counter[str]:
        return Counter(call["Action"] for call in self.calls)

    def add(self, name: str, life: list[str], **parameters: str) -> PlatformJob:
        """A job that somebody made."""
        whole = {"TrainJobName": name, "MaxExecuteTime": "24", **parameters}
        job = PlatformJob(len(self.jobs) + 1, whole, life)
        self.jobs.append(job)
        return job

    def job(self, handle: str) -> PlatformJob | None:
        return next((job for job in self.jobs if job.handle == handle), None)


class Exchange(BaseHTTPRequestHandler):
    """One question and its answer."""

    platform: Platform

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode("ascii")
        pairs = urllib.parse.parse_qsl(body, keep_blank_values=True, strict_parsing=True)
        self.parameters = dict(pairs)
        self.action = self.parameters.get("Action", "")
        with self.platform.lock:
            waiting = self.platform.faults.get(self.action, [])
            fault = waiting.pop(0) if waiting else None
        if fault is None or not fault(self):
            self.answer(self.judged())

    def answer(self, document: object, status: int = 200) -> None:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def judged(self) -> dict[str, Any]:
        with self.platform.lock:
            code, message = self.wrong()
            if code:
                self.platform.refused.append(message)
                return self.code(code, message)
            self.platform.calls.append(self.parameters)
            return getattr(self, self.action)()

    def code(self, code: int, message: str = "") -> dict[str, Any]:
        return {"RetCode": code, "Action": f"{self.action}Response", "Message": message}

    def ok(self, **fields: Any) -> dict[str, Any]:
        return {"RetCode": 0, "Action": f"{self.action}Response", **fields}

    def wrong(self) -> tuple[int, str]:
        given = self.parameters
        if self.action not in ACTIONS:
            return 161, f"Action [{self.action}] does not exist"
        if "Signature" not in given:
            return 170, "Missing Signature"
        if given.get("PublicKey") != PUBLIC_KEY:
            return 172, "User not exist"
        if given["Signature"] != signature(given, PRIVATE_KEY):
            return 171, "Signature VerifyAC Error"
        table = {**COMMON, **ACTIONS[self.action], "Signature": (str, REQUIRED)}
        for name, (kind, required) in table.items():
            if required and not given.get(name):
                return 220, f"Missing params [{name}]"
            if kind is int and name in given and not given[name].isdigit():
                return 230, f"Params [{name}] not available"
        unknown = sorted(set(given) - set(table))
        return (230, f"Params {unknown} not available") if unknown else (0, "")

    def GetUAITrainAvailableTrainMode(self) -> dict[str, Any]:  # noqa: N802 named as the action
        modes = [("StandAlone", 11), ("Distributed", 12)]
        return self.ok(DataItem=[{"TrainModeName": n, "TrainModeId": i} for n, i in modes])

    def GetUAITrainAvailableResource(self) -> dict[str, Any]:  # noqa: N802
        if self.parameters["TrainModeId"] != "11":
            return self.ok(DataSet=[], TotalCount="0")
        nodes = [(1, 1860001), (2, 1860002), (4, 1860003)]
        rows = [
            {"NodeId": i, "NodeType": "Work", "AcceleratorVersion": "P40", "AcceleratorAmount": n}
            for n, i in nodes
        ]
        return self.ok(DataSet=rows, TotalCount=str(len(rows)))

    def GetUAITrainAvailableBackend(self) -> dict[str, Any]:  # noqa: N802
        storages = [("UFile", 1), ("UFS", 2)]
        return self.ok(DataItem=[{"DataBackendName": n, "DataBackendId": i} for n, i in storages])

    def CreateUAITrainJob(self) -> dict[str, Any]:  # noqa: N802
        platform = self.platform
        job = PlatformJob(len(platform.jobs) + 1, self.parameters, list(platform.life))
        platform.jobs.append(job)
        return self.ok(TrainJobId=job.handle)

    def GetUAITrainJobList(self) -> dict[str, Any]:  # noqa: N802
        asked = self.parameters.get("TrainJobId")
        jobs = [job for job in self.platform.jobs if not asked or job.handle == asked]
        rows = []
        for job in jobs:
            job.step()
            rows.append(job.row())
        offset = int(self.parameters.get("Offset", "0"))
        size = self.platform.page or len(rows)
        return self.ok(DataSet=rows[offset : offset + size] or None, TotalCount=str(len(rows)))

    def StopUAITrainJob(self) -> dict[str, Any]:  # noqa: N802
        job = self.platform.job(self.parameters["TrainJobId"])
        if job is None or job.word in OVER:
            return self.code(8042, "job is not running")
        job.life = list(self.platform.stopping)
        return self.ok()

    def GetUAITrainRunningInfo(self) -> dict[str, Any]:  # noqa: N802
        return self.ok(ExecTime=3725, TotalPrice=1234)

    def GetUAITrainRunningLogTopicList(self) -> dict[str, Any]:  # noqa: N802
        job = self.platform.job(self.parameters["TrainJobId"])
        names = job.logs if job else {}
        return self.ok(DataSet=[{"TopicId": name} for name in names] or None)

    def GetUAITrainRunningLog(self) -> dict[str, Any]:  # noqa: N802
        job = self.platform.job(self.parameters["TrainJobId"])
        windows = job.logs[self.parameters["LogTopicId"]] if job else [[]]
        return self.ok(RunningLog=windows.pop(0) if len(windows) > 1 else windows[0])


@contextmanager
def running_platform(pair: KeyPair | None = None) -> Iterator[Platform]:
    """Plain HTTP, or HTTPS with the certificate of ``pair``."""
    handler = type("PlatformExchange", (Exchange,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if pair is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "https" if pair else "http"
    handler.platform = Platform(f"{scheme}://127.0.0.1:{server.server_address[1]}/")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield handler.platform
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
