"""Maintenance windows: hours of local time in which a device may be changed, whatever daylight saving does."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["Window"]

_FORM = re.compile(r"(\d{2}):(\d{2})-(\d{2}):(\d{2})(?:\s+(\S+))?")


@dataclass(frozen=True, slots=True)
class Window:
    """From one time of day to another, in a zone; one that ends before it begins spans midnight.

    Whether the window is open is asked of the local clock, so an hour that daylight saving skips or repeats needs no
    rule of its own: in the skipped hour it is never that time, in the repeated one it is twice.

    >>> night = Window.parse("22:00-02:00 Europe/Vienna")
    >>> night.is_open(datetime(2026, 1, 5, 23, 30, tzinfo=UTC))
    True
    """

    begins: time
    ends: time
    zone: str = ""

    @classmethod
    def parse(cls, text: str) -> "Window":
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"maintenance window {text!r}; wanted: HH:MM-HH:MM, and a time zone if not the device's")
        zone = found[5] or ""
        try:
            begins, ends = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
            if zone:
                ZoneInfo(zone)
        except (ValueError, ZoneInfoNotFoundError) as error:
            raise ValueError(f"maintenance window {text!r}: {error}") from None
        if begins == ends:
            raise ValueError(f"maintenance window {text!r} is empty")
        return cls(begins, ends, zone)

    def is_open(self, now: datetime) -> bool:
        local = now.astimezone(ZoneInfo(self.zone) if self.zone else None).time()
        if self.begins < self.ends:
            return self.begins <= local < self.ends
        return local >= self.begins or local < self.ends

    def is_open_at(self, now_ms: int) -> bool:
        return self.is_open(datetime.fromtimestamp(now_ms / 1000, UTC))

    def __str__(self) -> str:
        return f"{self.begins:%H:%M}-{self.ends:%H:%M} {self.zone or 'local time'}"
