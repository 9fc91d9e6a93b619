"""The whole story by clicking: real gateways and workers, one admin, and nothing done but on the page.

A plan is started, the world changes, the alert is acknowledged, the training watched, its rollout paused and promoted,
and a release that somebody distrusts is aborted.
"""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from page_visit import Visit
from patience import eventually
from playwright.sync_api import expect

from driftline.demo.fleet import KINDS, Fleet
from driftline.demo.stage import make_keys, start_workers
from driftline.demo.training import publish, train
from schemas.cluster import Cluster
from schemas.topics import create_missing
from sensing.simulator import Fault, FaultKind

MACHINE = KINDS[0]
WARM_HALL = [member.device_id for member in MACHINE.members()[:6]]
# Long enough for a person to look; what ends a bake here is always a click.
PLAN = {
    "rollout": MACHINE.name,
    "model": MACHINE.model,
    "standing": True,
    "cohort": f'kind == "{MACHINE.name}"',
    "strategy": {"kind": "canary", "percent": [20, 100]},
    "limits": {"bake_s": 600, "device_bake_s": 1, "min_devices": 1, "concurrency": 10, "retries": 0},
}
PATIENCE_MS = 240_000


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_the_whole_story_is_told_by_clicking(stack, prefix, tmp_path, chromium):
    folder = tmp_path / "story"
    for name in ("store", "logs", "gateways", "data"):
        (folder / name).mkdir(parents=True)
    keys, now_ms = make_keys(folder), time.time_ns() // 1_000_000
    cluster = Cluster(
        bootstrap=stack.endpoints.bootstrap, registry_url=stack.endpoints.registry_url, prefix=prefix
    )  # fmt: skip
    create_missing(cluster)
    fleet = Fleet([MACHINE], cluster=cluster, folder=folder / "gateways", keyring=keys.keyring, now_ms=now_ms)
    with ThreadPoolExecutor(1) as beside, start_workers(folder, cluster, stack, keys) as crew:
        first = beside.submit(train, MACHINE, "1", now_ms=now_ms, signer=keys.signers["trainer"])
        link = eventually(lambda: next((line.split()[-1] for line in crew.words_of("console") if "#" in line), ""), 240)
        with fleet:
            visit = Visit(chromium, link.partition("/#")[0])
            story = _Clicks(visit, link, tmp_path)
            story.come_in()
            story.start_the_plan()
            publish(first.result(), cluster, folder / "store", created_by="mara")
            story.promote_to_everybody("machine-1")

            fleet.suffer(MACHINE.name, WARM_HALL, Fault(kind=FaultKind.SUDDEN_DRIFT, channel=0, size=4.0))
            story.see_the_alert_and_care_for_it()
            story.see_the_training_finish()
            story.pause_look_and_resume("machine-2")
            story.promote_to_everybody("machine-2")

            distrusted = train(MACHINE, "3", now_ms=now_ms, signer=keys.signers["trainer"])
            publish(distrusted, cluster, folder / "store", created_by="mara")
            story.abort("machine-3")
            story.read_who_did_it()
            crew.check()
            fleet.check()
            visit.close()


class _Clicks:
    """One person at the page, who reads before they click."""

    def __init__(self, visit: Visit, link: str, shots: Path) -> None:
        self.visit, self.page, self._link, self._shots = visit, visit.page, link, shots

    def come_in(self) -> None:
        self.page.goto(self._link)
        self.page.get_by_role("button", name="Come in").click()
        self.page.get_by_role("button", name="I have put it away").click()
        expect(self.page.get_by_text("admin (admin)")).to_be_visible()
        eventually(lambda: self._tile("Devices") == str(MACHINE.devices), 90)
        self._shot("1-fleet")

    def start_the_plan(self) -> None:
        self._go("Rollouts")
        self.page.get_by_label("Plan, JSON").fill(json.dumps(PLAN))
        self.page.get_by_role("button", name="What would it do?").click()
        expect(self.page.get_by_role("status")).to_contain_text("Nothing was done")
        self.page.get_by_role("button", name="Start", exact=True).click()
        expect(self.page.get_by_role("status")).to_contain_text("The rollout is")

    def promote_to_everybody(self, rollout: str) -> None:
        self._open(rollout)
        self._has_phase("baking")
        self._ask("Promote", "good enough for all", also="to everybody at once")
        self._has_phase("succeeded")

    def see_the_alert_and_care_for_it(self) -> None:
        self._go("Alerts")
        button = self.page.get_by_role("button", name=re.compile(f"Acknowledge: .*({'|'.join(WARM_HALL)})")).first
        button.wait_for(timeout=PATIENCE_MS)
        subject = (button.get_attribute("aria-label") or "").removeprefix("Acknowledge: ")
        card = self.page.get_by_role("article").filter(has=self.page.get_by_role("heading", name=subject, exact=True))
        card.get_by_text("Evidence").click()
        self._shot("2-alert")
        button.click()
        self.page.get_by_label("Show").select_option("acknowledged")
        expect(self.page.get_by_text("acknowledged").nth(1)).to_be_visible(timeout=PATIENCE_MS)

    def see_the_training_finish(self) -> None:
        self._go("Trainings")
        row = self.page.get_by_role("row", name=MACHINE.model)
        expect(row).to_contain_text("finished", timeout=PATIENCE_MS)
        self._shot("3-training")

    def pause_look_and_resume(self, rollout: str) -> None:
        self._open(rollout)
        self._has_phase("baking")
        self._ask("Pause", "let me look at the canaries")
        self._has_phase("paused")
        self._shot("4-paused")
        self._ask("Resume", "they fare well")

    def abort(self, rollout: str) -> None:
        self._open(rollout)
        self._has_phase("baking")
        self._ask("Abort", "nobody knows what it learned from")
        self._has_phase("aborted")
        self._shot("5-aborted")

    def read_who_did_it(self) -> None:
        self._go("Audit")
        rows = self.page.get_by_role("row")
        for why in ("good enough for all", "let me look at the canaries", "nobody knows what it learned from"):
            expect(rows.filter(has_text=why).filter(has_text="admin").first).to_be_visible()

    def _open(self, rollout: str) -> None:
        self._go("Rollouts")
        self.page.get_by_role("link", name=rollout, exact=True).click(timeout=PATIENCE_MS)

    def _has_phase(self, phase: str) -> None:
        expect(self.page.get_by_role("main").locator(".tag").first).to_contain_text(phase, timeout=PATIENCE_MS)

    def _ask(self, label: str, why: str, *, also: str = "") -> None:
        self.page.get_by_role("button", name=f"{label} …").click()
        dialog = self.page.get_by_role("dialog")
        if also:
            dialog.get_by_label(also).check()
        dialog.get_by_label("Why").fill(why)
        dialog.get_by_role("button", name=label).click()

    def _go(self, name: str) -> None:
        self.page.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()
        expect(self.page.get_by_role("heading", name=name, level=1)).to_be_visible()

    def _tile(self, name: str) -> str:
        tile = self.page.locator(".tile").filter(has_text=name).first
        return tile.locator("dd").inner_text() if tile.count() else ""

    def _shot(self, name: str) -> None:
        self.page.screenshot(path=self._shots / f"{name}.png", full_page=True)
