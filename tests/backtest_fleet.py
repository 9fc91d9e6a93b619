"""A recorded fleet: some days of windows, with faults at known times, as an export would have them."""

from drift_fleet import MINUTE_MS, START_MS, Fleet, boot_of

from schemas.catalogue import topic_named
from schemas.partition import partition_of
from schemas.record import as_plain
from streams.backtest.history import Entry
from streams.backtest.history.avro_file import container
from streams.backtest.history.parquet_file import ParquetWriter
from streams.backtest.incidents import Incident

STATS = topic_named("telemetry.feature-stats")
HOUR_MS = 60 * MINUTE_MS


def stats_entries(windows, *, delay_ms=1000, partitions=12):
    """Entries as the broker would have them: each on its device's partition, in order of arrival."""
    offsets = dict.fromkeys(range(partitions), 0)
    entries = []
    for one in windows:
        partition = partition_of(one.device_id, partitions)
        at_ms = one.window_end_ms + delay_ms
        entries.append(Entry(partition, offsets[partition], at_ms, one.device_id.encode(), as_plain(one)))
        offsets[partition] += 1
    return entries


def exported(path, windows, *, grids=(), baselines=(), per_block=100):
    """Write an export file of windows, with what judging takes beside."""

    def beside(topic, records):
        named = topic_named(topic)
        told = [Entry(0, i, 0, named.key_of(one).encode(), as_plain(one)) for i, one in enumerate(records)]
        return container(named, told)

    entries = stats_entries(windows)
    with ParquetWriter(
        path,
        STATS,
        {"models.grids": beside("models.grids", grids), "models.baselines": beside("models.baselines", baselines)},
    ) as writer:
        for partition in sorted({one.partition for one in entries}):
            mine = [one for one in entries if one.partition == partition]
            for first in range(0, len(mine), per_block):
                writer.write(mine[first : first + per_block])
    return path


def recorded(*, devices=6, minutes=600, faults=((1, 0, 200, 320, 1.0), (3, 2, 400, 500, 2.0)), seed=1, samples=200):
    """Windows of a fleet of which some devices drift for a while: (device, feature, first, last minute, shift)."""
    fleet = Fleet(seed=seed)
    windows = []
    for minute in range(minutes):
        for device in range(devices):
            values = fleet.readings(samples=samples)
            for struck, feature, first, last, shift in faults:
                if device == struck and first <= minute < last:
                    values[:, feature] += shift
            windows.append(fleet.window(f"d-{device}", minute, values=values, boot=boot_of(device)))
    incidents = [
        Incident(f"d-{device}", START_MS + first * MINUTE_MS, START_MS + last * MINUTE_MS)
        for device, _, first, last, _ in faults
    ]
    return fleet, windows, incidents
