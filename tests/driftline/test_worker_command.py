"""`driftline worker` as a process of its own: how it refuses, and what it writes."""

import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S

from schemas.topics import create_missing

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(cluster, tmp_path):
    """Run a worker that is expected to end by itself; returns its exit code and what it has said."""

    def run(kind, *args, **elsewhere):
        where = {"bootstrap": cluster.bootstrap, "registry": cluster.registry_url, "prefix": cluster.prefix}
        options = [word for name, value in {**where, **elsewhere}.items() for word in (f"--{name}", value)]
        command = [sys.executable, "-m", "driftline", "worker", kind, *map(str, args), *options]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        return ended.returncode, ended.stdout + ended.stderr

    return run


@pytest.mark.parametrize("kind", ["drift", "health", "cohorts"])
@pytest.mark.parametrize(
    ("elsewhere", "error"),
    [
        pytest.param(
            {"bootstrap": "127.0.0.1:1"}, "error: no Kafka broker answered at 127.0.0.1:1 within ", id="no broker"
        ),
        pytest.param(
            {"registry": "http://127.0.0.1:1"},
            "error: the schema registry at http://127.0.0.1:1 does not answer",
            id="no registry",
        ),
    ],
)
def test_a_worker_that_lacks_a_server_says_so_in_words(run, cluster, kind, elsewhere, error):
    create_missing(cluster)

    code, said = run(kind, **elsewhere)

    told = [line for line in said.splitlines() if line.startswith(("error: ", "hint: "))]
    assert code == 1, said
    assert [line.startswith(start) for line, start in zip(told, (error, "hint: "), strict=True)] == [True, True], said
    assert "Traceback" not in said
    assert "Event loop is closed" not in said
    assert "\x1b" not in said


@pytest.mark.parametrize("kind", ["drift", "health", "cohorts"])
def test_a_policy_that_makes_no_sense_is_refused_by_its_file_before_anything_is_compiled(tmp_path, kind):
    broken = tmp_path / "broken.toml"
    broken.write_text("[health.latency_ms]\ndetector = 'adwim'")
    command = [sys.executable, "-X", "importtime", "-m", "driftline", "worker", kind, "--policy", str(broken)]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    assert ended.returncode == 1
    assert f"error: {broken}: policy: health.latency_ms.detector: found 'adwim'" in ended.stderr
    assert "| numba" not in ended.stderr
