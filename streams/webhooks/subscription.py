"""Subscriptions: who wants to hear of what, and where, as a TOML document says it.

```toml
[[webhook]]
name = "tickets"
url = "https://tickets.example/hooks/driftline"
secrets = ["file:/run/secrets/tickets"]      # or env:NAME; two while one is being replaced
topics = ["rollouts.status", "drift.alerts"]
keys = ["bearings-*"]                         # optional: only these records, by key
on_change = ["phase", "stage"]                # optional: only when one of these fields is another than before
```
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from schemas.catalogue import CATALOGUE
from streams.rollouts.documents import AtLeast, OneOf, PlanError, checked
from streams.webhooks.errors import WebhookConfigError
from streams.webhooks.signing import Secret

__all__ = ["Subscription", "read_subscriptions"]

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One receiver; durations in seconds."""

    name: str
    url: str
    topics: tuple[str, ...]
    secrets: tuple[Secret, ...] = field(repr=False)
    # A token of the receiver's own, sent as a bearer; empty for none.
    bearer: str = field(default="", repr=False)
    keys: tuple[str, ...] = ("*",)
    on_change: tuple[str, ...] = ()
    # structured: the whole event is the signed body; binary: the body is the data, the rest stands in headers.
    mode: str = "structured"
    timeout_s: float = 10.0
    # Before the second attempt; doubled for each further one, up to `backoff_most_s`.
    backoff_s: float = 1.0
    backoff_most_s: float = 300.0
    # An event older than this, by the broker's clock, is tried once more and then given up.
    keep_s: float = DAY_S

    def wants(self, key: str) -> bool:
        return any(fnmatchcase(key, pattern) for pattern in self.keys)


def read_subscriptions(text: str, *, environ: Mapping[str, str]) -> tuple[Subscription, ...]:
    """Read and check a document, secrets included."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as refused:
        raise WebhookConfigError("file", str(refused), "a readable TOML document") from None
    tables = document.get("webhook", [])
    if set(document) - {"webhook"} or not isinstance(tables, list) or not tables:
        found = ", ".join(sorted(document)) or "nothing"
        raise WebhookConfigError("file", found, "one or more tables [[webhook]], and nothing else")
    subscriptions = tuple(_subscription(table, f"webhook[{place}]", environ) for place, table in enumerate(tables))
    names = [subscription.name for subscription in subscriptions]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise WebhookConfigError(f"webhook[{place}].name", repr(name), "a name that no other webhook has")
    return subscriptions


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    name: str
    url: str
    topics: tuple[str, ...]
    secrets: tuple[str, ...]
    bearer: str = ""
    keys: tuple[str, ...] = ("*",)
    on_change: tuple[str, ...] = ()
    mode: Annotated[str, OneOf(("structured", "binary"))] = "structured"
    timeout_s: Annotated[float, AtLeast(0.1, 300)] = 10.0
    backoff_s: Annotated[float, AtLeast(0.01)] = 1.0
    backoff_most_s: Annotated[float, AtLeast(0.01)] = 300.0
    keep_s: Annotated[float, AtLeast(0)] = DAY_S


def _subscription(table: Any, key: str, environ: Mapping[str, str]) -> Subscription:
    try:
        said = checked(_Said, table, key)
    except PlanError as wrong:
        raise WebhookConfigError(wrong.key, wrong.found, wrong.wanted) from None
    if not said.name or not all(letter.isalnum() or letter in "-_." for letter in said.name):
        raise WebhookConfigError(f"{key}.name", repr(said.name), "letters, digits, '-', '_' and '.'")
    address = urlsplit(said.url)
    if address.scheme not in ("http", "https") or not address.hostname or address.username:
        shown = f"{address.scheme}://{address.hostname or ''}"
        raise WebhookConfigError(f"{key}.url", shown, "http:// or https:// and a host, without a name or password")
    _check_topics(said, key)
    if not said.secrets:
        raise WebhookConfigError(f"{key}.secrets", "none", "at least one, as file:PATH or env:NAME")
    return Subscription(
        name=said.name,
        url=said.url,
        topics=said.topics,
        secrets=tuple(_secret(source, f"{key}.secrets[{n}]", environ) for n, source in enumerate(said.secrets)),
        bearer=_looked_up(said.bearer, f"{key}.bearer", environ) if said.bearer else "",
        keys=said.keys,
        on_change=said.on_change,
        mode=said.mode,
        timeout_s=said.timeout_s,
        backoff_s=said.backoff_s,
        backoff_most_s=max(said.backoff_most_s, said.backoff_s),
        keep_s=said.keep_s,
    )


def _check_topics(said: _Said, key: str) -> None:
    if not said.topics:
        raise WebhookConfigError(f"{key}.topics", "none", "at least one topic")
    for topic in said.topics:
        if topic not in CATALOGUE:
            raise WebhookConfigError(f"{key}.topics", repr(topic), f"some of {', '.join(CATALOGUE)}")
        known = [one.name for one in fields(CATALOGUE[topic].record)]
        for name in said.on_change:
            if name not in known:
                raise WebhookConfigError(f"{key}.on_change", repr(name), f"fields of {topic}: {', '.join(known)}")


def _secret(source: str, key: str, environ: Mapping[str, str]) -> Secret:
    try:
        return Secret.parse(_looked_up(source, key, environ))
    except ValueError as wanted:
        # What was found is a secret, if perhaps a poor one.
        raise WebhookConfigError(key, f"something else in {source}", str(wanted)) from None


def _looked_up(source: str, key: str, environ: Mapping[str, str]) -> str:
    kind, _, place = source.partition(":")
    if kind == "env" and place:
        if place not in environ:
            raise WebhookConfigError(key, f"no variable {place}", "one with the secret in it")
        return environ[place].strip()
    if kind == "file" and place:
        try:
            return Path(place).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise WebhookConfigError(key, f"{type(error).__name__} at {place}", "a readable file") from None
    raise WebhookConfigError(key, "a text that names no place", "file:PATH or env:NAME")
