"""A browser for the tests of pages, started once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from selenium import webdriver


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Start a browser without a network that logs messages and requests of its pages."""
    from tests.report.browser import CHROMIUM, DRIVER, open_browser  # noqa: PLC0415  # selenium is for pages only

    if CHROMIUM is None or DRIVER is None:
        pytest.skip("Chromium and its driver are not installed")
    with open_browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver
