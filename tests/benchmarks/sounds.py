"""Sounds of any length for the benchmarks: notes and noises from a seed."""

from collections.abc import Iterator

import numpy as np

from helpers.audio import Sound, gather

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

    def notes() -> Iterator[np.ndarray]:
        for start in range(0, n_samples, len(t)):
            pitch = lowest * 2 ** (rng.integers(24) / 12)
            levels = partials ** -rng.uniform(0.5, 2) * (pitch * partials < 15_000)
            note = np.sin(2 * np.pi * pitch * partials * t) @ levels
            noise = rng.standard_normal(t.shape) * np.exp(-t * 60) * rng.random()
            decay = np.exp(-t * rng.uniform(2, 12)) * rng.uniform(0.02, 0.2)
            pan = rng.uniform(0.3, 1, size=2)
            yield ((note[:, None] + noise) * decay * pan)[: n_samples - start]

    return Sound(gather(notes(), n_samples=n_samples, n_channels=2), RATE)
