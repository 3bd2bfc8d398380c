"""How the SDK's requests travel: as its own transport sends them, but never redirected.

The vendor's transport follows redirects, which would carry the private key in the body to another
host, and takes answers of any size.
"""

from __future__ import annotations

from typing import Any

import requests
from ucloud.core import exc
from ucloud.core.transport import Request, Response

CONNECT_SECONDS = 15
ANSWER_SECONDS = 70
"""The API itself gives up after 60 (code 110)."""

LARGEST_ANSWER = 64 << 20


class CarefulTransport:
    """A transport as the SDK takes it.

    Raises the SDK's HTTPStatusException for every status but 2xx, and requests' own exceptions.
    """

    def send(self, req: Request, **options: Any) -> Response:
        with requests.Session() as session:
            answer = session.request(
                req.method.upper(),
                req.url,
                data=req.data,
                headers=req.headers,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                allow_redirects=False,
                stream=True,
            )
            if not 200 <= answer.status_code < 300:
                raise exc.HTTPStatusException(answer.status_code)
            content = bytearray()
            for piece in answer.iter_content(1 << 16):
                content += piece
                if len(content) > LARGEST_ANSWER:
                    raise exc.InvalidResponseException(b"", "too large")
            response = Response(
                url=req.url,
                method=req.method,
                status_code=answer.status_code,
                headers=dict(answer.headers),
                content=bytes(content),
                encoding="utf-8",
            )
        response.request = req
        return response
