"""Models that average: what they learn, and what they answer."""

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression, SGDRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers.audio import AudioError
from helpers.averages import fit_magnitudes, magnitude_roots
from helpers.frames import choose_frames, describe_sound
from helpers.spectrum import analyse, make_stft

STFT_44 = make_stft(44100)


@pytest.fixture(scope="module")
def described(tone):
    """Describe the tone, which stands for A."""
    return describe_sound(tone, stft=STFT_44)


def test_roots_of_magnitudes_are_at_unit_power(bursts):
    numbers = np.arange(10, 30)
    roots = magnitude_roots(bursts, numbers, stft=STFT_44)
    np.testing.assert_allclose((roots**4).sum(axis=1), 1, rtol=1e-4)
    magnitude = np.linalg.norm(
        analyse(bursts.samples, stft=STFT_44)[:, numbers], axis=0
    )
    ratio = roots**2 / magnitude
    np.testing.assert_allclose(ratio, ratio[:, :1] * np.ones(1025), rtol=1e-3)


@pytest.mark.parametrize(
    "model",
    [
        BayesianRidge(),
        make_pipeline(StandardScaler(), SGDRegressor(max_iter=5, random_state=0)),
        HistGradientBoostingRegressor(max_iter=2),
        LinearRegression(),
        PLSRegression(3),
        KNeighborsRegressor(1),
    ],
    ids=lambda model: type(model).__name__,
)
def test_models_of_one_and_of_many_targets_learn(model, described, tone):
    some = np.arange(10, 40)
    roots = magnitude_roots(tone, some, stft=STFT_44)
    before = repr(model)
    fitted = fit_magnitudes(model, described[some], roots)
    assert repr(model) == before
    guess = fitted.predict(described[:7])
    assert guess.shape == (7, roots.shape[1])
    assert np.isfinite(guess).all()


def test_a_few_components_sum_up_a_frame(described, tone):
    numbers = choose_frames(tone, described, stft=STFT_44)
    roots = magnitude_roots(tone, numbers, stft=STFT_44)
    fitted = fit_magnitudes(KNeighborsRegressor(1), described[numbers], roots)
    back = np.maximum(fitted.predict(described[numbers]), 0) ** 2
    error = np.linalg.norm(back - roots**2) / np.linalg.norm(roots**2)
    assert error < 0.1


def test_a_model_that_needs_more_frames_says_so(tone):
    few = np.arange(3)
    described = describe_sound(tone, stft=STFT_44)[few]
    roots = magnitude_roots(tone, few, stft=STFT_44)
    with pytest.raises(AudioError, match=r"the 3 audible frames of sound A.*longer A"):
        fit_magnitudes(PLSRegression(8), described, roots)
