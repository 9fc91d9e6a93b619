"""Keys, roles, sessions, invitations, throttling, tokens."""

import asyncio
import time

import console_fleet as made
import httpx2
import pytest
from console_servers import Server
from joserfc.jwk import ECKey, RSAKey
from oidc_issuer import Issuer
from patience import PATIENCE_S, eventually

from console import AuthStore, ConsoleConfig, OidcConfig, Role, first_link, make_console
from console.auth import Guard
from console.middleware import KnownHosts


def test_without_a_key_only_the_health_of_the_console_is_told(console):
    with console.client(None) as stranger:
        answers = {
            path: stranger.get(path).status_code for path in ("/health", "/ready", "/devices", "/audit", "/events")
        }

    assert answers == {"/health": 200, "/ready": 200, "/devices": 401, "/audit": 401, "/events": 401}


@pytest.mark.parametrize(
    ("role", "path", "allowed"),
    [
        pytest.param(Role.VIEWER, "/rollouts/none/pause", False, id="a viewer changes nothing"),
        pytest.param(Role.OPERATOR, "/rollouts/none/pause", True, id="an operator pauses"),
        pytest.param(Role.OPERATOR, "/rollouts/none/approve", False, id="an operator does not approve"),
        pytest.param(Role.APPROVER, "/rollouts/none/approve", True, id="an approver approves"),
        pytest.param(Role.APPROVER, "/devices/none/revoke", False, id="an approver revokes no device"),
        pytest.param(Role.ADMIN, "/devices/none/revoke", True, id="an admin does"),
    ],
)
def test_roles(console, role, path, allowed):
    with console.client(role) as client:
        status = client.post(path, json={}).status_code

    assert (status != 403) is allowed


def test_every_change_names_who_did_it_in_the_audit_log(console, admin, viewer, name):
    made_key = admin.post("/keys", json={"name": name, "role": "viewer"}).json()
    admin.delete(f"/keys/{made_key['key_id']}")

    def entries():
        found = viewer.get("/audit", params={"subject": "key/"}).json()["items"]
        mine = {
            (one["action"], one["who"])
            for one in found
            if one["subject"] in (f"key/{name}", f"key/{made_key['key_id']}")
        }
        return mine if len(mine) == 2 else None

    assert eventually(entries) == {("made a key", "admin"), ("revoked a key", "admin")}


def test_a_revoked_key_and_its_sessions_end_at_once(console, admin, name):
    made_key = admin.post("/keys", json={"name": name, "role": "viewer"}).json()
    with httpx2.Client(base_url=console.url, timeout=PATIENCE_S) as browser:
        browser.post("/session", json={"key": made_key["key"]})
        before = browser.get("/devices").status_code
        by_key = {"Authorization": f"Bearer {made_key['key']}"}
        before_by_key = httpx2.get(f"{console.url}/devices", headers=by_key, timeout=PATIENCE_S).status_code

        admin.delete(f"/keys/{made_key['key_id']}")

        assert (before, before_by_key) == (200, 200)
        assert browser.get("/devices").status_code == 401
        assert httpx2.get(f"{console.url}/devices", headers=by_key, timeout=PATIENCE_S).status_code == 401


def test_a_session_of_another_origin_may_change_nothing(console):
    with httpx2.Client(base_url=console.url, timeout=PATIENCE_S) as browser:
        browser.post("/session", json={"key": console.keys[Role.ADMIN]})

        foreign = browser.post("/rollouts/none/pause", json={}, headers={"Sec-Fetch-Site": "cross-site"})
        older = browser.post("/rollouts/none/pause", json={}, headers={"Origin": "http://evil.example"})
        own = browser.post("/rollouts/none/pause", json={}, headers={"Sec-Fetch-Site": "same-origin"})

    assert [answer.status_code for answer in (foreign, older, own)] == [403, 403, 404]


def test_cookies_are_out_of_reach_for_scripts_and_other_sites(console):
    answer = httpx2.post(f"{console.url}/session", json={"key": console.keys[Role.VIEWER]}, timeout=PATIENCE_S)

    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_a_foreign_name_for_the_console_is_refused(console):
    answer = httpx2.get(f"{console.url}/health", headers={"Host": "rebound.example"}, timeout=PATIENCE_S)

    assert (answer.status_code, answer.json()["type"]) == (400, "urn:driftline:problem:unknown-host")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("host", "known"),
    [
        pytest.param("localhost", True, id="a name"),
        pytest.param("LOCALHOST:8000", True, id="with a port, in capitals"),
        pytest.param("[::1]:8000", True, id="IPv6"),
        pytest.param("a.plant7", True, id="below a name"),
        pytest.param("plant7", False, id="the name above"),
        pytest.param("evil-plant7", False, id="a name that ends alike"),
        pytest.param("", False, id="none"),
    ],
)
async def test_names_that_the_console_answers_to(host, known):
    asked = []

    async def app(scope, _receive, _send):
        asked.append(scope["type"])

    async def ignore(_message):
        pass

    scope = {"type": "http", "headers": [(b"host", host.encode())]}
    await KnownHosts(app, ("localhost", "[::1]", "*.plant7"))(scope, None, ignore)

    assert bool(asked) is known


def test_answers_forbid_browsers_what_nobody_needs(console):
    headers = httpx2.get(f"{console.url}/", timeout=PATIENCE_S).headers

    assert "script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")


def test_a_body_that_is_too_large_is_refused_before_it_is_read(console, operator):
    answer = operator.post("/silences", content=b"x" * (2 * 1024 * 1024))

    assert answer.status_code == 413


def test_a_body_that_does_not_say_its_size_is_refused_where_it_grows_too_large(console, operator):
    answer = operator.post("/silences", content=(b"x" * 65_536 for _ in range(32)))

    assert (answer.status_code, answer.json()["type"]) == (413, "urn:driftline:problem:too-large")


