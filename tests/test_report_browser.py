"""The page of a report in headless Chromium."""

import json
import shutil

import numpy as np
import pytest
from report_runs import HOSTILE, comparison, record
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from farback.reports.page import write_page
from farback.reports.stepper import write_stepper

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def show(browser, path, width=1280, scheme="light"):
    """Opens a page in a window of a given width; returns the console messages and the requested addresses."""
    screen = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    preference = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [preference]})
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(path.as_uri())
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return browser.get_log("browser"), asked


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_page([*comparison(), record("early", [])], tmp_path_factory.mktemp("report") / "report.html")[0]


def test_the_page_opens_alone_and_without_errors(browser, page):
    for scheme in ("light", "dark"):
        errors, asked = show(browser, page, scheme=scheme)
        assert errors == []
        assert asked == [page.as_uri()]


def test_control_errors_and_requests_are_seen(browser, tmp_path):
    other = tmp_path / "other.html"
    other.write_text('<img src="https://farback.invalid/picture.png"><script>undefined.name</script>')
    errors, asked = show(browser, other)
    assert any("TypeError" in entry["message"] for entry in errors)
    assert "https://farback.invalid/picture.png" in asked


def boxes(browser, selector):
    return [element.rect for element in browser.find_elements(By.CSS_SELECTOR, selector)]


@pytest.mark.parametrize("width", [1280, 390])
def test_the_curves_are_there(browser, page, width):
    show(browser, page, width)
    curves = boxes(browser, "figure svg .curve path")
    assert len(curves) == 3 + 2 + 3
    assert all(box["width"] > 30 for box in curves)
    assert all(box["height"] > 30 for box in curves[:3])  # the losses fall
    assert len(boxes(browser, "figure svg .band")) == 2 + 1 + 2
    assert {box["width"] > 100 for box in boxes(browser, "figure svg .level path")} == {True}
    colours = {browser.execute_script("return getComputedStyle(arguments[0]).stroke", curve)
               for curve in browser.find_elements(By.CSS_SELECTOR, "figure:first-child .curve path")}  # fmt: skip
    assert len(colours) == 3
    assert not any("0, 0, 0)" in colour for colour in colours)


def test_text_follows_the_colours_of_the_page(browser, page):
    inks = []
    for scheme in ("light", "dark"):
        show(browser, page, scheme=scheme)
        words = browser.execute_script("return getComputedStyle(document.querySelector('td')).color")
        drawn = "return [...document.querySelectorAll('figure text')].map((text) => getComputedStyle(text).fill)"
        assert set(browser.execute_script(drawn)) == {words}
        inks.append(words)
    assert inks[0] != inks[1]


def column(browser, place):
    """A column of the results: the numbers that sort it, or `None`."""
    rows = browser.find_elements(By.CSS_SELECTOR, ".results tbody tr")
    values = [row.find_elements(By.CSS_SELECTOR, "th, td")[place].get_attribute("data-value") for row in rows]
    return [None if value is None else float(value) for value in values]


def head(browser, name):
    """The index and the heading of a column of the results."""
    heads = browser.find_elements(By.CSS_SELECTOR, ".results thead th")
    (found,) = [(place, one) for place, one in enumerate(heads) if one.text.split("\n")[0] == name]
    return found


@pytest.mark.parametrize("name", ["throughput", "steps", "charts/accuracy"])
def test_a_click_sorts_by_number_and_another_reverses(browser, page, name):
    show(browser, page)
    place, chosen = head(browser, name)
    button = chosen.find_element(By.TAG_NAME, "button")
    before = column(browser, place)
    numbers = sorted(value for value in before if value is not None)
    missing = [None] * before.count(None)
    for order, expected in (("ascending", numbers), ("descending", numbers[::-1])) * 2:
        button.click()
        assert column(browser, place) == expected + missing
        assert chosen.get_attribute("aria-sort") == order
    assert len(boxes(browser, "[aria-sort]")) == 1


def test_control_the_numbers_would_sort_otherwise_as_text(browser, page):
    show(browser, page)
    place, _ = head(browser, "throughput")
    values = [value for value in column(browser, place) if value is not None]
    assert sorted(values) != sorted(values, key=lambda value: f"{value:g}")
    assert values != sorted(values)


