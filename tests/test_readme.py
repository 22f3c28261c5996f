"""What the README says is so: its commands, its code, its tables and its links."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from copies import ROOT, write_sound

from helpers import gallery, models
from helpers.files import load
from helpers.scores import group_alike

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


def test_three_lines_add_a_model_that_is_rendered_and_scored(folder):
    lines = find("models.CATALOGUE[")
    assert len([line for line in lines.splitlines() if line]) == 3
    before = set(models.CATALOGUE)
    exec(lines, {"models": models})
    (name,) = set(models.CATALOGUE) - before
    pairs = {"a_to_b": ("input_audio/bell.wav", "input_audio/bird.wav")}
    board = gallery.render_all(pairs, [name], folder=folder / "output_audio")
    assert (folder / "output_audio" / f"{name}_a_to_b.wav").exists()
    assert "error" not in board


def test_many_sounds_at_once(folder):
    exec(find("gallery.grid"), {})
    board = pd.read_csv(folder / "output_audio" / "all" / "scoreboard.csv")
    assert set(board["direction"]) == {"bell_to_bird", "bird_to_bell"}
    assert "error" not in board


def test_a_single_sound(folder):
    exec(find("predictive_convolution("), {})
    samples, _ = soundfile.read(folder / "output_audio" / "mine.wav")
    # Finished: its peak is at -1 dB, and nothing is clipped.
    assert np.abs(samples).max() == pytest.approx(10 ** (-1 / 20), abs=1e-3)


def test_a_cluster_does_the_same_as_one_computer():
    local, cluster = (code for code in CODE if "gallery.render_all(" in code)
    lines = {line.strip() for line in cluster.splitlines()}
    assert {line for line in local.splitlines() if line} <= lines
    compile(cluster, "cluster.py", "exec")


def test_every_model_is_in_the_table_in_the_same_words():
    section = README.partition("## What each model")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE)
    catalogue = [(name, entry.sound) for name, entry in models.CATALOGUE.items()]
    assert rows == [("model", "how it sounds"), *catalogue]


def test_each_command_is_one_line_for_all_systems():
    commands = [text for language, text in BLOCKS if language in ("sh", "bat")]
    for end in (RUN, TEST):
        found = [text for text in commands if text.rstrip().endswith(end)]
        posix, windows = (text for text in found if text.count("\n") == 1)
        spelt = windows.replace(".venv\\Scripts\\", ".venv/bin/")
        assert spelt.replace("py -m venv", "python3 -m venv") == posix
        assert "-c .requirements.lock" in posix


def test_both_commands_are_in_the_first_screen():
    top = "\n".join(README.splitlines()[:40])
    assert f"{RUN}\n" in top
    assert f"{TEST}\n" in top


def test_the_checks_run_the_readmes_own_command():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    pattern = re.search(r"'(\^python3 .*)' README", script)[1]
    (command,) = re.findall(pattern, README, re.MULTILINE)
    assert command.endswith(TEST)
    assert "requirements.txt" in command
    assert "tests/requirements.txt" in command


def test_the_locks_own_header_is_what_renews_it():
    header = (ROOT / ".requirements.lock").read_text(encoding="utf-8").splitlines()[1]
    command = header.removeprefix("#").strip().replace("--upgrade ", "")
    for text in (README, CONTRIBUTING):
        assert command in " ".join(text.split()).replace("--upgrade ", "")


def test_the_lock_holds_every_direct_dependency():
    lock = (ROOT / ".requirements.lock").read_text(encoding="utf-8")
    for file in ("requirements.txt", "tests/requirements.txt"):
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        names = [line.split()[0] for line in lines if line and line[0] != "#"]
        missing = [name for name in names if f"\n{name}==" not in lock]
        assert missing == []
        assert all("#" in line for line in lines)  # a word on what each is for


def test_every_file_and_folder_that_it_names_is_there():
    links = re.findall(r"\]\((?!http)(.+?)\)", README)
    section = README.partition("laid out")[2]
    rows = re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)
    assert len(links) == 7
    assert len(rows) == 6
    for name in links + rows:
        assert Path(ROOT, name).exists(), name


def test_every_picture_has_a_description():
    assert re.findall(r"!\[\]", README) == []
    assert len(re.findall(r"!\[[^\]]{20,}\]\(.github/pictures/", README)) == 2


@pytest.fixture(scope="module")
def make_sounds():
    """Import the script from where it lies: its folder is no package."""
    path = ROOT / ".github" / "make_sounds.py"
    spec = importlib.util.spec_from_file_location("make_sounds", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_sounds_to_hear_first_are_all_there_and_small(make_sounds):
    files = list(make_sounds.SOUNDS.iterdir())
    assert sorted(path.stem for path in files) == sorted(HEARD)
    assert sorted(HEARD) == sorted(make_sounds.MELODY)
    assert max(path.stat().st_size for path in files) < 150_000


@pytest.mark.parametrize("name", HEARD)
def test_a_sound_to_hear_first_is_what_is_rendered_today(name, make_sounds):
    stored, today = load(make_sounds.SOUNDS / f"{name}.mp3"), make_sounds.render(name)
    assert stored.samples.shape == today.samples.shape
    # Coding as MP3 moves the mel bands by 0.1 to 0.17 dB on average: up to twice that.
    sounds = {"stored": stored, "rendered today": today}
    assert group_alike(sounds, within_db=0.35) == [["stored", "rendered today"]]
