"""The notebook as its user meets it: in a browser, by mouse and keyboard."""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
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
MINUTE = 60_000  # milliseconds, as Playwright counts

# What a person would see to be wrong: each expression lists the offenders, by their
# textContent, since what is out of sight has no innerText.
UNDRAWN = "[...document.images].filter(i => !i.naturalWidth).map(i => i.alt)"
SILENT = """[...document.querySelectorAll("audio")]
    .filter(p => !(p.duration > 0 && isFinite(p.duration)))
    .map(p => p.parentElement.textContent)"""
COMPLAINTS = """[...document.querySelectorAll(
    "[data-mime-type$=error], [data-mime-type$=stderr]")].map(e => e.textContent)"""
UNRUN = """[...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")]
    .map(prompt => prompt.textContent).filter(text => !/[0-9]/.test(text))"""
IN_SIGHT = """() => {const place = [...document.querySelectorAll("audio")].pop()
    .getBoundingClientRect();
    return place.top >= 0 && place.bottom <= window.innerHeight}"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Copy the project, with short sounds of its own."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    for seed, name in enumerate(("voice", "later")):
        path = folder / "input_audio" / f"{name}.wav"
        write_sound(path, seed=seed, seconds=0.5 + 0.2 * seed, rate=44100, channels=1)
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
        server.terminate()  # its kernels end before it does
        with suppress(subprocess.TimeoutExpired):
            server.wait(60)
        server.kill()
        server.wait()


def await_none(page, offenders):
    """Wait until a list of offenders is empty, and name them if it never is."""
    try:
        page.wait_for_function(f"({offenders}).length == 0")
    except sync_api.TimeoutError:
        assert page.evaluate(offenders) == []


@pytest.fixture(scope="module")
def page(browser, address):
    """Do what the first paragraphs say: write another name, restart and run all."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(MINUTE)
    page.goto(address)
    page.locator(".jp-Notebook-cell").first.wait_for()
    # A menu that is used before the page has a kernel asks for one; a kernel that is
    # asked to restart before it has answered once may never answer.
    name = page.locator(".jp-Toolbar-kernelName", has_text="Python 3")
    name.wait_for(state="attached")
    idle = page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")
    idle.first.wait_for(state="attached")
    page.locator(".cm-line", has_text="fileB = ").first.click()
    page.keyboard.press("Home")
    page.keyboard.press("Shift+End")
    page.keyboard.insert_text('fileB = "later.wav"')
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name="Restart Kernel and Run All Cells…").click()
    page.locator(".jp-Dialog").get_by_text("Restart", exact=True).click()
    page.wait_for_function(f"({UNRUN}).length > 10")
    done = f"({UNRUN}).length == 0 || ({COMPLAINTS}).length"
    page.wait_for_function(done, timeout=2 * MINUTE)
    assert page.evaluate(COMPLAINTS) == []
    return page


def test_after_run_all_the_user_sees_the_result(page):
    player = page.locator("audio").last
    assert "voice_to_later.wav" in player.locator("..").inner_text()
    page.wait_for_function(IN_SIGHT)
    # Ogg Vorbis fills up its last block.
    assert player.evaluate("player => player.duration") == pytest.approx(0.7, abs=0.05)


def test_every_picture_is_drawn_every_sound_loads_and_nothing_complains(page):
    for offenders in (COMPLAINTS, UNDRAWN, SILENT):
        await_none(page, offenders)
    assert page.locator("audio").count() > 15
    assert page.locator(".jp-OutputArea img").count() > 5


def test_the_link_gives_the_file(page, project):
    link = page.get_by_role("link", name="output_audio/voice_to_later.wav").last
    with page.expect_download() as download:
        link.click()
    file = project / "output_audio" / "voice_to_later.wav"
    assert download.value.path().read_bytes() == file.read_bytes()


def test_a_link_above_the_last_cell_leads_to_the_result(page):
    page.get_by_role("link", name="First the result").last.click()
    page.wait_for_function(
        """() => {const top = [...document.querySelectorAll("h2")]
        .find(h => h.textContent.startsWith("First the result"))
        .getBoundingClientRect().top; return top >= 0 && top < innerHeight / 2}"""
    )


def test_a_slider_is_turned_its_sound_plays_and_is_kept(page, project):
    page.get_by_role("slider").nth(1).press("PageDown")
    page.get_by_role("button", name="Render").click()
    page.get_by_role("button", name="Keep this take").click()
    link = page.get_by_role("link", name="output_audio/voice_to_later_2.wav")
    assert "continuity 0.25" in link.locator("..").inner_text()
    told = (project / "output_audio" / "voice_to_later_2.txt").read_text("utf-8")
    assert "'continuity': 0.25" in told
    for offenders in (COMPLAINTS, SILENT):
        await_none(page, offenders)
