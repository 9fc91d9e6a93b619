"""OpenWeatherMap, asked hourly for a list of cities, and never more often than the free plan allows.

The readings are those of the `weather` pipeline: °C, %, hPa, m/s; the stream is the city.
"""

import json
import logging
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from sensing.errors import ReadingError, SensingError
from sensing.pipelines.weather import WEATHER
from sensing.sources.base import Readings
from sensing.sources.parsing import Parsed, Refusals, gather, parse_reading

__all__ = ["OpenWeatherSource"]

_log = logging.getLogger(__name__)

_URL = "https://api.openweathermap.org/data/2.5/weather"
_DAY_S = 86_400.0
_TIMEOUT_S = 10.0
_RETRY_S = 300.0


class OpenWeatherSource:
    """One question a city and hour; `at_most_a_day` holds over any 24 hours, failures included."""

    channels = WEATHER.channel_names
    done = False

    def __init__(
        self,
        cities: Sequence[str],
        api_key: str,
        *,
        url: str = _URL,
        every_s: float = 3600.0,
        at_most_a_day: int = 1000,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        if not api_key:
            raise SensingError(
                "OPENWEATHER_API_KEY is not set; wanted a key",
                hint="openweathermap.org gives one, or use another source",
            )
        if not cities or len(cities) * _DAY_S / every_s > at_most_a_day:
            raise SensingError(
                f"{len(cities)} cities every {every_s:g} s; "
                f"wanted: at least one, and at most {at_most_a_day} calls a day"
            )
        self._key = api_key
        self._url = url
        self._every_s = every_s
        self._at_most = at_most_a_day
        self._clock_s = clock_s
        self._due_s = {city: clock_s() + place * 0.2 for place, city in enumerate(cities)}
        self._calls_s: deque[float] = deque()
        self._refusals = Refusals("openweathermap")

    @property
    def refused(self) -> int:
        return self._refusals.count

    def poll(self, timeout_s: float) -> list[Readings]:
        city = min(self._due_s, key=self._due_s.__getitem__)
        wait_s = self._due_s[city] - self._clock_s()
        if wait_s > 0:
            time.sleep(min(wait_s, timeout_s))
            if wait_s > timeout_s:
                return []
        if not self._may_call():
            self._due_s[city] = self._clock_s() + _RETRY_S
            return []
        try:
            reading = self._reading(city)
        except (SensingError, OSError) as error:
            self._refusals.add(f"{city}: {error}")
            self._due_s[city] = self._clock_s() + _RETRY_S
            return []
        self._due_s[city] = self._clock_s() + self._every_s
        return gather([reading])

    def close(self) -> None:
        """Nothing is held."""

    def _may_call(self) -> bool:
        now_s = self._clock_s()
        while self._calls_s and self._calls_s[0] <= now_s - _DAY_S:
            self._calls_s.popleft()
        if len(self._calls_s) >= self._at_most:
            return False
        self._calls_s.append(now_s)
        return True

    def _reading(self, city: str) -> Parsed:
        query = urllib.parse.urlencode({"q": city, "units": "metric", "appid": self._key})
        try:
            with urllib.request.urlopen(f"{self._url}?{query}", timeout=_TIMEOUT_S) as response:  # noqa: S310
                content: Any = json.loads(response.read(1024**2))
        except urllib.error.HTTPError as error:
            # The library's text has the address, and the address has the key.
            raise ReadingError(f"the service answers {error.code}") from None
        except ValueError as error:
            raise ReadingError(f"the answer is no JSON: {error}") from None
        return _understood(content, city)


def _understood(content: Any, city: str) -> Parsed:
    try:
        main, wind = content["main"], content.get("wind", {})
        fields = {
            "at_ms": int(content["dt"]) * 1000,
            "temperature": main.get("temp"),
            "humidity": main.get("humidity"),
            "pressure": main.get("pressure"),
            "wind": wind.get("speed"),
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReadingError(f"the answer is not understood: {type(error).__name__} {error}") from None
    return parse_reading(fields, WEATHER.channel_names, stream=city)
