"""The notebook runs on any sounds, keeps its promises and is stored clean."""

import importlib.util
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import soundfile
from copies import copy_project, read_notebook, write_sound
from signals import is_one_sentence
from threadpoolctl import threadpool_limits

from helpers.models import CATALOGUE
from helpers.sound import AudioError

A = {"seed": 1, "seconds": 0.9, "rate": 32000, "channels": 2}
B = {"seed": 2, "seconds": 0.6, "rate": 44100, "channels": 1}
NAMES = {"fileA": "input_audio/a.wav", "fileB": "input_audio/b.wav"}
CELLS = read_notebook().cells
CODE = [cell.source for cell in CELLS if cell.cell_type == "code"]
TEXTS = [cell.source for cell in CELLS if cell.cell_type == "markdown"]
RENDERS = [
    f"a_to_b/{model}_{pair}.wav" for model in CATALOGUE for pair in ("a_to_b", "b_to_a")
]


def write_both(folder):
    write_sound(folder / "input_audio" / "a.wav", **A)
    write_sound(folder / "input_audio" / "b.wav", **B)
    return folder


# The page that the README's first command makes --------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run the whole notebook once, on sounds unlike in length, rate and channels."""
    folder = write_both(copy_project(tmp_path_factory.mktemp("project"), **NAMES))
    command = [sys.executable, "-m", "nbconvert", "--config", ".nbconvert.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "output_audio", done


@pytest.fixture(scope="module")
def page(run):
    return (run[0] / "predictive_convolution.html").read_text("utf-8")


def test_what_is_promised_is_written_and_nothing_else(run):
    written = {p.relative_to(run[0]).as_posix() for p in run[0].rglob("*")}
    beside = {"a_to_b_montage.csv", "a_to_b_montage.txt", "predictive_convolution.html"}
    assert written == beside | {
        "a_to_b",
        "a_to_b.wav",
        "a_to_b/scoreboard.csv",
        *RENDERS,
    }


def test_each_sound_is_as_long_as_its_gesture_and_finished(run):
    for name in ["a_to_b.wav", *RENDERS]:
        samples, rate = soundfile.read(run[0] / name, always_2d=True)
        gesture = A if name.endswith("_b_to_a.wav") else B
        assert rate == gesture["rate"]
        assert samples.shape == (round(gesture["seconds"] * rate), gesture["channels"])
        assert np.abs(samples).max() == pytest.approx(10 ** (-1 / 20), rel=1e-3)


def test_the_scoreboard_lists_every_render(run):
    board = pd.read_csv(run[0] / "a_to_b" / "scoreboard.csv")
    assert sorted(f"a_to_b/{file}" for file in board["file"]) == sorted(RENDERS)
    assert board[["timbre", "structure", "seconds"]].notna().all(axis=None)


def test_no_cell_complains(page):
    assert 'data-mime-type="text/plain"' in page  # what cells print
    assert 'data-mime-type="application/vnd.jupyter.stderr"' not in page


def test_the_terminal_tells_the_sections(run):
    titles = [text.splitlines()[0].lstrip("# ") for text in TEXTS if text[0] == "#"]
    assert run[1].stdout.splitlines() == titles


def test_the_page_asks_for_nothing_from_elsewhere(page):
    page = re.sub(r'<a [^>]*href="https://[^>]*>', "", page)  # links are for readers
    asked = re.findall(r"""(?:src|href)=["']?(?!data:|#)([^"'\s>]+)""", page)
    assert set(asked) == {"a_to_b.wav"}
    assert page.count("data:image/png") > 10
    assert "jupyter.widget" not in page


def test_it_ends_in_a_player_with_a_link_to_the_file(page):
    last = page[page.rindex("<figure") :]
    assert "the gesture of b in the timbre of a (0.6 s)" in last
    assert 'href="a_to_b.wav"' in last
    assert "<audio" in last


def test_the_walk_ends_in_the_sound_of_the_one_line(page):
    (difference,) = re.findall(r"difference, of a full scale of 1: (\d\S*)", page)
    # scipy works in double precision, the helpers in single: some hundred roundings.
    assert float(difference) < 1e-4


# Its first cells, run here ------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make a folder with two sounds to work in; BLAS gets its threads back."""
    (tmp_path / "input_audio").mkdir()
    monkeypatch.chdir(tmp_path)
    with threadpool_limits(1):
        yield write_both(tmp_path)


def play(until, **settings):
    """Run the cells before the line that begins with `until`; return all names."""
    code = re.sub("(?m)^%.*", "", "\n".join(CODE[1:]))
    first, found, _ = code.partition(f"\n{until}")
    assert found
    given = "".join(f"\n{name} = {value!r}" for name, value in settings.items())
    names = {}
    exec(f"{CODE[0]}{given}\n{first}", names)
    return names


def test_the_same_settings_give_the_same_file_and_others_another(folder):
    takes = [
        play("show.player(result", **NAMES, peak_db=db)["path"] for db in (-1, -6, -1)
    ]
    assert [take.name for take in takes] == ["a_to_b.wav", "a_to_b_2.wav", "a_to_b.wav"]


def test_a_folder_may_be_a_and_b_is_left_out_of_it(folder):
    names = play("montage.head()", fileA="input_audio", fileB="b.wav")
    assert {Path(name).name for name in names["montage"]["file"]} == {"a.wav"}
    assert names["path"].name == "input_audio_to_b.wav"


def test_a_sound_may_be_crossed_with_itself(folder):
    assert play("montage.head()", fileA="a.wav", fileB="a.wav")["path"].exists()


WRONG = [
    ("fileA", [], "[]"),
    ("fileB", "c.wav", "c.wav"),
    ("model", "rigde", "no model 'rigde'"),
    ("continuity", 2, "continuity=2"),
    ("melody", [(1, 0), (0, 1)], "melody=[(1, 0), (0, 1)]"),
    ("n_fft", 2048.0, "n_fft=2048.0"),
    ("peak_db", 3, "peak_db=3"),
    ("fade_seconds", 11, "fade_seconds=11"),
    ("loudness_lufs", "loud", "loudness_lufs='loud'"),
    ("subtype", "PCM_8", "PCM_24"),
    ("excerpt_seconds", 0, "0 s"),
    ("compare", ["rigde"], "no model 'rigde'"),
    ("compare", 1, "no model 1"),
]


@pytest.mark.parametrize(("name", "value", "words"), WRONG)
def test_a_wrong_setting_gets_one_sentence_before_any_work(name, value, words, folder):
    with pytest.raises(AudioError, match=re.escape(words)) as error:
        play("show.players(", **(NAMES | {name: value}))
    assert is_one_sentence(error.value)


def test_a_silent_sound_gets_one_sentence_and_nothing_is_written(folder):
    soundfile.write("input_audio/b.wav", np.zeros(8000), 8000)
    with pytest.raises(AudioError, match=r"b\.wav is silent") as error:
        play("show.players(", **NAMES)
    assert is_one_sentence(error.value)
    assert not Path("output_audio").exists()


def test_a_tool_that_is_missing_is_named(folder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name != "av" or None)
    with pytest.raises(ModuleNotFoundError, match=r"^Not found: av\. .*README\.$"):
        play("import numpy")


# As it is stored ----------------------------------------------------------------------


def test_it_is_stored_valid_and_without_outputs():
    nbformat.validate(read_notebook())
    cells = [cell for cell in CELLS if cell.cell_type == "code"]
    assert all(cell.outputs == [] for cell in cells)
    assert all(cell.execution_count is None for cell in cells)


def test_the_settings_are_the_first_code_a_line_each_and_tagged_for_papermill():
    tagged = [c.source for c in CELLS if "parameters" in c.metadata.get("tags", [])]
    assert tagged == CODE[:1]
    assert tagged[0].startswith("fileA = ")
    lines = tagged[0].splitlines()
    assert [ln for ln in lines if not re.fullmatch(r"\w+ = \S.*  # \w.+", ln)] == []


def test_code_cells_are_short_and_there_is_prose_before_each():
    assert [code for code in CODE[1:] if len(code.splitlines()) > 14] == []
    kinds = [cell.cell_type for cell in CELLS]
    assert ("code", "code") not in list(pairwise(kinds))


def test_the_contents_lead_to_headings():
    headings = re.findall(r"(?m)^#+ (.+)$", "\n".join(TEXTS))
    links = re.findall(r"\]\(#([^\s]+)\)", TEXTS[0])
    assert len(links) > 5
    assert set(links) <= {heading.replace(" ", "-") for heading in headings}


def test_the_models_are_listed_in_the_words_of_the_catalogue():
    rows = re.findall(r"(?m)^\| `(\w+)` \| (.+) \|$", TEXTS[1])
    listed = [(name, entry.sound) for name, entry in CATALOGUE.items()]
    assert rows == [("model", "how it sounds"), *listed]
