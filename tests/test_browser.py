"""The notebook as its user meets it: in a browser, by mouse and keyboard."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from copies import NOTEBOOK, copy_project, write_sound

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="the browser tests need playwright: pip install it"
)
NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not BROWSER, reason="the browser tests need Chromium installed"),
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
FLAGS += ["--disable-sync"]
A_SECONDS, B_SECONDS, LATER_B_SECONDS = 0.5, 0.4, 0.7
MINUTES = 60_000  # in milliseconds, as Playwright counts

# What a person would see to be wrong: each expression lists the offenders.
UNDRAWN = "[...document.images].filter(i => !i.naturalWidth).map(i => i.alt)"
SILENT = """[...document.querySelectorAll("audio")]
    .filter(p => !(p.duration > 0 && isFinite(p.duration)))
    .map(p => p.parentElement.innerText)"""
ERRORS = """[...document.querySelectorAll("[data-mime-type*=error], [data-mime-type*=stderr]")]
    .map(e => e.innerText)"""
UNRUN = """[...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")]
    .filter(e => !/[0-9]/.test(e.innerText)).length"""
RESULT = """[...document.querySelectorAll("figure")]
    .filter(f => f.innerText.trim() == "the result")
    .map(f => f.querySelector("audio").duration)[0]"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Copy the project, with three short sounds; the notebook asks for the first two."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    sounds = {"bell": A_SECONDS, "bird": B_SECONDS, "later": LATER_B_SECONDS}
    for seed, (name, seconds) in enumerate(sounds.items()):
        path = folder / "input_audio" / f"{name}.wav"
        write_sound(path, seed=seed, seconds=seconds, rate=44100, channels=1)
    return folder


@pytest.fixture(scope="module")
def browser():
    """Start Chromium without a window."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(project, tmp_path_factory):
    """Start the Notebook server, on this machine only and with settings of its own."""
    home = tmp_path_factory.mktemp("home")
    own = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    own += ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")
    settings = dict.fromkeys(own, str(home))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "notebook", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    command += ["--IdentityProvider.token=letmein"]
    log = home / "server.log"
    with log.open("w") as file:
        server = subprocess.Popen(
            command, cwd=project, env=os.environ | settings, stdout=file, stderr=file
        )
    try:
        base, query = f"http://127.0.0.1:{port}", "token=letmein"
        for _ in range(300):
            assert server.poll() is None, log.read_text()
            try:
                urlopen(f"{base}/api/status?{query}", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"{base}/notebooks/{NOTEBOOK}?{query}"
    finally:
        server.terminate()
        server.wait(30)


def restart_and_run_all(page):
    """Do what the notebook's first paragraph says."""
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name="Restart Kernel and Run All Cells…").click()
    page.get_by_role("button", name="Restart", exact=True).click()


def await_nothing(page, offenders, *, minutes=1.0):
    """Wait until a list of offenders is empty, and name them if it never is."""
    try:
        page.wait_for_function(f"({offenders}).length == 0", timeout=minutes * MINUTES)
    except sync_api.TimeoutError:
        assert page.evaluate(offenders) == []


@pytest.fixture(scope="module")
def opened(browser, address):
    """Open the notebook and run all of it, as its user would."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(address)
    page.locator(".jp-Notebook-cell").first.wait_for(timeout=MINUTES)
    return page


def test_restart_and_run_all_draws_and_plays_everything(opened):
    restart_and_run_all(opened)
    opened.wait_for_timeout(60000)
    print(opened.evaluate(UNRUN), opened.evaluate(ERRORS), opened.evaluate(UNDRAWN), opened.evaluate(SILENT), opened.evaluate(RESULT))
    opened.screenshot(path="/tmp/lab/ci/shot.png")
    print(opened.evaluate("document.querySelectorAll('.jp-CodeCell').length"), opened.evaluate("document.querySelectorAll('audio').length"), opened.evaluate("document.images.length"))
    assert 0
