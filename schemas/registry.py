"""Schema ids, from the registry where it answers and from the cache where it does not.

It keeps four rules:

* an id that is known, from the registry or from the disk, costs no call: a gateway restarts while the registry is away;
* what the cache says is checked against the registry as soon as it answers, and dropped where it stands for something
  else: a rebuilt registry hands out ids anew;
* an unknown id is asked for once a second, and all of them together have a rate: a storm stays small;
* "no such id" and "nobody answers" are different answers: only the first makes a record bad.
"""

import json
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from confluent_kafka.schema_registry import ConfigCompatibilityLevel, Schema, SchemaRegistryClient, ServerConfig
from confluent_kafka.schema_registry.error import SchemaRegistryError

from schemas.cluster import Cluster
from schemas.errors import BadRecordError, IncompatibleSchemaError, RegistryAwayError
from schemas.schema_cache import SchemaCache, fingerprint

try:
    import httpx2 as httpx
except ImportError:
    import httpx  # type: ignore[no-redef, import-not-found, unused-ignore]

__all__ = ["COMPATIBILITY", "Registry", "monotonic_ms"]

T = TypeVar("T")

COMPATIBILITY = ConfigCompatibilityLevel.FULL_TRANSITIVE

# A busy machine may take seconds to answer.
_TIMEOUT_S = 10.0
# An id that does not exist yet may be registered, and used, a moment later.
_ASK_AGAIN_AFTER_MS = 1_000
_LOOKUPS_PER_S = 20
_REMEMBERED = 10_000
_NO_SUCH = 404
_CONFLICT = 409


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class Registry:
    """The ids of one registry. Calls that may reach over the network say so; they take at most some seconds."""

    def __init__(
        self, cluster: Cluster, *, cache_dir: Path | None = None, clock_ms: Callable[[], int] = monotonic_ms
    ) -> None:
        self.url = _without_credentials(cluster.registry_url)
        self._clock_ms = clock_ms
        self._lock = threading.RLock()
        self._cache = SchemaCache.load(self.url, cache_dir)
        self._client = SchemaRegistryClient(
            {
                "url": cluster.registry_url, "timeout": _TIMEOUT_S, "max.retries": 0,
                **_trusted_by(cluster.registry_url), **cluster.registry_security,
            }
        )  # fmt: skip
        # Who lets go of a registry leaves no connection open.
        weakref.finalize(self, self._client.close)
        # Ids from the disk that the registry has not confirmed yet.
        self._unconfirmed = set(self._cache.schemas)
        self._ask_again_at_ms: dict[int, int] = {}
        self._lookups_of_second = (0, 0)
        self._silent_second = -1

    def confirm(self) -> bool:
        """Check what came from the disk against the registry, over the network; False: it does not answer, try again.

        An id that stands for something else now is dropped, and registered or looked up anew when it is next needed.
        """
        with self._lock:
            try:
                for schema_id in sorted(self._unconfirmed):
                    self._confirm_one(schema_id)
            except RegistryAwayError:
                return False
            return True

    def id_of(self, subject: str, schema: Mapping[str, Any]) -> int:
        """Return the id under which the subject has the schema; an unknown one is registered, over the network."""
        known = self._cache.id_of(subject, schema)
        return self.register(subject, schema) if known is None else known

    def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        """Register the schema, over the network, with compatibility FULL_TRANSITIVE, and return its id."""
        registered = Schema(json.dumps(schema), "AVRO")
        self._client.clear_caches()  # type: ignore[no-untyped-call]
        try:
            schema_id: int = self._ask(lambda: self._client.register_schema(subject, registered))
        except SchemaRegistryError as error:
            if error.http_status_code != _CONFLICT:
                raise self._away(error) from error
            raise IncompatibleSchemaError(
                f"{subject}: the registry refuses the schema: {error.error_message}",
                hint="`driftline schemas check` names the field",
            ) from error
        self._require_compatibility(subject)
        with self._lock:
            self._note(schema_id, schema, subject=subject)
        return schema_id

    def subjects(self, prefix: str = "") -> set[str]:
        """Return the subjects that the registry has and whose names begin so, over the network."""
        try:
            names: list[str] = self._ask(lambda: self._client.get_subjects(subject_prefix=prefix or None))
        except SchemaRegistryError as error:
            raise self._away(error) from error
        return {name for name in names if name.startswith(prefix)}

    def schema_of(self, schema_id: int) -> Mapping[str, Any]:
        """Return the schema that an id stands for; an unknown one is looked up, over the network.

        `BadRecordError`: there is no such id. `RegistryAwayError`: nobody can tell now.
        """
        known = self._cache.schemas.get(schema_id)
        return self._look_up(schema_id) if known is None else known

    def has_changed(self, schema_id: int) -> bool:
        """Look again, over the network but at most once a second, whether a known id still stands for its schema.

        Who is about to call a record bad asks: the registry may have been rebuilt since.
        """
        with self._lock:
            known = self._cache.schemas.get(schema_id)
            if known is None or self._asked_lately(schema_id):
                return False
            try:
                self._confirm_one(schema_id)
            except RegistryAwayError:
                return False
            return self._cache.schemas.get(schema_id) is not known

    def _require_compatibility(self, subject: str) -> None:
        try:
            self._ask(lambda: self._client.set_config(subject, ServerConfig(compatibility=COMPATIBILITY)))
        except SchemaRegistryError as error:
            # Who registers the same subject at the same moment makes the same rule; the registry refuses the second.
            if error.http_status_code != _CONFLICT:
                raise self._away(error) from error

    def _confirm_one(self, schema_id: int) -> None:
        known = self._cache.schemas[schema_id]
        found = self._fetch(schema_id)
        self._unconfirmed.discard(schema_id)
        if found is None or fingerprint(found) != fingerprint(known):
            self._cache.drop(schema_id)
            if found is not None:
                self._cache.keep(schema_id, found)

    def _look_up(self, schema_id: int) -> Mapping[str, Any]:
        with self._lock:
            if not self._asked_lately(schema_id):
                self._take_turn()
                found = self._fetch(schema_id)
                if found is not None:
                    self._note(schema_id, found)
                    return found
        raise BadRecordError("schema id", found=str(schema_id), wanted=f"one that {self.url} knows")

    def _fetch(self, schema_id: int) -> Mapping[str, Any] | None:
        self._client.clear_caches()  # type: ignore[no-untyped-call]
        try:
            text = self._ask(lambda: self._client.get_schema(schema_id)).schema_str
        except SchemaRegistryError as error:
            if error.http_status_code != _NO_SUCH:
                raise self._away(error) from error
            text = None
        self._remember_asking(schema_id)
        return _parsed(text)

    def _note(self, schema_id: int, schema: Mapping[str, Any], *, subject: str = "") -> None:
        if schema_id in self._unconfirmed and schema_id in self._cache.schemas:
            # The registry has just said what it stands for; whatever the disk said of it is void.
            if fingerprint(self._cache.schemas[schema_id]) != fingerprint(schema):
                self._cache.drop(schema_id)
            self._unconfirmed.discard(schema_id)
        self._cache.keep(schema_id, schema, subject=subject)

    def _asked_lately(self, schema_id: int) -> bool:
        return self._clock_ms() < self._ask_again_at_ms.get(schema_id, 0)

    def _remember_asking(self, schema_id: int) -> None:
        if len(self._ask_again_at_ms) >= _REMEMBERED:
            self._ask_again_at_ms.pop(next(iter(self._ask_again_at_ms)))
        self._ask_again_at_ms[schema_id] = self._clock_ms() + _ASK_AGAIN_AFTER_MS

    def _take_turn(self) -> None:
        """Refuse to ask for an unknown id when too many were asked for, or when nobody answered a moment ago."""
        second = self._clock_ms() // 1000
        if second == self._silent_second:
            raise self._away("it did not a moment ago")
        started, lookups = self._lookups_of_second
        self._lookups_of_second = (second, lookups + 1 if started == second else 1)
        if self._lookups_of_second[1] > _LOOKUPS_PER_S:
            raise RegistryAwayError(
                f"an unknown schema id cannot be looked up now: more than {_LOOKUPS_PER_S} of them in one second",
                hint="somebody writes records with made-up schema ids; the record is tried again",
            )

    def _ask(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except (httpx.HTTPError, OSError) as error:
            self._silent_second = self._clock_ms() // 1000
            raise self._away(error) from error

    def _away(self, why: object) -> RegistryAwayError:
        if isinstance(why, SchemaRegistryError) and why.http_status_code == _NO_SUCH:
            return RegistryAwayError(
                f"{self.url} answers, but has no schema registry (HTTP 404)",
                hint="`driftline doctor` shows the address in use; --registry or DRIFTLINE_REGISTRY names it with its "
                "path, DRIFTLINE_DATA the folder of a local stack that was started with --data",
            )
        return RegistryAwayError(
            f"the schema registry at {self.url} does not answer: {why}",
            hint="records in known schemas are still read and written; `driftline status` shows the local registry",
        )


def _parsed(text: str | None) -> Mapping[str, Any] | None:
    try:
        schema = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return schema if isinstance(schema, dict) else None


def _trusted_by(urls: str) -> Mapping[str, str]:
    """Who speaks plain HTTP trusts nobody: to read all certificates that the system trusts takes 25 ms."""
    folder_without_certificates = str(Path(__file__).parent)
    is_plain = all(url.strip().startswith("http://") for url in urls.split(","))
    return {"ssl.ca.location": folder_without_certificates} if is_plain else {}


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
