"""The notebook runs on any sounds, keeps its promises and is stored clean."""

import re
import shutil
import subprocess
import sys
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import soundfile
from copies import NOTEBOOK, copy_project, read_notebook, write_sound
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from helpers.audio import AudioError
from helpers.dials import Dials
from helpers.gallery import COLUMNS
from helpers.models import CATALOGUE

HEADINGS = [
    "# Predictive Convolution",
    "## Initialization and FFT analysis",
    "## Initial attempt (failure)",
    "### Lessons learned",
    "## Successful predictive convolution",
    "## Testing hyperparameters and additional models",
    "## What to do next",
]
A = {"seed": 1, "seconds": 0.9, "rate": 32000, "channels": 2}
B = {"seed": 2, "seconds": 0.6, "rate": 44100, "channels": 1}


def run(folder, *, first="", last="", **parameters):
    """Execute the notebook in `folder` with parameters, as papermill injects them.

    `first` is code to run along with these, `last` code to run after all cells.
    """
    notebook = read_notebook(folder)
    tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
    given = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    cell = nbformat.v4.new_code_cell(f"{given}\n{first}")
    notebook.cells.insert(tags.index(["parameters"]) + 1, cell)
    if last:
        notebook.cells.append(nbformat.v4.new_code_cell(last))
    place = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, resources=place, timeout=300).execute()
    return notebook


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Run the notebook once, on two sounds unlike in length, rate and channels."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    write_sound(folder / "input_audio" / "a.wav", **A)
    write_sound(folder / "input_audio" / "b.wav", **B)
    notebook = run(folder, fileA="input_audio/a.wav", fileB="input_audio/b.wav")
    return folder, notebook


RENDERS = [
    f"a_to_b/{model}_{way}.wav" for model in CATALOGUE for way in ("a_to_b", "b_to_a")
]


@pytest.mark.parametrize("name", ["a_to_b.wav", *RENDERS])
def test_each_promised_sound_is_there_and_can_be_heard(name, executed):
    samples, rate = soundfile.read(executed[0] / "output_audio" / name, always_2d=True)
    target = A if name.endswith("_b_to_a.wav") else B
    assert rate == target["rate"]
    assert samples.shape == (round(target["seconds"] * rate), target["channels"])
    assert np.isfinite(samples).all()
    # The notebook finishes sounds at a peak of -1 dB; half a dB is left to finishing.
    assert 10 ** (-1.5 / 20) < np.abs(samples).max() < 10 ** (-0.5 / 20)


def test_the_scoreboard_lists_every_render(executed):
    board = pd.read_csv(executed[0] / "output_audio" / "a_to_b" / "scoreboard.csv")
    assert list(board.columns) == COLUMNS
    assert {"file", "model", "recipe", "direction", "seconds"} <= set(COLUMNS)
    assert sorted(f"a_to_b/{file}" for file in board["file"]) == sorted(RENDERS)
    assert (board["seconds"] > 0).all()


def test_nothing_else_is_written(executed):
    known = {*RENDERS, "a_to_b", "a_to_b.wav", "a_to_b/scoreboard.csv"}
    known |= {"a_to_b_montage.csv", "a_to_b_montage.txt"}
    output = executed[0] / "output_audio"
    written = {path.relative_to(output).as_posix() for path in output.rglob("*")}
    assert written == known
    sounds = {path.name for path in (executed[0] / "input_audio").iterdir()}
    assert sounds == {"a.wav", "b.wav"}


def test_no_cell_complains(executed):
    outputs = [o for cell in executed[1].cells for o in cell.get("outputs", [])]
    complaints = [o for o in outputs if o.get("name") == "stderr"]
    assert [o.text for o in complaints] == []


def test_every_sound_has_a_player_and_there_are_pictures(executed):
    outputs = [
        o.data for c in executed[1].cells for o in c.get("outputs", []) if "data" in o
    ]
    page = "".join(data.get("text/html", "") for data in outputs)
    assert page.count("<audio") >= len(RENDERS)
    assert sum("image/png" in data for data in outputs) >= 10


def test_the_last_cell_plays_the_result_and_links_to_its_file(executed):
    (output,) = executed[1].cells[-1].outputs
    assert '<a href="output_audio/a_to_b.wav">' in output.data["text/html"]
    assert "<audio" in output.data["text/html"]


