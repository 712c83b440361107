"""The HTML report in a real browser: its charts, its texts and its isolation."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from pytest_edgeload.base.errors import Unsupported
from pytest_edgeload.devices.constraints import Shortfall
from pytest_edgeload.report import FORMATS
from pytest_edgeload.report.view import View
from pytest_edgeload.results.document import Commit, Document, render
from pytest_edgeload.results.finding import Finding, Judgement
from pytest_edgeload.results.measurement import Measurement
from pytest_edgeload.results.record import Record
from pytest_edgeload.results.threshold import Figure
from pytest_edgeload.workload import Workload
from tests.report.browser import PHONE, OpenPage
from tests.report.documents import IDLE
from tests.report.virtual import LIMITS, MIB, POLICIES, asked, document, record, run, study

CHARTS = ("curves", "responses", "memory", "lanes")


class Page(OpenPage):
    """A report that is open in the browser."""

    def __init__(self, browser: webdriver.Chrome, path: Path, made: Document) -> None:
        super().__init__(browser, path)
        self.stored = json.loads(render(made))

    def choose(self, select: str, title: str) -> None:
        """Choose an option of a select element."""
        Select(self.browser.find_element(By.ID, select)).select_by_visible_text(title)

    def options(self, select: str) -> list[str]:
        """Return the options of a select element."""
        return [option.text for option in Select(self.browser.find_element(By.ID, select)).options]

    def cells(self, title: str) -> list[tuple[str, float | None]]:
        """Return the texts of a column of the table of cases, and the values behind them."""
        titles = self.ask("[...document.querySelectorAll('#table th')].map(cell => cell.textContent)")
        cells = self.ask(
            "[...document.querySelectorAll('#table tbody tr')].map(row => row.cells[arguments[0]])"
            ".map(cell => [cell.textContent, 'value' in cell.dataset ? Number(cell.dataset.value) : null])",
            titles.index(title),
        )
        return [(text, value) for text, value in cells]

    def ink(self) -> str:
        """Return the colour of the texts on a chart."""
        return str(self.ask("getComputedStyle(document.querySelector('#lanes .ytick text')).fill"))

    def rounds(self, policy: str, limit: str | None, workload: str = "mix") -> list[dict[str, Any]]:
        """Return the rounds of a case in the JSON."""
        wanted = {"policy": policy, "limit": limit, "workload": workload}
        [found] = [one["rounds"] for one in self.stored["records"] if wanted.items() <= one["case"].items()]
        return list(found)


def write(path: Path, made: Document, findings: Sequence[Finding] = (), idle: tuple[str, ...] = ()) -> Path:
    """Write the report of a document."""
    path.write_text(FORMATS["html"](made, Judgement(tuple(findings), idle), View()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def made() -> Document:
    return study()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, made: Document) -> Path:
    return write(tmp_path_factory.mktemp("study") / "report.html", made)


@pytest.fixture
def page(browser: webdriver.Chrome, written: Path, made: Document) -> Page:
    return Page(browser, written, made)


def median(rounds: Sequence[dict[str, Any]], metric: str) -> float:
    """Return the median of a metric in the JSON."""
    return float(statistics.median(one[metric] for one in rounds))


def test_page_opens_offline_and_fetches_nothing(page: Page) -> None:
    """From a file and without a network the page opens without errors or requests and draws all charts."""
    for chart in CHARTS:
        assert page.count(f"#{chart} svg.main-svg .trace") > 0, chart
    page.assert_quiet()


def test_each_policy_has_a_curve_of_medians(page: Page, made: Document) -> None:
    """A policy's line has a point for each limit with a good run, at its median and with its range."""
    drawn = page.data("curves")
    assert set(drawn) == {*POLICIES, "no good run"}
    places = page.ask("document.getElementById('curves').layout.xaxis")
    assert places["ticktext"] == ["384M", "1G", "none"]
    assert places["tickvals"][:2] == [LIMITS["384M"], LIMITS["1G"]]
    assert places["tickvals"][2] > places["tickvals"][1]
    for policy in POLICIES:
        limits = [limit for limit in ("384M", "1G", None) if (policy, limit) != ("bulk", "384M")]
        rounds = [page.rounds(policy, limit) for limit in limits]
        line = drawn[policy]
        assert line["y"] == pytest.approx([median(some, "makespan_s") for some in rounds])
        greatest = [max(one["makespan_s"] for one in some) for some in rounds]
        assert [y + up for y, up in zip(line["y"], line["error_y"]["array"], strict=True)] == pytest.approx(greatest)
        least = [min(one["makespan_s"] for one in some) for some in rounds]
        assert [y - down for y, down in zip(line["y"], line["error_y"]["arrayminus"], strict=True)] == pytest.approx(
            least
        )
        wanted = [places["tickvals"][places["ticktext"].index(limit or "none")] for limit in limits]
        assert line["x"] == pytest.approx(wanted, rel=0.1)
    assert page.count("#curves .scatterlayer .trace") == 2 * len(POLICIES) + 1  # each also with what it swapped
    assert page.count("#curves .scatterlayer .point") == 2 * 3 * len(POLICIES) - 1


