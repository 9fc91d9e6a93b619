"""Which row of the arrays is which device's."""

__all__ = ["Roster"]


class Roster:
    """Rows by device; the row of a device that left is given to the next that comes."""

    def __init__(self) -> None:
        self.row_of: dict[str, int] = {}
        self.names: list[str] = []
        self.free: list[int] = []

    def __len__(self) -> int:
        return len(self.row_of)

    @property
    def reach(self) -> int:
        """Rows that must exist."""
        return len(self.names)

    def enter(self, device_id: str) -> int:
        """Give a device that has none a row."""
        if self.free:
            row = self.free.pop()
            self.names[row] = device_id
        else:
            row = len(self.names)
            self.names.append(device_id)
        self.row_of[device_id] = row
        return row

    def leave(self, device_id: str) -> int:
        """Take a device's row away, and return it."""
        row = self.row_of.pop(device_id)
        self.names[row] = ""
        self.free.append(row)
        return row

    def thaw(self, names: list[str], free: list[int]) -> None:
        """Be as it was when `names` and `free` were read."""
        self.names, self.free = list(names), list(free)
        gone = set(free)
        self.row_of = {name: row for row, name in enumerate(names) if row not in gone}
