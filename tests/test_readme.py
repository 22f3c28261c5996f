"""What the README says is so: its commands, its code, its tables and its links."""

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
from copies import ROOT, write_sound

from helpers import models
from helpers.compare import features, render_all
from helpers.sound import load

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
CODE = [text for language, text in BLOCKS if language == "python"]
HEARD = re.findall(r"\]\(\.github/sounds/(\w+)\.mp3\)", README)
RUN = "jupyter nbconvert --config .nbconvert.py"
TEST = "python -m pytest"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two short sounds under the names that the README uses, in a folder to work in."""
    (tmp_path / "input_audio").mkdir()
    for seed, name in enumerate(("bell", "bird")):
        path = tmp_path / "input_audio" / f"{name}.wav"
        write_sound(path, seed=seed, seconds=0.5, rate=22050, channels=1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "CATALOGUE", dict(models.CATALOGUE))
    return tmp_path


def find(word):
    return next(code for code in CODE if word in code)


def test_two_lines_add_a_model_that_is_rendered_and_scored(folder):
    lines = find("models.CATALOGUE[")
    assert len([line for line in lines.splitlines() if line]) == 2
    before = set(models.CATALOGUE)
    exec(lines, {"models": models})
    (name,) = set(models.CATALOGUE) - before
    board = render_all({"x": ("bell.wav", "bird.wav")}, [name], folder=folder)
    assert board.loc[0, "file"] == f"{name}_x.wav"


def test_many_sounds_at_once(folder):
    exec(find("render_all("), {"__name__": "__main__"})
    board = pd.read_csv(folder / "output_audio" / "all" / "scoreboard.csv")
    assert set(board["pair"]) == {"bell_to_bird", "bird_to_bell"}
    assert board["error"].isna().all()


def test_a_cluster_does_the_same_as_one_computer():
    local, cluster = (code for code in CODE if "render_all(" in code)
    script, last = local.rstrip().rsplit("\n", 1)
    assert last.strip() == cluster.splitlines()[-1].strip()
    compile(f"{script}\n{cluster}", "many.py", "exec")


def test_a_single_sound(folder):
    exec(find("predictive_convolution("), {})
    samples, _ = soundfile.read(folder / "output_audio" / "mine.wav")
    # Finished: its peak is at -1 dB, and nothing is clipped.
    assert np.abs(samples).max() == pytest.approx(10 ** (-1 / 20), abs=1e-3)


def test_it_is_short():
    assert len(README.split()) <= 1100


def test_each_command_is_one_line_for_all_systems_and_on_the_first_screen():
    commands = [text for language, text in BLOCKS if language in ("sh", "bat")]
    for end in (RUN, TEST):
        found = [text for text in commands if text.rstrip().endswith(end)]
        posix, windows = (text for text in found if text.count("\n") == 1)
        spelt = windows.replace(".venv\\Scripts\\", ".venv/bin/")
        assert spelt.replace("py -m venv", "python3 -m venv") == posix
        assert "-c .requirements.lock" in posix
        assert posix.strip() in README.splitlines()[:40]


def test_the_checks_run_the_readmes_own_command():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    pattern = re.search(r"'(\^python3 .*)' README", script)[1]
    (command,) = re.findall(pattern, README, re.MULTILINE)
    assert command.endswith(TEST)
    assert "-r requirements.txt -r tests/requirements.txt" in command


def test_the_lock_holds_every_direct_dependency_and_says_how_it_is_renewed():
    lock = (ROOT / ".requirements.lock").read_text(encoding="utf-8")
    for file in ("requirements.txt", "tests/requirements.txt"):
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        names = [line.split()[0] for line in lines if line and line[0] != "#"]
        assert [name for name in names if f"\n{name}==" not in lock] == []
        assert all("#" in line for line in lines)  # a word on what each is for
    command = lock.splitlines()[1].removeprefix("#").strip()
    assert command in CONTRIBUTING.replace("--upgrade ", "")
    assert "://" not in lock


def test_every_file_and_folder_that_it_names_is_there():
    links = re.findall(r"\]\((?!http)(.+?)\)", README)
    rows = re.findall(r"^\| `(.+?)` \|", README.partition("laid out")[2], re.MULTILINE)
    assert len(links) > 5
    assert len(rows) == 6
    assert [name for name in links + rows if not Path(ROOT, name).exists()] == []


def test_every_picture_has_a_description():
    pictures = re.findall(r"!\[(.*)\]\(", README)
    assert [text for text in pictures if len(text) < 20] == []


@pytest.fixture(scope="module")
def make_sounds():
    """Run the script where it lies: its folder is no package."""
    return SimpleNamespace(**runpy.run_path(ROOT / ".github" / "make_sounds.py"))


@pytest.mark.parametrize("name", HEARD)
def test_a_sound_to_hear_first_is_small_and_what_is_rendered_today(name, make_sounds):
    assert sorted(make_sounds.MELODY) == sorted(HEARD)
    path = make_sounds.SOUNDS / f"{name}.mp3"
    assert path.stat().st_size < 150_000
    stored, today = features(load(path)), features(make_sounds.render(name))
    # Coding as MP3 moves the mel bands by 0.1 to 0.17 dB on average: up to twice that.
    apart_db = np.abs(stored.bands_db - today.bands_db)[today.active]
    assert apart_db.mean() < 0.35
