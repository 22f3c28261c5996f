"""The demo sounds are there, are fit to listen to, and come out of their script."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import soundfile

FOLDER = Path(__file__).parents[1] / "input_audio"
NAMES = ["bell", "bird", "drums", "music_box", "voice"]


@pytest.fixture(scope="module")
def script():
    """Import the script from where it lies: its folder is no package."""
    path = FOLDER / "make_demo_sounds.py"
    spec = importlib.util.spec_from_file_location("make_demo_sounds", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_script_knows_every_demo_sound(script):
    assert sorted(script.SOUNDS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_file_is_stereo_at_44100_hz_and_lasts_4_to_8_s(name):
    info = soundfile.info(FOLDER / f"{name}.wav")
    assert (info.samplerate, info.channels) == (44_100, 2)
    assert 4 <= info.duration <= 8


def test_both_16_and_24_bits_occur():
    subtypes = {soundfile.info(FOLDER / f"{name}.wav").subtype for name in NAMES}
    assert subtypes == {"PCM_16", "PCM_24"}


@pytest.mark.parametrize("name", NAMES)
def test_level_is_healthy_ends_are_silent_and_channels_differ(name):
    samples, _ = soundfile.read(FOLDER / f"{name}.wav")
    assert abs(samples).max() == pytest.approx(10 ** (-3 / 20), abs=2**-15)
    assert abs(samples[[0, -1]]).max() < 1e-3
    left, right = samples.T
    assert np.std(left - right) > 0.05 * np.std(samples)
    assert np.std(left + right) > np.std(left - right)  # safe to mix to mono


@pytest.mark.parametrize("name", NAMES)
def test_script_reproduces_the_file(script, name):
    path = FOLDER / f"{name}.wav"
    subtype = script.SOUNDS[name][1]
    assert soundfile.info(path).subtype == subtype
    rendered = script.render(name)
    stored, rate = soundfile.read(path, dtype=rendered.dtype.name)
    assert (rate, stored.shape) == (script.RATE, rendered.shape)
    # The last digit of sin, exp or a matrix product differs between processors and
    # libraries: a value on the edge may round the other way, by one step and no more.
    step = 1 if subtype == "PCM_16" else 2**8
    assert abs(stored.astype(np.int64) - rendered).max() <= step


def test_two_renders_are_identical(script):
    np.testing.assert_array_equal(script.render("drums"), script.render("drums"))
