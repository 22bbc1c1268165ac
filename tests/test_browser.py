"""What a browser shows of a run: TensorBoard, the report, the documentation.

Screenshots are kept in `runs/browser`.
"""

import json
import urllib.request

import numpy as np
import pytest
from tensorboard import program

from tests import browser
from tests.browser import until
from tests.scripts import ROOT, SMALL, script
from tests.test_callbacks import events

pytestmark = pytest.mark.browser

HOME, END, LEFT = "\ue011", "\ue010", "\ue012"  # Keys.


def trained(folder, *arguments):
    """A folder of a short run that has been evaluated."""
    quick = ["--evidence_counts=1,3", "--importance_samples=2"]
    for name, given in (("train.py", arguments), ("evaluate.py", quick)):
        process = script(name, f"--workdir={folder}", *given)
        assert process.returncode == 0, process.stderr
    return folder


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    """Of three groups, `left`, `mid` and `right`, with seed 7."""
    return trained(
        tmp_path_factory.mktemp("run"),
        f"--dataset={dataset}",
        "--epochs=40",
        "--evaluate_epochs=10",
        "--holdout_observations=0.5",
        "--seed=7",
        *SMALL,
    )


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Of colour images of two levels."""
    folder = tmp_path_factory.mktemp("several")
    generator = np.random.default_rng(0)
    people, lights = np.divmod(np.arange(96) // 2, 6)
    images = generator.uniform(size=(8, 6, 6, 3))[people]
    images = images * np.linspace(0.4, 1, 6)[lights, None, None, None]
    ids = {"person": people.astype(str), "light": lights}
    np.savez(folder / "data.npz", observations=images, **ids)
    return trained(
        folder / "run",
        f"--dataset=npz:{folder / 'data.npz'}",
        "--groups=person,light",
        "--holdout_cells=0.2",
        "--steps=40",
        *SMALL,
    )


@pytest.fixture(scope="module")
def driver():
    with browser.chromium() as driver:
        yield driver


@pytest.fixture(scope="module")
def board(run):
    """The address of a TensorBoard of the run's logs."""
    server = program.TensorBoard()
    server.configure(
        [None, f"--logdir={run / 'logs'}", "--host=127.0.0.1", "--port=0"]
    )
    url = server.launch()
    plugins = "timeseries", "images", "text", "hparams", "projector"

    def active():
        with urllib.request.urlopen(f"{url}data/plugins_listing") as answer:
            listing = json.load(answer)
        return all(listing[name]["enabled"] for name in plugins)

    until(active, "data of all tabs")
    return url


@pytest.fixture
def show(driver, board):
    """Open a tab of TensorBoard; in the end, keep what it shows."""
    shown = []

    def open_tab(name):
        shown.append(name)
        browser.resize(driver, browser.DESKTOP)
        driver.get("about:blank")
        driver.get(f"{board}#{name}")
        return driver

    yield open_tab
    browser.screenshot(driver, f"tensorboard_{shown[0]}")


def has(driver, *wanted):
    """Wait until all of these are on the page."""
    for text in wanted:
        until(lambda text=text: text in browser.text(driver), f"{text!r}")


def test_scalars_have_the_last_values(run, show):
    written = events(run / "logs" / "validation")
    driver = show("timeseries")
    for name in ("chance", "content", "style"):
        step, value = written[f"accuracy/{name}"][-1]
        has(driver, f"accuracy /{name}", f"{value:.4g} {step}")
    has(driver, "validation", "epoch_elbo", "epoch_content_kl")


def test_images_are_the_swaps_of_the_last_epoch(run, show):
    step, values = events(run / "logs" / "images")["pictures/swap"][-1]
    width, height = (int(part) for part in values[:2])
    driver = show("images")
    has(driver, f"tag: pictures/swap step {step}")
    size = "return [arguments[0].naturalWidth, arguments[0].naturalHeight]"
    until(
        lambda: (
            [width, height]
            in [
                driver.execute_script(size, image)
                for image in browser.elements(driver, "img")
            ]
        ),
        "picture of swaps",
    )


def test_text_has_the_settings(show, dataset):
    driver = show("text")
    has(driver, f"dataset {dataset}", "seed 7", "hidden_units 16,12")


def test_hparams_have_what_was_set(show, dataset):
    driver = show("hparams")
    has(driver, "content_contrast content_dim dataset epochs evaluate_epochs")
    has(driver, f"30.000 3.0000 {dataset} 40.000 10.000")


def test_the_projector_knows_the_groups(run, show):
    count = len((run / "logs/projector/groups.tsv").read_text().split())
    driver = show("projector")
    for _ in range(2):  # It is in a frame within a frame.
        frame = until(lambda: browser.elements(driver, "iframe"), "frame")
        driver.switch_to.frame(frame[0])
    has(driver, "2 tensors found", f"content {count}x3", f"style {count}x2")
    # Above it, four such fields are of a projection of one's own.
    *_, search = until(
        lambda: browser.elements(driver, "vz-projector-input"), "search"
    )
    search.click()
    browser.type_in(driver, "left")
    found = until(
        lambda: browser.elements(driver, ".matches-list .label"),
        "group that is found",
    )
    assert {label.text for label in found} == {"left"}
    driver.switch_to.default_content()


