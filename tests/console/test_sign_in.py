"""Signing in at the issuer: the authorization code flow with PKCE, as a browser walks it."""

from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from console_servers import Server
from oidc_issuer import CLIENT, Issuer
from page_visit import Visit
from patience import PATIENCE_S
from playwright.sync_api import expect

from console import AuthStore, ConsoleConfig, OidcConfig, make_console

SECRET = "between us"  # noqa: S105 - nobody's.


@pytest.fixture(params=["", SECRET], ids=["public client", "client with a secret"])
def issuer(request):
    issuer = Issuer(secret=request.param)
    yield issuer
    issuer.close()


@pytest.fixture
def url(issuer, fleet_cluster, redis_url, tmp_path, request):
    """A console where one signs in at the issuer."""
    store = AuthStore(tmp_path / "console.db")
    kept = tmp_path / "secret"
    kept.write_text(f"{SECRET}\n")
    oidc = OidcConfig(
        issuer=issuer.url, audience="driftline", client_id=CLIENT, client_secret_file=kept if issuer._secret else None
    )
    with Server(make_console(fleet_cluster, redis_url, store, ConsoleConfig(oidc=oidc))) as server:
        yield server.url
    store.close()


@pytest.fixture
def browser(url):
    with httpx2.Client(base_url=url, timeout=PATIENCE_S, follow_redirects=True) as browser:
        yield browser


def test_who_signs_in_at_the_issuer_is_in(browser, url):
    landed = browser.get("/session/oidc")

    assert (str(landed.url), landed.status_code) == (f"{url}/", 200)
    assert browser.get("/session").json() == {"name": "mara@plant.example", "role": "operator", "by": "session"}
    assert "driftline_sign_in" not in browser.cookies
    browser.delete("/session", headers={"Sec-Fetch-Site": "same-origin"})
    assert browser.get("/session").status_code == 401


@pytest.mark.parametrize(
    ("lies", "kind"),
    [
        pytest.param({"nonce": "of another sign-in"}, "bad-token", id="a token of another sign-in"),
        pytest.param({"aud": "driftline"}, "bad-token", id="a token for programs"),
        pytest.param({"iss": "http://127.0.0.1:1"}, "bad-token", id="another issuer's token"),
        pytest.param({"roles": ["cook"]}, "no-role", id="nobody of ours"),
    ],
)
def test_who_is_not_known_stays_out_and_is_told_why(browser, issuer, url, lies, kind):
    issuer.lies = lies

    landed = browser.get("/session/oidc")

    assert str(landed.url) == f"{url}/#/refused/{kind}"
    assert browser.get("/session").status_code == 401


def test_who_changes_their_mind_at_the_issuer_stays_out(browser, issuer, url):
    issuer.refusing = "access_denied"

    assert str(browser.get("/session/oidc").url) == f"{url}/#/refused/sign-in-refused"


def test_a_way_back_that_another_browser_set_out_on_leads_nowhere(issuer, url):
    with (
        httpx2.Client(base_url=url, timeout=PATIENCE_S) as thief,
        httpx2.Client(base_url=url, timeout=PATIENCE_S, follow_redirects=True) as victim,
    ):
        at_issuer = thief.get("/session/oidc").headers["location"]
        way_back = httpx2.get(at_issuer, timeout=PATIENCE_S).headers["location"]
        # The victim has set out as well, on another way.
        victim.get("/session/oidc")
        victim.cookies.clear()

        landed = victim.get(way_back)

        assert str(landed.url) == f"{url}/#/refused/sign-in-lost"
        assert victim.get("/session").status_code == 401


def test_a_way_back_is_walked_once(issuer, url):
    with httpx2.Client(base_url=url, timeout=PATIENCE_S) as browser:
        way_back = httpx2.get(browser.get("/session/oidc").headers["location"], timeout=PATIENCE_S).headers["location"]
        state = parse_qs(urlsplit(way_back).query)["state"][0]
        first = browser.get(way_back).headers["location"]
        # As if somebody had kept the cookie.
        again = browser.get(way_back, headers={"Cookie": f"driftline_sign_in={state}"}).headers["location"]

    assert (first, again) == ("/", "/#/refused/sign-in-lost")


def test_an_issuer_that_is_away_is_said_to_be(url, issuer):
    issuer.close()

    assert httpx2.get(f"{url}/session/oidc", timeout=PATIENCE_S).headers["location"] == "/#/refused/issuer-away"


def test_signing_in_by_clicking(issuer, url, chromium):
    one = Visit(chromium, url, also=issuer.url)
    issuer.roles = ["cook"]
    one.page.goto(url)
    one.page.get_by_role("link", name="Sign in at 127.0.0.1").click()
    expect(one.page.get_by_role("alert")).to_have_text("You are known, but have no role here. Ask an admin for one.")
    # Being asked who one is, is no complaint.
    one.complaints.clear()

    issuer.roles = ["viewer"]
    one.page.get_by_role("link", name="Sign in at 127.0.0.1").click()

    expect(one.page.get_by_text("mara@plant.example (viewer)")).to_be_visible()
    one.close()


def test_without_an_issuer_only_keys_are_offered(console):
    with console.client(None) as stranger:
        assert stranger.get("/session/ways").json() == {"key": True, "oidc": ""}
        assert stranger.get("/session/oidc").status_code == 404
