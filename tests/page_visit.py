"""A look at the page in a real Chromium; whatever the browser complains of fails the test."""

import shutil

from playwright.sync_api import Browser, Page, expect

__all__ = ["CHROMIUM", "FLAGS", "Visit"]

FLAGS = [
    f"--{flag}"
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync",
    )
]  # fmt: skip
CHROMIUM = shutil.which("chromium")

# Others may be at work on the machine.
_PATIENCE_MS = 60_000
expect.set_options(timeout=_PATIENCE_MS)


class Visit:
    """One person's look at the page; whatever the browser complains of fails the test."""

    def __init__(self, browser: Browser, url: str, *, also: str = "", **kind) -> None:
        self.context = browser.new_context(locale="de-AT", timezone_id="Europe/Vienna", **kind)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(_PATIENCE_MS)
        self.url, self.complaints = url, []
        # Whom else the browser may ask.
        self._ours = (url, "data:", "blob:", *([also] if also else []))
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda sent: self._must_be_ours(sent.url))

    def sign_in(self, key: str) -> Page:
        self.page.goto(self.url)
        # Being asked who one is, is no complaint.
        self.page.get_by_label("Your key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("heading", name="Fleet", level=1)).to_be_visible()
        self.complaints.clear()
        return self.page

    def close(self) -> None:
        self.context.close()
        assert self.complaints == []

    def _must_be_ours(self, url: str) -> None:
        if not url.startswith(self._ours):
            self.complaints.append(f"asked for {url}")
