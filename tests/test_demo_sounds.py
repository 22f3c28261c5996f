"""The demo sounds are fit to listen to, and come out of their script."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

FOLDER = Path(__file__).parents[1] / "input_audio"
NAMES = ["bell", "bird", "drums", "music_box", "voice"]


@pytest.fixture(scope="module")
def script():
    """Run the script where it lies: its folder is no package."""
    return SimpleNamespace(**runpy.run_path(FOLDER / "make_demo_sounds.py"))


@pytest.mark.parametrize("name", NAMES)
def test_level_is_healthy_ends_are_silent_and_channels_differ(name):
    samples, rate = soundfile.read(FOLDER / f"{name}.wav")
    assert 4 <= len(samples) / rate <= 8
    assert abs(samples).max() == pytest.approx(10 ** (-3 / 20), abs=2**-15)
    assert abs(samples[[0, -1]]).max() < 1e-3
    left, right = samples.T
    assert np.std(left - right) > 0.05 * np.std(samples)
    assert np.std(left + right) > np.std(left - right)  # safe to mix to mono


@pytest.mark.parametrize("name", NAMES)
def test_script_reproduces_the_file(script, name):
    rendered, subtype = script.render(name), script.SOUNDS[name][1]
    stored, rate = soundfile.read(FOLDER / f"{name}.wav", dtype=rendered.dtype.name)
    assert (rate, stored.shape) == (script.RATE, rendered.shape)
    # The last digit of sin, exp or a matrix product differs between processors and
    # libraries: a value on the edge may round the other way, by one step and no more.
    step = 1 if subtype == "PCM_16" else 2**8
    assert abs(stored.astype(np.int64) - rendered).max() <= step
