"""What the routes work with, found on the app."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from console.auth import Guard, Principal, Role, SignIn, allow
from console.config import ConsoleConfig
from console.desk import Desk
from console.fleet import Fleet
from console.lent import Lent
from console.live import Hub
from console.views import Views

__all__ = ["Admin", "Approver", "Context", "Here", "Operator", "Viewer"]


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of a running console."""

    config: ConsoleConfig
    views: Views
    fleet: Fleet
    hub: Hub
    desk: Desk
    guard: Guard
    lent: Lent
    # None: nobody signs in at an issuer from the page.
    sign_in: SignIn | None


# A plain function would be called in another thread, for which every request then waits.
async def _here(request: Request) -> Context:
    return cast(Context, request.app.state.context)


Here = Annotated[Context, Depends(_here)]
Viewer = Annotated[Principal, Depends(allow(Role.VIEWER))]
Operator = Annotated[Principal, Depends(allow(Role.OPERATOR))]
Approver = Annotated[Principal, Depends(allow(Role.APPROVER))]
Admin = Annotated[Principal, Depends(allow(Role.ADMIN))]
