"""The notebook as its user meets it: in a browser, by mouse and keyboard."""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from copies import NOTEBOOK, copy_project, write_sound

from helpers.models import CATALOGUE

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
SECONDS = """Object.fromEntries([...document.querySelectorAll("figure")].map(figure =>
    [figure.textContent.trim(), figure.querySelector("audio").duration]))"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Copy the project, with short sounds of the names that the notebook has in it."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    sounds = {"voice": A_SECONDS, "drums": B_SECONDS, "later": LATER_B_SECONDS}
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
        server.terminate()  # its kernels end before it does
        with suppress(subprocess.TimeoutExpired):
            server.wait(60)
        server.kill()
        server.wait()


def open_page(browser, address):
    """Open a notebook, and wait until it has cells and a kernel."""
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
    return page


def restart_and_run_all(page, *, complete=True):
    """Do what the notebook's first paragraph says, and wait until it is done."""
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name="Restart Kernel and Run All Cells…").click()
    page.locator(".jp-Dialog").get_by_text("Restart", exact=True).click()
    page.wait_for_function(f"({UNRUN}).length > 10")
    if complete:
        await_none(page, UNRUN, minutes=4)


def await_none(page, offenders, *, minutes=1):
    """Wait until a list of offenders is empty, and name them if it never is."""
    try:
        page.wait_for_function(f"({offenders}).length == 0", timeout=minutes * MINUTE)
    except sync_api.TimeoutError:
        assert page.evaluate(offenders) == []


def check_whole(page):
    """Check that each picture is drawn, each player loaded and nothing went wrong."""
    for offenders in (COMPLAINTS, UNDRAWN, SILENT):
        await_none(page, offenders)
    assert page.locator("audio").count() >= 2 * len(CATALOGUE)
    assert page.locator(".jp-OutputArea img").count() >= 10


def is_save(response):
    """Tell whether the server has saved a notebook."""
    return response.request.method == "PUT" and "/api/contents/" in response.url


@pytest.fixture(scope="module")
def notebook(browser, address):
    """Open the notebook, run all of it and save it, as its user would."""
    page = open_page(browser, address)
    restart_and_run_all(page)
    with page.expect_response(is_save):
        page.keyboard.press("Control+s")
    return page


def test_restart_and_run_all_draws_every_picture_and_loads_every_sound(notebook):
    check_whole(notebook)
    seconds = notebook.evaluate(SECONDS)
    # Ogg Vorbis fills up its last block.
    a, result = "A: voice (0.5 s)", "the result (0.4 s)"
    assert seconds[a] == pytest.approx(A_SECONDS, abs=0.05)
    assert seconds[f"{result}: output_audio/voice_to_drums.wav"] == pytest.approx(
        B_SECONDS
    )


@pytest.fixture
def quick(request, browser, address, project):
    """Open a copy of the notebook that compares one model only, in either Jupyter."""
    place = getattr(request, "param", "notebooks")
    text = (project / NOTEBOOK).read_text("utf-8")
    text = text.replace("compare = None", "compare = ['nearest_path']")
    (project / "quick.ipynb").write_text(text, "utf-8")
    url = urlsplit(address)
    page = open_page(browser, url._replace(path=f"/{place}/quick.ipynb").geturl())
    yield page
    sessions = f"{url.scheme}://{url.netloc}/api/sessions"
    for session in page.request.get(f"{sessions}?{url.query}").json():
        if session["path"] == "quick.ipynb":  # or its kernel would stay in memory
            page.request.delete(f"{sessions}/{session['id']}?{url.query}")
    page.close()


@pytest.mark.parametrize("quick", ["notebooks", "lab/tree"], indirect=True)
def test_after_run_all_the_user_sees_the_result(quick):
    restart_and_run_all(quick)
    player = quick.locator("audio").last
    assert "voice_to_drums.wav" in player.locator("..").inner_text()
    quick.wait_for_function(
        "() => {const place = [...document.querySelectorAll('audio')].pop()"
        ".getBoundingClientRect(); return place.top >= 0 && "
        "place.bottom <= window.innerHeight}",
    )


@pytest.fixture(scope="module")
def exported(notebook, project):
    """Make the web page of what was run in the browser."""
    command = [sys.executable, "-m", "nbconvert", "--config", ".nbconvert.py"]
    command += ["--ExecutePreprocessor.enabled=False"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return project / "output_audio" / "predictive_convolution.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_web_page_is_whole_without_a_network(scheme, browser, exported):
    page = browser.new_page(color_scheme=scheme)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(exported.as_uri())
    check_whole(page)
    assert page.title() == "Predictive Convolution"
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
    page.close()


def test_a_slider_is_turned_and_its_sound_plays(quick):
    def as_set():
        return quick.locator("figure", has_text="as set").locator("audio")

    restart_and_run_all(quick)
    assert as_set().count() == 0
    button = quick.get_by_role("button", name="Render")
    button.scroll_into_view_if_needed()
    button.click()
    as_set().first.wait_for(state="attached")
    await_none(quick, SILENT)
    first = as_set().get_attribute("src")
    quick.get_by_role("slider").first.press("ArrowLeft")
    quick.get_by_role("slider").first.press("PageDown")
    button.click()
    quick.wait_for_function(
        "first => {const player = [...document.querySelectorAll('figure')]"
        ".find(f => f.textContent.includes('as set'))?.querySelector('audio');"
        "return player && player.src != first}",
        arg=first,
    )
    await_none(quick, COMPLAINTS)


def test_another_file_in_the_first_cell_gives_another_result(quick):
    quick.locator(".cm-line", has_text="fileB = ").first.click()
    quick.keyboard.press("Home")
    quick.keyboard.press("Shift+End")
    quick.keyboard.insert_text('fileB = "input_audio/later.wav"')
    restart_and_run_all(quick)
    await_none(quick, COMPLAINTS)
    seconds = quick.evaluate(SECONDS)
    result = "the result (0.7 s): output_audio/voice_to_later.wav"
    assert seconds[result] == pytest.approx(LATER_B_SECONDS)


def test_a_wrong_name_shows_one_sentence(quick):
    quick.locator(".cm-line", has_text="fileB = ").first.click()
    quick.keyboard.press("Home")
    quick.keyboard.press("Shift+End")
    quick.keyboard.insert_text('fileB = "durms.wav"')
    restart_and_run_all(quick, complete=False)
    quick.wait_for_function(f"({COMPLAINTS}).length > 0")
    (shown,) = quick.evaluate(COMPLAINTS)
    assert shown.strip().startswith(
        "AudioError: durms.wav cannot be read (it is not there, nor in input_audio): "
        "check the name, perhaps it is input_audio/drums.wav"
    )
    assert len(shown.strip().splitlines()) == 1
