"""Models that average: a description of a frame in, the magnitudes of all bins out."""

import numpy as np
from scipy.fft import rfft
from scipy.signal import ShortTimeFFT
from sklearn.base import RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.multioutput import MultiOutputRegressor

from helpers.audio import AudioError, Sound
from helpers.models import learn, reason
from helpers.spectrum import pick_frames


def magnitude_roots(a: Sound, numbers: np.ndarray, *, stft: ShortTimeFFT) -> np.ndarray:
    """Measure the magnitudes of some of A's frames, for a model to learn.

    Their square roots, which lie between power (where the loudest partial is all) and
    level (where the noise is), as if each frame had a power of 1.

    Returns
    -------
    ndarray of shape (n_rows, n_bins)
        Float32.
    """
    spectrum = rfft(pick_frames(a.samples, numbers, stft=stft), axis=2)
    magnitude = np.linalg.norm(spectrum, axis=0)
    size = np.linalg.norm(magnitude, axis=1, keepdims=True)
    return np.sqrt(magnitude / (size + 1e-12))


def fit_magnitudes(
    model: RegressorMixin, described: np.ndarray, roots: np.ndarray
) -> RegressorMixin:
    """Fit a copy of `model`: descriptions of frames in, their magnitudes out.

    The thousand bins of a frame are far from independent: 40 principal components sum
    them up, and a model that takes one target at a time is fitted to each.

    Parameters
    ----------
    model : scikit-learn regressor
        Cloned, never changed.
    described : ndarray of shape (n_rows, N_BANDS + 1)
        A's frames, as from `describe`.
    roots : ndarray of shape (n_rows, n_bins)
        As from `magnitude_roots`.

    Raises
    ------
    AudioError
        When the model cannot learn from these frames, such as too few.
    """
    n_components = min(40, *roots.shape)
    components = PCA(n_components, svd_solver="randomized", random_state=0)

    def whole(regressor: RegressorMixin) -> RegressorMixin:
        return TransformedTargetRegressor(
            regressor, transformer=components, check_inverse=False
        )

    rows = "audible frames"
    try:
        return learn(whole(model), described, roots, rows=rows)
    except AudioError:  # some models take one target at a time
        one_by_one = MultiOutputRegressor(model)
        return learn(whole(one_by_one), described, roots, rows=rows)


def predict_magnitudes(model: RegressorMixin, described: np.ndarray) -> np.ndarray:
    """Predict the magnitudes of frames, float32 ``(n_frames, n_bins)``.

    Raises
    ------
    AudioError
        When the model cannot, for example since it predicts NaN.
    """
    try:
        roots = model.predict(described)
    except ValueError as error:
        raise AudioError(
            f"The model cannot predict sound B ({reason(error)}): choose another."
        ) from None
    # No part of a frame whose power is 1 can be larger than that.
    return np.clip(roots, 0, 1).astype(np.float32) ** 2
