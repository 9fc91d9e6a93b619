"""Which windows were seen: intervals of `seq` for each boot of each device.

Backlog and live windows of a gateway arrive interleaved, so what was seen may have holes for a while.
"""

from bisect import bisect_right

__all__ = ["Seen"]

# Holes that are remembered for one boot; the oldest hole beyond that closes, and what fills it is a repeat.
MOST_HOLES = 256
# Boots that are remembered for one device.
MOST_BOOTS = 16


class Seen:
    """Intervals that were seen, by device and boot.

    >>> seen = Seen()
    >>> [seen.admit("d", "b", seq) for seq in (0, 1, 5, 1, 2)]
    [True, True, True, False, True]
    >>> seen.intervals("d")
    {'b': [0, 3, 5, 6]}
    """

    def __init__(self) -> None:
        # Flat ascending lists [first, end, first, end, …]; ends are exclusive.
        self._boots: dict[str, dict[str, list[int]]] = {}

    def admit(self, device_id: str, boot_id: str, seq: int) -> bool:
        """Remember a window, and say whether it is new."""
        boots = self._boots.get(device_id)
        if boots is None:
            boots = self._boots[device_id] = {}
        flat = boots.get(boot_id)
        if flat is None:
            boots[boot_id] = [seq, seq + 1]
            if len(boots) > MOST_BOOTS:
                del boots[next(iter(boots))]
            return True
        if flat[-1] == seq:
            flat[-1] = seq + 1
            return True
        return _insert(flat, seq)

    def intervals(self, device_id: str) -> dict[str, list[int]]:
        return self._boots.get(device_id, {})

    def forget(self, device_id: str) -> None:
        self._boots.pop(device_id, None)

    def freeze(self) -> dict[str, dict[str, list[int]]]:
        return {device: {boot: list(flat) for boot, flat in boots.items()} for device, boots in self._boots.items()}

    def thaw(self, frozen: dict[str, dict[str, list[int]]]) -> None:
        self._boots = {device: {boot: list(flat) for boot, flat in boots.items()} for device, boots in frozen.items()}


def _insert(flat: list[int], seq: int) -> bool:
    place = bisect_right(flat, seq)
    if place % 2:
        return False
    joins_before = place > 0 and flat[place - 1] == seq
    joins_after = place < len(flat) and flat[place] == seq + 1
    if joins_before and joins_after:
        del flat[place - 1 : place + 1]
    elif joins_before:
        flat[place - 1] = seq + 1
    elif joins_after:
        flat[place] = seq
    else:
        flat[place:place] = [seq, seq + 1]
    if len(flat) > 2 * (MOST_HOLES + 1):
        del flat[1:3]
    return True
