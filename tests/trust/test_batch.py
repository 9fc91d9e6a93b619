"""Batches: one signature over many commands, each of which proves itself alone."""

import base64
import json
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rollouts import Command
from trust import (
    EnvelopeError,
    Keyring,
    Kind,
    TamperedError,
    UntrustedError,
    WrongDeviceError,
    WrongKindError,
    load_signer,
    make_key,
    open_command,
    open_record,
    open_sealed,
    pin,
    seal_batch,
    sign_records,
)
from trust.merkle import Tree, leaf_hash, root_from


@pytest.fixture(scope="module")
def controller(tmp_path_factory):
    return _signer(tmp_path_factory.mktemp("keys") / "controller.pem")


@pytest.fixture(scope="module")
def keyring(controller):
    return Keyring(keys=(pin("controller", controller.public_key, Kind.COMMAND),))


def _signer(path):
    make_key(path)
    return load_signer(f"file:{path}", environ={})


def commands(count):
    return [
        Command(
            device_id=f"gw-{number}", revision=number + 1, rollout_id="r1", model_id="m/2", bundle_sha256="0" * 64,
            bundle_bytes=1, bundle_url="https://models.example/größe", issued_ms=1, envelope="", settings={"a": "b"},
        )
        for number in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 100])
def test_every_member_opens_by_itself(controller, keyring, count):
    signed = sign_records(commands(count), [controller])

    assert [open_record(one, keyring) for one in signed] == signed
    assert [replace(one, envelope="") for one in signed] == commands(count)


def test_one_alone_is_signed_as_ever_and_none_is_nothing(controller):
    (alone,) = sign_records(commands(1), [controller])

    assert "batch" not in json.loads(alone.envelope)
    assert sign_records([], [controller]) == []


def test_a_command_of_a_batch_is_for_its_own_device_only(controller, keyring):
    first, second = sign_records(commands(2), [controller])

    assert open_command(first.envelope, keyring, device_id="gw-0").device_id == "gw-0"
    with pytest.raises(WrongDeviceError):
        open_command(second.envelope, keyring, device_id="gw-0")


def changed(text, **changes):
    return json.dumps({**json.loads(text), **changes})


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"index": 1}, TamperedError),
        ({"index": -1}, TamperedError),
        ({"index": 4}, TamperedError),
        ({"index": "x"}, EnvelopeError),
        ({"path": ""}, TamperedError),
        ({"path": base64.b64encode(b"\0" * 31).decode()}, TamperedError),
        ({"path": base64.b64encode(b"\0" * 64).decode()}, TamperedError),
        ({"path": base64.b64encode(b"\0" * 32 * 100).decode()}, TamperedError),
        ({"path": "nonsense!"}, EnvelopeError),
        ({"payload": base64.b64encode(b"{}").decode()}, TamperedError),
        ({"payload": 7}, EnvelopeError),
        ({"payloadType": "application/vnd.driftline.policy+json"}, WrongKindError),
        ({"batch": {}}, EnvelopeError),
        ({"batch": None}, EnvelopeError),
    ],
)
def test_what_was_changed_is_refused(controller, keyring, changes, refusal):
    text = seal_batch(Kind.COMMAND, [{"n": number} for number in range(4)], [controller])[0]

    with pytest.raises(refusal):
        open_sealed(changed(text, **changes), Kind.COMMAND, keyring)


def test_a_batch_of_somebody_else_is_refused(keyring, tmp_path):
    stranger = _signer(tmp_path / "stranger.pem")

    with pytest.raises(UntrustedError):
        open_record(sign_records(commands(3), [stranger])[0], keyring)


def test_a_root_is_no_command_and_a_command_no_root(controller, keyring):
    text = seal_batch(Kind.COMMAND, [{"n": 1}, {"n": 2}], [controller])[0]
    root = json.dumps(json.loads(text)["batch"])
    single = seal_batch(Kind.COMMAND, [{"root": "00" * 32, "size": 2}], [controller])[0]

    with pytest.raises(WrongKindError):
        open_sealed(root, Kind.COMMAND, keyring)
    with pytest.raises(WrongKindError):
        open_sealed(changed(text, batch=json.loads(single)), Kind.COMMAND, keyring)


def test_a_batch_of_another_kind_is_refused_though_the_key_may_sign_both(controller):
    both = Keyring(keys=(pin("controller", controller.public_key, Kind.COMMAND, Kind.POLICY),))
    policy = seal_batch(Kind.POLICY, [{"n": 1}, {"n": 2}], [controller])[0]

    with pytest.raises(WrongKindError):
        open_sealed(policy, Kind.COMMAND, both)
    with pytest.raises(WrongKindError):
        open_sealed(changed(policy, payloadType=Kind.COMMAND.value), Kind.COMMAND, both)


@given(leaves=st.lists(st.binary(max_size=8), min_size=1, max_size=70), data=st.data())
def test_a_leaf_proves_its_own_place_and_no_other(leaves, data):
    tree = Tree(leaves)
    index = data.draw(st.integers(0, len(leaves) - 1))
    other = data.draw(st.integers(0, len(leaves) - 1))
    size = data.draw(st.integers(1, 80))

    assert root_from(leaves[index], index, len(leaves), tree.paths()[index]) == tree.root
    if leaves[other] != leaves[index]:
        assert root_from(leaves[index], other, len(leaves), tree.paths()[other]) != tree.root
        assert root_from(leaves[other], index, len(leaves), tree.paths()[index]) != tree.root
    assert root_from(b"another leaf", index, size, tree.paths()[index]) != tree.root


def test_the_root_is_that_of_the_standard():
    # The tree of RFC 9162's example, with seven leaves.
    leaves = [bytes([number]) for number in range(7)]
    a, b, c, d, e, f, j = (leaf_hash(leaf) for leaf in leaves)

    def node(left, right):
        return sha256(b"\x01" + left + right).digest()

    left, right = node(node(a, b), node(c, d)), node(node(e, f), j)

    assert Tree(leaves).root == node(left, right)
    assert Tree(leaves).paths()[6] == node(e, f) + left
