"""A column of texts that repeat: four bytes a row, and each text once."""

from array import array
from collections.abc import Sequence

__all__ = ["Texts"]


class Texts:
    """A column of texts that repeat, each kept once."""

    def __init__(self) -> None:
        self.texts = [""]
        self._known = {"": 0}
        self.numbers = array("I")

    def __getitem__(self, row: int) -> str:
        return self.texts[self.numbers[row]]

    def __setitem__(self, row: int, text: str) -> None:
        self.numbers[row] = self.number(text)

    def append(self, text: str) -> None:
        self.numbers.append(self.number(text))

    def extend(self, texts: Sequence[str]) -> None:
        for text in set(texts):
            self.number(text)
        self.numbers.extend(map(self._known.__getitem__, texts))

    def number(self, text: str) -> int:
        number = self._known.get(text)
        if number is None:
            number = self._known[text] = len(self.texts)
            self.texts.append(text)
        return number
