"""What an answer means."""

import pytest

from streams.webhooks.retrying import Answer, Delivered, GiveUp, TryAgain, judge
from streams.webhooks.signing import Secret
from streams.webhooks.subscription import Subscription

TO = Subscription(
    name="a", url="http://a", topics=("audit.log",), secrets=(Secret(b"k"),), backoff_s=1.0, backoff_most_s=60.0,
    keep_s=3_600.0,
)  # fmt: skip


def said(status, *, attempt=1, age_s=0.0, chance=1.0, retry_after_s=None):
    return judge(Answer(status, "refused", retry_after_s), TO, attempt=attempt, age_s=age_s, chance=chance)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_two_hundred_is_delivered_however_late(status):
    assert said(status, age_s=10**9) == Delivered()


@pytest.mark.parametrize("status", [None, 301, 401, 403, 404, 408, 429, 500, 502, 503])
def test_what_may_be_mended_is_tried_again(status):
    assert isinstance(said(status), TryAgain)


@pytest.mark.parametrize("status", [400, 410, 413, 415, 422])
def test_what_the_receiver_will_never_have_is_given_up(status):
    assert isinstance(said(status), GiveUp)


def test_the_wait_doubles_up_to_a_limit_and_is_spread():
    assert [said(500, attempt=attempt).after_s for attempt in (1, 2, 3, 7, 1_000)] == [1, 2, 4, 60, 60]
    assert said(500, attempt=3, chance=0.0).after_s == 2


def test_a_receiver_may_ask_for_more_time_but_not_for_ever():
    assert said(429, retry_after_s=90).after_s == 90
    assert said(503, retry_after_s=10**9).after_s == 3_600
    assert said(503, attempt=7, retry_after_s=1).after_s == 60


def test_an_event_that_is_too_old_is_given_up_after_its_last_attempt():
    assert isinstance(said(500, age_s=3_600), TryAgain)

    given_up = said(None, attempt=9, age_s=3_601)

    assert given_up == GiveUp("not delivered within 3600 s; at last: refused, attempt 9")
