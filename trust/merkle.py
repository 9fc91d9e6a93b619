"""Merkle trees as in Certificate Transparency (RFC 9162): one root stands for many leaves, and each can prove it."""

from collections.abc import Sequence
from hashlib import sha256

__all__ = ["HASH_BYTES", "Tree", "leaf_hash", "root_from"]

HASH_BYTES = 32


class Tree:
    """The hashes over some leaves, level by level; at least one leaf."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        level = [leaf_hash(leaf) for leaf in leaves]
        self._levels = [level]
        while len(level) > 1:
            pairs = zip(level[::2], level[1::2], strict=False)
            # The last of an odd level goes up as it is.
            level = [_node_hash(left, right) for left, right in pairs] + level[len(level) & ~1 :]
            self._levels.append(level)

    @property
    def root(self) -> bytes:
        return self._levels[-1][0]

    def paths(self) -> list[bytes]:
        """Return for each leaf what it takes, beside it, to reckon the root: one hash after the other, from below."""
        paths = [b""]
        for level in reversed(self._levels[:-1]):
            # Whoever is the last of an odd level has nobody beside it, and goes on as the one above.
            paths = [
                (level[index ^ 1] if index ^ 1 < len(level) else b"") + paths[index >> 1] for index in range(len(level))
            ]
        return paths


def leaf_hash(leaf: bytes) -> bytes:
    # A leaf and a node never hash alike, so none can pass for the other.
    return sha256(b"\x00" + leaf).digest()


def root_from(leaf: bytes, index: int, size: int, path: bytes) -> bytes | None:
    """Return the root of a tree of `size` leaves in which this one stands at `index`; None where no such path fits.

    >>> tree = Tree([b"a", b"b", b"c"])
    >>> root_from(b"c", 2, 3, tree.paths()[2]) == tree.root
    True
    """
    if not 0 <= index < size or len(path) % HASH_BYTES:
        return None
    found, last = leaf_hash(leaf), size - 1
    for start in range(0, len(path), HASH_BYTES):
        beside = path[start : start + HASH_BYTES]
        if not last:
            return None
        if index & 1 or index == last:
            found = _node_hash(beside, found)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            found = _node_hash(found, beside)
        index, last = index >> 1, last >> 1
    return found if not last else None


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
