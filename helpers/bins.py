"""The bin recipe, the original idea: one row per time-frequency bin."""

import numpy as np
import pandas as pd
from scipy.fft import fft, ifft
from scipy.signal import ShortTimeFFT, hilbert
from sklearn.base import RegressorMixin

from helpers.audio import Sound, allocate
from helpers.models import learn
from helpers.spectrum import cut_frames, frame_blocks, n_frames, overlap_add

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
    raw_complex = fft(raw, axis=1)
    sine_complex = fft(sine, axis=1)
    columns = {
        "raw": raw,
        "raw_magnitude": np.abs(raw_complex),
        "raw_phase": np.angle(raw_complex),
        "sine": sine,
        "sine_magnitude": np.abs(sine_complex),
        "sine_phase": np.angle(sine_complex),
        "raw_complex_real": raw_complex.real,
        "raw_complex_imag": raw_complex.imag,
    }
    rows = {name: column.ravel() for name, column in columns.items()}
    return pd.DataFrame(rows, dtype=np.float32)


def spread_frames(a: Sound, *, stft: ShortTimeFFT, most: int = 256) -> np.ndarray:
    """Cut frames spread evenly over all of a sound.

    Parameters
    ----------
    a : Sound
    stft : ShortTimeFFT
    most : int, default 256
        Frames of each channel; their neighbours would teach nothing new.

    Returns
    -------
    ndarray of shape (n_frames, n_fft)
        Windowed, all channels one after the other for each moment.
    """
    last = n_frames(a.n_samples, stft=stft) - 1
    moments = np.unique(np.linspace(0, last, most).astype(int))
    cuts = [
        cut_frames(a.samples, stft=stft, rows=slice(moment, moment + 1))
        for moment in moments
    ]
    return np.concatenate([cut[:, 0] for cut in cuts])


def sample_bins(
    table: pd.DataFrame, *, n_fft: int, n_rows: int = 100_000, seed: int = 42
) -> pd.DataFrame:
    """Draw about `n_rows` rows of a bin table, in pairs of mirrored bins.

    The spectrum of a real sound is the same below and above half the rate, but for the
    sign of its imaginary part. Drawing both bins of a pair keeps that symmetry in the
    sample exactly, and with it the symmetry of what is learned: with single bins four
    times as many rows are needed for the same sound.

    Parameters
    ----------
    table : DataFrame
        As from `bin_table`.
    n_fft : int
        Rows to a frame of `table`.
    n_rows : int, default 100_000
        All rows are taken where there are fewer. Six coefficients need no million rows:
        between the demo sounds, the spectrum that linear regression predicts then
        differs by half a decibel from that after learning from all.
    seed : int, default 42
        Chooses the rows.
    """
    if n_rows >= len(table):
        return table
    drawn = np.random.default_rng(seed).integers(len(table), size=-(-n_rows // 2))
    frame, k = np.divmod(drawn, n_fft)
    mirrored = frame * n_fft + (-k) % n_fft
    return table.iloc[np.concatenate([drawn, mirrored])]


def fit_bins(table: pd.DataFrame, model: RegressorMixin) -> list[RegressorMixin]:
    """Fit one copy of `model` to the real and one to the imaginary part.

    Parameters
    ----------
    table : DataFrame
        Sound A, as from `bin_table` or `sample_bins`.
    model : scikit-learn regressor
        Cloned, never changed.

    Returns
    -------
    list of two fitted regressors
        For the real and the imaginary part.

    Raises
    ------
    AudioError
        When the model cannot learn from so few rows.
    """
    known = table[FEATURES]
    return [learn(model, known, table[target], rows="bins") for target in TARGETS]


def predict_bins(
    fitted: list[RegressorMixin], table: pd.DataFrame, *, n_fft: int
) -> np.ndarray:
    """Predict the windowed frames of the sound that `table` describes.

    The two predictions are the real and imaginary part of a two-sided spectrum; the
    real part of its inverse FFT, back in [-1, 1], is a frame.

    Returns
    -------
    ndarray of shape (n_frames, n_fft)
        Float32.
    """
    real, imag = (model.predict(table[FEATURES]) for model in fitted)
    spectrum = (real + 1j * imag).astype(np.complex64).reshape(-1, n_fft)
    return ifft(spectrum, axis=1).real / np.float32(FULL_SCALE)


def turn_frames(
    frames: np.ndarray, before: np.ndarray, *, stft: ShortTimeFFT
) -> np.ndarray:
    """Turn the phase of each frame as a whole, so that it goes on from the last one.

    Frames that are mirrored in time do not agree where they overlap: now they add up,
    now they cancel out, which flutters at the rate of frames. Magnitudes stay.

    Parameters
    ----------
    frames : ndarray of shape (n_channels, n_frames, n_fft)
    before : ndarray of shape (n_channels, 0 or 1, n_fft)
        The turned frame that they go on from, if there is one.
    stft : ShortTimeFFT

    Returns
    -------
    ndarray of shape (n_channels, n_frames, n_fft)
        Float32.
    """
    analytic = hilbert(np.concatenate([before, frames], axis=1), axis=2)
    faded = analytic * stft.dual_win
    earlier, later = faded[:, :-1, stft.hop :], faded[:, 1:, : -stft.hop]
    agreement = (earlier * later.conj()).sum(axis=2, keepdims=True)
    analytic[:, 1:] *= np.exp(1j * np.cumsum(np.angle(agreement), axis=1))
    return analytic[:, before.shape[1] :].real.astype(np.float32)


def convolve_bins(
    a: Sound,
    b: Sound,
    model: RegressorMixin,
    *,
    stft: ShortTimeFFT,
    turned: bool = False,
    seed: int = 42,
) -> Sound:
    """Learn from A bin by bin, and predict every channel of B.

    Parameters
    ----------
    a, b : Sound
        At one rate.
    model : scikit-learn regressor
        Cloned, never changed.
    stft : ShortTimeFFT
    turned : bool, default False
        Whether predicted frames go through `turn_frames`.
    seed : int, default 42
        Chooses the bins to learn from.
    """
    n_fft = stft.m_num
    table = bin_table(spread_frames(a, stft=stft))
    fitted = fit_bins(sample_bins(table, n_fft=n_fft, seed=seed), model)
    output = allocate(b.n_samples, b.n_channels)
    n_rows = n_frames(b.n_samples, stft=stft)
    before = np.zeros((b.n_channels, 0, n_fft), np.float32)
    for rows in frame_blocks(n_rows, n_channels=b.n_channels):
        frames = cut_frames(b.samples, stft=stft, rows=rows)
        predicted = predict_bins(
            fitted, bin_table(frames.reshape(-1, n_fft)), n_fft=n_fft
        )
        predicted = predicted.reshape(frames.shape)
        if turned:
            predicted = turn_frames(predicted, before, stft=stft)
            before = predicted[:, -1:]
        overlap_add(output, predicted, stft=stft, first=rows.start)
    return Sound(output, b.rate)
