"""Which policy counts: only what verifies, the newest of it, and from which offset."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.policy import Policy
from streams.drift.policy import InForce, PolicyError, Timeline, Wanted, own_policy, read_policy, signed_policy
from trust import Keyring, Kind, TrustError, load_signer, make_key, pin, sign_record

STRICT = "[floors]\npsi = 0.01\n"


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "controller.pem"
    make_key(path)
    return load_signer(f"file:{path}", environ={})


@pytest.fixture(scope="module")
def keyring(signer):
    return Keyring(keys=(pin("controller", signer.public_key, Kind.POLICY),))


@pytest.fixture
def signed(signer):
    def signed(revision, document=STRICT, *, issued_ms=1, withdrawn=False):
        unsigned = Policy(
            policy_id="default",
            revision=revision,
            document=document,
            envelope="",
            issued_ms=issued_ms,
            issued_by="ada",
            withdrawn=withdrawn,
        )
        return sign_record(unsigned, [signer])

    return signed


def test_a_signed_policy_is_read(signed, keyring):
    policy = signed_policy(signed(3), keyring)

    assert (policy.policy_id, policy.revision, policy.rules.floors.psi) == ("default", 3, 0.01)


def test_a_policy_that_was_altered_is_refused(signed, keyring):
    with pytest.raises(TrustError, match="signed was"):
        signed_policy(replace(signed(3), document="[floors]\npsi = 9.0\n"), keyring)


def test_a_key_that_may_sign_only_commands_signs_no_policy(signed, signer):
    commands_only = Keyring(keys=(pin("controller", signer.public_key, Kind.COMMAND),))

    with pytest.raises(TrustError, match="the policy lacks 1 valid signature"):
        signed_policy(signed(1), commands_only)


def test_a_signed_policy_that_makes_no_sense_is_refused(signed, keyring):
    with pytest.raises(PolicyError, match=r"floors\.psi: found -1, wanted a number above 0"):
        signed_policy(signed(1, "[floors]\npsi = -1"), keyring)


def test_the_newest_revision_is_wanted_whatever_the_order(signed, keyring):
    wanted = Wanted(own_policy(), keyring)

    for record in (signed(2), signed(5, ""), signed(3)):
        assert wanted.heed(record) == ""

    assert wanted.after(None).revision == 5


def test_of_two_alike_the_later_one_is_wanted_whatever_the_order(signed, keyring):
    earlier, later = signed(2, "", issued_ms=10), signed(2, STRICT, issued_ms=20)

    for records in ((earlier, later), (later, earlier)):
        wanted = Wanted(own_policy(), keyring)
        for record in records:
            wanted.heed(record)
        assert wanted.after(None).document == STRICT


def test_a_withdrawn_policy_gives_way_to_the_workers_own(signed, keyring):
    wanted = Wanted(own_policy("", policy_id="mine"), keyring)

    wanted.heed(signed(2))
    wanted.heed(signed(3, withdrawn=True))
    wanted.heed(signed(2))

    assert wanted.after(None).policy_id == "mine"


def test_what_does_not_verify_leaves_everything_as_it_was(signed, keyring):
    wanted, forged = Wanted(own_policy(), keyring), replace(signed(9), revision=10)
    wanted.heed(signed(2))

    assert "signed was 9" in wanted.heed(forged)
    assert wanted.after(None).revision == 2


def test_while_only_a_forgery_is_there_a_partition_stays_with_what_it_had(signed, keyring):
    wanted, before = Wanted(own_policy(), keyring), signed_policy(signed(4), keyring)

    wanted.heed(replace(signed(9), document="mode = 'thresholds'"))

    assert wanted.after(before) == before
    assert wanted.after(None) == own_policy()


def test_without_a_keyring_nothing_verifies(signed):
    assert "no keyring" in Wanted(own_policy()).heed(signed(1))


@given(st.lists(st.integers(0, 20), max_size=6, unique=True), st.integers(0, 20), st.integers(0, 20))
def test_pieces_cover_a_stretch_and_each_is_judged_as_its_first_record(offsets, start, length):
    line = Timeline()
    for revision, offset in enumerate(sorted(offsets)):
        line = line.then(offset, InForce(revision=revision))
    end = start + length

    pieces = list(line.pieces(start, end))

    covered = [offset for first, last, _ in pieces for offset in range(first, last)]
    assert covered == list(range(start, end))
    for first, last, policy in pieces:
        assert all(line.at(offset) is policy for offset in range(first, last))


def test_a_change_noted_anew_for_an_earlier_offset_counts_instead():
    line = Timeline().then(10, InForce(revision=1)).then(20, InForce(revision=2)).then(15, InForce(revision=3))

    assert [(offset, policy.revision) for offset, policy in line.spans] == [(10, 1), (15, 3)]


@pytest.mark.parametrize(("name", "value"), [("horizons_minutes", "[5, 60]"), ("cohorts", '["region"]')])
def test_what_all_must_agree_on_cannot_be_overridden(name, value):
    with pytest.raises(PolicyError, match=rf"override\[0\]\.rules\.{name}: .* wanted nothing: it is the same for all"):
        read_policy(f"[[override]]\nmodel = 'm/*'\n[override.rules]\n{name} = {value}\n")


def test_the_health_workers_table_is_none_of_the_drift_workers_business():
    assert read_policy("[health]\nwarm_up_windows = 9") == read_policy("")
