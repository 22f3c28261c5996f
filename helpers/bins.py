"""The bin recipe, the original idea: one row per time-frequency bin."""

import numpy as np
import pandas as pd
from scipy.fft import fft, ifft
from sklearn.base import RegressorMixin, clone

from helpers.models import quietly

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
    columns = []
    for signal in (raw, np.sin(raw)):
        spectrum = fft(signal, axis=1, workers=-1)
        columns += [signal, np.abs(spectrum), np.angle(spectrum)]
        targets = [spectrum.real, spectrum.imag] if signal is raw else targets
    table = np.empty((raw.size, len(FEATURES + TARGETS)), np.float32, order="F")
    for i, column in enumerate(columns + targets):
        table[:, i] = column.ravel()
    return pd.DataFrame(table, columns=FEATURES + TARGETS, copy=False)


def fit_bins(
    table: pd.DataFrame, model: RegressorMixin, *, n_rows: int = 50_000, seed: int = 42
) -> list[RegressorMixin]:
    """Fit one copy of `model` to the real and one to the imaginary part.

    Six coefficients need no million rows, so a seeded sample of `n_rows` is enough:
    for least squares the sound stays the same to within about a decibel.

    Parameters
    ----------
    table : DataFrame
        As from `bin_table`, of sound A.
    model : scikit-learn regressor
        Cloned, never changed.
    n_rows : int, default 50_000
        Rows to learn from; all of them when there are fewer.
    seed : int, default 42
        Chooses the rows.

    Returns
    -------
    list of two fitted regressors
    """
    rows = table.sample(min(n_rows, len(table)), random_state=seed)
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
    return ifft(spectrum, axis=1, workers=-1).real / FULL_SCALE