def test_swapped_and_failed_runs_are_marked(page: Page) -> None:
    """Points of runs that swapped are open; a record without a good run is a cross with its outcome."""
    drawn = page.data("curves")
    assert all(symbol.endswith("-open") for symbol in drawn["bulk"]["marker"]["symbol"])
    assert not any(symbol.endswith("-open") for symbol in drawn["stream"]["marker"]["symbol"])
    failed = drawn["no good run"]
    assert (failed["text"], failed["x"]) == (["bulk 1 oom"], [LIMITS["384M"]])
    assert failed["y"][0] > max(y for policy in POLICIES for y in drawn[policy]["y"])
    assert "oom: killed for memory" in page.browser.find_element(By.CSS_SELECTOR, "#summary .lines.bad").text


def test_single_limit_is_drawn_as_bars(page: Page) -> None:
    """A workload measured at one limit has a bar for each policy, the quickest first."""
    page.choose("experiment", "stream of requests")
    [bars] = page.data("curves").values()
    medians = [median(page.rounds(policy, "1G", "stream of requests"), "response_mean_s") for policy in POLICIES[:2]]
    assert bars["x"] == pytest.approx(sorted(medians))
    assert page.count("#curves .barlayer .point") == 2
    page.assert_quiet()


def test_distribution_has_each_request(page: Page) -> None:
    """The distribution of a policy has each request of each round and ends at 100 %."""
    page.choose("limit", "1G")
    drawn = page.data("responses")
    assert page.count("#responses .scatterlayer .trace") == len(drawn) == len(POLICIES)
    for policy, line in drawn.items():
        times = sorted(time for one in page.rounds(policy, "1G") for time in one["response_s"])
        assert line["x"][1:] == pytest.approx(times)
        assert (line["y"][0], line["y"][-1]) == (0, 100)


def test_chosen_run_shows_its_memory_and_lanes(page: Page) -> None:
    """The memory of the median run is the sampler's, and its tasks are the record's by kind, lane and time."""
    assert len(page.options("run")) == len(POLICIES) * len(LIMITS)
    page.choose("run", "partial at 384M, round 1, ok")
    one = page.rounds("partial", "384M")[1]
    memory = page.data("memory")
    for name, field in (("anonymous", "anon_bytes"), ("file", "file_bytes"), ("swap", "swap_bytes")):
        assert memory[name]["x"] == one["timeline"]["at_s"]
        assert memory[name]["y"] == pytest.approx([size / MIB for size in one["timeline"][field]], abs=1e-3)
    [limit] = page.ask("document.getElementById('memory').layout.shapes")
    assert (limit["y0"], limit["label"]["text"]) == (384, "limit 384M")
    lanes = page.data("lanes")
    assert set(lanes) == {"init", "load", "exec", "free"}
    assert page.count("#lanes .barlayer .point") == len(one["tasks"])
    for kind, bars in lanes.items():
        spans = [span for span in one["tasks"] if one["steps"][span[0]][0] == kind]
        found = sorted(zip(bars["base"], bars["x"], bars["y"], strict=True))
        wanted = sorted((start, end - start, f"lane {lane}") for _, lane, _, start, end, _ in spans)
        assert [bar[2] for bar in found] == [bar[2] for bar in wanted]
        for i in (0, 1):
            assert [bar[i] for bar in found] == pytest.approx([bar[i] for bar in wanted], abs=1e-6)
    texts = "".join(lanes["load"]["text"])
    assert "load layer0<br>request 0, a" in texts
    page.assert_quiet()


def test_memory_of_a_failed_run_is_drawn(page: Page) -> None:
    """The memory of a run that was killed is drawn, and the page says that it has no tasks."""
    page.choose("run", "bulk at 384M, round 0, oom")
    assert page.count("#memory .scatterlayer .trace") == 3
    assert page.count("#lanes svg") == 0
    assert "no tasks" in page.browser.find_element(By.ID, "lanes-note").text
    page.choose("run", "stream at 1G, round 1, ok")
    assert page.count("#lanes .barlayer .point") == len(page.rounds("stream", "1G")[1]["tasks"])
    page.assert_quiet()


def test_arrivals_are_marks_in_a_row(page: Page) -> None:
    """If requests arrive over time, each arrival is a mark in a row of its own."""
    page.choose("experiment", "stream of requests")
    page.choose("run", "linear at 1G, round 1, ok")
    assert page.data("lanes")["arrival"]["x"] == page.rounds("linear", "1G", "stream of requests")[1]["arrived_s"]
    assert page.count("#lanes .scatterlayer .point") == 3


def test_zooming_into_one_chart_of_a_run_zooms_the_other(page: Page) -> None:
    """Memory and lanes always show the same range of time."""
    page.browser.execute_script("Plotly.relayout('lanes', {'xaxis.range': [0.1, 0.2]})")
    page.wait_for(lambda: page.ask("document.getElementById('memory').layout.xaxis.range") == [0.1, 0.2])


def test_table_has_every_case(page: Page, made: Document) -> None:
    """Each case is a row with the values of the JSON."""
    assert len(page.cells("policy")) == len(made.records)
    names = zip(page.cells("policy"), page.cells("limit"), page.cells("workload"), strict=True)
    rounds = [page.rounds(p, None if at == "none" else at, workload) for (p, _), (at, _), (workload, _) in names]
    shown = {title: [value for _, value in page.cells(title)] for title in ("makespan s", "peak")}
    for title, metric in (("makespan s", "makespan_s"), ("peak", "peak_bytes")):
        good = [[one for one in some if one["outcome"] == "ok"] for some in rounds]
        wanted = [median(some, metric) if some else None for some in good]
        assert shown[title] == [None if value is None else pytest.approx(value) for value in wanted]
    traffic = zip(page.cells("policy"), page.cells("swap in/out"), strict=True)
    assert ("linear", "0/0") in {(policy, text) for (policy, _), (text, _) in traffic}
    [failed] = [text for text, _ in page.cells("outcome") if "oom" in text]
    assert failed == "oom"
    served = [row.text.split() for row in page.browser.find_elements(By.CSS_SELECTOR, "#details-1 tbody tr")]
    assert {(network, policy) for network, policy, *_ in served} == {(n, p) for n in "ab" for p in ("bulk", "linear")}


def test_all_columns_fit_a_window_of_1280_pixels(page: Page) -> None:
    """The table of cases shows all its columns in a window of 1280 pixels; a table that goes on has a shadow there."""
    page.resize(1280)
    assert page.ask("(box => box.scrollWidth <= box.clientWidth)(document.querySelector('#cases .box'))")
    attached = page.ask("getComputedStyle(document.querySelector('#cases .box')).backgroundAttachment")
    assert attached.split(", ") == ["local"] * 4 + ["scroll"] * 4


def test_devices_and_their_constraints_are_shown(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Each device is a row of its constraints; those that were not enforced are in the summary and with the charts."""
    lacking = {"device": "slow", "by_device": ("memory_bytes",), "unenforced": (Shortfall("threads", "1 of 2"),)}
    records = [record(policy, "1G", asked("a")) for policy in POLICIES[:2]]
    made = document(*(Record(msgspec.structs.replace(one.case, **lacking), one.rounds) for one in records))
    page = Page(browser, write(tmp_path / "report.html", made), made)
    assert browser.find_element(By.CSS_SELECTOR, "#devices tbody tr").text == "slow 1G 8G 2 (1 of 2 here)"
    assert "slow: threads 2 (1 of 2 here)" in browser.find_element(By.ID, "summary").text
    assert "slow: memory 1G, swap 8G, 2 threads (1 of 2 here)" in browser.find_element(By.ID, "conditions").text
    assert browser.title == "Loading policies under a memory limit on slow"
    page.assert_quiet()


def test_click_on_a_heading_sorts(page: Page) -> None:
    """A click or a key sorts up, then down; missing values stay last; screen readers are informed."""
    heading = page.browser.find_element(By.XPATH, "//table[@id='table']//th[.='makespan s']")
    button = heading.find_element(By.TAG_NAME, "button")
    for press, order, reverse in (
        (button.click, "ascending", False),
        (lambda: button.send_keys(Keys.ENTER), "descending", True),
    ):
        press()
        *values, last = [value for _, value in page.cells("makespan s")]
        assert last is None
        assert values == sorted(values, key=lambda value: value or 0.0, reverse=reverse)
        assert heading.get_attribute("aria-sort") == order
    page.browser.find_element(By.XPATH, "//table[@id='table']//th[.='policy']/button").click()
    policies = [text for text, _ in page.cells("policy")]
    assert policies == sorted(policies)
    assert page.count("#table [aria-sort]") == 1


def test_summary_counts_and_names_the_quickest(page: Page) -> None:
    """The head of the page counts cases and outcomes and names the quickest policy at each limit."""
    tiles = page.browser.find_element(By.CSS_SELECTOR, ".tiles").text
    assert tiles.split("\n") == ["14 cases", "39 runs ok", "1 run oom"]
    at = {limit: {p: median(page.rounds(p, limit), "makespan_s") for p in POLICIES[1:]} for limit in LIMITS}
    row = page.browser.find_element(By.XPATH, "//table[@id='winners']//tr[th='mix']").text
    for medians in at.values():
        assert min(medians, key=medians.__getitem__) in row


def test_findings_have_a_table(browser: webdriver.Chrome, tmp_path: Path, made: Document) -> None:
    """Findings have a table, idle thresholds a list, and both a count; without a gate the page does not mention it."""
    case = made.records[0].case
    found = [
        Finding(case, Figure("makespan_s"), "makespan:10%", "regressed", "", 1.0, 2.0),
        Finding(case, Figure("peak_bytes"), "peak:64M", "ok", "", 1.0, 1.0),
    ]
    assert Page(browser, write(tmp_path / "plain.html", made), made).count("#gate") == 0
    page = Page(browser, write(tmp_path / "report.html", made, found, (IDLE,)), made)
    tiles = page.browser.find_element(By.CSS_SELECTOR, ".tiles").text
    assert "1 regressed" in tiles
    assert "1 threshold judged nothing" in tiles
    assert page.browser.find_element(By.ID, "idle").text == IDLE
    rows = [row.text for row in page.browser.find_elements(By.CSS_SELECTOR, "#findings tbody tr")]
    assert rows[0].startswith("regressed bulk, mix at 1G, reader read makespan 1s -> 2s")
    assert len(rows) == 2


def test_page_describes_the_machine(page: Page) -> None:
    """The page names machine, kernel, versions, commit and settings."""
    text = page.ask("document.getElementById('about').textContent")
    wanted = (
        "4 x A processor",
        "8G",
        "6.1.0",
        "3.11.7",
        "2.13.0",
        "pytest 9.2.0",
        page.stored["commit"]["id"],
        "cgroup2",
    )
    assert all(word in text for word in (*wanted, "1G,384M,none", page.stored["created"]))


def test_colours_follow_the_system(page: Page) -> None:
    """The colours of page and charts follow the system at once without changing the chosen run."""
    page.choose("run", "partial at 384M, round 1, ok")
    seen = []
    for is_on in (True, False):
        page.dark(is_on=is_on)
        page.wait_for(lambda: page.ink() == page.ask("getComputedStyle(document.body).color"))
        seen.append(page.ask("getComputedStyle(document.body).backgroundColor"))
        assert contrast(seen[-1], page.ink()) > 7
    assert seen[0] != seen[1]
    assert Select(page.browser.find_element(By.ID, "run")).first_selected_option.text == "partial at 384M, round 1, ok"
    page.assert_quiet()


def test_print_is_light(page: Page) -> None:
    """A page on a dark screen is printed in dark text on white paper, including charts."""
    page.dark(is_on=True)
    page.wait_for(lambda: contrast(page.ink(), "#000000") > 7)
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    page.wait_for(lambda: contrast(page.ink(), "#ffffff") > 7)
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize("is_dark", [False, True])
def test_contrast_is_sufficient(page: Page, *, is_dark: bool) -> None:
    """All text has a contrast of at least 4.5 to 1 (WCAG 2.2, AA)."""
    page.dark(is_on=is_dark)
    names = ("--text", "--quiet", "--link", "--good", "--bad", "--doubt")
    colours = page.ask("arguments[0].map(n => getComputedStyle(document.documentElement).getPropertyValue(n))", names)
    for ground in page.ask(
        "['--back', '--panel'].map(n => getComputedStyle(document.documentElement).getPropertyValue(n))"
    ):
        assert all(contrast(colour, ground) >= 4.5 for colour in colours)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, `rgb(…)` or `#rrggbb`: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    text = colour.strip()
    numbers = bytes.fromhex(text[1:]) if text.startswith("#") else map(int, text[4:-1].split(","))
    shares = [number / 255 for number in numbers]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_page_fits_a_phone(page: Page) -> None:
    """On a phone only tables scroll sideways, each in its own box, and charts fit."""
    page.resize(PHONE)
    page.browser.refresh()
    assert page.ask("document.documentElement.scrollWidth") <= PHONE
    assert page.ask("document.querySelector('#cases .box').scrollWidth") > PHONE
    for chart in CHARTS:
        assert page.ask(f"document.querySelector('#{chart} svg.main-svg').getBoundingClientRect().right") <= PHONE


def test_resized_charts_keep_their_places(page: Page) -> None:
    """In a narrower window charts become narrower, keep their height and do not overlap."""
    page.resize(700)
    page.wait_for(
        lambda: page.ask("document.querySelector('#lanes svg.main-svg').getBoundingClientRect().right") <= 700
    )
    assert page.ask("document.documentElement.scrollWidth") <= 700
    boxes = page.ask("arguments[0].map(id => document.getElementById(id).getBoundingClientRect().toJSON())", CHARTS)
    for above, below in pairwise(boxes):
        assert above["height"] > 150
        assert above["bottom"] < below["top"]


def test_page_is_accessible_to_screen_readers(page: Page) -> None:
    """The page has a language and one title, headings skip no level, charts and choices have labels."""
    assert page.ask("document.documentElement.lang") == "en"
    levels = page.ask("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))")
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    for chart in CHARTS:
        [figure] = page.browser.find_elements(By.XPATH, f"//figure[div[@id='{chart}']]")
        assert page.count(f"#{figure.get_attribute('aria-labelledby')}") == 1
        assert figure.find_element(By.TAG_NAME, "figcaption").text
    assert page.ask("[...document.querySelectorAll('select')].every(s => s.labels.length === 1)")
    assert page.ask("[...document.querySelectorAll('.box')].every(box => box.tabIndex === 0)")


HOSTILE = (
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    "<img src=x onerror='window.hacked = 3'>",
    "<!--<script>",
    "\"'><svg onload=window.hacked=4>",
    "{{ 7 * 7 }}{% raw %}${7*7}",
    '<a href="javascript:window.hacked=5">click</a>',
    "\x1b[31mred\x1b[0m\x07\r\n",
    "&lt;b&gt;&amp;",
    "%{x}<b>bold</b>$\\alpha$",
    "\N{RIGHT-TO-LEFT OVERRIDE}\0\x9b31m\x85\N{LINE SEPARATOR}]]>",
    "<style>*{display:none}</style><base href=//x><iframe srcdoc=x><form><input>",
)


def hostile(name: str) -> Document:
    """Return a document in which each name that users choose contains `name`."""
    networks = asked(f"net {name}", "b")
    shaped = msgspec.structs.replace(study(), records=(), settings={name: name}, versions={name: name})
    machine = msgspec.structs.replace(shaped.machine, processor=name, kernel=name)
    commit = Commit("0123456789ab", name, is_dirty=True)
    records = []
    for policy in POLICIES[:2]:
        for limit in LIMITS:
            made = run(policy, networks)
            steps = tuple(msgspec.structs.replace(step, layer=f"layer {name}") for step in made.steps)
            rounds = [
                msgspec.structs.replace(made, steps=steps, notices=(name,), machine_wide=(name,)),
                Measurement(outcome="crashed", detail=name, round=1),
            ]
            found = record(policy, limit, Workload(name, networks.requests), rounds)
            case = msgspec.structs.replace(found.case, policy=f"{policy} {name}", test=name, device=name, swap=name)
            records.append(Record(case, found.rounds))
    return msgspec.structs.replace(shaped, records=tuple(records), machine=machine, commit=commit)


@pytest.mark.parametrize("name", ["".join(HOSTILE), "x" * 5000], ids=["all", "long"])
def test_names_are_shown_literally(browser: webdriver.Chrome, tmp_path: Path, name: str) -> None:
    """No name runs as code or becomes markup, and each is shown literally, also in charts."""
    made = hostile(name)
    findings = [Finding(made.records[0].case, Figure("makespan_s"), name, "regressed", name)]
    page = Page(browser, write(tmp_path / "report.html", made, findings), made)
    assert page.ask("window.hacked === undefined")
    assert page.count("script") == 4
    assert page.count("body img, body svg[onload], body a:not([href^='#']):not(.modebar-btn)") == 0
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in name)
    words = " ".join(shown.split())
    assert page.options("experiment") == [words]
    legend = [text.text for text in browser.find_elements(By.CSS_SELECTOR, "#curves .legendtext")]
    assert [" ".join(text.split()) for text in legend] == [f"{policy} {words}" for policy in POLICIES[:2]]
    assert words in " ".join(browser.find_element(By.ID, "about").text.split())
    assert page.count("#table tbody tr") == 6
    page.resize(PHONE)
    assert page.ask("document.documentElement.scrollWidth") <= PHONE
    page.assert_quiet()


def test_hover_texts_show_names_literally(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Hover texts show names literally, without markup."""
    made = hostile(HOSTILE[2])
    page = Page(browser, write(tmp_path / "report.html", made), made)
    for chart in ("curves", "lanes"):
        browser.execute_script(f"Plotly.Fx.hover('{chart}', [{{curveNumber: 0, pointNumber: 0}}])")
        text = page.ask(f"document.querySelector('#{chart} .hovertext').textContent")
        assert "<img src=x" in text
    assert page.ask("window.hacked === undefined")
    page.assert_quiet()


def test_page_of_a_baseline_explains_missing_charts(browser: webdriver.Chrome, tmp_path: Path, made: Document) -> None:
    """Records without tasks and time lines have all charts but these two, and the page says why."""
    page = Page(browser, write(tmp_path / "report.html", made.summary()), made)
    assert page.count("#curves .scatterlayer .point") == 2 * 3 * len(POLICIES) - 1
    assert page.count("#responses .scatterlayer .trace") > 0
    assert page.count("#memory svg, #lanes svg") == 0
    for chart in ("memory", "lanes"):
        assert "the JSON file" in page.browser.find_element(By.ID, f"{chart}-note").text
    page.assert_quiet()


def test_page_of_no_records_is_empty(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """A document without records is a page without rows and errors."""
    page = Page(browser, write(tmp_path / "report.html", document()), document())
    assert page.browser.find_element(By.CSS_SELECTOR, ".tiles").text == "0 cases"
    assert page.count("#table tbody tr") == 0
    page.assert_quiet()


def test_page_of_failures_has_crosses_and_no_winner(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """If no run was ok there are crosses and rows, and no policy is the quickest."""
    killed = [Measurement(outcome="oom", detail="killed for memory")]
    records = [record(policy, limit, asked("a"), killed) for policy in POLICIES for limit in ("1G", "384M")]
    made = document(*records)
    page = Page(browser, write(tmp_path / "report.html", made), made)
    assert page.count("#curves .scatterlayer .point") == len(records)
    assert page.count(".headline") == 0
    page.assert_quiet()


def test_page_of_hundreds_of_cases_stays_small(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """A page of 400 cases with hundreds of tasks each stays small enough for a browser and draws one run."""
    many = asked(*"abcde" * 12)
    rounds = [run("partial", many)]
    records = [
        record("partial", limit, Workload(f"mix {i}", many.requests), rounds) for i in range(134) for limit in LIMITS
    ]
    made = document(*records)
    page = Page(browser, write(tmp_path / "report.html", made), made)
    assert page.count("#table tbody tr") == 402
    assert page.count("#lanes .barlayer .point") == 100
    assert "The longest 100 of 600 tasks" in page.browser.find_element(By.ID, "lanes-note").text
    assert (tmp_path / "report.html").stat().st_size < 16 * MIB
    page.assert_quiet()


def test_table_follows_the_view(browser: webdriver.Chrome, tmp_path: Path, made: Document) -> None:
    """The table has the columns and the order of the view."""
    view = View(columns=("peak", "throughput"), sort="throughput", group_by=("loop",))
    path = tmp_path / "report.html"
    path.write_text(FORMATS["html"](made, Judgement(), view), encoding="utf-8")
    page = Page(browser, path, made)
    titles = page.ask("[...document.querySelectorAll('#table th')].map(cell => cell.textContent)")
    assert titles == ["workload", "limit", "policy", "peak", "throughput 1/s"]
    rows = zip(page.cells("workload"), page.cells("throughput 1/s"), strict=True)
    once = [value or 0.0 for (workload, _), (_, value) in rows if workload == "mix"]
    assert once == sorted(once, reverse=True)


@pytest.mark.parametrize("missing", ["plotly", "jinja2"])
def test_missing_package_is_refused_with_a_hint(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Without plotly or jinja2 the page is refused with a hint; other formats are not."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(Unsupported, match=rf"needs {missing}; pip install 'pytest-edgeload\[html\]'"):
        FORMATS["html"](document(), Judgement(), View())
    assert FORMATS["trace"](document(), Judgement(), View())
