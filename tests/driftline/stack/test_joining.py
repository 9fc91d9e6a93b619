"""A stack that several processes use: who joins it neither starts it anew nor ends it."""

from driftline.stack import Stack, bring_down, running


def test_who_joins_a_stack_leaves_it_running(tmp_path):
    data = tmp_path / "stack"
    try:
        with Stack.join(data) as first:
            endpoints = first.endpoints
        with Stack.join(data) as second:
            assert second.endpoints == endpoints
        assert running(data) == endpoints
    finally:
        bring_down(data, purge=True)
