"""Settings of the console."""

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["ConsoleConfig", "OidcConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcConfig:
    """Whose tokens are believed besides our own keys; without an issuer, nobody's."""

    issuer: str = ""
    audience: str = ""
    # The claim that lists roles; a nested one is reached with dots, as in "realm_access.roles".
    role_claim: str = "roles"
    # Which values of that claim stand for a role of ours, as "theirs=ours"; our own names always do.
    roles: tuple[str, ...] = ()
    # The claim that names the person in the audit log.
    name_claim: str = "email"
    # Our name at the issuer, which lets people sign in from the page; without it, only bearer tokens are believed.
    client_id: str = ""
    # A file with our secret at the issuer; not for public clients, whom PKCE protects alone.
    client_secret_file: Path | None = None
    scopes: str = "openid email"

    def __post_init__(self) -> None:
        if self.issuer and not self.audience:
            raise ValueError("oidc.audience: found nothing, wanted who the tokens are made for")
        if self.issuer and not self.issuer.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise ValueError(f"oidc.issuer: found {self.issuer!r}, wanted https")
        if self.client_id and not self.issuer:
            raise ValueError("oidc.issuer: found nothing, wanted whom oidc.client_id is known to")
        if self.client_id and "openid" not in self.scopes.split():
            raise ValueError(f"oidc.scopes: found {self.scopes!r}, wanted openid among them")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleConfig:
    """How the console serves."""

    host: str = "127.0.0.1"
    port: int = 8000
    # The address that browsers use, where a proxy stands before it; with https, cookies travel no other way.
    url: str = ""
    # Names under which browsers may reach it; others are refused, so that no foreign name can be pointed at it.
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    # Where keys and sessions are kept; by default in the data folder.
    data: Path | None = None
    session_h: float = 12.0
    # How long a control waits for the word of whoever carries it out before it answers "taken, not yet done".
    answer_s: float = 5.0
    oidc: OidcConfig = field(default_factory=OidcConfig)

    def __post_init__(self) -> None:
        if self.url and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url: found {self.url!r}, wanted http:// or https://")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port: found {self.port}, wanted 0 to 65535")
        if self.session_h <= 0:
            raise ValueError(f"session_h: found {self.session_h:g}, wanted more than 0")
