"""Whatever two sounds go in: a sound comes out, or one sentence that helps."""

import os
import re

import numpy as np
import pytest

from helpers.audio import AudioError, Sound
from helpers.convolution import predictive_convolution
from helpers.finishing import Finishing, finish
from helpers.models import CATALOGUE

N_PAIRS = int(os.environ.get("ODD_PAIRS", "120"))  # thousands, when there is time
LONGEST = int(os.environ.get("ODD_SAMPLES", "20000"))
CHANNELS = [1, 1, 2, 3, 8, 64]
ONE_SENTENCE = r"(?!.*\. [A-Z])[^\n]+: [a-z][^\n]+\."  # what, and the remedy
DIALS = [1.0, 0.5, 0.0, [(0, 0), (0.1, 1)], [(0.01, 1), (0.01, 0)]]


def steady(rng, n):
    return np.full(n, 0.5)


def click(rng, n):
    samples = np.zeros(n)
    samples[rng.integers(n)] = 1
    return samples


def square(rng, n):
    return np.sign(np.sin(np.arange(n) * 0.05) + 1e-9)


def sine(rng, n):
    return np.sin(np.arange(n) * rng.uniform(1e-3, 3))


def noise(rng, n):
    return rng.uniform(-1, 1, n)


def whisper(rng, n):
    return 2e-6 * rng.choice([-1.0, 1.0], n)


def bursts(rng, n):
    return rng.standard_normal(n) * (np.sin(np.arange(n) * 0.003) > 0.9)


def half_silent(rng, n):
    return np.where(np.arange(n) < n // 2, 0, rng.uniform(-1, 1, n))


def over_full_scale(rng, n):
    return 1000 * rng.standard_normal(n)


def nyquist(rng, n):
    return np.resize([1.0, -1.0], n)


def decay(rng, n):
    return np.exp(-np.arange(n) * 0.01) * rng.uniform(-1, 1, n)


def silence(rng, n):
    return np.zeros(n)


def not_a_number(rng, n):
    return np.where(np.arange(n) == n // 2, np.nan, 0.1)


def infinite(rng, n):
    return np.where(np.arange(n) == n // 3, -np.inf, 0.1)


def clicks(rng, n):
    return (rng.random(n) < 0.01) * rng.uniform(-1, 1, n)


def glide(rng, n):
    return np.sin(np.cumsum(np.linspace(0.001, 3, n)))


def chord(rng, n):
    tones = np.outer(np.arange(n), rng.uniform(0.01, 0.5, 5))
    return np.sin(tones).sum(axis=1) / 5


def tune(rng, n):
    hertz = np.repeat(rng.uniform(0.02, 0.2, n // 500 + 1), 500)[:n]
    return np.sin(np.cumsum(hertz)) * np.exp(-(np.arange(n) % 500) * 0.005)


def brown(rng, n):
    return np.cumsum(rng.standard_normal(n)) / np.sqrt(n)


def offset_and_trace(rng, n):
    return 0.9 + 1e-5 * rng.standard_normal(n)


def clipped(rng, n):
    return (3 * np.sin(np.arange(n) * 0.03)).clip(-1, 1)


def one_sample_at_the_end(rng, n):
    return np.arange(n) == n - 1.0


KINDS = [steady, click, square, sine, noise, whisper, bursts, half_silent]
KINDS += [over_full_scale, nyquist, decay, silence, not_a_number, infinite, clicks]
KINDS += [glide, chord, tune, brown, offset_and_trace, clipped, one_sample_at_the_end]


def between(rng, low: int, high: int) -> int:
    """Draw a whole number, of every size alike."""
    return round(low * (high / low) ** rng.random())


def draw(rng) -> Sound:
    """Draw a sound of some kind, length, rate and number of channels."""
    kind, n_samples = rng.choice(KINDS), between(rng, 2, LONGEST)
    n_channels = int(rng.choice(CHANNELS))
    columns = [kind(rng, n_samples) for _ in range(n_channels)]
    samples = np.stack(columns, axis=1).astype(np.float32)
    return Sound(samples, between(rng, 1000, 768_000))


@pytest.mark.parametrize("seed", range(N_PAIRS))
def test_an_odd_pair_gives_a_finite_sound_like_b_or_one_sentence(seed):
    rng = np.random.default_rng(seed)
    a, b = draw(rng), draw(rng)
    hop_length = between(rng, 1, 4096)
    n_fft = hop_length * int(rng.choice([2, 4, 8]))
    settings = {"n_fft": n_fft, "hop_length": hop_length}
    settings["model"] = str(rng.choice(list(CATALOGUE)))
    for dial in ("blend", "continuity", "melody", "dynamics"):
        settings[dial] = DIALS[rng.integers(len(DIALS))]
    finishing = Finishing(
        noise_reduction_db=float(rng.choice([0, 12, 60])),
        fade_seconds=float(rng.choice([0, 0.005, 10])),
        peak_db=float(rng.choice([-60, -1, 0])),
        loudness_lufs=rng.choice([None, -20.0]),
    )
    sounds, complaint = outcome(a, b, settings, finishing)
    assert not complaint or re.fullmatch(ONE_SENTENCE, complaint)
    for sound in sounds:
        assert sound.rate == b.rate
        assert sound.samples.shape == b.samples.shape
        assert sound.samples.dtype == np.float32
        assert np.isfinite(sound.samples).all()
        for stretch in sound.stretches:
            assert 0 <= stretch.start < stretch.stop <= b.duration + 1e-9
            assert 0 <= stretch.file_start < a.duration + n_fft / b.rate


def outcome(a, b, settings, finishing) -> tuple[list[Sound], str]:
    """Render and finish: the sounds, or else what an `AudioError` says."""
    try:
        sound = predictive_convolution(a, b, **settings)
        return [sound, finish(sound, finishing)], ""
    except AudioError as error:
        return [], str(error)


def test_most_odd_pairs_give_a_sound():
    # Three of 22 kinds are no sounds, and many are too short or too slow to be one.
    rngs = [np.random.default_rng(seed) for seed in range(40)]
    pairs = [(draw(rng), draw(rng)) for rng in rngs]
    found = [outcome(a, b, {}, None)[0] for a, b in pairs]
    assert sum(map(bool, found)) > 10
