"""The chain of a partition: what was handed out, what is done, and so what may be committed.

A chain begins where reading begins and grows by links, one for each run of records that is handed out.
It keeps three rules:

* the front moves over links that are done, in order, and over nothing else;
* a link begins where the one before it ended, so nothing that was dropped on the way can hide between two;
* once a chain is over (its partition was taken away, or its log began anew) nothing moves it.

Positions are what Kafka calls the next offset to read: a link from 10 to 14 covers the offsets 10 to 13, whether
all of them hold records or compaction and transactions have left gaps.
"""

from collections import deque

__all__ = ["Chain", "Link"]


class Link:
    """One run of records, from `start` up to but not including `end`."""

    __slots__ = ("chain", "done", "end", "start", "worked")

    def __init__(self, chain: "Chain", start: int, end: int) -> None:
        self.chain = chain
        self.start = start
        self.end = end
        self.worked = False
        """Whether nobody works on it any more, though what came of it may still be on its way."""
        self.done = False


class Chain:
    """What one assignment of a partition has handed out.

    >>> chain = Chain(10)
    >>> first, second = chain.add(10, 14), chain.add(14, 20)
    >>> chain.finish(second); chain.front
    10
    >>> chain.finish(first); chain.front
    20
    """

    __slots__ = ("_links", "front", "over", "quiet_since", "tip")

    def __init__(self, start: int, *, quiet_since: int | None = None) -> None:
        self.front = start
        """All before it is done: the offset to commit."""
        self.tip = start
        """Where the next run has to begin."""
        self.quiet_since = start if quiet_since is None else quiet_since
        """Between here and `tip` lies no record, only what transactions and compaction leave behind."""
        self.over = False
        self._links: deque[Link] = deque()

    @property
    def unfinished(self) -> int:
        """How many runs were handed out and wait to be done, or for an earlier one to be done."""
        return len(self._links)

    @property
    def unworked(self) -> int:
        """How many runs are being worked on, or wait for that."""
        return sum(not (link.worked or link.done) for link in self._links)

    def add(self, start: int, end: int) -> Link:
        """Hand out the records from `start` to `end`; the link covers the quiet stretch before them as well."""
        self._check(start, end)
        link = Link(self, self.quiet_since, end)
        self._links.append(link)
        self.tip = self.quiet_since = end
        return link

    def pass_over(self, start: int, end: int, *, lost: bool = False) -> None:
        """Go on at `end`: no record lies between, or none that can be read any more (`lost`)."""
        self._check(start, end)
        self.tip = end
        if lost:
            self.quiet_since = end
        self._advance()

    def finish(self, link: Link) -> None:
        """Count `link` as done."""
        if self.over or link.chain is not self:
            return
        link.done = True
        self._advance()

    def _check(self, start: int, end: int) -> None:
        if self.over or start != self.tip or end <= start:
            over = " in a chain that is over" if self.over else ""
            raise ValueError(f"{start}..{end} does not follow {self.tip}{over}")

    def _advance(self) -> None:
        while self._links and self._links[0].done:
            self.front = self._links.popleft().end
        if not self._links:
            self.front = self.tip
