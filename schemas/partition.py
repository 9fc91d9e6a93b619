"""Where a key is: the partition that Kafka's own clients, and ours, put it in."""

__all__ = ["partition_of"]

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def partition_of(key: str | bytes, partitions: int) -> int:
    """Return the partition of a key, by murmur2, for topics whose records are placed by their key.

    >>> partition_of("gw-1", 12)
    9
    """
    return (_murmur2(key.encode() if isinstance(key, str) else key) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    mixed = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        word = (word ^ word >> 24) * _M & _MASK
        mixed = (mixed * _M & _MASK) ^ word
    if whole < len(data):
        mixed = (mixed ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    mixed = (mixed ^ mixed >> 13) * _M & _MASK
    return mixed ^ mixed >> 15
