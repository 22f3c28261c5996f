"""The transform comes back, refuses what cannot, and has its units right."""

import numpy as np
import pytest

from helpers.audio import AudioError, Sound
from helpers.spectrum import STFT, by_blocks, mel_bands

# Some 11 single-precision steps (2**-23 each) for an FFT of 2**11 there and back, twice
# over where half-overlapping windows leave a weight of one half.
EXACT = {"rtol": 0, "atol": 5e-6}


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize("n_samples", [1, 2, 511, 512, 513, 2047, 2048, 20001])
@pytest.mark.parametrize(
    ("n_fft", "hop_length"),
    [(2048, 512), (2048, 1024), (2048, 256), (512, 64), (1200, 300), (2, 1)],
)
def test_what_nobody_changed_comes_back(n_samples, n_fft, hop_length):
    stft, samples = STFT(44100, n_fft, hop_length), noise(n_samples)
    spectrum = stft.analyse(samples)
    back = stft.synthesise(spectrum, n_samples=n_samples)
    assert spectrum.shape == (stft.n_frames(n_samples), n_fft // 2 + 1)
    assert back.shape == (n_samples,)
    np.testing.assert_allclose(back, samples, **EXACT)


def test_a_minute_comes_back_in_single_precision():
    stft, samples = STFT(44100), noise(60 * 44100 + 1)
    spectrum = stft.analyse(samples)
    assert spectrum.dtype == np.complex64
    back = stft.synthesise(spectrum, n_samples=len(samples))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, samples, **EXACT)


def test_a_frame_is_centred_on_its_sample():
    stft, samples, i = STFT(1000, 64, 16), noise(400), 7
    around = samples[i * 16 - 32 : i * 16 + 32]
    expected = np.fft.rfft(around * np.hanning(65)[:64])
    # Sums of 64 single-precision products of about one.
    np.testing.assert_allclose(stft.analyse(samples)[i], expected, atol=1e-4)


def test_frequencies_are_in_hertz_and_times_in_seconds():
    stft = STFT(8000, 256, 64)
    np.testing.assert_allclose(stft.frequencies, np.arange(129) * 31.25)
    np.testing.assert_allclose(stft.times(4), [0, 0.008, 0.016, 0.024])
    sine = np.sin(2 * np.pi * 1000 * np.arange(2000) / 8000).astype(np.float32)
    loudest = np.abs(stft.analyse(sine)[10]).argmax()
    assert stft.frequencies[loudest] == 1000


@pytest.mark.parametrize(
    ("n_fft", "hop_length"),
    [(2048, 1025), (2048, 0), (2048, -512), (2048, 500), (15, 5), (0, 0), (-2048, 512)],
)
def test_lengths_that_cannot_come_back_are_refused(n_fft, hop_length):
    with pytest.raises(AudioError, match=f"hop_length={hop_length}.*choose"):
        STFT(44100, n_fft, hop_length)


@pytest.mark.parametrize("block_frames", [1, 3, 1000])
@pytest.mark.parametrize("n_samples", [1, 300, 1601])
def test_blocks_join_to_the_very_same_samples(n_samples, block_frames):
    stft, sound = STFT(8000, 64, 16), Sound(noise(n_samples, 2), 8000)
    result = by_blocks(
        sound, lambda cut, _: cut, stft=stft, context=2, block_frames=block_frames
    )
    assert result.rate == 8000
    np.testing.assert_array_equal(result.samples, sound.samples)


@pytest.mark.parametrize("block_frames", [1, 5, 64])
def test_a_process_of_frames_leaves_no_seam_between_blocks(block_frames):
    stft, sound = STFT(8000, 64, 16), Sound(noise(3001, 2), 8000)

    def darken_with_time(cut, frames):
        gain = 1 / (1 + np.array(frames)[:, None] * stft.frequencies / 1e5)
        return np.stack(
            [stft.inverse(stft.transform(channel) * gain) for channel in cut.T], axis=1
        )

    whole, pieces = (
        by_blocks(sound, darken_with_time, stft=stft, context=4, block_frames=n)
        for n in (10**6, block_frames)
    )
    np.testing.assert_allclose(pieces.samples, whole.samples, **EXACT)
    assert np.abs(whole.samples - sound.samples).max() > 0.1


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
    stft = STFT(8000)
    weights = mel_bands(stft.frequencies, 20)
    assert weights[-2, -1] > 0
    assert weights[-1, -1] == 0
