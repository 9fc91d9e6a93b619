"""Backtests that were interrupted go on where they were, and find what they would have found."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from backtest_fleet import HOUR_MS, exported, recorded
from drift_fleet import START_MS

from schemas.drift_alert import AlertState
from streams.backtest.candidate import Candidate
from streams.backtest.exporting import export_folder
from streams.backtest.history import FileHistory
from streams.backtest.midway import Midway
from streams.backtest.report import plain
from streams.backtest.span import EVER, Span
from streams.backtest.study import Question, WhatIf, study
from streams.drift.policy import read_policy

pytestmark = pytest.mark.timeout(600)

STRICT = "[floors]\nmean_shift = 1.5\npsi = 2.0"
BY_SITE = '[[override]]\nmodel = "pump/*"\n[override.rules.floors]\nmean_shift = 0.5'
POLICIES = {"default": "", "strict": STRICT, "limits": 'mode = "thresholds"', "by-model": BY_SITE}


def asked(**more):
    candidates = [Candidate(name, document, read_policy(document)) for name, document in POLICIES.items()]
    return Question(**{"candidates": candidates, "keep_every_s": 0.0, **more})


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    """Ten hours of six devices, two of which drift for a while."""
    fleet, windows, incidents = recorded()
    folder = tmp_path_factory.mktemp("past")
    return exported(folder / "stats.parquet", windows, grids=[fleet.grid], baselines=[fleet.baseline]), incidents


class Interrupting:
    """Somebody who presses Ctrl-C after so many records, and otherwise counts them."""

    def __init__(self, *, after):
        self.left, self.heard = after, []

    def __call__(self, more):
        self.heard.append(more)
        self.left -= more
        if self.left < 0:
            raise KeyboardInterrupt


NOT_BEGUN, WARMING_UP, IN_THE_MIDDLE, AMONG_TWINS = 0, 700, 1800, 6000


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(NOT_BEGUN, marks=pytest.mark.nightly),
        WARMING_UP,
        pytest.param(IN_THE_MIDDLE, marks=pytest.mark.nightly),
        pytest.param(AMONG_TWINS, marks=pytest.mark.nightly),
    ],
)
def test_an_interrupted_run_goes_on_within_a_partition(past, tmp_path, after):
    path, incidents = past
    if after == IN_THE_MIDDLE:
        # Everything is there twice, in blocks of other sizes.
        export_folder(FileHistory(path), ["telemetry.feature-stats"], EVER, tmp_path / "archive")
        shutil.copy(path, tmp_path / "archive")
        path = tmp_path / "archive"
    span = Span(START_MS + 2 * HOUR_MS, START_MS + 20 * HOUR_MS)
    what_if = WhatIf(kinds={"shift": [2.0]}, each=2, lasting_ms=HOUR_MS, warm_ms=HOUR_MS)
    question = asked(incidents=incidents, span=span, what_if=what_if if after == AMONG_TWINS else None)
    whole = Interrupting(after=10**9)
    wanted = plain(study(FileHistory(path), question, told=whole))
    resumable = replace(question, resume_folder=tmp_path / "kept")

    with pytest.raises(KeyboardInterrupt):
        study(FileHistory(path), resumable, told=Interrupting(after=after))
    again = Interrupting(after=10**9)
    found = plain(study(FileHistory(path), resumable, told=again))

    assert found == wanted
    assert sum(again.heard) == sum(whole.heard)
    # One stride was known already, unless it was interrupted at the first record.
    assert (max(again.heard) > max(whole.heard)) == (after > 0)
    assert not list((tmp_path / "kept").iterdir())


def test_a_run_that_was_killed_goes_on(past, tmp_path):
    path, incidents = past
    question = asked(incidents=incidents, resume_folder=tmp_path / "kept", processes=2)
    script = tmp_path / "victim.py"
    script.write_text(VICTIM.format(path=str(path), kept=str(tmp_path / "kept"), policies=POLICIES))
    victim = subprocess.Popen([sys.executable, str(script)], start_new_session=True)
    deadline = time.monotonic() + 300
    while not list((tmp_path / "kept").glob("*.midway")):
        assert victim.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    heard = []

    found = plain(study(FileHistory(path), question, told=heard.append))

    assert found == plain(study(FileHistory(path), asked(incidents=incidents)))
    assert sum(heard) == 3600
    assert not list((tmp_path / "kept").iterdir())


VICTIM = """
from pathlib import Path
from streams.backtest.candidate import Candidate
from streams.backtest.history import FileHistory
from streams.backtest.study import Question, study
from streams.drift.policy import read_policy

if __name__ == "__main__":
    candidates = [Candidate(name, document, read_policy(document)) for name, document in {policies}.items()]
    question = Question(candidates=candidates, keep_every_s=0.0, resume_folder=Path({kept!r}), processes=2)
    study(FileHistory(Path({path!r})), question)
"""


def test_what_was_kept_is_not_taken_for_another_question(past, tmp_path):
    path, _ = past
    question = asked(resume_folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        study(FileHistory(path), question, told=Interrupting(after=3000))
    other = asked(candidates=[Candidate("default", STRICT, read_policy(STRICT))])

    found = study(FileHistory(path), replace(other, resume_folder=tmp_path))

    assert plain(found) == plain(study(FileHistory(path), other))


@pytest.mark.parametrize("damaged", [pytest.param("*.midway", marks=pytest.mark.nightly), "*.shares/*"])
def test_what_was_kept_and_is_damaged_is_made_again(past, tmp_path, damaged):
    path, _ = past
    question = asked(resume_folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        study(FileHistory(path), question, told=Interrupting(after=3000))
    kept, *_ = sorted(tmp_path.glob(damaged))
    kept.write_bytes(kept.read_bytes()[:-20])

    assert plain(study(FileHistory(path), question)) == plain(study(FileHistory(path), asked()))


class Alien:
    """What a file that somebody else made might call."""

    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize("state", [Alien(), {"deep": [Alien()]}, [pickle.loads]])
def test_a_file_can_call_nothing_but_what_a_replay_holds(tmp_path, state):
    midway = Midway(tmp_path / "kept.midway", every_s=0, shared={})
    midway.keep(state)

    assert midway.find() is None


def test_a_file_that_others_may_write_is_left_aside(tmp_path):
    midway = Midway(tmp_path / "kept.midway", every_s=0, shared={})
    midway.keep({"state": AlertState.FIRING})

    assert midway.find() == {"state": AlertState.FIRING}
    (tmp_path / "kept.midway").chmod(0o622)
    assert midway.find() is None
