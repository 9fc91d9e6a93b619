"""Proving the audit log: a running hash, signed at intervals, so that nothing is removed or altered unseen."""

import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from schemas.operators import AuditCheckpoint

__all__ = ["Entry", "Finding", "Running", "verify"]

MARK_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of the audit log, byte by byte."""

    partition: int
    offset: int
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a partition's log: the first entry that is not as it was signed."""

    partition: int
    offset: int
    what: str

    def __str__(self) -> str:
        return f"audit.log partition {self.partition} offset {self.offset}: {self.what}"


@dataclass(slots=True)
class Running:
    """The hash over one partition so far."""

    partition: int
    digest: str = ""
    next_offset: int = 0
    marks: dict[str, str] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Take in the next entry. Offsets may leave gaps, where transactions ended; they never go back."""
        self.digest = digest_behind(self.digest, entry)
        self.next_offset = entry.offset + 1
        self.marks[str(entry.offset)] = self.digest[:MARK_DIGITS]

    def checkpoint(self, at_ms: int) -> AuditCheckpoint:
        """Return the checkpoint up to here, still unsigned, and begin the next stretch."""
        made = AuditCheckpoint(
            partition=self.partition,
            next_offset=self.next_offset,
            digest=self.digest,
            at_ms=at_ms,
            envelope="",
            marks=dict(self.marks),
        )
        self.marks.clear()
        return made


def digest_behind(before: str, entry: Entry) -> str:
    """Return the running digest once an entry is taken in.

    >>> digest_behind("", Entry(0, 0, b"rollout/r7", b"..."))[:16]
    'fd5f7427af4f5118'
    """
    hashed = sha256(bytes.fromhex(before))
    # Lengths stand before the bytes, so that nothing can be moved from key to value.
    hashed.update(struct.pack(">iqII", entry.partition, entry.offset, len(entry.key), len(entry.value)))
    hashed.update(entry.key)
    hashed.update(entry.value)
    return hashed.hexdigest()


def verify(
    entries: Iterable[Entry],
    checkpoints: Sequence[AuditCheckpoint],
    *,
    begins: Mapping[int, int] | None = None,
    forgotten_before_ms: int = 0,
) -> tuple[list[Finding], int]:
    """Compare the log with its checkpoints, whose signatures were checked; return what is wrong and what was covered.

    `begins` says from which offset on each partition still keeps its records. What a checkpoint covers before that is
    not compared if it was signed before `forgotten_before_ms`, as age has taken it; anything younger was removed.
    """
    logs: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        logs[entry.partition].append(entry)
    stretches: dict[int, list[AuditCheckpoint]] = defaultdict(list)
    for checkpoint in checkpoints:
        stretches[checkpoint.partition].append(checkpoint)
    findings, covered = [], 0
    for partition, made in sorted(stretches.items()):
        kept_from = (begins or {}).get(partition, 0)
        in_order = sorted(made, key=lambda one: one.next_offset)
        finding, count = _verify_partition(logs[partition], in_order, kept_from, forgotten_before_ms)
        covered += count
        if finding is not None:
            findings.append(finding)
    return findings, covered


def _verify_partition(
    entries: list[Entry], made: list[AuditCheckpoint], kept_from: int, forgotten_before_ms: int
) -> tuple[Finding | None, int]:
    by_offset = {entry.offset: entry for entry in entries}
    digest, start, covered = "", 0, 0
    for checkpoint in made:
        expected = sorted(int(offset) for offset in checkpoint.marks)
        if expected and expected[0] < kept_from and checkpoint.at_ms < forgotten_before_ms:
            # Its first entries are forgotten, so the rest cannot be chained; go on from what was signed.
            digest, start = checkpoint.digest, checkpoint.next_offset
            continue
        found = sorted(offset for offset in by_offset if start <= offset < checkpoint.next_offset)
        finding, digest = _compare(checkpoint, expected, found, by_offset, digest)
        if finding is not None:
            return finding, covered
        covered += len(found)
        start = checkpoint.next_offset
    return None, covered


def _compare(
    checkpoint: AuditCheckpoint,
    expected: list[int],
    found: list[int],
    by_offset: Mapping[int, Entry],
    digest: str,
) -> tuple[Finding | None, str]:
    for offset in sorted({*expected, *found}):
        entry = by_offset.get(offset)
        if entry is None:
            return Finding(checkpoint.partition, offset, "was signed and is gone"), digest
        if offset not in expected:
            return Finding(checkpoint.partition, offset, "stands where nothing was signed"), digest
        digest = digest_behind(digest, entry)
        if digest[:MARK_DIGITS] != checkpoint.marks[str(offset)]:
            return Finding(checkpoint.partition, offset, "is not what was signed"), digest
    if digest != checkpoint.digest:
        return Finding(
            checkpoint.partition, checkpoint.next_offset, "the checkpoint does not follow its forerunner"
        ), digest
    return None, digest
