"""The small trained work root that the tests of identification share; a browser, and pages served to it."""

import os
import shutil
import threading

import pytest
from small_root import build_once, make_root
from werkzeug.serving import make_server

from whales.nets.net import Net


@pytest.fixture(scope="module")
def trained_root(tmp_path_factory):
    """A work root whose v5 net has random weights for folds 0 and 2."""
    return make_root(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def small_nets(monkeypatch):
    """Nets are built once for all tests."""
    monkeypatch.setattr(Net, "network", build_once)


@pytest.fixture
def serving():
    """Call with a function that makes an application: its address, until the test ends."""
    running = []

    def start(make_app):
        server = make_server("127.0.0.1", 0, make_app(), threaded=True)
        running.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def browser(tmp_path):
    """A Chromium without a window, driven by Selenium."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs Selenium")
    names = ("chromium", "google-chrome", "chrome-headless-shell")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if not found or not driver:
        pytest.skip("needs Chromium (on PATH, or CHROMIUM) and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = found
    for option in (
        "headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-sync",
        "disable-background-networking", "disable-component-update", "window-size=1400,900",
        f"user-data-dir={tmp_path / 'profile'}",
    ):  # fmt: skip
        options.add_argument(f"--{option}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.chrome.service.Service(driver)
    one = webdriver.Chrome(options=options, service=service)
    yield one
    one.quit()
