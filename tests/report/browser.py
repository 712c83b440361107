"""A real browser without a network, and the pages that are open in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9",
)  # fmt: skip
PHONE = 390
_OWN = ("data:", "blob:", "chrome:")  # the browser fetches its own pages as well, which no page of ours can


@contextmanager
def open_browser(profile: Path) -> Iterator[webdriver.Chrome]:
    """Start a browser without a network that logs messages and requests of its pages."""
    options = webdriver.ChromeOptions()
    assert CHROMIUM is not None
    options.binary_location = CHROMIUM
    for option in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


class OpenPage:
    """A page that is open in the browser."""

    def __init__(self, browser: webdriver.Chrome, path: Path) -> None:
        self.browser = browser
        self.url = path.as_uri()
        self.messages("browser")
        self.messages("performance")
        self.resize(1200)
        self.dark(is_on=False)
        browser.get(self.url)

    def messages(self, kind: str) -> list[dict[str, Any]]:
        """Return the log since the last call."""
        return list(self.browser.get_log(kind))  # type: ignore[no-untyped-call]

    def ask(self, script: str, *args: object) -> Any:
        """Return the value of a script expression in the page."""
        return self.browser.execute_script(f"return {script}", *args)

    def resize(self, width: int) -> None:
        """Resize the page to this width in pixels."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width <= PHONE}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def dark(self, *, is_on: bool) -> None:
        """Switch the preferred colours to dark or light."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_on else "light"}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def count(self, selector: str) -> int:
        """Return the number of elements."""
        return len(self.browser.find_elements(By.CSS_SELECTOR, selector))

    def text(self, selector: str) -> str:
        """Return the text of the first element as it is shown."""
        return self.browser.find_element(By.CSS_SELECTOR, selector).text

    def data(self, chart: str) -> dict[str, dict[str, Any]]:
        """Return the data of a chart by the name of the trace, without those of a second panel."""
        found = self.ask(f"JSON.parse(JSON.stringify(document.getElementById('{chart}').data))")
        return {trace.get("name", ""): trace for trace in found if trace.get("yaxis", "y") == "y"}

    def wait_for(self, holds: Callable[[], bool]) -> None:
        """Wait until a condition holds that becomes true when the page is drawn again."""
        WebDriverWait(self.browser, 30).until(lambda _: holds())

    def assert_quiet(self) -> None:
        """Assert that the console is empty and that only the page itself was fetched."""
        assert self.messages("browser") == []
        messages = [json.loads(entry["message"])["message"] for entry in self.messages("performance")]
        urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        assert [url for url in urls if not url.startswith(_OWN)] == [self.url]
