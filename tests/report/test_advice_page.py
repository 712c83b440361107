"""The page of an advice in a real browser: its chart, its tables, its texts and its isolation."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from selenium import webdriver

from pytest_edgeload.report.html.advice import render
from pytest_edgeload.results.advice import Advice, Certainty, Confirmation, Objective, best_first
from tests.report.advices import ADVICE, M, prediction
from tests.report.browser import PHONE, OpenPage
from tests.report.documents import document

STEPS = ["edgeload store small", "pytest --edge-mem=200M '--edge-policy=bulk,stream<b>'"]


def _page(browser: webdriver.Chrome, folder: Path, advice: Advice) -> OpenPage:
    path = folder / "advice.html"
    path.write_text(render(advice, STEPS, document()), encoding="utf-8")
    return OpenPage(browser, path)


@pytest.fixture
def page(browser: webdriver.Chrome, tmp_path: Path) -> OpenPage:
    """Open a page whose recommended choice was run once."""
    assert ADVICE.recommended is not None
    confirmed = Confirmation(ADVICE.recommended, prediction("stream", 0.45, 200))
    changed = {"confirmations": (confirmed,), "certainty": Certainty(1, 0.11, 0.11)}
    return _page(browser, tmp_path, msgspec.structs.replace(ADVICE, **changed))


def test_page_opens_offline_and_fetches_nothing(page: OpenPage) -> None:
    """From a file and without a network the page draws its chart, without errors or requests."""
    assert page.count("#curves svg.main-svg .trace") > 0
    page.assert_quiet()


def test_each_policy_has_a_line_of_its_predictions(page: OpenPage) -> None:
    """A line has a point under each limit where its policy works; goal, choice and measured run have marks."""
    drawn = page.data("curves")
    assert (drawn["stream"]["x"], drawn["stream"]["y"]) == ([200 * M, 400 * M], [0.4, 0.21])
    assert (drawn["bulk"]["x"], drawn["bulk"]["y"]) == ([400 * M], [0.2])
    assert drawn["goal: at most 0.5s"]["y"] == [0.5, 0.5]
    assert (drawn["use this"]["x"], drawn["use this"]["y"]) == ([200 * M], [0.4])
    assert (drawn["measured"]["x"], drawn["measured"]["y"]) == ([200 * M], [0.45])
    assert page.ask("document.getElementById('curves').layout.xaxis.ticktext") == ["200M", "400M"]
    low, high = page.ask("document.getElementById('curves').layout.yaxis.range")
    assert low <= 0
    assert high > 0.5


def test_shares_are_in_percent(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """A goal on the share in time is drawn on an axis that ends at 100 %."""
    objective = Objective("in_time", 0.9)
    limit = best_first([prediction("stream", 0.95, 200), prediction("sjf", 0.2, 200)], objective)
    page = _page(browser, tmp_path, msgspec.structs.replace(ADVICE, objective=objective, limits=(limit,)))
    drawn = page.data("curves")
    assert drawn["stream"]["y"] == [95]
    assert drawn["goal: at least 90%"]["y"] == [90, 90]
    assert drawn["sjf"]["visible"] == "legendonly"  # far from the best


def test_texts_and_tables_have_the_whole_advice(page: OpenPage) -> None:
    """The page has the sentences, the next steps as they are typed, and every prediction and run."""
    assert page.text("#summary .headline").startswith("Use stream, reader direct, 2 threads at 200M: slowest response")
    assert "1 confirmed prediction on this machine differed" in page.text("#sentences")
    assert page.text("#next").splitlines() == STEPS
    assert page.text("#confirmed tbody tr") == "stream direct 2 200M 0.4s 0.45s 11%"
    assert page.text("#policies").splitlines() == [
        "policy 100M 200M 400M",
        "bulk oom oom 0.2s",
        "stream oom 0.4s 0.21s",
    ]
    assert "Some CPU" in page.text("#about")


def test_advice_without_a_choice_has_a_page(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """If no policy works, the page says so and has no chart."""
    changed = {"limits": ADVICE.limits[:1], "recommended": None, "tied": ()}
    page = _page(browser, tmp_path, msgspec.structs.replace(ADVICE, **changed))
    assert page.text("#summary .headline").startswith("No policy works under any of these limits")
    assert page.text("#curves-note") == "No policy works under any of these limits."
    page.assert_quiet()


def test_page_fits_a_phone(page: OpenPage) -> None:
    """On a phone only tables scroll sideways, and the chart fits."""
    page.resize(PHONE)
    page.browser.refresh()
    assert page.ask("document.documentElement.scrollWidth") <= PHONE
    assert page.ask("document.querySelector('#curves svg.main-svg').getBoundingClientRect().right") <= PHONE
