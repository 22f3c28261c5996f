"""The bin recipe: its columns, its exact relation, and what a model makes of it."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression

from helpers import spectrum
from helpers.bins import FEATURES, TARGETS, bin_table, convolve_bins, known_bins
from helpers.sound import Sound
from helpers.spectrum import cut_frames, make_stft

N_FFT = 256
STFT = make_stft(44100, N_FFT, 64)


class Exact(RegressorMixin, BaseEstimator):
    """The perfect model: the target is a function of magnitude and phase."""

    def fit(self, X, y):  # noqa: D102, N803
        self.part_ = np.cos if y.name == "raw_complex_real" else np.sin
        return self

    def predict(self, X):  # noqa: D102, N803
        return X["raw_magnitude"].to_numpy() * self.part_(X["raw_phase"].to_numpy())


@pytest.fixture
def frames(tone) -> np.ndarray:
    return cut_frames(tone, np.arange(200), stft=STFT)[0]


def test_a_row_is_one_bin_of_one_frame(frames):
    raw = frames[3] * np.float32(32768)
    rows = bin_table(frames)[3 * N_FFT : 4 * N_FFT]
    np.testing.assert_array_equal(rows["raw"], raw)
    np.testing.assert_allclose(rows["sine"], np.sin(raw), atol=2**-23)  # a step
    for name, wave in (("raw", raw), ("sine", np.sin(raw))):
        expected = np.fft.fft(wave)
        turned = rows[f"{name}_magnitude"] * np.exp(1j * rows[f"{name}_phase"])
        # A step of the largest bin in each of 8 stages of the FFT, and two of a phase.
        near = {"rtol": 0, "atol": 10 * 2**-23 * abs(expected).max()}
        np.testing.assert_allclose(turned, expected, **near)
        if name == "raw":
            given = rows["raw_complex_real"] + 1j * rows["raw_complex_imag"]
            np.testing.assert_allclose(given, expected, **near)


def test_the_columns_are_features_and_targets_in_single_precision(frames):
    table = bin_table(frames.astype(float))
    assert list(table) == FEATURES + TARGETS
    assert set(table.dtypes) == {np.dtype(np.float32)}


def test_with_a_perfect_model_all_of_b_comes_back(tone, bursts, monkeypatch):
    monkeypatch.setattr(spectrum, "BLOCK_FRAMES", 50)
    back = convolve_bins(tone, bursts, Exact(), stft=STFT)
    # A phase of up to pi is 2**-23 off at most, and the FFT as much in each of 8 steps;
    # so in each of the four frames that overlap.
    np.testing.assert_allclose(back.samples, bursts.samples, rtol=0, atol=64 * 2**-23)


def test_a_mirrored_spectrum_stays_symmetric(frames):
    half, mirrored = slice(1, N_FFT // 2), slice(N_FFT - 1, N_FFT // 2, -1)
    table = bin_table(frames)
    for name, sign in zip(table, (None, 1, -1, None, 1, -1, 1, -1), strict=True):
        if sign:
            bins = table[name].to_numpy().reshape(-1, N_FFT)
            np.testing.assert_array_equal(bins[:, half], sign * bins[:, mirrored])


def test_what_is_learned_is_spread_over_all_moments_and_channels(bursts):
    table = known_bins(bursts, stft=STFT, n_rows=20 * N_FFT)
    last = bin_table(cut_frames(bursts, np.array([692]), stft=STFT)[1])
    assert len(table) == 20 * N_FFT
    np.testing.assert_array_equal(table.tail(N_FFT), last)


def test_where_b_is_silent_so_is_what_is_predicted(tone, bursts):
    samples = np.pad(bursts.samples[:9000, :1], ((0, 30_000), (0, 0)))
    samples[9000:] = 1e-9  # rounding
    whisper = convolve_bins(tone, Sound(samples, 44100), LinearRegression(), stft=STFT)
    assert 20 * np.log10(np.abs(whisper.samples[12_000:]).max()) < -75
