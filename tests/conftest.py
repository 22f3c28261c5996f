"""Two short sounds that differ in everything: a gliding tone and bursts of noise."""

import numpy as np
import pytest

from helpers.sound import Sound

RATE = 44100


@pytest.fixture(scope="session")
def tone() -> Sound:
    """Make 1.2 s of a wavering tone with eight partials, mono, never silent."""
    seconds = np.arange(int(1.2 * RATE)) / RATE
    turns = np.cumsum(220 * (1 + 0.3 * np.sin(2 * np.pi * 1.3 * seconds))) / RATE
    wave = sum(np.sin(2 * np.pi * k * turns) / k for k in range(1, 9))
    wave *= 0.1 * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * seconds))
    wave += 0.002 * np.random.default_rng(1).standard_normal(len(wave))
    return Sound(wave.astype(np.float32)[:, np.newaxis], RATE)


@pytest.fixture(scope="session")
def bursts() -> Sound:
    """Make 1 s of seven dying bursts of noise, stereo, the channels independent."""
    seconds = np.arange(RATE) / RATE
    envelope = np.exp(-15 * (seconds % (1 / 7)))[:, np.newaxis]
    noise = np.random.default_rng(2).uniform(-0.3, 0.3, (RATE, 2)) * envelope
    return Sound(noise.astype(np.float32), RATE)
