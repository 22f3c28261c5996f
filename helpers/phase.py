"""Phase reconstruction for models that predict magnitudes only."""

import numpy as np

from helpers.spectrum import STFT


def griffin_lim(
    magnitude: np.ndarray,
    start: np.ndarray,
    *,
    stft: STFT,
    n_rounds: int = 4,
    momentum: float = 0.99,
) -> np.ndarray:
    """Find phases with which overlapping frames agree about the sound.

    Fast Griffin-Lim (Perraudin, Balazs and Søndergaard 2013): turn the spectrum into
    sound and back, keep the phases that come out, impose the magnitudes again, and
    overshoot a little each time.

    Parameters
    ----------
    magnitude : ndarray of shape (n_frames, n_bins)
        What each frame should sound like.
    start : ndarray of shape (n_frames, n_bins)
        Complex; its phases are the first guess.
    stft : STFT
        Says how frames overlap.
    n_rounds : int, default 4
        Each costs an inverse and a forward transform. From a good first guess more
        than four change little.
    momentum : float, default 0.99
        How far to overshoot; 0 is the method of Griffin and Lim (1984).

    Returns
    -------
    ndarray of shape (n_frames, n_bins)
        Complex64, with the given magnitudes.
    """
    spectrum, before = _with_phase(magnitude, start), None
    for _ in range(n_rounds):
        now = stft.transform(stft.inverse(spectrum))
        ahead = now if before is None else now + momentum * (now - before)
        spectrum, before = _with_phase(magnitude, ahead), now
    return spectrum


def _with_phase(magnitude: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
    size = np.abs(spectrum)
    unit = np.ones_like(spectrum)  # silence has no phase: take 0
    np.divide(spectrum, size, out=unit, where=size > 1e-12)
    return (magnitude * unit).astype(np.complex64, copy=False)
