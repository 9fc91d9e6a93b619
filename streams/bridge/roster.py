"""Who may no longer come: devices that the fleet's controller has revoked, whatever their certificates say."""

from schemas.feeds import CaughtUp, Changed, Deleted, Event, Restarted
from schemas.fleet import Device, DeviceState
from streams.bridge.errors import BusyError, IdentityError

__all__ = ["Roster"]


class Roster:
    """The revoked devices, from the topic of devices; until that is read, nobody passes."""

    def __init__(self) -> None:
        self.current = False
        self.turned_away = 0
        self._revoked: set[str] = set()

    def apply(self, event: Event[Device]) -> None:
        match event:
            case Changed(key=key, value=value) if value.state is DeviceState.REVOKED:
                self._revoked.add(key)
            case Changed(key=key) | Deleted(key=key):
                self._revoked.discard(key)
            case Restarted():
                self._revoked.clear()
                self.current = False
            case CaughtUp():
                self.current = True

    def check(self, device_id: str) -> None:
        """Raise what keeps this device out."""
        if not self.current:
            raise BusyError("the bridge has not read yet who was revoked")
        if device_id in self._revoked:
            self.turned_away += 1
            raise IdentityError(f"{device_id} was revoked")