@pytest.fixture
def fresh(fleet_cluster, redis_url, tmp_path):
    """A console without anybody in it."""
    store = AuthStore(tmp_path / "console.db")
    with Server(make_console(fleet_cluster, redis_url, store, ConsoleConfig())) as server:
        yield server.url, store
    store.close()


def test_the_first_start_makes_an_admin_by_a_link_that_works_once(fresh):
    url, store = fresh
    link = first_link(store, url, now_ms=made.now_ms())
    invitation = link.rpartition("/")[2]

    first = httpx2.post(f"{url}/session/welcome", json={"invitation": invitation}, timeout=PATIENCE_S)
    again = httpx2.post(f"{url}/session/welcome", json={"invitation": invitation}, timeout=PATIENCE_S)

    assert (first.status_code, first.json()["role"], again.status_code) == (200, "admin", 401)
    by_key = httpx2.get(
        f"{url}/session", headers={"Authorization": f"Bearer {first.json()['key']}"}, timeout=PATIENCE_S
    ).json()
    assert by_key == {"name": "admin", "role": "admin", "by": "key"}
    assert first_link(store, url, now_ms=made.now_ms()) is None


def test_a_later_start_kills_the_link_of_an_earlier_one(fresh):
    url, store = fresh
    earlier = first_link(store, url, now_ms=made.now_ms()).rpartition("/")[2]
    first_link(store, url, now_ms=made.now_ms())

    assert httpx2.post(f"{url}/session/welcome", json={"invitation": earlier}, timeout=PATIENCE_S).status_code == 401


def test_who_guesses_keys_has_to_wait(fresh):
    url, _store = fresh

    answers = [httpx2.post(f"{url}/session", json={"key": f"dl_00000000_{i}"}, timeout=PATIENCE_S) for i in range(7)]

    assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) >= 1


class CountingStore(AuthStore):
    """A store that counts how often it was asked for the slow hash."""

    checks = 0

    def check_key(self, text):
        self.checks += 1
        return super().check_key(text)


async def test_all_who_come_at_once_with_one_key_wait_for_one_hash(tmp_path):
    store = CountingStore(tmp_path / "console.db")
    key = store.make_key("probe", Role.VIEWER, by="tests", now_ms=0)[1]
    guard = Guard(store, None, now_ms=lambda: 0, session_ms=1)
    hurried = asyncio.ensure_future(guard.check_key(key, "here"))
    await asyncio.sleep(0)
    hurried.cancel()

    found = await asyncio.gather(*(guard.check_key(key, "here") for _ in range(16)))
    again = await guard.check_key(key, "here")

    assert {one.name for one in [*found, again]} == {"probe"}
    assert store.checks == 1
    with pytest.raises(asyncio.CancelledError):
        await hurried
    refused = await asyncio.gather(*(guard.check_key(f"{key}x", "here") for _ in range(4)), return_exceptions=True)
    assert [one.status for one in refused] == [401] * 4
    store.close()


def test_secrets_are_kept_as_argon2_hashes_only(tmp_path):
    store = AuthStore(tmp_path / "console.db")
    _key_id, key = store.make_key("mara", Role.ADMIN, by="tests", now_ms=0)
    store.close()

    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert b"$argon2id$" in kept
    assert key.split("_", 2)[2].encode() not in kept
    assert (tmp_path / "console.db").stat().st_mode & 0o077 == 0


@pytest.fixture
def issuer():
    issuer = Issuer()
    yield issuer
    issuer.close()


@pytest.fixture
def believer(issuer, fleet_cluster, redis_url, tmp_path):
    """A console that believes the issuer."""
    store = AuthStore(tmp_path / "console.db")
    config = ConsoleConfig(oidc=OidcConfig(issuer=issuer.url, audience="driftline", roles=("plant-boss=admin",)))
    with Server(make_console(fleet_cluster, redis_url, store, config)) as server:
        yield lambda token: httpx2.get(
            f"{server.url}/session", headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE_S
        )
    store.close()


def test_a_token_of_the_issuer_names_who_asks_and_their_role(issuer, believer):
    assert believer(issuer.token()).json() == {"name": "mara@plant.example", "role": "operator", "by": "oidc"}
    assert believer(issuer.token(roles=["plant-boss", "x"])).json()["role"] == "admin"


def test_tokens_that_are_not_for_us_are_refused(issuer, believer):
    stranger = RSAKey.generate_key(2048, {"kid": "k1"}, private=True)
    wrong = {
        "another audience": issuer.token(aud="somebody-else"),
        "another issuer": issuer.token(iss="http://127.0.0.1:1"),
        "too old": issuer.token(exp=int(time.time()) - 120),
        "never ending": issuer.token(exp=None),
        "not yet": issuer.token(nbf=int(time.time()) + 600),
        "signed by a stranger": issuer.token(key=stranger),
        "signed with the public key as a secret": issuer.token_by_secret(issuer.key.as_pem(private=False)),
        "unsigned": issuer.token_by_secret(None),
        "no token at all": "abc",
    }

    assert {why: believer(token).status_code for why, token in wrong.items()} == dict.fromkeys(wrong, 401)
    assert believer(issuer.token(roles=["cook"])).status_code == 403


def test_an_issuer_may_change_its_keys(issuer, believer, monkeypatch):
    monkeypatch.setattr("console.auth.oidc._ASK_AGAIN_AFTER_S", 0.0)
    assert believer(issuer.token()).status_code == 200
    issuer.key = ECKey.generate_key("P-256", {"kid": "k2"}, private=True)

    assert believer(issuer.token(alg="ES256", kid="k2")).status_code == 200
