"""Chromium without a window, and what it is asked of a page.

Selenium is imported late: the default tests do without.
"""

import base64
import contextlib
import json
import pathlib
import tempfile
import time

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
    "--enable-unsafe-swiftshader",  # The projector draws with WebGL.
)
DESKTOP, PHONE = (1400, 1000), (390, 844)
PATIENCE = 90  # Seconds; TensorBoard loads its plugins slowly.
OWN = "data:", "chrome:", "about:"  # Addresses that are on no network.
SCREENSHOTS = pathlib.Path(__file__).parent.parent / "runs" / "browser"

# All nodes of a page or frame, within shadow roots too.
DEEP = """
function* deep(root) {
  for (const node of root.childNodes) {
    yield node;
    if (node.shadowRoot) yield* deep(node.shadowRoot);
    if (!["SCRIPT", "STYLE"].includes(node.tagName)) yield* deep(node);
  }
}
const selector = arguments[0];
const nodes = [...deep(document)];
"""
ELEMENTS = "return nodes.filter(n => n.matches && n.matches(selector));"
TEXTS = """
return nodes.filter(n => n.nodeType === Node.TEXT_NODE)
  .map(n => n.textContent.trim()).filter(text => text);
"""


@contextlib.contextmanager
def chromium():
    """A driver of a new browser, which remembers what it asks the network."""
    from selenium import webdriver

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
            yield driver
        finally:
            driver.quit()


def resize(driver, size):
    """Show pages as a screen of this width and height does."""
    metrics = dict(zip(("width", "height"), size))
    metrics |= {"deviceScaleFactor": 1, "mobile": size == PHONE}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def until(found, what):
    """What a function gives back once that is anything."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if result := found():
            return result
        time.sleep(0.3)
    raise AssertionError(f"no {what} after {PATIENCE} seconds")


def elements(driver, selector):
    """All that a selector matches, wherever they are."""
    return driver.execute_script(DEEP + ELEMENTS, selector)


def text(driver):
    """All pieces of text, a space between each two."""
    return " ".join(driver.execute_script(DEEP + TEXTS, None))


def type_in(driver, written):
    """Type into what has the focus."""
    from selenium.webdriver import ActionChains

    ActionChains(driver).send_keys(written).perform()


def touch(driver, element, across):
    """Touch an element, at this share of its width."""
    place = driver.execute_script(
        "arguments[0].scrollIntoView({block: 'center'});"
        "return arguments[0].getBoundingClientRect().toJSON();",
        element,
    )
    x = place["left"] + across * place["width"]
    point = {"x": x, "y": place["top"] + place["height"] / 2}
    for kind, points in (("touchStart", [point]), ("touchEnd", [])):
        driver.execute_cdp_cmd(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
        )


def errors(driver):
    """What the console has said, since it was asked last, that is wrong."""
    return [
        entry["message"]
        for entry in driver.get_log("browser")
        if entry["level"] == "SEVERE"
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
    return [url for url in addresses if not url.startswith(OWN)]


def broken_pictures(driver):
    """Pictures that are not there: their alternative texts."""
    return driver.execute_script(
        "return [...document.images].filter(i => !i.naturalWidth)"
        ".map(i => i.alt || i.src.slice(0, 99))"
    )


def overflow(driver):
    """By how many pixels a page is wider than the screen."""
    # Not `innerWidth`: a phone zooms out until it has all of a page.
    return driver.execute_script(
        "const root = document.documentElement;"
        "return root.scrollWidth - root.clientWidth"
    )


def screenshot(driver, name, whole=False):
    """Keep what is seen, or the whole page, among the screenshots."""
    settings = {}
    if whole:
        metrics = driver.execute_cdp_cmd("Page.getLayoutMetrics", {})
        clip = {**metrics["cssContentSize"], "scale": 1}
        settings = {"captureBeyondViewport": True, "clip": clip}
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", settings)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}.png"
    path.write_bytes(base64.b64decode(taken["data"]))
