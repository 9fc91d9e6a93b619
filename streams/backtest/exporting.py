"""Write stretches of topics into files, and back."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.admin import Admin
from schemas.catalogue import CATALOGUE, Placement, Topic, topic_named
from schemas.cluster import Cluster
from schemas.errors import BadRecordError
from schemas.feeds import TopicMissingError
from schemas.wire import Contract
from streams.backtest.errors import BacktestError, NothingThereError
from streams.backtest.history import Entry, FileHistory, History
from streams.backtest.history.avro_file import AvroWriter, container
from streams.backtest.history.beside import BESIDE
from streams.backtest.history.entry import made
from streams.backtest.history.files import is_history_file
from streams.backtest.history.parquet_file import ParquetWriter
from streams.backtest.span import EVER, Span

__all__ = ["NEEDED", "Exported", "export_file", "export_folder", "import_file"]

# What a backtest without a cluster may want, all told.
NEEDED = (
    "telemetry.feature-stats", "telemetry.model-health", "telemetry.samples", "telemetry.labels", "models.grids",
    "models.baselines", "drift.policies", "drift.policy-applied", "drift.alerts", "drift.scores", "dead-letters",
    "fleet.devices", "operators.requests", "audit.log", "models.releases", "rollouts.plans", "rollouts.status",
    "rollouts.devices", "rollouts.acks",
)  # fmt: skip

_ROWS = 2048
_SEGMENT_ROWS = 65_536
_WAIT_S = 30.0
Told = Callable[[int], None]


@dataclass
class Exported:
    """What was written, and what could not be."""

    records: int = 0
    files: list[Path] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


def export_file(history: History, topic_name: str, span: Span, out: Path, *, told: Told = lambda _: None) -> Exported:
    """Write one topic's records within a span to one file, .avro or .parquet; `told` hears how many more are done.

    Beside feature statistics and health go the grids, baselines, policies and alerts that judging them takes.
    """
    if not is_history_file(out):
        raise BacktestError(f"{out}: found {out.suffix or 'no suffix'}, wanted .avro or .parquet, or a folder")
    topic = topic_named(topic_name)
    shares = history.shares(topic_name, span)
    if not shares:
        raise _nothing(history, topic_name, span)
    done = Exported(files=[out])
    beside = {name: _beside(history, name, topic_name) for name in BESIDE.get(topic_name, ())}
    # A file that is cut short by a crash must not be taken for a whole one.
    unfinished = out.with_name(f".{out.name}.part")
    with _writer(unfinished, out.suffix, topic, beside) as writer:
        for share in shares:
            for entries in _cut(history.entries(share)):
                writer.write(entries)
                done.records += len(entries)
                told(len(entries))
    if not done.records:
        unfinished.unlink()
        raise _nothing(history, topic_name, span)
    unfinished.replace(out)
    done.troubles += history.troubles
    return done


def export_folder(
    history: History, topics: Sequence[str], span: Span, out: Path, *, told: Told = lambda _: None
) -> Exported:
    """Write topics to an archive folder: `<topic>/<partition>-<first offset>.parquet`, compressed, a segment a file.

    Only logs are cut by time: of compacted topics the whole present state goes along. Segments that are there already
    are kept, so an export that was interrupted goes on where it stopped.
    """
    done = Exported()
    for name in topics:
        topic = topic_named(name)
        for share in history.shares(name, span if _is_log(topic) else EVER):
            folder = out / name
            folder.mkdir(parents=True, exist_ok=True)
            reached = _reached(folder, share.partition)
            segment: list[Entry] = []
            for entries in history.entries(share):
                fresh = [entry for entry in entries if entry.offset > reached]
                segment += fresh
                done.records += len(fresh)
                told(len(entries))
                while len(segment) >= _SEGMENT_ROWS:
                    done.files.append(_write_segment(folder, topic, segment[:_SEGMENT_ROWS]))
                    segment = segment[_SEGMENT_ROWS:]
            if segment:
                done.files.append(_write_segment(folder, topic, segment))
    done.troubles += history.troubles
    return done


def import_file(
    cluster: Cluster, path: Path, *, topics: Collection[str] | None = None, told: Told = lambda _: None
) -> Exported:
    """Write the records of a file or folder to a cluster's topics, each partition's in order.

    Broker time and offsets are given anew. Records that could not be read again are not written; they are told.
    """
    history, done = FileHistory(path), Exported(files=[path])
    there = history.topics()
    for name in topics or ():
        if name not in there or not history.extent(name).records:
            held = [one for one in there if history.extent(one).records]
            raise NothingThereError(f"{name}: found none in {path}; it has {', '.join(held) or 'nothing'}")
    wanted = [one for one in there if topics is None or one in topics]
    _check_there(cluster, wanted)
    contract = Contract.connect(cluster)
    failed: list[KafkaError] = []
    producer = Producer({**cluster.producer_settings(), "enable.idempotence": True, "linger.ms": 5})

    def noted(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error)

    for name in wanted:
        topic = topic_named(name)
        for share in history.shares(name, EVER):
            for entries in history.entries(share):
                for entry in entries:
                    _produce(producer, contract, topic, entry, done, noted)
                told(len(entries))
                if failed:
                    break
    if producer.flush(_WAIT_S) or failed:
        raise BacktestError(f"import stopped: {failed[0] if failed else 'the broker did not answer'}")
    done.troubles += history.troubles
    return done


def _check_there(cluster: Cluster, names: Iterable[str]) -> None:
    """Raise `TopicMissingError` for a topic that is not there: a producer would wait for it, and then say less."""
    wanted = [cluster.named(name) for name in names]
    there = Admin(cluster).topics(wanted)
    for name in wanted:
        if name not in there:
            raise TopicMissingError(name, cluster.bootstrap)


def _produce(
    producer: Producer,
    contract: Contract,
    topic: Topic,
    entry: Entry,
    done: Exported,
    noted: Callable[[KafkaError | None, Message], None],
) -> None:
    try:
        record = made(topic, entry)
    except BadRecordError as why:
        done.troubles.append(f"{topic.name}: partition {entry.partition}, offset {entry.offset}: {why}")
        return
    value = None if record is None else contract.encode(topic.name, record)[1]
    partition = entry.partition if topic.placement is Placement.SOURCE else -1
    while True:
        try:
            producer.produce(
                contract.cluster.named(topic.name), key=entry.key, value=value, partition=partition,
                headers=list(entry.headers.items()), on_delivery=noted,
            )  # fmt: skip
            break
        except BufferError:
            producer.poll(0.05)
        except KafkaException as error:
            raise BacktestError(f"{contract.cluster.named(topic.name)}: {error.args[0]}") from None
    producer.poll(0)
    done.records += 1


def _beside(history: History, name: str, topic_name: str) -> bytes:
    """Return what there is of a topic; of dead letters, those of the topic that is exported."""
    told = (
        entry
        for entry in history.told(name)
        if name != "dead-letters" or (entry.plain is not None and entry.plain["source_topic"] == topic_name)
    )
    return container(topic_named(name), list(told))


def _writer(path: Path, suffix: str, topic: Topic, beside: Mapping[str, bytes]) -> AvroWriter | ParquetWriter:
    return (AvroWriter if suffix == ".avro" else ParquetWriter)(path, topic, beside)


def _cut(batches: Iterable[list[Entry]]) -> Iterable[list[Entry]]:
    """Put small batches together and cut large ones: a block is to be worth its header, and to fit in memory."""
    held: list[Entry] = []
    for batch in batches:
        held += batch
        while len(held) >= _ROWS:
            yield held[:_ROWS]
            held = held[_ROWS:]
    if held:
        yield held


def _write_segment(folder: Path, topic: Topic, entries: list[Entry]) -> Path:
    path = folder / f"{entries[0].partition:03}-{entries[0].offset:020}.parquet"
    unfinished = path.with_name(f".{path.name}.part")
    with ParquetWriter(unfinished, topic) as writer:
        for first in range(0, len(entries), _ROWS):
            writer.write(entries[first : first + _ROWS])
    unfinished.replace(path)
    return path


def _reached(folder: Path, partition: int) -> int:
    """Return the last offset of a partition that the folder's segments hold; -1 for none."""
    segments = sorted(folder.glob(f"{partition:03}-*.parquet"))
    if not segments:
        return -1
    held = FileHistory(segments[-1])
    shares = held.shares(folder.name, EVER)
    return max((entry.offset for share in shares for entries in held.entries(share) for entry in entries), default=-1)


def _is_log(topic: Topic) -> bool:
    return topic.name.startswith(("telemetry.", "drift.scores", "rollouts.acks", "dead-letters"))


def _nothing(history: History, topic: str, span: Span) -> NothingThereError:
    if topic not in CATALOGUE or topic not in history.topics():
        return NothingThereError(f"{topic}: found no such topic on {history.name}")
    return NothingThereError(
        f"{topic}: found no record from {span}; {history.name} has {history.extent(topic)}",
    )
