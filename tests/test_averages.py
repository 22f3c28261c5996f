"""Models that average: what they learn, and what they answer."""

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression, SGDRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers.audio import AudioError, Sound
from helpers.averages import fit_magnitudes, magnitude_roots, predict_magnitudes
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


def test_silence_has_roots_of_magnitudes_too(bursts):
    silence = Sound(np.zeros_like(bursts.samples), bursts.rate)
    assert not magnitude_roots(silence, np.arange(10), stft=STFT_44).any()


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


def test_a_model_learns_40_components_and_the_same_ones_each_time(described, tone):
    some = np.arange(10, 90)
    roots = magnitude_roots(tone, some, stft=STFT_44)
    one, two = (
        fit_magnitudes(LinearRegression(), described[some], roots).transformer_
        for _ in range(2)
    )
    assert one.components_.shape == (40, roots.shape[1])
    np.testing.assert_allclose(one.components_, two.components_, atol=1e-5)


def test_what_is_predicted_is_squared_and_fits_into_a_frame_of_unit_power():
    model = DummyRegressor(strategy="constant", constant=[-0.1, 0, 0.5, 1, 1.2])
    model.fit(np.zeros((2, 1)), np.zeros((2, 5)))
    found = predict_magnitudes(model, np.zeros((3, 1)))
    np.testing.assert_array_equal(found, np.tile([0, 0, 0.25, 1, 1], (3, 1)))
    assert found.dtype == np.float32


def test_a_model_that_cannot_predict_says_so_in_one_sentence():
    model = LinearRegression().fit(np.zeros((2, 1)), np.zeros((2, 5)))
    with pytest.raises(AudioError, match=r"^The model cannot .* \(.*NaN.*\): choose"):
        predict_magnitudes(model, np.full((3, 1), np.nan))


def test_a_model_that_needs_more_frames_says_so(tone):
    few = np.arange(3)
    described = describe_sound(tone, stft=STFT_44)[few]
    roots = magnitude_roots(tone, few, stft=STFT_44)
    with pytest.raises(AudioError, match=r"the 3 audible frames of sound A.*longer A"):
        fit_magnitudes(PLSRegression(8), described, roots)
