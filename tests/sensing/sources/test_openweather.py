"""The poller against recorded replies, served over real HTTP."""

import http.server
import json
import threading

import pytest

from sensing.errors import SensingError
from sensing.sources import OpenWeatherSource

# As the service answered for Vienna, units=metric.
REPLY = {
    "coord": {"lon": 16.3721, "lat": 48.2085},
    "weather": [{"id": 803, "main": "Clouds", "description": "broken clouds", "icon": "04d"}],
    "base": "stations",
    "main": {"temp": 18.62, "feels_like": 18.3, "temp_min": 17.7, "temp_max": 19.8, "pressure": 1016, "humidity": 67},
    "visibility": 10000,
    "wind": {"speed": 5.66, "deg": 310},
    "clouds": {"all": 75},
    "dt": 1_717_243_200,
    "sys": {"type": 2, "id": 2037452, "country": "AT", "sunrise": 1717210723, "sunset": 1717267669},
    "timezone": 7200,
    "id": 2761369,
    "name": "Vienna",
    "cod": 200,
}


@pytest.fixture
def service():
    replies, asked = [], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, body = replies[min(len(asked), len(replies)) - 1]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.replies, server.asked, server.url = replies, asked, f"http://127.0.0.1:{server.server_port}/weather"
    yield server
    server.shutdown()
    server.server_close()


def test_a_reply_becomes_a_reading(service):
    service.replies.append((200, REPLY))
    source = OpenWeatherSource(["Vienna,AT"], "secret", url=service.url)

    found = source.poll(1)

    assert (found[0].stream, found[0].at_ms.tolist()) == ("Vienna,AT", [1_717_243_200_000])
    assert found[0].values.tolist() == [[18.62, 67.0, 1016.0, 5.66]]
    assert "units=metric" in service.asked[0]


@pytest.mark.parametrize(
    "reply", [(401, {"cod": 401}), (200, b"<html>"), (200, {"cod": 200}), (200, []), (500, b""), (200, {"main": 5})]
)
def test_a_bad_reply_costs_that_hour_and_never_shows_the_key(service, caplog, reply):
    service.replies.append(reply)
    source = OpenWeatherSource(["Vienna"], "secret", url=service.url)

    assert source.poll(1) == []
    assert source.refused == 1
    assert "secret" not in caplog.text


def test_it_asks_hourly_and_never_more_often_than_allowed(service):
    service.replies.append((200, REPLY))
    now_s = [0.0]
    source = OpenWeatherSource(["a", "b"], "k", url=service.url, at_most_a_day=60, clock_s=lambda: now_s[0])

    for step in range(36 * 12):
        now_s[0] = step * 300.0
        source.poll(0)
        source.poll(0)

    # 36 hours, two cities.
    assert 70 <= len(service.asked) <= 72


@pytest.mark.parametrize(
    ("cities", "key", "said"),
    [
        (["a"], "", "OPENWEATHER_API_KEY is not set"),
        ([], "k", "0 cities every 3600 s"),
        (["c"] * 50, "k", "50 cities every 3600 s; wanted: at least one, and at most 1000 calls a day"),
    ],
)
def test_what_cannot_work_is_said_at_once(cities, key, said):
    with pytest.raises(SensingError, match=said):
        OpenWeatherSource(cities, key)
