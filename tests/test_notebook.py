"""The notebook runs on any sounds, keeps its promises and is stored clean."""

import re
import subprocess
import sys
from ast import literal_eval
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import soundfile
from copies import copy_project, read_notebook, write_sound
from signals import is_one_sentence

from helpers.models import CATALOGUE
from helpers.sound import AudioError

A = {"seed": 1, "seconds": 0.9, "rate": 32000, "channels": 2}
B = {"seed": 2, "seconds": 0.6, "rate": 44100, "channels": 1}
NAMES = {"fileA": "input_audio/a.wav", "fileB": "input_audio/b.wav"}
CELLS = read_notebook().cells
CODE = [cell.source for cell in CELLS if cell.cell_type == "code"]
TEXTS = [cell.source for cell in CELLS if cell.cell_type == "markdown"]
(OF_EACH_KIND,) = (code for code in CODE if code.startswith("folder ="))
RENDERS = [
    f"a_to_b/{name}_a_to_b.wav" for name in CATALOGUE if f'"{name}"' in OF_EACH_KIND
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
    beside |= {"a_to_b.txt"}
    assert written == beside | {
        "a_to_b",
        "a_to_b.wav",
        "a_to_b/scoreboard.csv",
        *RENDERS,
    }


def test_each_sound_is_as_long_as_its_gesture_and_finished(run):
    for name in ["a_to_b.wav", *RENDERS]:
        samples, rate = soundfile.read(run[0] / name, always_2d=True)
        assert rate == B["rate"]
        assert samples.shape == (round(B["seconds"] * rate), B["channels"])
        assert np.abs(samples).max() == pytest.approx(10 ** (-1 / 20), rel=1e-3)


def test_the_scoreboard_lists_every_render(run):
    board = pd.read_csv(run[0] / "a_to_b" / "scoreboard.csv")
    assert sorted(f"a_to_b/{file}" for file in board["file"]) == sorted(RENDERS)
    assert board[["timbre", "motion", "structure"]].notna().all(axis=None)


def test_no_cell_complains(page):
    assert 'data-mime-type="text/plain"' in page  # what cells print
    assert 'data-mime-type="application/vnd.jupyter.stderr"' not in page


def test_the_terminal_tells_the_sections(run):
    titles = re.findall(r"(?m)^#+ (.+)$", "\n".join(TEXTS))
    assert run[1].stdout.splitlines() == titles


def test_the_page_asks_for_nothing_from_elsewhere(page):
    page = re.sub(r'<a [^>]*href="https://[^>]*>', "", page)  # links are for readers
    asked = re.findall(r"""(?:src|href)=["']?(?!data:|#)([^"'\s>]+)""", page)
    assert set(asked) == {"a_to_b.wav"}
    assert page.count("data:image/png") > 5
    assert page.count("<audio") <= 32
    assert "jupyter.widget" not in page


def test_it_ends_in_a_player_with_a_link_to_the_file(page):
    last = page[page.rindex("<figure") :]
    assert "the gesture of b in the timbre of a (0.6 s)" in last
    assert 'href="a_to_b.wav"' in last
    assert "<audio" in last


# Its cells, run here -----------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make a folder with two sounds to work in; pictures are drawn nowhere."""
    (tmp_path / "input_audio").mkdir()
    monkeypatch.chdir(tmp_path)
    plt.switch_backend("template")
    yield write_both(tmp_path)
    plt.close("all")
    plt.switch_backend("agg")


def play(until=None, *, changed=("", ""), **settings):
    """Run the cells before the one with the words `until`; return all names."""
    shell = SimpleNamespace(set_custom_exc=lambda kinds, say: None)
    names = {"display": lambda *shown: None, "get_ipython": lambda: shell}
    for code in CODE:
        if until is not None and until in code:
            break
        exec(re.sub("(?m)^%.*", "", code).replace(*changed), names)
        if code == CODE[0]:
            names |= settings
    return names


def test_the_same_settings_give_the_same_file_and_others_another(folder):
    takes = [play("fill_between", **NAMES, peak_db=db)["path"] for db in (-1, -6, -1)]
    assert [take.name for take in takes] == ["a_to_b.wav", "a_to_b_2.wav", "a_to_b.wav"]


def test_the_text_beside_a_take_makes_it_again(folder):
    first = play("fill_between", **NAMES, continuity=0.2, peak_db=-3)["path"]
    settings = literal_eval(first.with_suffix(".txt").read_text("utf-8"))
    assert play("fill_between", **settings)["path"] == first


def test_a_folder_may_be_a_and_b_is_left_out_of_it(folder):
    path = play("fill_between", fileA="input_audio", fileB="b.wav")["path"]
    assert path.name == "input_audio_to_b.wav"
    montage = pd.read_csv(path.with_name("input_audio_to_b_montage.csv"))
    assert {Path(name).name for name in montage["file"]} == {"a.wav"}


def test_a_sound_may_be_crossed_with_itself(folder):
    assert play("fill_between", fileA="a.wav", fileB="a.wav")["path"].exists()


def test_a_dial_that_the_model_does_not_know_is_named(folder, capsys):
    play("fill_between", **NAMES, model="ridge")
    assert "ridge only knows: blend, dynamics." in capsys.readouterr().out


def test_the_last_step_is_the_sound_of_the_first_screen(folder):
    names = play("render_all(this", **NAMES, n_fft=1024, continuity=0.7)
    last = names["finish"](names["told"], **names["finish_with"])
    # scipy works in double precision, the helpers in single: some hundred roundings.
    np.testing.assert_allclose(last.samples, names["result"].samples, atol=1e-4)


@pytest.mark.parametrize(
    "changed",
    [
        ('"jump_cost": 2.6', '"jump_cost": 0'),
        ('get_window("hann"', 'get_window("blackman"'),
        ("n_bands = 24", "n_bands = 6"),
        ("= magnitudes_a[path_rows]", "= regressor.predict(aligned_b)"),
    ],
)
def test_a_change_in_a_step_is_heard_in_the_last(changed, folder):
    names = play("render_all(this", changed=changed, **NAMES)
    last = names["finish"](names["told"], **names["finish_with"])
    assert np.abs(last.samples - names["result"].samples).max() > 0.01


@pytest.mark.parametrize("regressor", ["LinearRegression()", "KNeighborsRegressor(3)"])
def test_another_regressor_may_stand_in_its_cell(regressor, folder):
    changed = ("KNeighborsRegressor(n_neighbors=1)", regressor)
    names = play("follower = ", changed=changed, **NAMES)
    assert np.isfinite(names["second_try"]).all()


def test_any_cell_runs_again_from_the_last_to_the_first(folder):
    names = play(**NAMES)
    before = dict(names)
    for code in reversed(CODE[1:]):
        exec(re.sub("(?m)^%.*", "", code), names)
    for name in ("prediction", "failure", "success", "put_together", "told", "classic"):
        assert np.array_equal(names[name].samples, before[name].samples)
    assert names["path"] == before["path"]


WRONG = [
    ("fileA", [], "[]"),
    ("fileB", "c.wav", "c.wav"),
    ("model", "rigde", "no model 'rigde'"),
    ("continuity", 2, "continuity=2"),
    ("melody", [(1, 0), (0, 1)], "melody=[(1, 0), (0, 1)]"),
    ("n_fft", "2048", "n_fft='2048'"),
    ("peak_db", 3, "peak_db=3"),
    ("loudness_lufs", "loud", "loudness_lufs='loud'"),
    ("excerpt_seconds", 0, "0 s"),
]


@pytest.mark.parametrize(("name", "value", "words"), WRONG)
def test_a_wrong_setting_gets_one_sentence_before_any_work(name, value, words, folder):
    with pytest.raises(AudioError, match=re.escape(words)) as error:
        play("whole_pair = ", **(NAMES | {name: value}))
    assert is_one_sentence(error.value)


def test_a_silent_sound_gets_one_sentence_and_nothing_is_written(folder):
    soundfile.write("input_audio/b.wav", np.zeros(8000), 8000)
    with pytest.raises(AudioError, match=r"b\.wav is silent") as error:
        play("whole_pair = ", **NAMES)
    assert is_one_sentence(error.value)
    assert not Path("output_audio").exists()


def test_a_tool_that_is_missing_is_named_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "helpers.path", None)
    with pytest.raises(ModuleNotFoundError) as error:
        play("dials = ")
    (sentence,) = error.value._render_traceback_()
    assert "helpers.path" in sentence
    assert sentence.endswith("README says.")


