"""A cut download goes on where it stopped; nothing but bundles and keyrings is served."""

import hashlib

import pytest
from aiohttp import ClientSession, web

from trainer.registry import open_store
from trainer.registry.serve import bundle_server
from trainer.registry.store import bundle_name

CONTENT = bytes(range(256)) * 400
NAME = bundle_name(hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
async def url(tmp_path):
    store = open_store(str(tmp_path))
    store.put(NAME, CONTENT)
    store.put("keyrings/2.json", b"{}")
    (tmp_path / "secret.pem").write_text("secret")
    runner = web.AppRunner(bundle_server(tmp_path))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def http():
    async with ClientSession() as session:
        yield session


async def test_a_bundle_is_served_whole(url, http):
    async with http.get(f"{url}/{NAME}") as answer:
        assert (answer.status, await answer.read()) == (200, CONTENT)
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert "immutable" in answer.headers["Cache-Control"]


async def test_a_cut_download_goes_on(url, http):
    async with http.get(f"{url}/{NAME}", headers={"Range": "bytes=100000-"}) as answer:
        assert (answer.status, await answer.read()) == (206, CONTENT[100_000:])
        assert answer.headers["Content-Range"] == f"bytes 100000-102399/{len(CONTENT)}"


async def test_a_range_beyond_the_end_is_refused(url, http):
    async with http.get(f"{url}/{NAME}", headers={"Range": "bytes=999999-"}) as answer:
        assert answer.status == 416


async def test_an_unchanged_bundle_is_not_sent_again(url, http):
    async with http.get(f"{url}/{NAME}") as answer:
        tag = answer.headers["ETag"]

    async with http.get(f"{url}/{NAME}", headers={"If-None-Match": tag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/secret.pem",
        "/bundles/../secret.pem",
        "/bundles/%2e%2e%2fsecret.pem",
        "/keyrings/..%2fsecret.pem",
        "/bundles/",
        "/",
    ],
)
async def test_nothing_else_is_served(url, http, path):
    async with http.get(f"{url}{path}") as answer:
        assert answer.status == 404


async def test_a_missing_bundle_is_not_found(url, http):
    async with http.get(f"{url}/{bundle_name('0' * 64)}") as answer:
        assert answer.status == 404


async def test_a_keyring_is_served_but_not_kept(url, http):
    async with http.get(f"{url}/keyrings/2.json") as answer:
        assert (answer.status, await answer.read()) == (200, b"{}")
        assert answer.headers["Cache-Control"] == "no-cache"
