"""A real Chromium without a screen, told by the Chrome DevTools Protocol over a pipe.

With ``--remote-debugging-pipe`` the browser reads commands from its descriptor 3 and writes
answers and events to 4: JSON texts with a NUL behind each
(https://chromedevtools.github.io/devtools-protocol/).
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--force-device-scale-factor=1",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
_PATIENCE_SECONDS = 120


@dataclass
class Page:
    """One tab. ``events`` are all that it has told since the last :meth:`open`."""

    _send: Callable[[str, dict[str, Any], str], int]
    _receive: Callable[[], dict[str, Any]]
    _session: str
    events: list[dict[str, Any]] = field(default_factory=list)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = self._send(method, parameters, self._session)
        while True:
            told = self._receive()
            if told.get("id") == number:
                assert "error" not in told, told
                return dict(told["result"])
            self.events.append(told)

    def open(self, path: Path, width: int = 1000, height: int = 4000) -> None:
        """Load a file and wait until it is whole."""
        self.events.clear()
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call("Page.navigate", url=path.absolute().as_uri())
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self._receive())

    def evaluate(self, expression: str) -> Any:
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def screenshot(self, path: Path) -> Path:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
        return path

    def pdf(self) -> bytes:
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def media(self, *, scheme: str = "", kind: str = "") -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}] if scheme else []
        self.call("Emulation.setEmulatedMedia", media=kind, features=features)

    def point_at(self, x: float, y: float) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    @property
    def requested(self) -> list[str]:
        """The addresses of all requests that the page made, its own file among them."""
        sent = [e for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    @property
    def complaints(self) -> list[dict[str, Any]]:
        """Console messages, exceptions, and what the browser had to say (blocked, invalid)."""
        kinds = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        return [event for event in self.events if event.get("method") in kinds]


@contextmanager
def running_chromium(folder: Path) -> Iterator[Page]:
    """A browser with an empty profile in ``folder``; gone when the block ends."""
    program = shutil.which("chromium")
    assert program, "no chromium: scripts/setup test installs it"
    commands_out, commands_in = os.pipe()
    events_out, events_in = os.pipe()

    def descriptors() -> None:
        # Away from 3 and 4 first, where one of them may lie.
        commands, events = os.dup(commands_out), os.dup(events_in)
        os.dup2(commands, 3)
        os.dup2(events, 4)

    process = subprocess.Popen(
        [program, *_FLAGS, f"--user-data-dir={folder / 'profile'}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=descriptors,
        close_fds=False,
        env={**os.environ, "HOME": str(folder)},
    )
    os.close(commands_out)
    os.close(events_in)
    rest = bytearray()
    last = 0

    def send(method: str, parameters: dict[str, Any], session: str = "") -> int:
        nonlocal last
        last += 1
        told: dict[str, Any] = {"id": last, "method": method, "params": parameters}
        if session:
            told["sessionId"] = session
        os.write(commands_in, json.dumps(told).encode() + b"\0")
        return last

    def receive() -> dict[str, Any]:
        while b"\0" not in rest:
            piece = os.read(events_out, 1 << 16)
            assert piece, "chromium is gone"
            rest.extend(piece)
        text, _, left = bytes(rest).partition(b"\0")
        rest[:] = left
        return dict(json.loads(text))

    def answer(method: str, **parameters: Any) -> dict[str, Any]:
        number = send(method, parameters)
        while (told := receive()).get("id") != number:
            pass
        return dict(told["result"])

    try:
        target = answer("Target.createTarget", url="about:blank")["targetId"]
        session = answer("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        yield Page(send, receive, session)
    finally:
        os.close(commands_in)
        _end(process)
        os.close(events_out)


def _end(process: subprocess.Popen[bytes]) -> None:
    """It ends when the pipe is closed; if not, it is killed."""
    deadline = time.monotonic() + _PATIENCE_SECONDS / 10
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if process.poll() is None:
        process.kill()
    process.wait(_PATIENCE_SECONDS)
