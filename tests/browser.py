"""Chromium without a window, and what it is asked of a page."""

import base64
import contextlib
import json
import pathlib
import tempfile

from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP, PHONE = (1400, 1000), (390, 844)
PATIENCE = 60  # Seconds.
SCREENSHOTS = pathlib.Path(__file__).parent.parent / "runs" / "browser"

# All elements that a selector matches, within shadow roots and frames too.
DEEP = """
const found = [];
const visit = root => {
  found.push(...root.querySelectorAll(arguments[0]));
  for (const element of root.querySelectorAll("*")) {
    if (element.shadowRoot) visit(element.shadowRoot);
    if (element.tagName === "IFRAME" && element.contentDocument)
      visit(element.contentDocument);
  }
};
visit(document);
"""
TEXTS = "return found.map(e => e.innerText || e.textContent);"


@contextlib.contextmanager
def chromium():
    """A driver of a new browser, which remembers what it asks the network."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability(
        "goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"}
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for flag in (*FLAGS, f"--user-data-dir={folder}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        try:
            resize(driver, DESKTOP)
            yield driver
        finally:
            driver.quit()


def resize(driver, size):
    """Show pages as a screen of this width and height does."""
    metrics = dict(zip(("width", "height"), size))
    metrics |= {"deviceScaleFactor": 1, "mobile": size == PHONE}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def until(driver, condition, what):
    """Wait for what a function of nothing finds, and give it back."""
    return WebDriverWait(driver, PATIENCE).until(
        lambda _: condition(), f"no {what} in {PATIENCE} seconds"
    )


def elements(driver, selector):
    """All that a selector matches, wherever they are."""
    return driver.execute_script(f"{DEEP} return found;", selector)


def texts(driver, selector="body"):
    """The text of each of them."""
    return driver.execute_script(DEEP + TEXTS, selector)


def errors(driver):
    """What the console has said, since it was asked last, that is wrong."""
    return [
        entry["message"]
        for entry in driver.get_log("browser")
        if entry["level"] in ("SEVERE", "WARNING")
    ]


def requests(driver):
    """What was asked of the network since it was asked last: addresses."""
    events = [
        json.loads(entry["message"])["message"]
        for entry in driver.get_log("performance")
    ]
    addresses = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in addresses if not url.startswith("data:")]


def broken_pictures(driver):
    """Pictures that are not there: their alternative texts."""
    return driver.execute_script(
        "return [...document.images].filter(i => !i.naturalWidth)"
        ".map(i => i.alt || i.src.slice(0, 99))"
    )


def screenshot(driver, name, whole=False):
    """Keep what is seen, or the whole page, among the screenshots."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    picture = driver.execute_cdp_cmd(
        "Page.captureScreenshot",
        {"captureBeyondViewport": whole, **_clip(driver, whole)},
    )
    path = SCREENSHOTS / f"{name}.png"
    path.write_bytes(base64.b64decode(picture["data"]))
    return path


def _clip(driver, whole):
    if not whole:
        return {}
    size = driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    return {"clip": {**size, "x": 0, "y": 0, "scale": 1}}
