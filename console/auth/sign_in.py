"""Signing in at the issuer from the page: OIDC's authorization code flow with PKCE.

It keeps these rules:

* a way to the issuer is walked once, by the browser that set out on it, within ten minutes;
* the code is traded with the verifier that never left this process, and the token carries this sign-in's nonce.
"""

import base64
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx2

from console.auth.oidc import OidcVerifier
from console.auth.roles import Principal
from console.config import OidcConfig
from console.problems import ProblemError

__all__ = ["WAY_LASTS_S", "SignIn"]

WAY_LASTS_S = 600
_MOST_UNDER_WAY = 1_000


@dataclass(frozen=True, slots=True)
class _Way:
    nonce: str
    verifier: str
    callback: str
    until_ms: int


class SignIn:
    """Sends people to the issuer and takes them in when they come back."""

    def __init__(
        self,
        config: OidcConfig,
        verifier: OidcVerifier,
        client: httpx2.AsyncClient,
        *,
        secret: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._config = config
        self._verifier = verifier
        self._client = client
        self._secret = secret
        self._now_ms = now_ms
        self._ways: dict[str, _Way] = {}

    async def begin(self, callback: str) -> tuple[str, str]:
        """Return where to send a browser, and the state that it must keep until it comes back."""
        endpoint = await self._verifier.endpoint("authorization_endpoint")
        state = secrets.token_urlsafe(32)
        way = _Way(secrets.token_urlsafe(16), secrets.token_urlsafe(48), callback, self._now_ms() + WAY_LASTS_S * 1000)
        if len(self._ways) >= _MOST_UNDER_WAY:
            # Whoever set out first has likely lost their way.
            del self._ways[next(iter(self._ways))]
        self._ways[state] = way
        asked = {
            "response_type": "code",
            "client_id": self._config.client_id,
            "redirect_uri": callback,
            "scope": self._config.scopes,
            "state": state,
            "nonce": way.nonce,
            "code_challenge": _challenge(way.verifier),
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}", state

    async def finish(self, *, state: str, kept: str, code: str) -> Principal:
        """Return who came back with a code; a 401 problem when it is not from a way that this browser set out on."""
        way = self._ways.pop(state, None) if secrets.compare_digest(state.encode(), kept.encode()) else None
        if way is None or way.until_ms < self._now_ms():
            raise ProblemError(
                401, "sign-in-lost", "this sign-in was not begun here, is over, or took too long", hint="sign in again"
            )
        return await self._verifier.check_id(await self._traded(code, way), way.nonce)

    async def _traded(self, code: str, way: _Way) -> str:
        """Return the ID token that a code stands for."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": way.callback,
            "client_id": self._config.client_id,
            "code_verifier": way.verifier,
        }
        endpoint = await self._verifier.endpoint("token_endpoint")
        by_secret = httpx2.BasicAuth(self._config.client_id, self._secret) if self._secret else httpx2.Auth()
        try:
            answer = await self._client.post(endpoint, data=form, auth=by_secret, timeout=10.0)
            told = answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise ProblemError(
                503, "issuer-away", f"the issuer does not answer: {error}", headers={"Retry-After": "5"}
            ) from None
        token = told.get("id_token") if isinstance(told, dict) and answer.is_success else None
        if not isinstance(token, str):
            reason = told.get("error", "no id_token") if isinstance(told, dict) else "no id_token"
            raise ProblemError(401, "sign-in-refused", f"the issuer did not confirm it: {reason}", hint="sign in again")
        return token


def _challenge(verifier: str) -> str:
    """Return what PKCE shows the issuer of a verifier (RFC 7636, appendix B).

    >>> _challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
    """
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
