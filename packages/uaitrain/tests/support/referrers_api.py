"""The referrers API before a real registry that has none: a stand-in.

No registry in Debian or on PyPI has the API of OCI distribution-spec 1.1 ("Listing Referrers"), so
this adds as much of it as a client meets, and passes everything else on to the real one.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
_HOP = {"connection", "transfer-encoding", "keep-alive"}


@dataclass
class ReferrersApi:
    """``host`` is where it listens. ``lists`` has what points to each digest; ``page`` is how
    many of them are told at once. ``forgets``: what is pushed is not put on the list.
    """

    host: str = ""
    upstream: str = ""
    page: int = 2
    forgets: bool = False
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def told(self, path: str) -> tuple[bytes, str]:
        """One page of a list, and the address of the next one or nothing."""
        digest, _, start = path.rpartition("/")[2].partition("?from=")
        listed, first = self.lists.get(digest, []), int(start or 0)
        last = first + self.page
        raw = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed[first:last]}
        following = f"{path.partition('?')[0]}?from={last}" if last < len(listed) else ""
        return json.dumps(raw).encode(), following

    def note(self, raw: bytes) -> str:
        """Put a manifest on the list of its subject, whose digest is returned."""
        value = json.loads(raw)
        subject = value.get("subject", {}).get("digest", "")
        if not subject or self.forgets:
            return ""
        entry = {
            "mediaType": value["mediaType"],
            "digest": "sha256:" + hashlib.sha256(raw).hexdigest(),
            "size": len(raw),
            "artifactType": value["artifactType"],
            "annotations": value.get("annotations", {}),
        }
        listed = self.lists.setdefault(subject, [])
        if entry not in listed:
            listed.append(entry)
        return str(subject)


@contextmanager
def running_referrers_api(upstream: str) -> Iterator[ReferrersApi]:
    """Before the registry at ``upstream`` (``127.0.0.1:port``)."""
    api = ReferrersApi(upstream=upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def handle_one(self) -> None:
            api.requests.append(f"{self.command} {self.path}")
            if self.command == "GET" and "/referrers/" in self.path:
                raw, following = api.told(self.path)
                link = {"Link": f'<{following}>; rel="next"'} if following else {}
                self.reply(200, {"Content-Type": INDEX, **link}, raw)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection = http.client.HTTPConnection(api.upstream, timeout=60)
            # The Host header stays, so that the registry's addresses lead back here.
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            headers = {k: v for k, v in answer.getheaders() if k.lower() not in _HOP}
            raw = answer.read()
            connection.close()
            is_put = self.command == "PUT" and "/manifests/" in self.path
            if is_put and answer.status == 201 and (subject := api.note(body)):
                headers["OCI-Subject"] = subject
            self.reply(answer.status, headers, raw)

        def reply(self, status: int, headers: dict[str, str], raw: bytes) -> None:
            self.send_response(status)
            told = {name.lower() for name in headers}
            for name, value in headers.items():
                self.send_header(name, value)
            if "content-length" not in told:
                self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_one  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.host = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
