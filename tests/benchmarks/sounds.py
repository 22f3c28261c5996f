"""Sounds of any length for the benchmarks: notes and noises from a seed."""

import numpy as np

from helpers.audio import Sound, allocate, release

RATE = 44_100


def make_sound(seconds: float, *, seed: int) -> Sound:
    """Make a stereo sound, a note with a noisy onset every quarter of a second.

    Pitch, brightness and loudness of the notes are drawn from the seed, which decides
    also in which octave they lie: sounds of two seeds have two timbres.
    """
    rng, n_samples = np.random.default_rng(seed), round(seconds * RATE)
    lowest = 110 * 2 ** (seed % 4)
    t = np.arange(RATE // 4)[:, None] / RATE
    partials = np.arange(1, 13)

    samples = allocate(n_samples, 2)
    for start in range(0, n_samples, len(t)):
        pitch = lowest * 2 ** (rng.integers(24) / 12)
        levels = partials ** -rng.uniform(0.5, 2) * (pitch * partials < 15_000)
        note = np.sin(2 * np.pi * pitch * partials * t) @ levels
        noise = rng.standard_normal(t.shape) * np.exp(-t * 60) * rng.random()
        decay = np.exp(-t * rng.uniform(2, 12)) * rng.uniform(0.02, 0.2)
        pan = rng.uniform(0.3, 1, size=2)
        place = samples[start : start + len(t)]
        place[:] = ((note[:, None] + noise) * decay * pan)[: len(place)]
        release(samples)
    return Sound(samples, RATE)
