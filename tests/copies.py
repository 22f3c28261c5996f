"""Copies of the project in a temporary folder, with short sounds of its own."""

import shutil
from pathlib import Path

import nbformat
import numpy as np
import soundfile

ROOT = Path(__file__).parents[1]
NOTEBOOK = "predictive_convolution.ipynb"


def read_notebook(folder: Path = ROOT) -> nbformat.NotebookNode:
    """Read the notebook of the project or of a copy."""
    return nbformat.read(folder / NOTEBOOK, as_version=4)


def copy_project(folder: Path, **settings: object) -> Path:
    """Copy the notebook, with other settings, and its helpers, without any sound."""
    shutil.copytree(ROOT / "helpers", folder / "helpers")
    for name in (NOTEBOOK, ".nbconvert.py"):
        shutil.copy(ROOT / name, folder)
    (folder / "input_audio").mkdir()
    notebook = read_notebook(folder)
    (cell,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    cell.source += "".join(f"\n{name} = {value!r}" for name, value in settings.items())
    nbformat.write(notebook, folder / NOTEBOOK)
    return folder


def write_sound(path: Path, *, seed: int, seconds: float, rate: int, channels: int):
    """Write notes of a seeded melody, each with its own partials and a bit of noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    samples = 0.003 * rng.standard_normal((t.size, channels))
    for start in np.arange(0, seconds, 0.12):
        since = np.maximum(t - start, 0)
        partials = rng.uniform(200, 900) * np.arange(1, 6)
        note = np.sin(2 * np.pi * np.outer(since, partials)) @ rng.uniform(0, 1, 5)
        note *= 0.06 * np.exp(-12 * since)
        samples += np.outer(note, rng.uniform(0.5, 1, channels))
    soundfile.write(path, samples, rate, subtype="PCM_16")
