"""The labels of devices, as `fleet.devices` has them."""

import asyncio
from collections.abc import Collection, Mapping

from schemas import feeds
from schemas.cluster import Cluster
from streams.drift.policy import Rules

__all__ = ["Labels", "names_that_matter"]

TOPIC = "fleet.devices"
_NONE: Mapping[str, str] = {}


class Labels:
    """All labels of each device, and those that say by which rules it is judged; equal ones are one object."""

    def __init__(self) -> None:
        self.all: dict[str, Mapping[str, str]] = {}
        self.mattering: dict[str, Mapping[str, str]] = {}
        self._names: Collection[str] | None = ()
        self._shared: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        self.current = asyncio.Event()

    async def follow(self, cluster: Cluster) -> None:
        """Follow the devices for as long as the worker runs."""
        async with feeds.read_async(cluster, TOPIC) as feed:
            async for event in feed:
                match event:
                    case feeds.CaughtUp():
                        self.current.set()
                    case feeds.Changed(key=device, value=value):
                        self.put(device, value.labels)
                    case feeds.Deleted(key=device):
                        self.put(device, _NONE)

    def put(self, device: str, labels: Mapping[str, str]) -> None:
        if labels:
            self.all[device] = self._one(labels)
        else:
            self.all.pop(device, None)
        self._sift(device)

    def matter(self, names: Collection[str] | None) -> None:
        """Say which names say by which rules a device is judged; None for all of them."""
        if self.are_others_than(names):
            self._names = names
            for device in self.all:
                self._sift(device)

    def are_others_than(self, names: Collection[str] | None) -> bool:
        """Say whether other names matter so far."""
        return names != self._names

    def _sift(self, device: str) -> None:
        mine = self.all.get(device, _NONE)
        sifted = {name: value for name, value in mine.items() if self._names is None or name in self._names}
        if sifted:
            self.mattering[device] = self._one(sifted)
        else:
            self.mattering.pop(device, None)

    def _one(self, labels: Mapping[str, str]) -> Mapping[str, str]:
        told = tuple(sorted(labels.items()))
        return self._shared.setdefault(told, dict(told))


def names_that_matter(rules: Rules) -> Collection[str] | None:
    """Return the labels that a policy's overrides ask for; None when a pattern may mean any.

    Devices are judged together when these agree: a label that is each device's own would cost dearly.

    >>> from streams.drift.policy import read_policy
    >>> names_that_matter(read_policy('[[override]]\\ncohort = "region=eu-*"\\n[override.rules]\\nmode = "thresholds"'))
    {'region'}
    """
    cohorts = [one.cohort for one in rules.overrides if one.cohort != "*"]
    names = {cohort.partition("=")[0] for cohort in cohorts}
    return None if any(set(name) & set("*?[") for name in names) else names
