"""The topics of a cluster, compared with the catalogue; and those made that are missing.

What differs is reported, never changed: a topic's settings may have been chosen by those who run the cluster, and a
changed partition count would move keys away from their history.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka.admin import NewTopic

from schemas.admin import Admin, FoundTopic
from schemas.catalogue import CATALOGUE, Topic
from schemas.cluster import Cluster
from schemas.errors import DriftlineError

__all__ = ["Comparison", "Difference", "WrongCleanupError", "check", "compare", "create_missing", "settings_on"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing about one topic that is not as the catalogue has it."""

    topic: str
    setting: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.setting} is {self.found}, wanted {self.wanted}{_consequence(self)}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A cluster against the catalogue; topics under the names that they have on the cluster."""

    present: tuple[str, ...]
    missing: tuple[str, ...]
    differences: tuple[Difference, ...]

    @property
    def clean(self) -> bool:
        return not self.missing and not self.differences


class WrongCleanupError(DriftlineError):
    """A topic forgets in another way than its readers and writers count on."""

    def __init__(self, *, topic: str, found: str, wanted: str) -> None:
        super().__init__(
            str(Difference(topic, "cleanup.policy", found, wanted)),
            hint="`driftline topics check` lists all that differs; nothing was read or changed",
        )
        self.topic, self.found, self.wanted = topic, found, wanted


def settings_on(topic: Topic, *, brokers: int) -> dict[str, str]:
    """Return the settings of a topic on a cluster of so many brokers."""
    # With three copies, a record that was acked survives the loss of any one broker, and writing goes on.
    return topic.settings() | {"min.insync.replicas": "2" if brokers >= 3 else "1"}


def compare(
    catalogue: Iterable[Topic], found: Mapping[str, FoundTopic], *, brokers: int, prefix: str = ""
) -> Comparison:
    """Say what is there, what is missing, and what differs."""
    present, missing, differences = [], [], []
    for topic in catalogue:
        name = f"{prefix}{topic.name}"
        if name not in found:
            missing.append(name)
            continue
        present.append(name)
        differences += _differences(topic, found[name], brokers)
    return Comparison(tuple(present), tuple(missing), tuple(differences))


def check(cluster: Cluster, *, timeout_s: float = 10.0, catalogue: Iterable[Topic] = CATALOGUE.values()) -> Comparison:
    """Compare a cluster with the catalogue."""
    catalogue = tuple(catalogue)
    admin = Admin(cluster, timeout_s=timeout_s)
    found = admin.topics(cluster.named(topic.name) for topic in catalogue)
    return compare(catalogue, found, brokers=admin.brokers(), prefix=cluster.prefix)


def create_missing(
    cluster: Cluster, *, timeout_s: float = 30.0, catalogue: Iterable[Topic] = CATALOGUE.values()
) -> tuple[list[str], Comparison]:
    """Make what is missing; return the names of what was made, and the comparison from before."""
    catalogue = tuple(catalogue)
    admin = Admin(cluster, timeout_s=timeout_s)
    names = {cluster.named(topic.name): topic for topic in catalogue}
    brokers = admin.brokers()
    before = compare(catalogue, admin.topics(names), brokers=brokers, prefix=cluster.prefix)
    made = admin.create(_new(name, names[name], brokers) for name in before.missing)
    # Somebody else was making them as well: what they made is compared like anything that was there.
    theirs = [names[name] for name in before.missing if name not in made]
    if theirs:
        found = admin.topics(cluster.named(topic.name) for topic in theirs)
        late = compare(theirs, found, brokers=brokers, prefix=cluster.prefix)
        before = Comparison(before.present + late.present, tuple(made), before.differences + late.differences)
    return made, before


def _new(name: str, topic: Topic, brokers: int) -> NewTopic:
    return NewTopic(
        name,
        num_partitions=topic.partitions,
        replication_factor=min(3, brokers),
        config=settings_on(topic, brokers=brokers),
    )


def _differences(topic: Topic, found: FoundTopic, brokers: int) -> list[Difference]:
    differences = []
    if found.partitions != topic.partitions:
        differences.append(Difference(found.name, "partitions", str(found.partitions), str(topic.partitions)))
    if found.replication < min(3, brokers):
        differences.append(Difference(found.name, "replicas", str(found.replication), str(min(3, brokers))))
    for setting, wanted in settings_on(topic, brokers=brokers).items():
        # Settings that we may not ask for are not held against the topic.
        value = found.settings.get(setting, wanted)
        if _canonical(value) != _canonical(wanted):
            differences.append(Difference(found.name, setting, value, wanted))
    return differences


def _canonical(value: str) -> str:
    """Two ways of writing one list or number are no difference."""
    return ",".join(sorted(part.strip() for part in value.split(",")))


def _consequence(difference: Difference) -> str:
    match difference.setting:
        case "cleanup.policy" if "delete" in difference.found and "compact" in difference.wanted:
            return ": state that nobody renews is forgotten after a time"
        case "cleanup.policy":
            return ": older records of a key are forgotten, and the log has gaps"
        case "partitions":
            return ": keys are not where their readers look; a topic cannot be shrunk, growth is a new topic"
        case "message.timestamp.type":
            return ": one wrong device clock distorts retention and replay by time"
        case _:
            return ""
