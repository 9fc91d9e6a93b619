"""Sending one event once: an HTTP POST that cannot hang, and what came back."""

import asyncio
import ssl
from collections.abc import Mapping

import aiohttp

from streams.webhooks.cloud_event import CloudEvent
from streams.webhooks.retrying import Answer, seconds_until
from streams.webhooks.signing import signature_headers
from streams.webhooks.subscription import Subscription

__all__ = ["post"]

_AGENT = "driftline-webhooks"


async def post(
    session: aiohttp.ClientSession, subscription: Subscription, event: CloudEvent, *, now_s: float
) -> Answer:
    """Post an event, signed; whatever the receiver does, there is an answer within the subscription's timeout."""
    headers, body = event.rendered(subscription.mode)
    headers |= signature_headers(subscription.secrets, event_id=event.id, at_s=int(now_s), body=body)
    headers["user-agent"] = _AGENT
    if subscription.bearer:
        headers["authorization"] = f"Bearer {subscription.bearer}"
    try:
        # Total: neither a receiver that hangs nor one that trickles holds us longer.
        async with asyncio.timeout(subscription.timeout_s):
            return await _answer(session, subscription.url, headers, body, now_s)
    except TimeoutError:
        return Answer(None, f"no answer within {subscription.timeout_s:g} s")
    except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
        return Answer(None, f"{type(error).__name__}: {error}"[:300])


async def _answer(
    session: aiohttp.ClientSession, url: str, headers: Mapping[str, str], body: bytes, now_s: float
) -> Answer:
    # A redirect would carry what is signed for one receiver to another.
    async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
        return Answer(response.status, retry_after_s=seconds_until(response.headers.get("retry-after"), now_s))