def test_a_cell_that_needs_another_says_so_in_one_sentence(folder, capsys):
    missing, say = NameError("name 'pair' is not defined"), {}
    shell = SimpleNamespace(set_custom_exc=lambda kinds, how: say.update({kinds: how}))
    play("dials = ", get_ipython=lambda: shell)
    say[(NameError,)](shell, NameError, missing, None, tb_offset=None)
    said = capsys.readouterr().out
    assert said.startswith(f"{missing}: ")
    assert is_one_sentence(said.strip())


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
    assert [code for code in CODE[2:] if len(code.splitlines()) > 18] == []
    assert len(CELLS) <= 55
    assert len(re.findall(r"[^\W_][\w'-]*", "\n".join(TEXTS))) <= 1600
    kinds = [cell.cell_type for cell in CELLS]
    assert ("code", "code") not in list(pairwise(kinds))


def test_the_contents_lead_to_headings():
    headings = re.findall(r"(?m)^#+ (.+)$", "\n".join(TEXTS))
    links = re.findall(r"\]\(#([^\s]+)\)", "\n".join(TEXTS))
    assert len(links) > 5
    assert set(links) <= {heading.replace(" ", "-") for heading in headings}
    assert [link for link in links if not re.fullmatch(r"[\w-]+", link)] == []


def test_every_model_of_the_catalogue_is_listed():
    rows = re.findall(r"(?m)^\| `(\w+)` \| .+ \|$", TEXTS[0])
    assert rows == ["model", *CATALOGUE]
