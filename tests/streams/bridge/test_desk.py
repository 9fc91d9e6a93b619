"""Commands handed out: each device its own, as soon as it is another."""

import asyncio
import json
import time

from patience import PATIENCE_S

from schemas.feeds import CaughtUp, Changed, Deleted, Restarted
from schemas.rollouts import Command
from streams.bridge.desk import Desk


def command(device_id, revision=1):
    return Command(
        device_id=device_id, revision=revision, rollout_id="r", model_id="m/1", bundle_sha256="", bundle_bytes=0,
        bundle_url="", issued_ms=1, envelope="",
    )  # fmt: skip


def changed(device_id, revision=1):
    return Changed(
        topic="rollouts.commands", key=device_id, value=command(device_id, revision), partition=0, offset=revision,
        at_ms=0, headers={},
    )  # fmt: skip


def deleted(device_id):
    return Deleted(topic="rollouts.commands", key=device_id, partition=0, offset=9, at_ms=0)


def current(*devices, tell=None):
    desk = Desk(tell)
    for device_id in devices:
        desk.apply(changed(device_id))
    desk.apply(CaughtUp("rollouts.commands"))
    return desk


def revision(held):
    return json.loads(held.content)["revision"]


async def test_a_device_is_given_its_own_command():
    desk = current("press-7", "press-8")

    held = await desk.after("press-7", "", 0)

    assert json.loads(held.content)["device_id"] == "press-7"


async def test_who_has_it_waits_until_there_is_another():
    desk = current("press-7")
    first = await desk.after("press-7", "", 0)

    asking = asyncio.create_task(desk.after("press-7", first.etag, 10))
    await asyncio.sleep(0.01)
    desk.apply(changed("press-7", 2))

    assert revision(await asyncio.wait_for(asking, PATIENCE_S)) == 2
    assert desk.waiting == 0


async def test_a_wait_ends_in_time_and_leaves_nothing_behind():
    desk = current("press-7")
    held = await desk.after("press-7", "", 0)

    assert await desk.after("press-7", held.etag, 0.02) is None
    assert await desk.after("stranger", "", 0.02) is None
    assert desk.waiting == 0


async def test_a_device_that_hangs_up_leaves_nothing_behind():
    desk = current()

    asking = asyncio.create_task(desk.after("press-7", "", 10))
    await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)

    assert asking.cancelled()
    assert desk.waiting == 0


async def test_a_command_of_another_wakes_nobody_else():
    desk = current("press-7")
    held = await desk.after("press-7", "", 0)

    asking = asyncio.create_task(desk.after("press-7", held.etag, 0.2))
    await asyncio.sleep(0.01)
    desk.apply(changed("press-8", 5))

    assert await asking is None


async def test_a_forgotten_command_is_handed_out_no_more():
    desk = current("press-7")

    desk.apply(deleted("press-7"))

    assert await desk.after("press-7", "", 0) is None


async def test_a_topic_made_anew_changes_over_at_once():
    told = []
    desk = current("press-7", "press-8", tell=lambda device_id, held: told.append((device_id, held is not None)))
    told.clear()

    desk.apply(Restarted(topic="rollouts.commands", reason="recreated", detail=""))
    desk.apply(changed("press-7", 3))
    between = await desk.after("press-8", "", 0)
    desk.apply(CaughtUp("rollouts.commands"))

    assert between is not None
    assert await desk.after("press-8", "", 0) is None
    assert revision(await desk.after("press-7", "", 0)) == 3
    assert sorted(told) == [("press-7", True), ("press-8", False)]


async def test_a_hundred_thousand_devices_wait_at_one_desk():
    devices = [f"press-{number}" for number in range(100_000)]
    desk = current()
    asking = [asyncio.create_task(desk.after(device_id, "", 60)) for device_id in devices]
    await asyncio.sleep(0)

    begun_s = time.process_time()
    for device_id in devices[:1000]:
        desk.apply(changed(device_id))
    answered = await asyncio.gather(*asking[:1000])
    took_s = time.process_time() - begun_s
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)

    assert all(held is not None for held in answered)
    assert desk.waiting == 0
    # No walk over all who wait for each that is woken.
    assert took_s < 5
