"""Dead letters: what a worker could not use, kept with the reason."""

from schemas.dead_letter import DeadLetter
from schemas.dead_letter import dead_letter as about
from streams.kafka.run import Run

__all__ = ["dead_letter"]


def dead_letter(run: Run, position: int, reason: str, *, source_topic: str, found_by: str, now_ms: int) -> DeadLetter:
    """Return the letter for the record at `position` of a run; `source_topic` is the topic's name without prefix."""
    return about(
        source_topic=source_topic,
        partition=run.partition,
        offset=run.offsets[position],
        key=run.keys[position],
        value=run.values[position],
        reason=reason,
        found_by=found_by,
        at_ms=now_ms,
    )