def test_the_table_sorts_from_the_keyboard_and_by_name(browser, page):
    show(browser, page)
    _, chosen = head(browser, "run")
    chosen.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    names = [element.text for element in browser.find_elements(By.CSS_SELECTOR, ".results tbody th")]
    assert names == ["early", "rtrl", "tbptt", "uoro"]


def sideways(browser):
    """How much wider the page is than its window."""
    return browser.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.mark.parametrize("name", ["run", "a-very-long-name-" * 12, HOSTILE], ids=["short", "long", "hostile"])
def test_a_phone_does_not_scroll_sideways(browser, tmp_path, name):
    records = [record(name, levels={name: 0.2}, config={"cell": name, name: 1}), *comparison()]
    page = write_page(records, tmp_path / "report.html")[0]
    errors, _ = show(browser, page, 390)
    assert errors == []
    assert browser.execute_script("return innerWidth") == 390
    assert sideways(browser) == 0
    table = browser.find_element(By.CSS_SELECTOR, ".scroll")
    assert int(table.get_property("scrollWidth")) > int(table.get_property("clientWidth"))  # it does, in its own box


def test_control_a_page_that_is_too_wide_is_seen(browser, page, tmp_path):
    other = tmp_path / "other.html"
    other.write_text(page.read_text(encoding="utf-8").replace("overflow-x: auto", "overflow-x: visible"), encoding="utf-8")
    show(browser, other, 390)
    assert sideways(browser) > 0


def test_hostile_names_run_nothing(browser, tmp_path):
    page = write_page([record(HOSTILE, config={HOSTILE: HOSTILE})], tmp_path / "report.html")[0]
    errors, asked = show(browser, page)
    assert errors == []
    assert asked == [page.as_uri()]
    assert browser.title.startswith("<script>")


def test_the_links_open_the_pictures(browser, page):
    show(browser, page)
    addresses = [link.get_attribute("href") for link in browser.find_elements(By.CSS_SELECTOR, "figcaption a")]
    assert len(addresses) == 3
    for address in addresses:
        browser.get(address)
        assert browser.execute_script("return document.images[0].naturalWidth") > 500


LINES = ["▶ ●··┤", "</script><script>document.title = 'hijacked'</script>", "▶ ··●┤"]


@pytest.fixture(scope="module")
def stepper(tmp_path_factory):
    path = tmp_path_factory.mktemp("watch") / "steps.html"
    same = {"charts/reward": 0.5, "charts/value": None, "action": [1, 0.25], "observation": [1.0]}
    steps = [{"first": step == 0, "cue": step == 0, "text": line} for step, line in enumerate(LINES)]
    steps = [one | {"memory": [0.1 * step, -1.0]} | same for step, one in enumerate(steps)]
    images = [{HOSTILE: np.full((3, 4 + step, 3), 80, np.uint8)} for step in range(len(steps))]
    write_stepper(steps, images, HOSTILE, path)
    return path


def test_the_slider_moves_through_the_steps(browser, stepper):
    errors, asked = show(browser, stepper)
    assert (errors, [one for one in asked if not one.startswith("data:image/png")]) == ([], [stepper.as_uri()])
    assert "hijacked" not in browser.title
    for line in LINES:
        assert browser.find_element(By.ID, "text").text == line
        width = "return document.images[0].decode().then(() => document.images[0].naturalWidth)"
        assert browser.execute_script(width) == 4 + LINES.index(line)
        browser.find_element(By.ID, "step").send_keys(Keys.ARROW_RIGHT)
    assert browser.find_element(By.ID, "facts").text.split() == [
        "step",
        "2",
        "reward",
        "0.500",
        "value",
        "–",
        "action",
        "1",
        "0.250",
    ]
    assert len(browser.find_elements(By.CSS_SELECTOR, ".cue")) == 1
    colour = "return [...document.getElementById('memory').getContext('2d').getImageData(2, arguments[0], 1, 1).data]"
    (red, _, blue, _), (cold, _, colder, _) = (browser.execute_script(colour, unit) for unit in (0, 1))
    assert red > blue
    assert cold < colder


def test_a_phone_shows_all_of_a_step(browser, stepper):
    show(browser, stepper, width=390)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
