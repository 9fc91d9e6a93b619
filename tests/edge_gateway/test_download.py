"""Bundles come over real HTTP, from servers that cut, lie, stall and forget."""

import hashlib
import http.server
import os
import threading
import time
from dataclasses import replace

import pytest

from edge_gateway.config import UpdateConfig
from edge_gateway.download import CancelledError, fetch
from edge_gateway.errors import DownloadError
from edge_gateway.events import Order

CONTENT = os.urandom(600_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CONFIG = UpdateConfig(reserve_bytes=0)


class Store:
    """A file server whose manners a test chooses."""

    def __init__(self):
        self.content = CONTENT
        self.cut_after = None
        self.ranges = True
        self.status = None
        self.asked = []
        store = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                store.answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/bundle"

    def answer(self, handler):
        wanted = handler.headers.get("Range")
        self.asked.append(wanted)
        if self.status:
            handler.send_error(self.status)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if start >= len(self.content):
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(self.content) - start))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        handler.end_headers()
        body = self.content[start:]
        handler.wfile.write(body if self.cut_after is None else body[: self.cut_after])


@pytest.fixture
def store():
    made = Store()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def order(store):
    return Order(revision=1, rollout_id="r", model_id="m/1", sha256=SHA256, size=len(CONTENT), url=store.url)


def get(order, folder, config=CONFIG, **options):
    return fetch(order, folder, config, cancel=options.pop("cancel", threading.Event()), **options)


def test_a_bundle_arrives_whole(order, tmp_path):
    assert get(order, tmp_path).read_bytes() == CONTENT


def test_a_download_that_was_cut_off_goes_on_where_it_was(order, store, tmp_path):
    store.cut_after = 200_000
    with pytest.raises(DownloadError):
        get(order, tmp_path)
    store.cut_after = None

    whole = get(order, tmp_path)

    assert whole.read_bytes() == CONTENT
    assert store.asked == [None, "bytes=200000-"]


def test_a_server_without_ranges_is_asked_for_everything_again(order, store, tmp_path):
    (tmp_path / f"{SHA256}.part").write_bytes(CONTENT[:100])
    store.ranges = False

    assert get(order, tmp_path).read_bytes() == CONTENT


def test_a_damaged_beginning_is_found_out_and_thrown_away(order, tmp_path):
    (tmp_path / f"{SHA256}.part").write_bytes(b"x" * 100)

    with pytest.raises(DownloadError, match="the active slot is untouched"):
        get(order, tmp_path)

    assert get(order, tmp_path).read_bytes() == CONTENT


def test_a_bundle_that_is_there_is_not_fetched_again(order, store, tmp_path):
    get(order, tmp_path)
    get(order, tmp_path)

    assert len(store.asked) == 1


def test_a_bundle_in_the_store_that_rotted_is_fetched_anew(order, tmp_path):
    (tmp_path / f"{SHA256}.bundle").write_bytes(b"rotten")

    assert get(order, tmp_path).read_bytes() == CONTENT


def test_other_content_is_refused_for_good(order, store, tmp_path):
    store.content = os.urandom(len(CONTENT))

    with pytest.raises(DownloadError, match="the command promised") as refused:
        get(order, tmp_path)

    assert refused.value.for_good
    assert list(tmp_path.iterdir()) == []


def test_more_than_was_promised_is_not_swallowed(order, store, tmp_path):
    store.content = CONTENT + b"more" * 100_000

    with pytest.raises(DownloadError, match="more than the promised 600000 bytes") as refused:
        get(order, tmp_path)

    assert refused.value.for_good


@pytest.mark.parametrize(("status", "for_good"), [(404, True), (403, True), (503, False), (429, False)])
def test_a_refusal_is_for_good_where_it_is_meant(order, store, tmp_path, status, for_good):
    store.status = status

    with pytest.raises(DownloadError, match=f"answers {status}") as refused:
        get(order, tmp_path)

    assert refused.value.for_good is for_good


def test_a_server_that_is_away_is_worth_another_try(order, tmp_path):
    with pytest.raises(DownloadError) as refused:
        get(replace(order, url="http://127.0.0.1:9/bundle"), tmp_path)

    assert not refused.value.for_good


@pytest.mark.parametrize("url", ["ftp://x/y", "gopher://x", "/etc/passwd", "data:,x"])
def test_other_schemes_are_refused(order, tmp_path, url):
    with pytest.raises(DownloadError, match="this gateway fetches by https, http, file"):
        get(replace(order, url=url), tmp_path)


def test_free_space_is_checked_before_anything_is_asked_for(order, store, tmp_path):
    with pytest.raises(DownloadError, match="bytes are free; the bundle needs"):
        get(order, tmp_path, UpdateConfig(reserve_bytes=2**60))

    assert store.asked == []


def test_a_newer_command_stops_it_and_keeps_what_arrived(order, tmp_path):
    cancel = threading.Event()
    cancel.set()

    with pytest.raises(CancelledError):
        get(order, tmp_path, cancel=cancel)

    assert 0 < (tmp_path / f"{SHA256}.part").stat().st_size < len(CONTENT)


def test_the_rate_is_kept(order, tmp_path):
    class Never(threading.Event):
        waited_s = 0.0

        def wait(self, timeout=None):
            self.waited_s = max(self.waited_s, timeout)
            return False

    cancel = Never()
    get(order, tmp_path, UpdateConfig(reserve_bytes=0, download_bytes_per_s=100_000), cancel=cancel)

    assert cancel.waited_s == pytest.approx(6.0, abs=0.5)


def test_a_stop_does_not_wait_for_the_rate(order, tmp_path):
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    begun_s = time.monotonic()

    with pytest.raises(CancelledError):
        get(order, tmp_path, UpdateConfig(reserve_bytes=0, download_bytes_per_s=1_000), cancel=cancel)

    # All of it takes ten minutes.
    assert time.monotonic() - begun_s < 60
