"""One call of the platform: signed and sent by the vendor's SDK, again where that may help."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus

from uaitrain import __version__
from uaitrain.backends.uai import failures
from uaitrain.backends.uai.failures import Failure
from uaitrain.backends.uai.keys import Keys
from uaitrain.backends.uai.request import Parameters
from uaitrain.errors import UsageError
from uaitrain.registry.transport import Backoff, Retry

EXTRA = "uaitrain[uai]"

Answer = Mapping[str, Any]


class _FailedError(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure = failure


class Api:
    """``keys`` are read at the first call. ``sleep`` is where the pauses go."""

    def __init__(
        self,
        url: str,
        keys: Callable[[], Keys],
        *,
        retry: Retry | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._url = url
        self._load_keys = keys
        self._keys: Keys | None = None
        self._retry = retry or Retry()
        self._sleep = sleep

    @property
    def keys(self) -> Keys:
        """Raises CredentialsError."""
        if self._keys is None:
            self._keys = self._load_keys()
        return self._keys

    def call(
        self,
        action: str,
        parameters: Parameters,
        *,
        done: Callable[[], Answer | None] = lambda: None,
    ) -> Answer:
        """The platform's answer, whose RetCode is 0.

        ``done`` is for calls that must not be made twice: after a failure that leaves it open
        whether the call had its effect, it is asked for the answer that was lost.

        Raises CredentialsError and BackendError; UsageError where the SDK is not installed.
        """
        backoff = Backoff(self._retry, self._sleep)
        while True:
            try:
                return self._send(action, parameters)
            except _FailedError as failed:
                failure = failed.failure
            if failure.unsure and (lost := done()) is not None:
                return lost
            if not failure.again or not backoff.pause():
                raise failure.error from None

    def _send(self, action: str, parameters: Parameters) -> Answer:
        exc, requests = _foreign()
        try:
            answer = self._client().invoke(action, dict(parameters))
        except exc.RetCodeException as error:
            raise _FailedError(
                failures.of_code(action, error.code, self._scrub(error.message))
            ) from None
        except exc.HTTPStatusException as error:
            raise _FailedError(failures.of_status(action, self._url, error.status_code)) from None
        except requests.exceptions.SSLError:
            raise _FailedError(failures.of_certificate(action, self._url)) from None
        except requests.exceptions.RequestException as error:
            raise _FailedError(self._of_network(action, error, requests)) from None
        except (exc.UCloudException, ValueError, TypeError, AttributeError) as error:
            # The SDK takes a body apart without looking what it is.
            raise failures.unreadable(action, self._url, type(error).__name__) from None
        if not isinstance(answer, dict):
            raise failures.unreadable(action, self._url, "no object")
        return answer

    def _of_network(self, action: str, error: Exception, requests: Any) -> Failure:
        # Only a connection that was never made tells that nothing has arrived.
        reason = " ".join(str(each) for each in _causes(error))
        unmade = isinstance(
            error, requests.exceptions.ConnectTimeout | requests.exceptions.ProxyError
        )
        unmade = unmade or "NewConnectionError" in reason or "NameResolutionError" in reason
        shown = "no connection" if unmade else "the connection broke"
        if isinstance(error, requests.exceptions.ReadTimeout):
            shown = "no answer in time"
        return failures.of_network(action, self._url, reason=shown, sent=not unmade)

    def _client(self) -> Any:
        from ucloud.core.client import Client
        from ucloud.core.utils.middleware import Middleware

        from uaitrain.backends.uai.transport import CarefulTransport

        # Without a middleware of its own the SDK logs every request, private key included.
        return Client(
            {
                "base_url": self._url,
                "public_key": self.keys.public,
                "private_key": self.keys.private.reveal(),
                "user_agent": f" uaitrain/{__version__}",
                "max_retries": 0,
            },
            transport=CarefulTransport(),
            middleware=Middleware(),
        )

    def _scrub(self, message: object) -> str:
        text, private = str(message or ""), self.keys.private.reveal()
        return text.replace(private, "***").replace(quote_plus(private), "***")


def _foreign() -> tuple[Any, Any]:
    """The SDK's exceptions and requests. Raises UsageError where they are not installed."""
    try:
        import requests
        from ucloud.core import exc
    except ImportError:
        raise UsageError(
            "the platform's SDK is not installed", next_step=f"pip install '{EXTRA}'"
        ) from None
    return exc, requests


def _causes(error: BaseException | None) -> list[str]:
    names: list[str] = []
    while error is not None and len(names) < 10:
        names.append(type(error).__name__)
        reason = getattr(error, "reason", None) or next(
            (each for each in error.args if isinstance(each, BaseException)), None
        )
        error = reason if isinstance(reason, BaseException) else None
    return names
