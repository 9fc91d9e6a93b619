"""`driftline drift policy` over real Kafka."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from driftline.command import main
from driftline.policies import check_document, publish_policy
from schemas import feeds
from streams.drift.policy import PolicyError
from trust import Keyring, Kind, load_signer, make_key, pin, write_keyring


@pytest.fixture
def keys(tmp_path):
    make_key(tmp_path / "controller.pem")
    signer = load_signer(f"file:{tmp_path / 'controller.pem'}", environ={})
    write_keyring(tmp_path / "keyring.json", Keyring(keys=(pin("controller", signer.public_key, Kind.POLICY),)))
    return tmp_path


@pytest.fixture
def run(cluster):
    where = ("--bootstrap", cluster.bootstrap, "--registry", cluster.registry_url, "--prefix", cluster.prefix)

    def run(*args, code=0, on_cluster=True):
        result = CliRunner().invoke(main, ["drift", "policy", *map(str, args), *(where if on_cluster else ())])
        assert result.exit_code == code, result.output
        return result.output

    return run


def test_a_policy_is_published_shown_and_withdrawn(run, cluster, keys, tmp_path):
    strict = tmp_path / "strict.toml"
    strict.write_text("[floors]\npsi = 0.01\n")
    key, keyring = f"file:{keys / 'controller.pem'}", ("--keyring", keys / "keyring.json")

    assert "revision 1 published" in run("set", "default", strict, "--key", key, "--why", "too many false alarms")
    assert "revision 2 published" in run("set", "default", strict, "--key", key)
    (listed,) = json.loads(run("list", "--json", *keyring))
    shown = run("show", "default", *keyring)
    run("withdraw", "default", "--key", key)
    again = run("withdraw", "default", "--key", key, code=1)

    assert (listed["revision"], listed["signature"], listed["withdrawn"]) == (2, "verified", False)
    assert "verified" in shown
    assert "psi = 0.01" in shown
    assert "no policy 'default' applies" in again
    audit = [
        event.value
        for event in feeds.follow(cluster, "audit.log", from_ms=0, until_current=True)
        if isinstance(event, feeds.Changed)
    ]
    assert [(entry.action, entry.evidence["revision"]) for entry in audit] == [
        ("published", "1"),
        ("published", "2"),
        ("withdrawn", "3"),
    ]
    assert audit[0].why == "too many false alarms"


def test_a_policy_that_makes_no_sense_is_neither_signed_nor_published(cluster, keys):
    signer = load_signer(f"file:{keys / 'controller.pem'}", environ={})

    with pytest.raises(PolicyError, match=r"health\.latency_ms\.detector: found 'adwim'"):
        publish_policy(cluster, "default", '[health.latency_ms]\ndetector = "adwim"', [signer], who="ada", why="")

    assert feeds.snapshot(cluster, "drift.policies") == {}


def test_what_is_shown_says_when_it_does_not_verify(run, cluster, keys, tmp_path):
    make_key(tmp_path / "stranger.pem")
    stranger = load_signer(f"file:{tmp_path / 'stranger.pem'}", environ={})
    publish_policy(cluster, "default", "", [stranger], who="eve", why="")

    shown = run("show", "default", "--keyring", keys / "keyring.json")

    assert "refused: the policy lacks 1 valid signature" in shown


def test_a_document_is_checked_without_a_cluster(run, tmp_path):
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text("")
    bad.write_text("mode = 'magic'")

    assert "in order" in run("check", good, on_cluster=False)
    assert f"error: {bad}: policy: mode: found 'magic'" in run("check", bad, on_cluster=False, code=1)


def test_the_documented_policy_is_in_order():
    page = (Path(__file__).parents[2] / "docs" / "policies-and-alerts.md").read_text(encoding="utf-8")

    check_document(page.partition("```toml\n")[2].partition("```")[0])
