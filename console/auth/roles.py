"""Roles, and who somebody is."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Principal", "Role"]


class Role(StrEnum):
    """What somebody may do; each role may also do what those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"

    def covers(self, wanted: "Role") -> bool:
        """Say whether this role may do what `wanted` may.

        >>> Role.APPROVER.covers(Role.OPERATOR), Role.VIEWER.covers(Role.OPERATOR)
        (True, False)
        """
        order = list(Role)
        return order.index(self) >= order.index(wanted)


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who has shown who they are."""

    # The name that the audit log gives.
    name: str
    role: Role
    # What they showed: "key", "session" or "oidc".
    by: str
    key_id: str = ""