@pytest.fixture(params=["run", "several"])
def report(request, driver):
    """Its page, opened without a network."""
    folder = request.getfixturevalue(request.param)
    browser.resize(driver, browser.DESKTOP)
    driver.get("about:blank")
    browser.errors(driver), browser.requests(driver)
    driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0}
    offline |= dict.fromkeys(("downloadThroughput", "uploadThroughput"), -1)
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    driver.get((folder / "evaluation" / "report.html").as_uri())
    yield request.param
    offline["offline"] = False
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)


def drawn(driver):
    """The explorer's picture."""
    return driver.execute_script(
        "return document.querySelector('#explorer canvas').toDataURL()"
    )


def sliders(driver):
    return driver.find_elements("css selector", "#explorer input[type=range]")


def said(driver):
    """What is said beside each slider."""
    found = driver.find_elements("css selector", "#explorer output")
    return [output.text for output in found]


def test_the_report_is_whole_without_a_network(report, driver):
    until(lambda: all(said(driver)), "picture of the explorer")
    browser.screenshot(driver, f"report_{report}", whole=True)
    assert browser.errors(driver) == []
    assert browser.broken_pictures(driver) == []
    (page,) = browser.requests(driver)
    assert page == driver.current_url
    pictures = driver.find_elements("tag name", "img")
    assert len(pictures) > 10
    assert all(picture.get_attribute("alt") for picture in pictures)


def test_the_report_fits_a_phone(report, driver):
    browser.resize(driver, browser.PHONE)
    browser.screenshot(driver, f"report_{report}_phone", whole=True)
    assert browser.overflow(driver) <= 0
    for details in driver.find_elements("tag name", "details"):
        driver.execute_script("arguments[0].open = true", details)
    assert browser.overflow(driver) <= 0


def test_sliders_draw_by_keys_mouse_and_touch(report, driver):
    until(lambda: all(said(driver)), "picture of the explorer")
    count = {"run": 2, "several": 3}[report]
    assert len(sliders(driver)) == count
    seen = [drawn(driver)]
    for slider, number in zip(sliders(driver), range(count)):
        slider.send_keys(HOME)
        seen.append(drawn(driver))
        slider.send_keys(END)
        seen.append(drawn(driver))
        assert seen[-1] != seen[-2]
        before = said(driver)[number]
        slider.send_keys(LEFT)
        assert said(driver)[number].endswith(f"% of {before}")
    first = driver.find_element("css selector", "#explorer button")
    first.click()
    assert said(driver)[0] == first.text
    assert drawn(driver) not in seen
    browser.screenshot(driver, f"explorer_{report}")
    before = drawn(driver)
    browser.touch(driver, sliders(driver)[0], 0.98)
    until(lambda: drawn(driver) != before, "picture after a touch")


def pages():
    """But for what a server shows in the place of a page that is not there."""
    found = (ROOT / "site").rglob("*.html")
    return sorted(path for path in found if path.name != "404.html")


@pytest.mark.skipif(not pages(), reason="no site/: run make docs first")
@pytest.mark.parametrize("path", pages(), ids=lambda path: path.stem)
def test_the_site(driver, path):
    driver.get("about:blank")
    browser.errors(driver), browser.requests(driver)
    browser.resize(driver, browser.PHONE)
    driver.get(path.as_uri())
    name = "_".join(path.relative_to(ROOT / "site").with_suffix("").parts)
    browser.screenshot(driver, f"site_{name}_phone")
    assert browser.overflow(driver) <= 0
    browser.resize(driver, browser.DESKTOP)
    browser.screenshot(driver, f"site_{name}")
    assert browser.errors(driver) == []
    assert browser.broken_pictures(driver) == []
    outside = [
        url for url in browser.requests(driver) if not url.startswith("file:")
    ]
    assert outside == []


@pytest.mark.skipif(not pages(), reason="no site/: run make docs first")
@pytest.mark.parametrize("start", ["index", "api/parts"])
def test_the_site_is_searched_from_the_disk(driver, start):
    driver.get("about:blank")
    browser.errors(driver), browser.requests(driver)
    browser.resize(driver, browser.DESKTOP)
    driver.get((ROOT / "site" / f"{start}.html").as_uri())
    driver.find_element("css selector", ".md-search__input").click()
    browser.type_in(driver, "collapsed")
    found = until(
        lambda: browser.elements(driver, "a.md-search-result__link"),
        "page that is found",
    )
    browser.screenshot(driver, f"site_search_{start.replace('/', '_')}")
    assert "troubleshooting.html" in found[0].get_attribute("href")
    found[0].click()
    until(lambda: "troubleshooting.html" in driver.current_url, "that page")
    assert browser.errors(driver) == []
    asked = browser.requests(driver)
    assert asked
    assert all(url.startswith("file:") for url in asked)