def test_sliders_stand_still_on_the_web_page(tmp_path):
    folder = copy_project(tmp_path)
    notebook = read_notebook(folder)
    # The cell that imports them and the one that shows them.
    notebook.cells = [cell for cell in notebook.cells if "FloatSlider" in cell.source]
    nbformat.write(notebook, folder / NOTEBOOK)
    command = [sys.executable, "-m", "nbconvert", "--config", ".nbconvert.py"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    page = (folder / "output_audio" / "predictive_convolution.html").read_text("utf-8")
    # nbconvert writes a tag's attributes in an order of its own.
    sliders = dict(re.findall(r"(\w+) (<input [^>]*>)", page))
    assert list(sliders) == [dial.name for dial in fields(Dials)]
    assert all('type="range"' in tag for tag in sliders.values())
    assert all("disabled" in tag for tag in sliders.values())


def test_the_walk_ends_in_the_sound_of_the_one_line(executed):
    texts = [
        o.text for c in executed[1].cells for o in c.get("outputs", []) if "text" in o
    ]
    (line,) = [text for text in texts if "largest difference, of a full scale" in text]
    # scipy works in double precision, the helpers in single: some hundred roundings.
    assert float(line.split()[-1]) < 1e-4


def test_another_take_never_replaces_one_that_differs(tmp_path):
    folder = copy_project(tmp_path)
    write_sound(folder / "input_audio" / "a.wav", **A)
    write_sound(folder / "input_audio" / "b.wav", **B)
    sounds = {"fileA": "input_audio/a.wav", "fileB": "b.wav"}
    output, seen = folder / "output_audio", []
    for peak_db in (-1.0, -6.0, -1.0):
        run(folder, **sounds, compare=["nearest_path"], peak_db=peak_db)
        seen.append({p.name: p.read_bytes() for p in output.glob("*.wav")})
    assert [sorted(takes) for takes in seen] == [
        ["a_to_b.wav"],
        ["a_to_b.wav", "a_to_b_2.wav"],
        ["a_to_b.wav", "a_to_b_2.wav"],
    ]
    assert seen[0]["a_to_b.wav"] == seen[2]["a_to_b.wav"]


def test_a_folder_may_be_a_and_b_is_left_out_of_it(tmp_path):
    folder = copy_project(tmp_path)
    (folder / "sounds" / "more").mkdir(parents=True)
    for i, name in enumerate(("one.wav", "two.wav", "more/three.wav")):
        write_sound(folder / "sounds" / name, **(A | {"seed": i}))
    run(folder, fileA="sounds", fileB="sounds/two.wav", compare=["nearest_path"])
    output = folder / "output_audio"
    assert (output / "sounds_to_two.wav").exists()
    files = pd.read_csv(output / "sounds_to_two_montage.csv")["file"]
    assert {Path(file).name for file in files} <= {"one.wav", "three.wav"}


def test_tools_that_are_missing_are_named_in_one_sentence(tmp_path):
    folder = copy_project(tmp_path)
    shutil.rmtree(folder / "helpers")
    with pytest.raises(CellExecutionError) as caught:
        run(folder)
    assert "Not found: helpers." in caught.value.evalue
    assert "README" in caught.value.evalue


BAD = {
    "missing": (lambda path: None, "cannot be read"),
    "silent": (lambda path: soundfile.write(path, np.zeros(800), 8000), "is silent"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_sound_stops_with_one_sentence_and_writes_nothing(fault, tmp_path):
    make, word = BAD[fault]
    folder = copy_project(tmp_path)
    write_sound(folder / "input_audio" / "a.wav", **A)
    make(folder / "input_audio" / "b.wav")
    with pytest.raises(CellExecutionError) as caught:
        run(folder, fileA="input_audio/a.wav", fileB="input_audio/b.wav")
    assert caught.value.ename == "AudioError"
    assert word in caught.value.evalue
    assert "b.wav" in caught.value.evalue
    assert "\n" not in caught.value.evalue
    # The reader sees that sentence and nothing else.
    shown = caught.value.traceback.split("-" * 18)[-1].strip()
    assert shown == f"AudioError: {caught.value.evalue}"
    assert list((folder / "output_audio").iterdir()) == []


IN_SMALL_BLOCKS = """
from helpers import audio, finishing, show, spectrum
audio.IN_MEMORY, audio.BLOCK, spectrum.BLOCK_FRAMES = 2**18, 2**17, 256
finishing.STRETCH, show.EMBEDDED_SECONDS = 2**18, 20
"""
PEAK_MB = r"""
import re
from pathlib import Path
# Not ru_maxrss, which starts from that of the process that started this one.
status = Path("/proc/self/status").read_text()
print(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024)
"""


def peak_mb(folder, **seconds) -> float:
    """Run the notebook on sounds `a` and `b` of so many seconds: its peak of memory."""
    copy_project(folder)
    for name in "ab":
        path = folder / "input_audio" / f"{name}.wav"
        write_sound(path, seed=ord(name), seconds=6, rate=8000, channels=2)
        samples, rate = soundfile.read(path, dtype="int16")
        soundfile.write(path, np.tile(samples, (seconds[name] // 6, 1)), rate)
    settings = {"compare": ["nearest_path"], "excerpt_seconds": 5}
    code = {"first": IN_SMALL_BLOCKS, "last": PEAK_MB}
    notebook = run(folder, **code, fileA="a.wav", fileB="b.wav", **settings)
    return float(notebook.cells[-1].outputs[0].text)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for memory in use")
def test_the_notebook_looks_at_long_sounds_in_bounded_memory(tmp_path):
    (tmp_path / "short").mkdir()
    (tmp_path / "long").mkdir()
    short = peak_mb(tmp_path / "short", a=6, b=6)
    long = peak_mb(tmp_path / "long", a=1200, b=1200)
    # 1200 s are 77 MB of samples; none of the sounds is ever in memory as a whole. What
    # may grow are some hundred numbers for each of 19,000 frames of either.
    assert long - short < 70


WRONG = [
    ("fileA", [], "[] names no sounds"),
    ("continuity", 2, "continuity=2"),
    ("n_fft", 2048.0, "n_fft=2048.0"),
    ("hop_length", "512", "hop_length='512'"),
    ("seed", -1, "seed=-1"),
    ("peak_db", 3, "peak_db=3"),
    ("fade_seconds", 11, "fade_seconds=11"),
    ("noise_reduction_db", 61, "noise_reduction_db=61"),
    ("loudness_lufs", "loud", "loudness_lufs='loud'"),
    ("trim", "yes", "trim='yes'"),
    ("subtype", "PCM_8", "cannot hold PCM_8"),
    ("excerpt_seconds", 0, "excerpt_seconds=0"),
    ("compare", "ridge", "'ridge' is a name and no list"),
    ("compare", 1, "1 is no list of models"),
    ("model", "rigde", "no model 'rigde'"),
]


@pytest.mark.parametrize(("name", "value", "words"), WRONG)
def test_a_wrong_setting_is_refused_before_any_sound_is_read(name, value, words):
    settings, *others = (c for c in read_notebook().cells if c.cell_type == "code")
    code = "\n".join(cell.source for cell in others).partition("\nwhole_a = load(")[0]
    code = re.sub("(?m)^%.*", "", code)
    names = {}
    exec(f"{settings.source}\n{name} = {value!r}", names)
    with pytest.raises(AudioError, match=re.escape(words)):
        exec(code, names)


def test_it_is_stored_without_outputs():
    cells = [cell for cell in read_notebook().cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] for cell in cells)
    assert all(cell.execution_count is None for cell in cells)


def test_it_is_a_valid_notebook_in_the_current_format():
    notebook = read_notebook()
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"


def test_the_settings_are_right_under_their_heading():
    cells = read_notebook().cells
    tagged = [
        i for i, c in enumerate(cells) if "parameters" in c.metadata.get("tags", [])
    ]
    assert len(tagged) == 1
    above = cells[tagged[0] - 1]
    assert above.cell_type == "markdown"
    assert above.source.startswith("## Initialization and FFT analysis\n")
    assert cells[tagged[0]].source.startswith("fileA = ")
    assert "\nfileB = " in cells[tagged[0]].source


def test_the_walk_has_its_headings_in_order():
    texts = [c.source for c in read_notebook().cells if c.cell_type == "markdown"]
    lines = [line for text in texts for line in text.splitlines()]
    assert [line for line in lines if line in HEADINGS] == HEADINGS


def test_code_cells_are_short():
    sources = [c.source for c in read_notebook().cells if c.cell_type == "code"]
    assert [s for s in sources[1:] if len(s.splitlines()) > 15] == []


def test_each_setting_is_a_line_that_says_what_it_does():
    settings = next(c.source for c in read_notebook().cells if c.cell_type == "code")
    lines = settings.splitlines()
    assert [ln for ln in lines if not re.fullmatch(r"\w+ = \S.*  # \w.+", ln)] == []


def test_there_is_prose_before_every_code_cell():
    kinds = [cell.cell_type for cell in read_notebook().cells]
    assert ("code", "code") not in list(pairwise(kinds))


def test_the_models_are_listed_where_one_chooses_in_the_words_of_the_catalogue():
    (text,) = [c.source for c in read_notebook().cells if "| `model` |" in c.source]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE)
    assert dict(rows[1:]) == {name: entry.sound for name, entry in CATALOGUE.items()}
