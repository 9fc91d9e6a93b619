"""Kept state comes back as it was, or is refused whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as extra

from edge_gateway.arrays import pack, unpack

KINDS = st.sampled_from(["<f8", "<f4", "<i8", "<u4", "|b1", "<U5"])
ARRAYS = st.dictionaries(
    st.text(min_size=1, max_size=8),
    KINDS.flatmap(lambda kind: extra.arrays(kind, extra.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))),
    max_size=5,
)


@given(ARRAYS)
def test_arrays_come_back_bit_by_bit(arrays):
    back = unpack(pack(arrays))

    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape)
        assert back[name].tobytes() == array.tobytes()


def test_what_comes_back_may_be_written_to():
    back = unpack(pack({"sums": np.zeros(3)}))

    back["sums"] += 1


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_one_wrong_bit_is_noticed(place, bit):
    content = bytearray(pack({"sums": np.arange(20.0), "names": np.array(["a", "b"])}))
    content[place % len(content)] ^= 1 << bit

    with pytest.raises(ValueError, match="do not match their checksum"):
        unpack(bytes(content))


@pytest.mark.parametrize("content", [b"", b"abc", b"PK\x03\x04 an archive of old"])
def test_something_else_is_refused(content):
    with pytest.raises(ValueError, match="do not match their checksum"):
        unpack(content)
