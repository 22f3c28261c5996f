"""The bin recipe, the original idea: one row per time-frequency bin."""

import numpy as np
import pandas as pd
from scipy.fft import fft, ifft
from sklearn.base import RegressorMixin, clone

from helpers.audio import Sound
from helpers.estimators import quietly
from helpers.spectrum import STFT, by_blocks

FEATURES = [
    "raw",
    "raw_magnitude",
    "raw_phase",
    "sine",
    "sine_magnitude",
    "sine_phase",
]
TARGETS = ["raw_complex_real", "raw_complex_imag"]
FULL_SCALE = 32768  # the original read 16-bit integers, and sin() depends on them


def bin_table(frames: np.ndarray) -> pd.DataFrame:
    """Lay windowed frames out as a training table.

    Parameters
    ----------
    frames : ndarray of shape (n_frames, n_fft)
        Windowed samples in [-1, 1].

    Returns
    -------
    DataFrame of shape (n_frames * n_fft, 8)
        Float32. Six features: ``raw``, the windowed sample in 16-bit units that stands
        at the bin's index; ``raw_magnitude`` and ``raw_phase`` (radians) of the frame's
        two-sided spectrum at that bin; ``sine``, the sine of ``raw``, with its own
        ``sine_magnitude`` and ``sine_phase``. Two targets: the real and imaginary part
        of the spectrum, ``raw_complex_real`` and ``raw_complex_imag``.
    """
    raw = frames * np.float32(FULL_SCALE)
    sine = np.sin(raw)
    spectrum, of_sine = (fft(signal, axis=1) for signal in (raw, sine))
    columns = [raw, np.abs(spectrum), np.angle(spectrum)]
    columns += [sine, np.abs(of_sine), np.angle(of_sine), spectrum.real, spectrum.imag]
    table = np.empty((raw.size, len(columns)), np.float32, order="F")
    for i, column in enumerate(columns):
        table[:, i] = column.ravel()
    return pd.DataFrame(table, columns=FEATURES + TARGETS, copy=False)


def sample_bins(table: pd.DataFrame, *, n_fft: int, n_rows: int, seed: int) -> list:
    """Choose at least `n_rows` of a bin table, in pairs of mirrored bins.

    The spectrum of a real sound is the same below and above half the rate, but for the
    sign of its imaginary part. Drawing both bins of a pair keeps that symmetry in the
    sample exactly, and with it the symmetry of what is learned: with single bins four
    times as many rows are needed for the same sound.
    """
    if n_rows >= len(table):
        return list(range(len(table)))
    drawn = np.random.default_rng(seed).integers(len(table), size=-(-n_rows // 2))
    frame, k = np.divmod(drawn, n_fft)
    return [*drawn, *(frame * n_fft + (-k) % n_fft)]


def fit_bins(
    table: pd.DataFrame,
    model: RegressorMixin,
    *,
    n_fft: int = 2048,
    n_rows: int = 100_000,
    seed: int = 42,
) -> list[RegressorMixin]:
    """Fit one copy of `model` to the real and one to the imaginary part.

    Parameters
    ----------
    table : DataFrame
        Sound A, as from `bin_table`.
    model : scikit-learn regressor
        Cloned, never changed.
    n_fft : int
        Rows to a frame of `table`.
    n_rows : int, default 100_000
        Rows to learn from; all of them when there are fewer. Six coefficients need no
        million rows: between the demo sounds, the spectrum that linear regression
        predicts then differs by half a decibel from that after learning from all.
    seed : int, default 42
        Chooses the rows.

    Returns
    -------
    list of two fitted regressors
        For the real and the imaginary part.
    """
    rows = table.iloc[sample_bins(table, n_fft=n_fft, n_rows=n_rows, seed=seed)]
    with quietly():
        return [clone(model).fit(rows[FEATURES], rows[target]) for target in TARGETS]


def predict_bins(
    fitted: list[RegressorMixin], table: pd.DataFrame, *, n_fft: int
) -> np.ndarray:
    """Predict the windowed frames of the sound that `table` describes.

    The two predictions are the real and imaginary part of a two-sided spectrum; the
    real part of its inverse FFT, back in [-1, 1], is a frame.

    Returns
    -------
    ndarray of shape (n_frames, n_fft)
    """
    real, imag = (model.predict(table[FEATURES]) for model in fitted)
    spectrum = (real + 1j * imag).astype(np.complex64).reshape(-1, n_fft)
    return ifft(spectrum, axis=1).real / FULL_SCALE


def convolve_bins(b: Sound, fitted: list[RegressorMixin], *, stft: STFT) -> Sound:
    """Predict every channel of B, bin by bin, with the two regressors of `fit_bins`."""

    def process(padded: np.ndarray, frames: range) -> np.ndarray:
        tables = (bin_table(stft.frames(channel)) for channel in padded.T)
        channels = [
            stft.overlap_add(predict_bins(fitted, table, n_fft=stft.n_fft))
            for table in tables
        ]
        return np.stack(channels, axis=1)

    return by_blocks(b, process, stft=stft, context=stft.n_fft // stft.hop_length)
