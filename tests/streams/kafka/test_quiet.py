import logging

import pytest

from streams.kafka.quiet import Throttle


def record(message, *values, at_s):
    made = logging.LogRecord("aiokafka", logging.WARNING, __file__, 1, message, values, None)
    made.created = at_s
    return made


@pytest.fixture
def passed():
    throttle = Throttle(every_s=10.0)

    def passes(message, *values, at_s):
        made = record(message, *values, at_s=at_s)
        return made.getMessage() if throttle.filter(made) else None

    return passes


def test_the_first_of_a_kind_passes_and_its_repeats_do_not(passed):
    assert passed("lost %s", "node 1", at_s=100.0) == "lost node 1"
    assert passed("lost %s", "node 2", at_s=101.0) is None


def test_the_next_one_says_how_many_were_kept_back(passed):
    passed("lost %s", "node 1", at_s=100.0)
    passed("lost %s", "node 1", at_s=101.0)
    passed("lost %s", "node 2", at_s=102.0)

    assert passed("lost %s", "node 3", at_s=111.0) == "lost node 3 (and 2 like it before)"


def test_another_kind_is_not_kept_back(passed):
    passed("lost %s", "node 1", at_s=100.0)

    assert passed("found %s", "node 1", at_s=100.0) == "found node 1"
