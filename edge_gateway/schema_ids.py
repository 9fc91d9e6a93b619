"""Schema ids, asked for in the background, so that nobody who senses or decides ever waits for a registry."""

import json
import logging
import threading

from schemas.errors import IncompatibleSchemaError, RegistryAwayError
from schemas.registry import Registry

__all__ = ["SchemaIds"]

_log = logging.getLogger(__name__)

_RETRY_S = 2.0


class SchemaIds:
    """The ids of subjects' schemas; what is not known yet is wanted, and known a little later."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[tuple[str, str], int] = {}
        self._refused: dict[tuple[str, str], IncompatibleSchemaError] = {}
        self._wanted: list[tuple[str, str]] = []
        self._news = threading.Event()
        self._stopped = False
        # Set when what was wanted at first has been asked for once; before, there is no point in sending.
        self.asked = threading.Event()
        self._thread = threading.Thread(target=self._run, name="schema-ids", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def get(self, subject: str, definition: str) -> int:
        """Return the id at once, or raise `RegistryAwayError` and have it found."""
        known = self._known.get((subject, definition))
        if known is not None:
            return known
        refused = self._refused.get((subject, definition))
        if refused is not None:
            raise refused
        self.want(subject, definition)
        raise RegistryAwayError(f"the id of {subject} is not known yet; {self._registry.url} is being asked")

    def want(self, subject: str, definition: str) -> None:
        if (subject, definition) not in self._wanted:
            self._wanted.append((subject, definition))
            self._news.set()

    def close(self) -> None:
        self._stopped = True
        self._news.set()

    def _run(self) -> None:
        confirmed = self._registry.confirm()
        while not self._stopped:
            for wanted in list(self._wanted):
                self._find(wanted)
            self.asked.set()
            if not confirmed and (confirmed := self._registry.confirm()):
                # The registry may have been rebuilt while we worked from the disk.
                self._wanted += [known for known in self._known if known not in self._wanted]
                self._known.clear()
                continue
            self._news.wait(_RETRY_S if self._wanted or not confirmed else None)
            self._news.clear()

    def _find(self, wanted: tuple[str, str]) -> None:
        subject, definition = wanted
        try:
            self._known[wanted] = self._registry.id_of(subject, json.loads(definition))
        except RegistryAwayError as error:
            _log.debug("%s", error)
            return
        except IncompatibleSchemaError as error:
            _log.error("schema refused: %s", error)
            self._refused[wanted] = error
        self._wanted.remove(wanted)
