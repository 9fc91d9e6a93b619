"""OIDC bearer tokens: signed by the issuer, made for us, still valid, and with a role that we know."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import httpx2
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from console.auth.roles import Principal, Role
from console.config import OidcConfig
from console.problems import ProblemError

__all__ = ["OidcVerifier"]

# Never "none", and no shared secrets: a public key must not pass for one.
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"]
_KEYS_FOR_S = 3_600.0
_ASK_AGAIN_AFTER_S = 30.0
_LEEWAY_S = 30


class OidcVerifier:
    """Checks tokens against the issuer's published keys, which are fetched when needed and kept for an hour."""

    def __init__(self, config: OidcConfig, client: httpx2.AsyncClient) -> None:
        self._config = config
        self._client = client
        self._keys: KeySet | None = None
        self._asked_s = -_KEYS_FOR_S
        self._asking = asyncio.Lock()
        ours = {role.value: role for role in Role}
        theirs = dict(entry.split("=", 1) for entry in config.roles)
        self._roles = {**ours, **{name: Role(role) for name, role in theirs.items()}}

    async def check(self, token: str) -> Principal:
        """Return who a bearer token speaks for; a 401 or 403 problem says what is wrong with it."""
        return await self._check(token, self._config.audience, None)

    async def check_id(self, token: str, nonce: str) -> Principal:
        """Return who has just signed in, by the issuer's ID token for our client and this one sign-in."""
        return await self._check(token, self._config.client_id, nonce)

    async def endpoint(self, name: str) -> str:
        """Return where the issuer does something, such as `authorization_endpoint`."""
        try:
            found = await self._discovered()
            return str(found[name])
        except (httpx2.HTTPError, ValueError, KeyError) as error:
            raise _away(error) from None

    async def _check(self, token: str, audience: str, nonce: str | None) -> Principal:
        try:
            claims = await self._verified(token, audience, nonce)
        except (JoseError, ValueError) as error:
            raise ProblemError(
                401, "bad-token", f"the token is not accepted: {error}", headers={"WWW-Authenticate": "Bearer"}
            ) from None
        role = self._role(claims)
        if role is None:
            raise ProblemError(
                403, "no-role", f"the token names no role of ours in {self._config.role_claim!r}; known: "
                + ", ".join(self._roles),
            )  # fmt: skip
        return Principal(str(claims.get(self._config.name_claim) or claims.get("sub")), role, "oidc")

    async def _verified(self, token: str, audience: str, nonce: str | None) -> Mapping[str, Any]:
        keys = await self._keys_of_issuer(anew=False)
        try:
            decoded = jwt.decode(token, keys, algorithms=_ALGORITHMS)
        except (JoseError, ValueError):
            # The issuer may have changed its keys since they were fetched.
            fresh = await self._keys_of_issuer(anew=True)
            if fresh is keys:
                raise
            decoded = jwt.decode(token, fresh, algorithms=_ALGORITHMS)
        rules = jwt.JWTClaimsRegistry(
            now=int(time.time()),
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": self._config.issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        rules.validate(decoded.claims)
        if nonce is not None and decoded.claims.get("nonce") != nonce:
            raise ValueError("it was made for another sign-in")
        return decoded.claims

    async def _keys_of_issuer(self, *, anew: bool) -> KeySet:
        async with self._asking:
            age_s = time.monotonic() - self._asked_s
            if self._keys is not None and age_s < (_ASK_AGAIN_AFTER_S if anew else _KEYS_FOR_S):
                return self._keys
            self._asked_s = time.monotonic()
            try:
                self._keys = await self._fetch()
            except (httpx2.HTTPError, ValueError, KeyError, JoseError) as error:
                if self._keys is not None:
                    return self._keys
                self._asked_s = -_KEYS_FOR_S
                raise _away(error) from None
            return self._keys

    async def _fetch(self) -> KeySet:
        found = await self._discovered()
        return KeySet.import_key_set(await self._get(found["jwks_uri"]))

    async def _discovered(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._get(
            f"{self._config.issuer.rstrip('/')}/.well-known/openid-configuration"
        )
        if found["issuer"] != self._config.issuer:
            raise ValueError(f"it calls itself {found['issuer']!r}")
        return found

    async def _get(self, url: str) -> Any:
        answer = await self._client.get(url, timeout=5.0)
        answer.raise_for_status()
        return answer.json()

    def _role(self, claims: Mapping[str, Any]) -> Role | None:
        found: Any = claims
        for part in self._config.role_claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        names = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
        known = [self._roles[name] for name in names if isinstance(name, str) and name in self._roles]
        return max(known, key=list(Role).index, default=None)


def _away(error: Exception) -> ProblemError:
    return ProblemError(
        503, "issuer-away", f"the token's issuer does not answer: {error}", headers={"Retry-After": "5"}
    )
