"""How many windows a second are scored from Kafka to Kafka, by us and by others, beside only reading them."""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks._drift_fleet import Fleet
from benchmarks._drift_topic import SOURCE, fleet_topics, produce, servers, write_reference
from benchmarks.detection_quality import FEATURES
from schemas.cluster import Cluster

__all__ = ["POLICIES", "rates"]

ROOT = Path(__file__).parents[1]
RIVALS = ROOT / ".venv-rivals" / "bin" / "python"
POLICIES = {"one horizon": "horizons_minutes = [15]", "four horizons": ""}
# An hour turns in the midst of the hour that is timed: its roll-ups are made and slow horizons scored once, as in life.
WARM_MINUTES, MINUTES, HOUR_TURNS_AFTER, HOUR_MS, MINUTE_MS = 6, 66, 36, 3_600_000, 60_000
SCORES = "scores-of-others"


@dataclass(frozen=True, slots=True)
class Rate:
    """What one reader did."""

    per_s: float
    cpu_us: float
    """Processor time a window, over all threads; a busy machine disturbs it less than the rate."""


def rates(rng: np.random.Generator, *, devices: int, rounds: int, others: int, folder: str, now_ms: int) -> None:
    """Print windows a second of each reader; `others` is how many windows the slow ones are given."""
    fleet = Fleet(rng, devices)
    fleet.start_ms = (now_ms // HOUR_MS - 1) * HOUR_MS - HOUR_TURNS_AFTER * MINUTE_MS
    found: dict[str, list[Rate]] = {}
    with servers(folder) as stack, tempfile.TemporaryDirectory() as work:
        schema, reference = map(str, write_reference(Path(work), fleet))
        for number in range(rounds):
            for name, document in POLICIES.items():
                with fleet_topics(stack, fleet, arrivals_as_sent=True, more=[SCORES]) as cluster:
                    windows = produce(cluster, fleet, MINUTES)
                    ours = _measured(_ours(cluster, document, windows))
                    _note(found, f"the drift worker, {name}", ours, number)
                    if name == "one horizon":
                        topic, out = cluster.named(SOURCE), cluster.named(SCORES)
                        bare = (cluster.bootstrap, topic, f"{topic}-bare", schema, str(windows))
                        ceiling = [sys.executable, "-m", "benchmarks._read_with_librdkafka", *bare]
                        _note(found, CEILING, _measured(ceiling), number)
                        few = (cluster.bootstrap, topic, out, schema, reference, str(min(others, windows)))
                        for rival, command in _rivals(few):
                            _note(found, rival, _measured(command), number)
    _show(found, windows=devices * MINUTES)


CEILING = "bare librdkafka, decoded, nothing else"
QUIX, FAUST = "Quix Streams, a window at a time", "Faust, a window at a time"


def _ours(cluster: Cluster, document: str, windows: int) -> list[str]:
    warm = str(WARM_MINUTES / MINUTES)
    where = (cluster.bootstrap, cluster.registry_url, cluster.prefix, document, str(windows), warm)
    return [sys.executable, "-m", "benchmarks._score_with_driftline", *where]


def _rivals(arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    faust = (FAUST, [sys.executable, "-m", "benchmarks._score_with_faust", *arguments])
    if not RIVALS.exists():
        print(
            f"Quix Streams is left out: there is no {RIVALS.relative_to(ROOT)} (make bench makes it)", file=sys.stderr
        )
        return [faust]
    return [(QUIX, [str(RIVALS), "-m", "benchmarks._score_with_quix", *arguments]), faust]


def _measured(command: Sequence[str]) -> Rate:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("measured ")]
    if done.returncode or not lines:
        raise RuntimeError(f"{command[2]} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return Rate(*map(float, lines[0]))


def _note(found: dict[str, list[Rate]], name: str, rate: Rate, number: int) -> None:
    found.setdefault(name, []).append(rate)
    print(f"round {number + 1}: {name}: {rate.per_s:,.0f} windows/s, {rate.cpu_us:.1f} us", file=sys.stderr, flush=True)


def _show(found: dict[str, list[Rate]], *, windows: int) -> None:
    middle = {name: statistics.median(one.per_s for one in each) for name, each in found.items()}
    cost = {name: statistics.median(one.cpu_us for one in each) for name, each in found.items()}
    against = [name for name in (CEILING, QUIX, FAUST) if name in found]
    print(f"\n{windows:,} windows of {FEATURES} features from Kafka to committed scores, 5 % drifting; medians")
    short = {CEILING: "reading", QUIX: "Quix", FAUST: "Faust"}
    heads = "".join(f"{'x ' + short[name]:>10}" for name in against)
    print(f"{'':<42}{'windows/s':>11}{'us a window':>13}{'a core-s':>10}{heads}")
    for name, per_s in middle.items():
        ratios = "".join(f"{cost[other] / cost[name]:>10.2f}" for other in against)
        print(f"{name:<42}{per_s:>11,.0f}{cost[name]:>13.1f}{1e6 / cost[name]:>10,.0f}{ratios}")
    print("ratios are of processor time, which includes all threads of each")
