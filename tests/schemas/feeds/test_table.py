"""A compacted topic as a mapping, over a real broker."""

import threading

import pytest
from patience import PATIENCE_S

from schemas import feeds
from schemas.errors import DriftlineError
from schemas.feeds import CaughtUp, Changed, Reason, Restarted
from schemas.feeds.table import Rows

COMMANDS = "rollouts.commands"


def revisions(rows):
    return {key: command.revision for key, command in rows.items()}


def test_a_table_is_current_and_stays_so(cluster, fleet, command):
    fleet.make()
    fleet.put(command("gw-1", 1), command("gw-2", 1), command("gw-1", 2))
    fleet.forget("gw-2")

    with feeds.table(cluster, COMMANDS) as table:
        table.wait_until_current(PATIENCE_S)
        first = revisions(table)
        fleet.put(command("gw-3", 5))
        arrived = table.wait_for(lambda rows: "gw-3" in rows, PATIENCE_S)
        fleet.forget("gw-1")
        gone = table.wait_for(lambda rows: "gw-1" not in rows, PATIENCE_S)

        assert first == {"gw-1": 2}
        assert arrived
        assert gone
        assert revisions(table) == {"gw-3": 5}
        assert list(table) == ["gw-3"]
        assert len(table) == 1
        assert table.current


def test_nothing_is_shown_before_the_state_is_whole(cluster, fleet, command):
    fleet.make(partitions=1)
    fleet.put(command("gw-1"))
    table = feeds.table(cluster, COMMANDS)

    try:
        assert dict(table) == {}
        assert not table.current
        table.open().wait_until_current(PATIENCE_S)
        assert list(table) == ["gw-1"]
    finally:
        table.close()


def test_a_value_that_no_longer_fits_leaves_the_table(cluster, fleet, command):
    fleet.make()
    fleet.put(command("gw-1", 7), command("gw-2", 1))

    with feeds.table(cluster, COMMANDS, where=lambda value: value.revision > 5) as table:
        table.wait_until_current(PATIENCE_S)
        before = revisions(table)
        fleet.put(command("gw-2", 8), command("gw-1", 2))

        assert before == {"gw-1": 7}
        assert table.wait_for(lambda rows: revisions(rows) == {"gw-2": 8}, PATIENCE_S)


def test_what_is_read_anew_is_shown_only_when_it_is_whole(command):
    rows = Rows()
    old, new = (Changed(COMMANDS, key, command(key), 0, 0, 0) for key in ("old", "new"))

    rows.apply(old)
    assert rows.shown == {}
    rows.apply(CaughtUp(COMMANDS))
    rows.apply(Restarted(COMMANDS, Reason.NEW_TOPIC, ""))
    rows.apply(new)
    assert (list(rows.shown), rows.whole) == (["old"], False)
    rows.apply(CaughtUp(COMMANDS))
    assert (list(rows.shown), rows.whole) == (["new"], True)


def test_a_table_follows_to_a_recreated_topic(cluster, fleet, command):
    fleet.make(partitions=1)
    fleet.put(command("old-1"), command("old-2"))

    with feeds.table(cluster, COMMANDS, check_every_s=0.3) as table:
        table.wait_until_current(PATIENCE_S)
        fleet.drop()
        fleet.make(partitions=1)
        fleet.put(command("new-1"))

        assert table.wait_for(lambda rows: set(rows) == {"new-1"}, PATIENCE_S)
        assert table.current
        assert table.counts.restarts == 1


def test_a_bad_record_leaves_the_earlier_value_and_is_counted(cluster, fleet, command):
    fleet.make(partitions=1)
    fleet.put(command("gw-1", 3))
    fleet.put_raw("gw-1", b"rubbish")
    fleet.flush()

    with feeds.table(cluster, COMMANDS) as table:
        table.wait_until_current(PATIENCE_S)

        assert revisions(table) == {"gw-1": 3}
        assert table.counts.bad == 1


def test_a_table_that_fails_says_so_to_whoever_reads_it(cluster, fleet, command):
    fleet.make(partitions=1)
    fleet.put(command("gw-1"))

    def fails(_):
        raise ZeroDivisionError("in the caller's own predicate")

    with feeds.table(cluster, COMMANDS, where=fails) as table:
        with pytest.raises(ZeroDivisionError):
            table.wait_until_current(PATIENCE_S)
        with pytest.raises(ZeroDivisionError):
            table.get("gw-1")


def test_closing_ends_the_thread(cluster, fleet):
    fleet.make()

    with feeds.table(cluster, COMMANDS) as table:
        table.wait_until_current(PATIENCE_S)
        assert "table rollouts.commands" in {thread.name for thread in threading.enumerate()}

    assert "table rollouts.commands" not in {thread.name for thread in threading.enumerate()}


def test_a_table_does_not_begin_in_the_middle(cluster):
    with pytest.raises(DriftlineError, match="a table begins empty"):
        feeds.table(cluster, COMMANDS, resume=feeds.Position("x", {}))


def test_a_table_that_is_not_current_in_time_says_so(cluster, fleet):
    fleet.make()
    table = feeds.table(cluster, COMMANDS)

    try:
        with pytest.raises(feeds.NotCurrentError, match=r"not current after 0\.1 s; 0 keys"):
            table.wait_until_current(0.1)
    finally:
        table.close()


def test_a_snapshot_is_the_state_and_stops(cluster, fleet, command):
    fleet.make()
    fleet.put(command("gw-1", 1), command("gw-2", 9), command("gw-1", 2))
    fleet.forget("gw-2")
    fleet.put(command("gw-3", 4))

    assert revisions(feeds.snapshot(cluster, COMMANDS)) == {"gw-1": 2, "gw-3": 4}
    assert revisions(feeds.snapshot(cluster, COMMANDS, where=lambda value: value.revision > 3)) == {"gw-3": 4}
