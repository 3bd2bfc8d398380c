"""Signing without a key of one's own: Sigstore's public service certifies an identity for minutes.

The identity is an OpenID Connect token: the one that the CI gives to a job, or the one in
``SIGSTORE_ID_TOKEN``. The library ``sigstore`` gets the certificate (Fulcio) and has the signature
entered into the public log (Rekor). Image name and statement become public by that.
"""

from __future__ import annotations

import os

from sigstore.dsse import Statement
from sigstore.errors import Error, NetworkError, TUFError
from sigstore.models import ClientTrustConfig
from sigstore.oidc import ExpiredIdentity, IdentityError, IdentityToken, detect_credential
from sigstore.sign import SigningContext

from uaitrain.errors import RegistryError, UsageError

VARIABLE = "SIGSTORE_ID_TOKEN"


class Keyless:
    """Signs as whoever the token says; asked for a token again each time, as they expire."""

    def bundle(self, statement: bytes) -> bytes:
        """``statement`` in a Sigstore bundle. Raises RegistryError, UsageError."""
        identity = find_identity()
        try:
            context = SigningContext.from_trust_config(ClientTrustConfig.production())
            with context.signer(identity) as signer:
                return signer.sign_dsse(Statement(statement)).to_json().encode()
        except (NetworkError, TUFError):
            raise RegistryError(
                "Sigstore's public service cannot be reached",
                next_step="check the network and HTTPS_PROXY, or sign with a key: --sign KEY",
            ) from None
        except ExpiredIdentity:
            raise _no_identity("the identity token has expired") from None
        except Exception as error:  # noqa: BLE001 the library passes on errors of four others
            # Their texts may quote what was sent, and a token is a secret.
            raise RegistryError(
                f"Sigstore's public service did not sign: {type(error).__name__}",
                next_step="try again, or sign with a key: --sign KEY",
            ) from None


def find_identity() -> IdentityToken:
    """The identity of this job. Raises UsageError where there is none that can be used."""
    try:
        token = os.environ.get(VARIABLE) or detect_credential()
    except Error as error:
        raise _no_identity(f"the CI gives no identity: {type(error).__name__}") from None
    if not token:
        raise _no_identity("there is no identity to sign as")
    try:
        return IdentityToken(token)
    except IdentityError:
        raise _no_identity("the identity token is not one for Sigstore") from None


def _no_identity(what: str) -> UsageError:
    return UsageError(
        f"--sign keyless: {what}",
        allowed=f"a CI job with permission to get an ID token, or a token for the audience "
        f"sigstore in {VARIABLE}",
        next_step="or sign with a key: --sign KEY",
    )
