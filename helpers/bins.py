"""The original recipe: one row of the table for each bin of each frame."""

import numpy as np
import pandas as pd
from scipy.fft import fft, ifft
from scipy.signal import ShortTimeFFT
from sklearn.base import RegressorMixin

from helpers.models import fit
from helpers.sound import Sound
from helpers.spectrum import add_frames, blocks, cut_frames, n_frames

FEATURES = ["raw", "raw_magnitude", "raw_phase", "sine", "sine_magnitude", "sine_phase"]
TARGETS = ["raw_complex_real", "raw_complex_imag"]
FULL_SCALE = 32768  # the original read 16-bit integers, and sin() depends on them


def bin_table(frames: np.ndarray) -> pd.DataFrame:
    """Lay windowed frames out as a table.

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
    raw, columns = frames * np.float32(FULL_SCALE), {}
    for name, samples in (("raw", raw), ("sine", np.sin(raw))):
        spectrum = fft(samples, axis=1)
        columns[name] = samples
        columns[f"{name}_magnitude"] = np.abs(spectrum)
        # Less than a 16-bit step, in sum, is but rounding: its phases would whisper.
        columns[f"{name}_phase"] = np.where(np.abs(spectrum) < 1, 0, np.angle(spectrum))
        columns[f"{name}_complex_real"] = spectrum.real
        columns[f"{name}_complex_imag"] = spectrum.imag
    rows = {name: columns[name].ravel() for name in FEATURES + TARGETS}
    return pd.DataFrame(rows, dtype=np.float32)


def known_bins(a: Sound, *, stft: ShortTimeFFT, n_rows: int = 100_000) -> pd.DataFrame:
    """Make the table of sound A to learn from: whole frames, spread evenly over it.

    Parameters
    ----------
    a : Sound
    stft : ShortTimeFFT
    n_rows : int, default 100_000
        About so many: six coefficients need no million rows.

    Returns
    -------
    DataFrame
        As from `bin_table`.
    """
    n_moments = max(2, n_rows // (stft.m_num * a.samples.shape[1]))
    last = n_frames(a, stft=stft) - 1
    numbers = np.unique(np.linspace(0, last, n_moments).astype(int))
    return bin_table(cut_frames(a, numbers, stft=stft).reshape(-1, stft.m_num))


def convolve_bins(
    a: Sound, b: Sound, model: RegressorMixin, *, stft: ShortTimeFFT
) -> Sound:
    """Learn from A bin by bin, and predict every channel of B.

    Parameters
    ----------
    a, b : Sound
        At one rate.
    model : scikit-learn regressor
        A copy is fitted to the real part, another to the imaginary part.
    stft : ShortTimeFFT

    Returns
    -------
    Sound
        As long as B, with its channels.
    """
    table = known_bins(a, stft=stft)
    fitted = [fit(model, table[FEATURES], table[target]) for target in TARGETS]
    output = np.zeros_like(b.samples)
    for rows in blocks(n_frames(b, stft=stft)):
        frames = cut_frames(b, rows, stft=stft)
        asked = bin_table(frames.reshape(-1, stft.m_num))[FEATURES]
        real, imag = (model.predict(asked) for model in fitted)
        spectrum = (real + 1j * imag).astype(np.complex64).reshape(frames.shape)
        predicted = ifft(spectrum, axis=2).real / np.float32(FULL_SCALE)
        add_frames(output, predicted, stft=stft, first=rows[0])
    return Sound(output, b.rate)
