"""The batched transform is scipy's, comes back, and refuses what cannot."""

import tracemalloc

import numpy as np
import pytest

from helpers.audio import AudioError
from helpers.spectrum import (
    analyse,
    cut_frames,
    frame_blocks,
    make_stft,
    mel_bands,
    n_frames,
    overlap_add,
    pick_frames,
    synthesise,
)

# Some 11 single-precision steps (2**-23 each) for an FFT of 2**11 there and back, twice
# over where half-overlapping windows leave a weight of one half.
EXACT = {"rtol": 0, "atol": 5e-6}
SIZES = [(2048, 512), (2048, 1024), (2048, 256), (512, 64), (1200, 300), (2, 1)]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def there_and_back(samples, *, stft, n_rows):
    """Take a sound apart and put it together, `n_rows` frames at a time."""
    output = np.zeros_like(samples)
    last = n_frames(len(samples), stft=stft)
    for first in range(0, last, n_rows):
        rows = slice(first, min(first + n_rows, last))
        spectrum = analyse(samples, stft=stft, rows=rows)
        synthesise(output, spectrum, stft=stft, first=first)
    return output


@pytest.mark.parametrize(("n_fft", "hop_length"), SIZES)
@pytest.mark.parametrize("n_samples", [1024, 2048, 20001])
def test_the_spectrum_is_that_of_scipy(n_samples, n_fft, hop_length):
    stft, samples = make_stft(44100, n_fft, hop_length), noise(n_samples, 2)
    spectrum = analyse(samples, stft=stft)
    expected = stft.stft(samples.T).transpose(0, 2, 1)
    assert spectrum.dtype == np.complex64
    # Sums of n_fft products of about one: their rounding grows as a random walk, and
    # five deviations of it are hardly ever exceeded.
    atol = 5 * np.sqrt(n_fft) * 2**-23
    np.testing.assert_allclose(spectrum, expected, rtol=0, atol=max(atol, 1e-6))


@pytest.mark.parametrize(("n_fft", "hop_length"), SIZES)
def test_the_way_back_is_that_of_scipy(n_fft, hop_length):
    stft, samples = make_stft(44100, n_fft, hop_length), noise(5000, 1)
    spectrum = analyse(samples, stft=stft)
    spectrum *= noise(*spectrum.shape, seed=1)  # changed, so it is nobody's transform
    output = np.zeros_like(samples)
    synthesise(output, spectrum, stft=stft)
    expected = stft.istft(spectrum[0].T, k1=len(samples))
    np.testing.assert_allclose(output[:, 0], expected, **EXACT)


@pytest.mark.parametrize("n_samples", [1, 2, 511, 512, 513, 2047, 2048, 20001])
@pytest.mark.parametrize(("n_fft", "hop_length"), SIZES)
def test_what_nobody_changed_comes_back(n_samples, n_fft, hop_length):
    stft, samples = make_stft(44100, n_fft, hop_length), noise(n_samples, 1)
    back = there_and_back(samples, stft=stft, n_rows=10**6)
    np.testing.assert_allclose(back, samples, **EXACT)


@pytest.mark.parametrize("n_rows", [1, 3, 64])
def test_blocks_of_frames_add_up_to_the_whole(n_rows):
    stft, samples = make_stft(8000, 64, 16), noise(1601, 2)
    whole, pieces = (
        there_and_back(samples, stft=stft, n_rows=n) for n in (10**6, n_rows)
    )
    np.testing.assert_allclose(pieces, whole, **EXACT)


def test_frame_blocks_cover_all_rows_once_and_get_shorter_with_more_channels():
    for n_channels in (1, 64):
        blocks = list(frame_blocks(3000, n_channels=n_channels))
        rows = np.concatenate([np.arange(b.start, b.stop) for b in blocks])
        np.testing.assert_array_equal(rows, np.arange(3000))
    assert len(blocks) > len(list(frame_blocks(3000)))


def test_a_frame_is_the_faded_stretch_around_its_sample():
    stft, samples, i = make_stft(1000, 64, 16), noise(400, 2), 7
    around = samples[i * 16 - 32 : i * 16 + 32]
    expected = (around * np.hanning(65)[:64, None]).T
    row = i - stft.p_min
    frames = cut_frames(samples, stft=stft, rows=slice(row, row + 1))
    np.testing.assert_allclose(frames[:, 0], expected, atol=1e-7)


@pytest.mark.parametrize("n_samples", [10, 400])
def test_frames_picked_by_number_are_those_of_the_whole(n_samples):
    stft, samples = make_stft(1000, 64, 16), noise(n_samples, 2)
    every = cut_frames(samples, stft=stft)
    numbers = np.random.default_rng(0).integers(0, every.shape[1], 20)
    picked = pick_frames(samples, numbers, stft=stft)
    np.testing.assert_array_equal(picked, every[:, numbers])


def test_picking_frames_at_the_ends_copies_nothing_else():
    stft, samples = make_stft(1000, 64, 16), noise(10**6, 1)
    last = n_frames(len(samples), stft=stft) - 1
    tracemalloc.start()
    pick_frames(samples, np.array([0, 1000, last]), stft=stft)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < samples.nbytes / 10  # three frames are far less


def test_overlap_add_adds_to_what_is_there():
    stft, samples = make_stft(1000, 64, 16), noise(400, 1)
    output = np.ones_like(samples)
    overlap_add(output, cut_frames(samples, stft=stft), stft=stft)
    np.testing.assert_allclose(output - 1, samples, **EXACT)


@pytest.mark.parametrize(
    ("n_fft", "hop_length"),
    [
        *((2048, 1025), (2048, 0), (2048, -512), (2048, 500), (15, 5), (0, 0)),
        *((-2048, 512), (2048.0, 512), ("2048", 512), (2048, None), (2**17, 2**15)),
    ],
)
def test_lengths_that_cannot_come_back_are_refused(n_fft, hop_length):
    with pytest.raises(AudioError, match=r"n_fft=.* hop_length=.*: choose"):
        make_stft(44100, n_fft, hop_length)


def test_mel_bands_are_triangles_of_equal_width_in_mel():
    frequencies = np.arange(0, 22050, 1.0)
    weights = mel_bands(frequencies, 10)
    assert weights.shape == (22050, 10)
    assert weights.min() == 0
    # A whole number of hertz lies within 1 Hz of each peak.
    np.testing.assert_allclose(weights.max(axis=0), 1, atol=0.02)
    heard = np.flatnonzero(weights.any(axis=1))
    assert (heard[0], heard[-1]) == (41, 15999)
    mel = 2595 * np.log10(1 + weights.argmax(axis=0) / 700)
    np.testing.assert_allclose(np.diff(mel), np.diff(mel).mean(), atol=2)


def test_mel_bands_end_at_half_the_rate():
    weights = mel_bands(make_stft(8000).f, 20)
    assert weights[-2, -1] > 0
    assert weights[-1, -1] == 0
