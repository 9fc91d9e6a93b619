"""Commands go on in the trace of the release that they bring: how that one came about leads to what a device does."""

from schemas.release import ModelRelease
from schemas.rollouts import Command
from schemas.tracing import Context, Headers, context_in, is_tracing, span
from streams.rollouts.outbox import Write

__all__ = ["CommandTraces"]


class CommandTraces:
    """Remembers the traces of releases that this controller has read; after a takeover, of those that follow."""

    def __init__(self) -> None:
        self._releases: dict[str, Context] = {}

    def note(self, record: object, headers: Headers | None) -> None:
        if isinstance(record, ModelRelease) and (context := context_in(headers)):
            self._releases[f"{record.model}/{record.version}"] = context

    def of(self, write: Write) -> Context:
        """Return the headers of what is about to be written; of anything but a command, none."""
        command = write.record
        if not is_tracing() or not isinstance(command, Command):
            return ()
        about = {"device": command.device_id, "model": command.model_id, "rollout": command.rollout_id}
        with span("issue a command", about, after=self._releases.get(command.model_id, ())) as context:
            return context
