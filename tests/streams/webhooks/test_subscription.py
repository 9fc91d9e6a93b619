"""Subscriptions: what a document says, and what is wrong with it."""

import pytest

from streams.webhooks import Secret, WebhookConfigError, read_subscriptions

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105
ENVIRON = {"HOOK": SECRET, "TOKEN": "abc", "SHORT": "whsec_AAAA", "PLAIN": "hunter2"}


def document(**changes):
    table = {
        "name": "tickets",
        "url": "https://tickets.example/hook",
        "topics": ["rollouts.status"],
        "secrets": ["env:HOOK"],
        **changes,
    }
    lines = [f"{name} = {_toml(value)}" for name, value in table.items() if value is not None]
    return "\n".join(["[[webhook]]", *lines])


def _toml(value):
    return str(value).lower() if isinstance(value, bool) else repr(value)


def read(**changes):
    (subscription,) = read_subscriptions(document(**changes), environ=ENVIRON)
    return subscription


def test_what_is_left_out_has_its_default():
    tickets = read()

    assert (tickets.mode, tickets.timeout_s, tickets.keep_s, tickets.wants("anything")) == (
        "structured", 10.0, 86_400.0, True,
    )  # fmt: skip
    assert tickets.secrets == (Secret.parse(SECRET),)


def test_a_secret_comes_from_a_file_as_well(tmp_path):
    (tmp_path / "secret").write_text(f"{SECRET}\n")

    assert read(secrets=[f"file:{tmp_path}/secret"]).secrets == (Secret.parse(SECRET),)


def test_only_the_keys_that_are_asked_for_are_wanted():
    tickets = read(keys=["bearings-*", "r7"])

    assert [tickets.wants(key) for key in ("bearings-14", "r7", "r77", "other")] == [True, True, False, False]


def test_no_secret_is_in_any_text_of_a_subscription():
    tickets = read(bearer="env:TOKEN")

    assert "abc" not in repr(tickets)
    assert repr(tickets.secrets[0].key) not in repr(tickets)
    assert tickets.bearer == "abc"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "ftp://x/"}, "webhook[0].url: found ftp://x, wanted http:// or https:// and a host"),
        ({"url": "https://me:pw@x/"}, "webhook[0].url: found https://x, wanted"),
        ({"topics": []}, "webhook[0].topics: found none, wanted at least one topic"),
        ({"topics": ["rollout.status"]}, "webhook[0].topics: found 'rollout.status', wanted some of"),
        ({"secrets": []}, "webhook[0].secrets: found none, wanted at least one"),
        ({"secrets": ["env:NONE"]}, "webhook[0].secrets[0]: found no variable NONE"),
        ({"secrets": ["file:/nowhere"]}, "webhook[0].secrets[0]: found FileNotFoundError at /nowhere"),
        ({"secrets": [SECRET]}, "webhook[0].secrets[0]: found a text that names no place, wanted file:PATH or"),
        ({"secrets": ["env:SHORT"]}, "webhook[0].secrets[0]: found something else in env:SHORT, wanted whsec_ and"),
        ({"secrets": ["env:PLAIN"]}, "webhook[0].secrets[0]: found something else in env:PLAIN, wanted whsec_ and"),
        ({"name": "a b"}, "webhook[0].name: found 'a b', wanted letters"),
        ({"mode": "soap"}, "webhook[0].mode: found 'soap', wanted one of structured, binary"),
        ({"timeout_s": 0}, "webhook[0].timeout_s: found 0.0, wanted 0.1 to 300"),
        ({"on_change": ["phases"]}, "webhook[0].on_change: found 'phases', wanted fields of rollouts.status:"),
        ({"colour": "red"}, "webhook[0].colour: found a key that is not known"),
        ({"url": None}, "webhook[0].url: found nothing, wanted a value"),
    ],
)
def test_what_is_wrong_is_named_with_its_key(changes, message):
    with pytest.raises(WebhookConfigError) as refused:
        read(**changes)

    assert message in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[webhook", "wanted a readable TOML document"),
        ("", "found nothing, wanted one or more tables"),
        ("webhook = 7", "found webhook, wanted one or more tables"),
        (document() + "\n" + document(), "webhook[1].name: found 'tickets', wanted a name that no other"),
    ],
)
def test_a_document_that_is_none_says_so(text, message):
    with pytest.raises(WebhookConfigError) as refused:
        read_subscriptions(text, environ=ENVIRON)

    assert message in str(refused.value)
