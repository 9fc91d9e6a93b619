"""What is wrong with a cluster and what runs on it, and what to do about it."""

import logging
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import redis
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from driftline.addresses import without_password
from schemas import feeds
from schemas.admin import Admin
from schemas.catalogue import CATALOGUE
from schemas.cluster import Cluster
from schemas.errors import DriftlineError
from schemas.feeds import Changed
from schemas.findings import Finding, look
from schemas.registry import Registry
from schemas.topics import check
from trust import read_keyring

__all__ = ["examine"]

_TIMEOUT_S = 5.0
# A gateway says something once a minute, whatever happens.
_HEARTBEATS_MS = 180_000
_CLOCK_OFF_MS = 5_000
_LAG = 10_000


class _UnwellError(DriftlineError):
    """What was looked at is not as it should be."""


def examine(cluster: Cluster, redis_url: str, *, keyring: Path | None, now_ms: int) -> Iterator[Finding]:
    """Look at one thing after another; each finding is told as soon as it is known."""
    broker = look("broker", lambda: _broker(cluster))
    yield broker
    if broker.well:
        topics = look("topics", lambda: _topics(cluster))
        yield topics
        if topics.well:
            yield look("clocks", lambda: _clocks(cluster, now_ms))
        yield look("lag", lambda: _lag(cluster))
    yield look("registry", lambda: _registry(cluster))
    yield look("redis", lambda: _redis(redis_url))
    if keyring is not None:
        yield look("keys", lambda: _keys(keyring, now_ms))


def _broker(cluster: Cluster) -> str:
    count = Admin(cluster, timeout_s=_TIMEOUT_S).brokers()
    return f"{count} broker{'s' if count > 1 else ''} at {cluster.bootstrap}"


def _topics(cluster: Cluster) -> str:
    comparison = check(cluster, timeout_s=_TIMEOUT_S)
    if comparison.missing:
        raise _UnwellError(
            f"{len(comparison.missing)} of {len(CATALOGUE)} are missing, among them {comparison.missing[0]}",
            hint="`driftline topics create`, or set the right prefix",
        )
    if comparison.differences:
        raise _UnwellError(
            f"{len(comparison.differences)} settings differ: {comparison.differences[0]}",
            hint="`driftline topics check` lists them all",
        )
    return f"all {len(comparison.present)} are there, and as they should be"


def _lag(cluster: Cluster) -> str:
    try:
        behind = _behind(cluster)
    except KafkaException as error:
        raise _UnwellError(f"the broker does not tell: {error.args[0].str()}") from error
    if not behind:
        return "no worker has ever committed anything here"
    told = ", ".join(f"{group} {lag}" for group, lag in sorted(behind.items()))
    worst = max(behind, key=lambda group: behind[group])
    if behind[worst] > _LAG:
        raise _UnwellError(
            f"records not yet read: {told}",
            hint=f"is {worst} running, and does it get on? Its /metrics say; several of it share the partitions",
        )
    return f"records not yet read: {told}"


def _behind(cluster: Cluster) -> dict[str, int]:
    """How many records each group of ours has not read; by the group's name without the prefix."""
    quiet = logging.getLogger(f"{__name__}.quiet")
    quiet.setLevel(logging.CRITICAL)
    client = AdminClient({**cluster.client_settings()}, logger=quiet)
    groups = client.list_consumer_groups(request_timeout=_TIMEOUT_S).result().valid
    names = [group.group_id for group in groups if group.group_id.startswith(cluster.prefix)]
    behind: dict[str, int] = defaultdict(int)
    # Without a prefix, everybody's groups are looked at: those of other things on the broker are not ours to judge.
    ours = {cluster.named(topic) for topic in CATALOGUE}
    for name in names:
        [committed] = client.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(name)], request_timeout=_TIMEOUT_S
        ).values()
        places = [place for place in committed.result().topic_partitions if place.topic in ours and place.offset >= 0]
        newest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = {TopicPartition(place.topic, place.partition): newest for place in places}
        ends = client.list_offsets(wanted, request_timeout=_TIMEOUT_S)
        ended = {(at.topic, at.partition): future.result().offset for at, future in ends.items()}
        for place in places:
            behind[name.removeprefix(cluster.prefix)] += max(ended[place.topic, place.partition] - place.offset, 0)
    return behind


def _clocks(cluster: Cluster, now_ms: int) -> str:
    """Compare devices' clocks, and ours, with the broker's, which stamps every record."""
    off_ms: dict[str, int] = {}
    newest_ms = 0
    with feeds.follow(cluster, "fleet.heartbeats", from_ms=now_ms - _HEARTBEATS_MS) as feed:
        deadline_s = time.monotonic() + _TIMEOUT_S
        while not feed.current and time.monotonic() < deadline_s:
            for event in feed.poll(0.2):
                if isinstance(event, Changed):
                    off_ms[event.key] = event.value.at_ms - event.at_ms
                    newest_ms = max(newest_ms, event.at_ms)
    if newest_ms - now_ms > _CLOCK_OFF_MS:
        raise _UnwellError(
            f"this machine is {(newest_ms - now_ms) / 1000:.0f} s behind the broker", hint="is its time synchronised?"
        )
    if not off_ms:
        return "no device has said anything in the last minutes"
    wrong = {device: off for device, off in off_ms.items() if abs(off) > _CLOCK_OFF_MS}
    if wrong:
        worst = max(wrong, key=lambda device: abs(wrong[device]))
        raise _UnwellError(
            f"{len(wrong)} of {len(off_ms)} devices are off by more than {_CLOCK_OFF_MS / 1000:g} s, "
            f"{worst} by {wrong[worst] / 1000:+.0f} s",
            hint="records that waited in a spool look like this as well; otherwise synchronise the devices' time",
        )
    return f"{len(off_ms)} devices, off by {statistics.median(map(abs, off_ms.values())):.0f} ms in the middle"


def _registry(cluster: Cluster) -> str:
    registry = Registry(cluster)
    known = registry.subjects(cluster.prefix)
    ours = {f"{cluster.named(name)}-value" for name in CATALOGUE}
    missing = sorted(ours - known)
    if missing:
        raise _UnwellError(
            f"{registry.url} answers; {len(missing)} of {len(ours)} schemas are missing, among them {missing[0]}",
            hint="`driftline schemas register`",
        )
    return f"{registry.url} answers, and knows all {len(ours)} schemas"


def _redis(url: str) -> str:
    try:
        with redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S) as client:
            client.ping()
    except redis.RedisError as error:
        raise _UnwellError(
            f"{without_password(url)} does not answer: {error}",
            hint="start it, or say where it is (`redis` in driftline.toml, DRIFTLINE_REDIS); "
            "meanwhile only the console and the views stand still",
        ) from error
    return f"{without_password(url)} answers"


def _keys(path: Path, now_ms: int) -> str:
    keyring = read_keyring(path)
    if not keyring.keys:
        raise _UnwellError(f"{path} pins no key", hint="`driftline keys pin`")
    return f"{path}, version {keyring.version}: {', '.join(pinned.name for pinned in keyring.keys)}"
