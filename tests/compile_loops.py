"""Compile all loops once, before the tests: each of the processes that they start would compile them for itself."""

from streams.backtest.candidate import Candidate
from streams.backtest.players import Candidates
from streams.drift.policy import Mode, Rules
from streams.drift.warming import nobodys_windows, warm_up

if __name__ == "__main__":
    warm_up()
    Candidates([Candidate("calibrated"), Candidate("limits", rules=Rules(mode=Mode.THRESHOLDS))]).play(
        nobodys_windows()
    )
