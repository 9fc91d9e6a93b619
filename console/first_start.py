"""The first start: no default password, but a link that makes the first admin, once."""

from console.auth import AuthStore, Role

__all__ = ["first_link"]

_BY = "first start"
_FOR_MS = 24 * 3_600_000


def first_link(store: AuthStore, url: str, *, now_ms: int) -> str | None:
    """Return a one-time link while there is no admin; earlier links die with it."""
    if store.has_admin():
        return None
    store.withdraw_invitations(_BY)
    invitation = store.invite("admin", Role.ADMIN, by=_BY, expires_ms=now_ms + _FOR_MS)
    # Behind the # it reaches neither logs nor other sites.
    return f"{url}/#/welcome/{invitation}"
