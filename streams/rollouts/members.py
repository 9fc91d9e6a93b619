"""The devices of one rollout, in columns: a million of them are some tens of bytes each, beside their names.

`Members` is owned by its rollout, and only `decide` moves its rows. Counts per stage and state are kept as rows move,
so that no decision has to look at every device.
"""

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heappop, heappush

import numpy as np
import numpy.typing as npt

from streams.rollouts.events import Arrivals
from streams.rollouts.member import IN_FLIGHT, Member, State
from streams.rollouts.rings import NO_STAGE
from streams.rollouts.texts import Texts

__all__ = ["Members"]


_AWAITED = (*IN_FLIGHT, State.RETURNING)
_STATES = len(State)
_ONLINE = 1
_TOUCHED = 2
_PUBLISHED = 4


class Members:
    """All devices of one rollout; rows are numbered from 0 in the order in which they were added."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._rows: dict[str, int] = {}
        self._state, self._stage, self._attempts, self._flags = bytearray(), bytearray(), bytearray(), bytearray()
        self._position, self._at_ms = array("d"), array("q")
        self._previous, self._kin = Texts(), Texts()
        self._reasons: dict[int, str] = {}
        self._counts = [0] * (_STATES * (NO_STAGE + 1))
        self._totals = [0] * _STATES
        self._queue: deque[int] = deque()
        # A heap of (awaited from, row); rows that were answered stay in it until their time comes.
        self._flights: list[tuple[int, int]] = []
        self._later: deque[int] = deque()

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Member]:
        return (self.member(row) for row in range(len(self.ids)))

    def row(self, device_id: str) -> int | None:
        return self._rows.get(device_id)

    def member(self, row: int) -> Member:
        return Member(
            device_id=self.ids[row],
            state=State(self._state[row]),
            stage=self._stage[row],
            position=self._position[row],
            attempts=self._attempts[row],
            previous=self._previous[row],
            kin=self._kin[row],
            online=bool(self._flags[row] & _ONLINE),
            touched=bool(self._flags[row] & _TOUCHED),
            published=bool(self._flags[row] & _PUBLISHED),
            at_ms=self._at_ms[row],
            reason=self._reasons.get(row, ""),
        )

    def add(self, member: Member) -> int:
        """Add a device, or set the row that it has."""
        row = self._rows.get(member.device_id)
        if row is None:
            row = self._rows[member.device_id] = len(self.ids)
            self.ids.append(member.device_id)
            for column in (self._state, self._attempts, self._flags):
                column.append(0)
            self._stage.append(member.stage)
            self._position.append(0.0)
            self._at_ms.append(0)
            self._previous.append("")
            self._kin.append("")
        else:
            self._counted(row, -1)
        self._state[row], self._stage[row], self._attempts[row] = member.state, member.stage, member.attempts
        published = self._flags[row] & _PUBLISHED | _PUBLISHED * member.published
        self._flags[row] = _ONLINE * member.online | _TOUCHED * member.touched | published
        self._position[row], self._at_ms[row] = member.position, member.at_ms
        self._previous[row], self._kin[row] = member.previous, member.kin
        self._note(row, member.reason)
        self._counted(row, 1)
        self._enlist(row)
        return row

    def extend(self, arrivals: Arrivals, states: npt.NDArray[np.uint8]) -> None:
        """Add devices, none of which is there yet, in one sweep; those that wait are queued in their order."""
        first, count = len(self.ids), len(arrivals.ids)
        self.ids.extend(arrivals.ids)
        self._rows.update(zip(arrivals.ids, range(first, first + count), strict=True))
        if len(self._rows) != len(self.ids):
            raise ValueError("a device joined that was there already")
        self._state += states.tobytes()
        self._stage += arrivals.stages.tobytes()
        self._attempts += bytes(count)
        self._flags += (arrivals.online * np.uint8(_ONLINE)).tobytes()
        self._position.frombytes(arrivals.positions.tobytes())
        self._at_ms.frombytes(bytes(8 * count))
        self._previous.extend(arrivals.previous)
        self._kin.extend(arrivals.kin)
        cells = np.bincount(arrivals.stages.astype(np.int64) * _STATES + states, minlength=len(self._counts))
        for cell in np.flatnonzero(cells).tolist():
            self._counts[cell] += int(cells[cell])
            self._totals[cell % _STATES] += int(cells[cell])
        self._queue.extend((first + np.flatnonzero(states == State.WAITING)).tolist())

    def state(self, row: int) -> int:
        return self._state[row]

    def stage(self, row: int) -> int:
        return self._stage[row]

    def attempts(self, row: int) -> int:
        return self._attempts[row]

    def previous(self, row: int) -> str:
        return self._previous[row]

    def kin(self, row: int) -> str:
        return self._kin[row]

    def at_ms(self, row: int) -> int:
        return self._at_ms[row]

    def reason(self, row: int) -> str:
        return self._reasons.get(row, "")

    def online(self, row: int) -> bool:
        return bool(self._flags[row] & _ONLINE)

    def touched(self, row: int) -> bool:
        return bool(self._flags[row] & _TOUCHED)

    def total_in(self, state: int) -> int:
        """Return how many devices of any stage are in a state."""
        return self._totals[state]

    def count(self, state: int, stage: int) -> int:
        return self._counts[stage * _STATES + state]

    def count_of(self, states: Iterable[int], stages: Iterable[int]) -> int:
        counts, states = self._counts, tuple(states)
        total = 0
        for stage in stages:
            base = stage * _STATES
            for state in states:
                total += counts[base + state]
        return total

    def total(self, stage: int) -> int:
        return sum(self._counts[stage * _STATES : (stage + 1) * _STATES])

    def totals(self) -> dict[str, int]:
        """Return how many devices of any stage are in each state, by its published name; none are left out."""
        return {state.published.value: self._totals[state] for state in State if self._totals[state]}

    def totals_of(self, stage: int) -> dict[str, int]:
        """Return the same of one stage."""
        return {state.published.value: count for state in State if (count := self.count(state, stage))}

    def kin_rows(self, trait: str, states: Iterable[int]) -> list[int]:
        """Return the rows of the devices with a trait that are in the states."""
        kins = [number for number, text in enumerate(self._kin.texts) if trait in text.split("|")]
        alike = np.isin(np.frombuffer(self._kin.numbers, np.uint32), kins)
        wanted = np.isin(np.frombuffer(self._state, np.uint8), [int(state) for state in states])
        return [int(row) for row in np.flatnonzero(alike & wanted)]

    def move(self, row: int, state: int, reason: str = "") -> None:
        was, base = self._state[row], self._stage[row] * _STATES
        self._counts[base + was] -= 1
        self._counts[base + state] += 1
        self._totals[was] -= 1
        self._totals[state] += 1
        self._state[row] = state
        if reason or self._reasons:
            self._note(row, reason)

    def take_up(self, row: int, state: int, at_ms: int, attempts: int) -> None:
        """Move a row to a state in which an answer is awaited from `at_ms` on."""
        self.move(row, state)
        self._attempts[row] = attempts
        self._flags[row] |= _TOUCHED
        self.await_from(row, at_ms)

    def await_from(self, row: int, at_ms: int) -> None:
        """Start the timeout of an awaited row anew."""
        self._at_ms[row] = at_ms
        heappush(self._flights, (at_ms, row))

    def back_off(self, row: int, until_ms: int, reason: str) -> None:
        self.move(row, State.BACKING_OFF, reason)
        self._at_ms[row] = until_ms
        self._later.append(row)

    def wait(self, row: int, *, attempts: int | None = None, stage: int | None = None) -> None:
        """Put a device back in the queue of those whose turn may come."""
        if stage is not None:
            self._counted(row, -1)
            self._stage[row] = stage
            self._counted(row, 1)
        if attempts is not None:
            self._attempts[row] = attempts
        self.move(row, State.WAITING if self.online(row) else State.OFFLINE)
        self._enlist(row)

    def set_online(self, row: int, online: bool) -> None:
        self._flags[row] = self._flags[row] | _ONLINE if online else self._flags[row] & ~_ONLINE

    def note_published(self, row: int) -> None:
        self._flags[row] |= _PUBLISHED

    def published(self, row: int) -> bool:
        return bool(self._flags[row] & _PUBLISHED)

    def published_ids(self) -> list[str]:
        """Return the devices whose rows stand on a topic."""
        rows: list[int] = np.flatnonzero(np.frombuffer(self._flags, np.uint8) & _PUBLISHED).tolist()
        return [self.ids[row] for row in rows]

    def set_previous(self, row: int, model: str) -> None:
        self._previous[row] = model

    def set_kin(self, row: int, kin: str) -> None:
        self._kin[row] = kin

    def open_stage(self, stage: int) -> None:
        """Queue the devices whose turn comes with this stage, in the order of the ring."""
        rows = self.rows(lambda states, stages: (states == State.WAITING) & (stages <= stage))
        positions = np.frombuffer(self._position)
        self._queue = deque(rows[np.argsort(positions[rows], kind="stable")].tolist())

    def next_waiting(self, stage: int) -> int | None:
        """Take the next device out of the queue; None when there is none up to this stage."""
        queue, state, stages = self._queue, self._state, self._stage
        while queue:
            row = queue.popleft()
            if state[row] == State.WAITING and stages[row] <= stage:
                return row
        return None

    def put_back(self, row: int) -> None:
        self._queue.appendleft(row)

    def overdue(self, timeouts_ms: Sequence[int], now_ms: int) -> list[int]:
        """Take out the rows that were commanded longer ago than their stage's timeout and are still awaited.

        One that no stage takes any more has as long as those of the last one.
        """
        flights, last = self._flights, len(timeouts_ms) - 1
        shortest = min(timeouts_ms, default=0)
        late: list[int] = []
        kept: list[tuple[int, int]] = []
        # Behind the first that even the shortest timeout spares, all are spared.
        while flights and flights[0][0] + shortest <= now_ms:
            at_ms, row = heappop(flights)
            if self._at_ms[row] != at_ms or self._state[row] not in _AWAITED:
                continue
            if at_ms + timeouts_ms[min(self._stage[row], last)] <= now_ms:
                late.append(row)
            else:
                kept.append((at_ms, row))
        for flight in kept:
            heappush(flights, flight)
        return late

    def due_again(self, now_ms: int) -> list[int]:
        """Take out the rows whose back-off is over."""
        due: list[int] = []
        kept: deque[int] = deque()
        for row in self._later:
            if self._state[row] == State.BACKING_OFF:
                (due if self._at_ms[row] <= now_ms else kept).append(row)
        self._later = kept
        return due

    def put_in_order(self) -> None:
        """After rows were added in any order: queue them as the ring says."""
        self._queue = deque(sorted(self._queue, key=self._position.__getitem__))

    def rows(
        self, chosen: Callable[[npt.NDArray[np.uint8], npt.NDArray[np.uint8]], npt.NDArray[np.bool_]]
    ) -> npt.NDArray[np.int64]:
        """Return the rows that a test over all states and stages marks, in one sweep."""
        # The views die here: a column that somebody looks at cannot grow.
        states, stages = np.frombuffer(self._state, np.uint8), np.frombuffer(self._stage, np.uint8)
        return np.flatnonzero(chosen(states, stages))

    def touched_rows(self, *, but_not_in: Iterable[int] = (), only_in: Iterable[int] | None = None) -> list[int]:
        """Return the rows that a command reached, by what state they are in."""
        flags, states = np.frombuffer(self._flags, np.uint8), np.frombuffer(self._state, np.uint8)
        chosen = (flags & _TOUCHED > 0) & ~np.isin(states, [int(state) for state in but_not_in])
        if only_in is not None:
            chosen &= np.isin(states, [int(state) for state in only_in])
        rows: list[int] = np.flatnonzero(chosen).tolist()
        return rows

    def _enlist(self, row: int) -> None:
        match self._state[row]:
            case State.WAITING:
                self._queue.append(row)
            case State.BACKING_OFF:
                self._later.append(row)
            case State.COMMANDED | State.IN_PROGRESS | State.RETURNING:
                heappush(self._flights, (self._at_ms[row], row))

    def _note(self, row: int, reason: str) -> None:
        if reason:
            self._reasons[row] = reason
        elif row in self._reasons:
            del self._reasons[row]

    def _counted(self, row: int, step: int) -> None:
        state = self._state[row]
        self._counts[self._stage[row] * _STATES + state] += step
        self._totals[state] += step
