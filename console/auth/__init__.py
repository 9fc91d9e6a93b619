"""Who may do what: keys, sessions, tokens, roles."""

from console.auth.guard import COOKIE, Guard, allow
from console.auth.oidc import OidcVerifier
from console.auth.roles import Principal, Role
from console.auth.sign_in import SignIn
from console.auth.store import AuthStore, Key

__all__ = ["COOKIE", "AuthStore", "Guard", "Key", "OidcVerifier", "Principal", "Role", "SignIn", "allow"]
