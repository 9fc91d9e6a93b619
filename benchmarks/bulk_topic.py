"""Records a second through a Faust agent, with and without a bulk topic, beside librdkafka and Quix Streams.

    python -m benchmarks.bulk_topic [--bootstrap host:port] [--records 200000] [--rounds 3]

Every reader reads the same topic of columnar FeatureStats from its beginning and decodes every record, in a process of
its own that is warm before it is timed. The readers take turns, so that a busy moment of the machine meets them all.
"""

import contextlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import fastavro
import numpy as np
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from rich.console import Console
from rich.table import Table

from benchmarks._columnar import HEADER_BYTES
from driftline.stack import Stack
from schemas.feature_stats import FeatureStats
from schemas.parsing import parsed
from schemas.record import avro_schema

ROOT = Path(__file__).parents[1]
RIVALS = ROOT / ".venv-rivals" / "bin" / "python"
FEATURES, BINS = 32, 16
PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Reader:
    name: str
    command: tuple[str, ...]


EVENT = Reader("Faust, event by event", (sys.executable, "-m", "benchmarks._read_with_faust", "event"))
TAKE = Reader("Faust, take(1000)", (sys.executable, "-m", "benchmarks._read_with_faust", "take"))
BULK = Reader("Faust, bulk topic", (sys.executable, "-m", "benchmarks._read_with_faust", "bulk"))
RAW = Reader("librdkafka, consume(2000)", (sys.executable, "-m", "benchmarks._read_with_librdkafka"))
QUIX = Reader("Quix Streams", (str(RIVALS), "-m", "benchmarks._read_with_quix"))
READERS = {"event": EVENT, "take": TAKE, "bulk": BULK, "raw": RAW, "quix": QUIX}


@dataclass(frozen=True, slots=True)
class Result:
    rate: float
    """Records a second."""
    cpu_us: float
    """Processor time a record, over all threads of the reader; a busy machine disturbs it less than the rate."""


@click.command(help=__doc__)
@click.option("--bootstrap", default="", help="A cluster that is there; otherwise a local stack is started.")
@click.option("--records", default=200_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(READERS)), help="Only these readers.")
def main(bootstrap: str, records: int, rounds: int, only: tuple[str, ...]) -> None:
    readers = [READERS[name] for name in only or READERS]
    if QUIX in readers and not RIVALS.exists():
        click.echo(f"Quix Streams is left out: there is no {RIVALS.relative_to(ROOT)} (make bench makes it)", err=True)
        readers.remove(QUIX)
    with _cluster(bootstrap) as address, tempfile.TemporaryDirectory() as folder:
        schema = Path(folder) / "schema.json"
        schema.write_text(json.dumps(parsed(avro_schema(FeatureStats))))
        topic = _fill(address, records)
        results: dict[Reader, list[Result]] = {reader: [] for reader in readers}
        for number in range(rounds):
            for reader in readers:
                result = _read(reader, address, topic, schema, records)
                results[reader].append(result)
                click.echo(f"round {number + 1}: {reader.name}: {result.rate:,.0f} records/s", err=True)
        _forget(address, topic)
    Console(width=110).print(_table(results, records))


@contextlib.contextmanager
def _cluster(bootstrap: str) -> Iterator[str]:
    if bootstrap:
        yield bootstrap
    else:
        with Stack.start() as stack:
            yield stack.endpoints.bootstrap


def _fill(bootstrap: str, records: int) -> str:
    topic = f"benchmark-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result()
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "partitioner": "murmur2_random"})
    schema = parsed(avro_schema(FeatureStats))
    values = [_value(schema, random.Random(number)) for number in range(1_000)]
    for number in range(records):
        device = number % len(values)
        while True:
            try:
                producer.produce(topic, key=f"device-{device}", value=values[device])
                break
            except BufferError:
                producer.poll(0.1)
    if left := producer.flush(120):
        raise click.ClickException(f"{left} of {records} records were not delivered to {bootstrap}")
    return topic


def _value(schema: object, chance: random.Random) -> bytes:
    rng = np.random.default_rng(chance.randrange(2**32))
    window = {
        "device_id": f"device-{chance.randrange(10**6)}",
        "model_id": "pump-failure/7",
        "pipeline": "pump/3",
        "grid_id": f"{chance.getrandbits(256):064x}",
        "boot_id": str(uuid.UUID(int=chance.getrandbits(128))),
        "seq": chance.randrange(10**6),
        "window_start_ms": 1_760_000_000_000,
        "window_end_ms": 1_760_000_060_000,
        "samples": 600,
        "counts": rng.multinomial(600, np.full(BINS, 1 / BINS), size=FEATURES).astype("<u4").tobytes(),
        "missing": np.zeros(FEATURES, "<u4").tobytes(),
        "out_of_range": np.zeros(FEATURES, "<u4").tobytes(),
        **{name: rng.normal(size=FEATURES).astype("<f4").tobytes() for name in ("mean", "m2", "min", "max")},
        "windows": 1,
        "arrival_hour_ms": 0,
    }
    out = bytearray(HEADER_BYTES)
    with tempfile.SpooledTemporaryFile() as body:
        fastavro.schemaless_writer(body, schema, window)
        body.seek(0)
        out += body.read()
    return bytes(out)


def _read(reader: Reader, bootstrap: str, topic: str, schema: Path, records: int) -> Result:
    group = f"{topic}-{uuid.uuid4().hex[:8]}"
    command = [*reader.command, bootstrap, topic, group, str(schema), str(records)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    measured = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("measured ")]
    if done.returncode or not measured:
        said = done.stdout[-2000:] + done.stderr[-2000:]
        raise click.ClickException(f"{reader.name} ended with {done.returncode}:\n{said}")
    return Result(*map(float, measured[0]))


def _forget(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.delete_topics([topic])[topic].result()


def _table(results: Mapping[Reader, list[Result]], records: int) -> Table:
    rounds = len(next(iter(results.values())))
    title = f"{records:,} windows of {FEATURES} features x {BINS} bins, decoded; median of {rounds}"
    table = Table("reader", title=title)
    for heading in ("records/s", "lowest", "highest", "x event by event", "x librdkafka", "CPU us a record"):
        table.add_column(heading, justify="right")
    medians = {reader: statistics.median(one.rate for one in each) for reader, each in results.items()}
    for reader, each in results.items():
        rates = [one.rate for one in each]
        ratios = [f"{medians[reader] / medians[other]:.2f}" if other in medians else "" for other in (EVENT, RAW)]
        cpu_us = statistics.median(one.cpu_us for one in each)
        shown = (f"{rate:,.0f}" for rate in (medians[reader], min(rates), max(rates)))
        table.add_row(reader.name, *shown, *ratios, f"{cpu_us:.1f}")
    return table


if __name__ == "__main__":
    main()
