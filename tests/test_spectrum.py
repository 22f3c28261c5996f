"""The transform in blocks is scipy's, comes back, and refuses what cannot."""

import numpy as np
import pytest
from signals import noise, refused

from helpers import spectrum as module
from helpers.sound import Sound

SIZES = [(2048, 512), (2048, 1024), (2048, 256), (512, 64), (1200, 300), (2, 1)]
# Samples of .1, rounded to 2**-27 in each of some 11 stages of an FFT, there and back;
# twice over where half-overlapping windows leave a weight of one half: 44 at worst.
EXACT = {"rtol": 0, "atol": 44 * 2**-27}


# A sound, its transform, and the numbers of all its frames.
def made(n_samples, n_fft=64, hop=16, n_channels=2):
    sound, stft = (
        Sound(noise(n_samples, n_channels), 8000),
        module.make_stft(8000, n_fft, hop),
    )
    return sound, stft, np.arange(module.n_frames(sound, stft=stft))


@pytest.mark.parametrize(("n_fft", "hop"), SIZES)
@pytest.mark.parametrize("n_samples", [1024, 20_001])
def test_the_spectrum_is_that_of_scipy(n_samples, n_fft, hop):
    sound, stft, numbers = made(n_samples, n_fft, hop)
    expected = stft.stft(sound.samples.T).transpose(0, 2, 1)
    spectrum = module.spectrum_of(sound, numbers, stft=stft)
    assert spectrum.dtype == np.complex64
    # Sums of n_fft products of .1: their rounding grows as a random walk, and five
    # deviations of it are hardly ever exceeded.
    atol = max(5 * np.sqrt(n_fft) * 2**-26, 1e-7)
    np.testing.assert_allclose(spectrum, expected, rtol=0, atol=atol)


@pytest.mark.parametrize(("n_fft", "hop"), SIZES)
def test_the_way_back_is_that_of_scipy(n_fft, hop):
    sound, stft, numbers = made(5000, n_fft, hop, 1)
    spectrum = module.spectrum_of(sound, numbers, stft=stft)
    spectrum *= np.random.default_rng(1).uniform(-1, 1, spectrum.shape)  # nobody's now
    output = np.zeros_like(sound.samples)
    module.add_spectrum(output, spectrum, stft=stft)
    expected = stft.istft(spectrum[0].T, k1=5000)
    np.testing.assert_allclose(output[:, 0], expected, **EXACT)


@pytest.mark.parametrize("n_samples", [1, 2, 63, 64, 65, 1601])
@pytest.mark.parametrize("n_rows", [1, 3, 10_000])
def test_what_nobody_changed_comes_back_in_blocks_too(n_samples, n_rows):
    sound, stft, numbers = made(n_samples)
    output = np.zeros_like(sound.samples)
    for first in range(0, len(numbers), n_rows):
        spectrum = module.spectrum_of(sound, numbers[first : first + n_rows], stft=stft)
        module.add_spectrum(output, spectrum, stft=stft, first=first)
    np.testing.assert_allclose(output, sound.samples, **EXACT)


@pytest.mark.parametrize("n_samples", [10, 400])
def test_frames_are_cut_in_any_order(n_samples):
    sound, stft, numbers = made(n_samples)
    picked = np.random.default_rng(0).choice(numbers, 20)
    every = module.cut_frames(sound, numbers, stft=stft)
    found = module.cut_frames(sound, picked, stft=stft)
    np.testing.assert_array_equal(found, every[:, picked])


def test_blocks_cover_all_rows_once():
    rows = np.concatenate(list(module.blocks(3000)))
    np.testing.assert_array_equal(rows, np.arange(3000))


def test_frames_have_the_times_of_scipy():
    _, stft, numbers = made(1601)
    np.testing.assert_allclose(module.seconds_of(numbers, stft=stft), stft.t(1601))


WRONG = [(2048, 1025), (2048, 0), (2048, -512), (2048, 500), (0, 0), (-2048, 512)]
WRONG += [(2048.0, 512), ("2048", 512), (2048, None), (2**17, 2**15)]


@pytest.mark.parametrize(("n_fft", "hop_length"), WRONG)
def test_lengths_that_cannot_come_back_are_refused(n_fft, hop_length):
    with refused(r"^n_fft=.* hop_length=.* do not fit: choose"):
        module.make_stft(44100, n_fft, hop_length)


def test_mel_bands_are_triangles_of_equal_width_in_mel_up_to_half_the_rate():
    weights = module.mel_bands(np.arange(0, 8001), 10)
    # A whole number of hertz lies within 1 Hz of each peak and each end.
    np.testing.assert_allclose(weights.max(axis=0), 1, atol=0.02)
    heard = np.flatnonzero((weights > 1e-6).any(axis=1))
    assert (heard[0], heard[-1]) == (41, 7999)
    mel = 2595 * np.log10(1 + weights.argmax(axis=0) / 700)
    np.testing.assert_allclose(np.diff(mel), np.diff(mel).mean(), atol=2)
