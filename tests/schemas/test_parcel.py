"""Parcels over the wire: whole, or refused in bounded time and memory."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_strategies import records

from schemas.codec import codec_of
from schemas.errors import BadRecordError, WrongValueError
from schemas.parcel import MAX_PARCEL_BYTES, Letter, Parcel, Receipt, pack, unpack

ID = "0b5d2f0e-8f2f-4a3a-9a63-0f7f9f0c8f11"


def parcel(body=b"x"):
    letter = Letter(number=1, topic="rollouts.acks", schema="ab", body=body)
    return Parcel(parcel_id=ID, boot_id=ID, letters=(letter,))


@given(records(Parcel))
def test_a_parcel_arrives_as_it_was_sent(sent):
    assert unpack(Parcel, pack(sent)) == sent


@given(records(Receipt))
def test_a_receipt_arrives_as_it_was_sent(sent):
    assert unpack(Receipt, pack(sent)) == sent


@given(st.binary(max_size=200))
def test_bytes_that_are_no_parcel_are_refused(packed):
    with pytest.raises(BadRecordError):
        unpack(Parcel, packed)


@pytest.mark.parametrize(
    ("packed", "says"),
    [
        pytest.param(pack(parcel())[:-1], "no end", id="cut off"),
        pytest.param(pack(parcel()) + b"\0", "behind its end", id="something behind it"),
        pytest.param(zlib.compress(codec_of(Parcel).encode(parcel())[:-2]), "found", id="a body that is cut off"),
        pytest.param(zlib.compress(bytes(50 * 1024**2)), f"more than {MAX_PARCEL_BYTES}", id="a bomb"),
    ],
)
def test_a_damaged_parcel_is_refused_in_words(packed, says):
    with pytest.raises(BadRecordError, match=says):
        unpack(Parcel, packed)


def test_what_is_too_large_is_not_sent():
    with pytest.raises(WrongValueError, match="bytes"):
        pack(parcel(bytes(MAX_PARCEL_BYTES)))
