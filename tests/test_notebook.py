"""The notebook runs on any sounds, keeps its promises and is stored clean."""

import re

import nbformat
import numpy as np
import pandas as pd
import pytest
import soundfile
from copies import copy_project, read_notebook, write_sound
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

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


def run(folder, **parameters):
    """Execute the notebook in `folder` with parameters, as papermill injects them."""
    notebook = read_notebook(folder)
    tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
    given = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    cell = nbformat.v4.new_code_cell(given)
    notebook.cells.insert(tags.index(["parameters"]) + 1, cell)
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


RENDERS = [f"{model}_{way}.wav" for model in CATALOGUE for way in ("a_to_b", "b_to_a")]


@pytest.mark.parametrize("name", ["predictive_convolution.wav", *RENDERS])
def test_each_promised_sound_is_there_and_can_be_heard(name, executed):
    samples, rate = soundfile.read(executed[0] / "output_audio" / name, always_2d=True)
    target = A if name.endswith("_b_to_a.wav") else B
    assert rate == target["rate"]
    assert samples.shape == (round(target["seconds"] * rate), target["channels"])
    assert np.isfinite(samples).all()
    # The notebook finishes sounds at a peak of -1 dB; half a dB is left to finishing.
    assert 10 ** (-1.5 / 20) < np.abs(samples).max() < 10 ** (-0.5 / 20)


def test_the_scoreboard_lists_every_render(executed):
    board = pd.read_csv(executed[0] / "output_audio" / "scoreboard.csv")
    assert list(board.columns) == COLUMNS
    assert {"file", "model", "recipe", "direction", "seconds"} <= set(COLUMNS)
    assert sorted(board["file"]) == sorted(RENDERS)
    assert (board["seconds"] > 0).all()


def test_nothing_else_is_written(executed):
    known = {*RENDERS, "predictive_convolution.wav", "scoreboard.csv"}
    written = {path.name for path in (executed[0] / "output_audio").iterdir()}
    assert {name for name in written - known if not name.startswith(".")} == set()
    sounds = {path.name for path in (executed[0] / "input_audio").iterdir()}
    assert sounds == {"a.wav", "b.wav"}


def test_no_cell_complains(executed):
    outputs = [o for cell in executed[1].cells for o in cell.get("outputs", [])]
    complaints = [o for o in outputs if o.get("name") == "stderr"]
    assert [o.text for o in complaints] == []


def test_every_sound_has_a_player_and_every_picture_a_description(executed):
    outputs = [
        o.data for c in executed[1].cells for o in c.get("outputs", []) if "data" in o
    ]
    page = "".join(data.get("text/html", "") for data in outputs)
    assert page.count("<audio") >= len(RENDERS)
    assert len(re.findall('<img [^>]*alt="[^"]+', page)) == page.count("<img")
    assert page.count("<img") > 20
    assert not any("image/png" in data for data in outputs)  # they have no description


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
    assert list((folder / "output_audio").iterdir()) == []


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
    cells = [cell for cell in read_notebook().cells if cell.cell_type == "code"]
    long = [c.source for c in cells if len(c.source.splitlines()) > 13]
    assert long == []
