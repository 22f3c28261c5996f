"""The frame recipe: what describes a frame, what is learned from, what learns."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.cross_decomposition import PLSRegression
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression, SGDRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers.audio import AudioError, Sound
from helpers.estimators import FramePath
from helpers.frames import (
    N_BANDS,
    align,
    audible,
    compress,
    describe,
    fit_frames,
    frame_training,
)
from helpers.spectrum import STFT

STFT_44 = STFT(44100)


@pytest.fixture(scope="module")
def training(tone):
    """Collect the frames of the tone."""
    return frame_training(tone, stft=STFT_44)


@pytest.fixture(scope="module")
def nearest(training):
    """Fit the model that tells which row is nearest."""
    return fit_frames(FramePath(), training, np.arange(len(training.runs)))


def test_there_is_a_description_of_every_frame(bursts):
    described = describe(bursts, stft=STFT_44)
    n_frames = STFT_44.n_frames(bursts.n_samples)
    assert described.shape == (n_frames, N_BANDS + 2)
    assert np.isfinite(described).all()


@pytest.mark.parametrize("gain", [0.03, 3])
def test_the_description_does_not_depend_on_the_level(bursts, gain):
    turned = Sound(bursts.samples * np.float32(gain), bursts.rate)
    described, again = (describe(sound, stft=STFT_44) for sound in (bursts, turned))
    # 0.01 dB: the floor under silence does not move with the level.
    np.testing.assert_allclose(again, described, atol=0.01)


def test_the_description_does_not_depend_on_the_blocks(bursts):
    whole, pieces = (describe(bursts, stft=STFT_44, block_frames=n) for n in (1000, 7))
    # A product of matrices of another size adds up in another order.
    np.testing.assert_allclose(pieces, whole, atol=1e-3)


def test_flux_is_high_where_bursts_begin(bursts):
    flux = describe(bursts, stft=STFT_44)[:, N_BANDS + 1]
    begins = np.round(np.arange(1, 7) / 7 * 44100 / 512).astype(int)
    # A window as long as four hops hears a burst up to two frames before it.
    rises = np.array([flux[i - 2 : i + 2].max() for i in begins])
    falls = np.array([flux[i + 3 : i + 9].mean() for i in begins])
    assert (rises > 5 * falls).all()


def test_alignment_keeps_how_much_moments_differ(training, nearest, bursts):
    described = describe(bursts, stft=STFT_44)
    aligned = align(described, training, nearest)
    assert aligned.shape == described.shape
    before, after = (pdist(x[:, :N_BANDS]) for x in (audible(described), aligned))
    # A rotation keeps all distances, a scale their ratios.
    assert np.corrcoef(before, after)[0, 1] > 0.999
    np.testing.assert_array_equal(aligned[:, N_BANDS:], described[:, N_BANDS:])


def test_alignment_brings_b_to_where_a_lives(training, nearest, bursts):
    described = describe(bursts, stft=STFT_44)
    aligned = align(described, training, nearest)
    bands = training.description[:, :N_BANDS]
    loud = described[:, N_BANDS] > -20
    before, after = (
        np.linalg.norm(rows[loud, :N_BANDS].mean(axis=0) - bands.mean(axis=0))
        for rows in (audible(described), aligned)
    )
    assert after < before


@pytest.mark.parametrize("n_samples", [2, 600, 3000])
def test_sounds_shorter_than_the_axes_of_alignment_align(n_samples, tone, bursts):
    short = Sound(tone.samples[8000 : 8000 + n_samples], tone.rate)
    few = frame_training(short, stft=STFT_44)
    chooser = fit_frames(FramePath(), few, np.arange(len(few.runs)))
    aligned = align(describe(bursts, stft=STFT_44), few, chooser)
    assert np.isfinite(aligned).all()


def test_a_long_b_with_one_short_sound_in_it_aligns(training):
    samples = np.zeros((30 * 44100, 1), np.float32)
    samples[400_000:402_000, 0] = np.random.default_rng(0).uniform(-0.5, 0.5, 2000)
    described = describe(Sound(samples, 44100), stft=STFT_44)
    model = FramePath(jump_cost=1, flux_weight=1)
    chooser = fit_frames(model, training, np.arange(len(training.runs)))
    assert np.isfinite(align(described, training, chooser)).all()


def test_training_leaves_out_what_hangs_over_the_ends(training, tone):
    assert training.numbers[0] * 512 - 1024 >= 0
    assert training.numbers[-1] * 512 + 1024 <= tone.n_samples
    assert len(training.numbers) == STFT_44.n_frames(tone.n_samples) - 5


def test_a_sound_that_is_nothing_but_ends_is_learned_all_the_same(tone):
    short = Sound(tone.samples[:700], tone.rate)
    assert len(frame_training(short, stft=STFT_44).runs) == 3


def test_training_leaves_out_silence(tone):
    samples = tone.samples.copy()
    samples[20000:30000] = 0
    training = frame_training(Sound(samples, tone.rate), stft=STFT_44)
    silent = np.arange(-(-21024 // 512), 28976 // 512 + 1)
    assert not np.isin(training.numbers, silent).any()
    assert len(np.unique(training.runs)) == 2


def test_training_keeps_every_channel_in_its_proportion(bursts):
    panned = bursts.samples * np.array([1, 0.1], np.float32)
    training = frame_training(Sound(panned, bursts.rate), stft=STFT_44)
    n_rows = len(training.runs)
    assert training.spectrum.shape == (2, n_rows, 1025)
    norms = np.linalg.norm(training.spectrum, axis=(0, 2))
    np.testing.assert_allclose(norms, 1, rtol=1e-5)
    for channel, samples in enumerate(panned.T):
        spectrum = STFT_44.analyse(samples)[training.numbers]
        gain = spectrum[:, 100] / training.spectrum[channel, :, 100]
        np.testing.assert_allclose(
            spectrum, training.spectrum[channel] * gain[:, None], atol=1e-3
        )


def test_training_frames_are_the_frames_of_a_at_unit_loudness(training, tone):
    expected = STFT_44.analyse(tone.samples[:, 0])[training.numbers]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert training.spectrum.dtype == np.complex64
    np.testing.assert_allclose(training.spectrum, expected[None], atol=1e-6)


def test_a_long_sound_gives_a_bounded_choice_of_stretches(tone):
    long = Sound(np.tile(tone.samples, (6, 1)), tone.rate)
    some, again, other = (
        frame_training(long, stft=STFT_44, max_frames=200, seed=seed)
        for seed in (1, 1, 2)
    )
    assert 100 < len(some.runs) <= 200
    assert some.spectrum.shape[1] == len(some.description) == len(some.runs)
    together = np.diff(some.runs) == 0
    assert (np.diff(some.numbers)[together] == 1).all()
    np.testing.assert_array_equal(some.numbers, again.numbers)
    assert not np.array_equal(some.numbers, other.numbers)
    norms = np.linalg.norm(some.spectrum, axis=(0, 2))
    np.testing.assert_allclose(norms, 1, rtol=1e-5)


def test_a_few_numbers_sum_up_a_frame(training):
    pca, y = compress(training)
    assert y.shape[0] == len(training.runs)
    assert y.shape[1] <= 40
    magnitude = np.abs(training.spectrum)
    back = np.maximum(pca.inverse_transform(y), 0) ** 2
    assert np.linalg.norm(back - magnitude) < 0.1 * np.linalg.norm(magnitude)


@pytest.mark.parametrize(
    "model",
    [
        BayesianRidge(),
        make_pipeline(StandardScaler(), SGDRegressor(max_iter=5, random_state=0)),
        HistGradientBoostingRegressor(max_iter=2),
        LinearRegression(),
        PLSRegression(3),
        KNeighborsRegressor(1),
        FramePath(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_models_of_one_and_of_many_targets_learn(model, training):
    y = compress(training, n_components=4)[1]
    before = repr(model)
    fitted = fit_frames(model, training, y)
    assert fitted is not model
    assert repr(model) == before
    guess = fitted.predict(training.description)
    assert guess.shape == y.shape
    assert np.isfinite(guess).all()


def test_runs_reach_the_models_that_ask_for_them(training):
    class Asks(RegressorMixin, BaseEstimator):
        def fit(self, X, y, runs=None):  # noqa: N803
            self.runs_ = runs
            return self

    assert fit_frames(Asks(), training, training.numbers).runs_ is training.runs


def test_a_model_that_needs_more_frames_says_so(tone):
    short = Sound(tone.samples[:600], tone.rate)
    few = frame_training(short, stft=STFT_44)
    with pytest.raises(AudioError, match=r"PLSRegression.* 3 audible frames.*longer"):
        fit_frames(PLSRegression(8), few, compress(few)[1])


@pytest.mark.parametrize("n_samples", [2, 700, 2500, 3000])
def test_there_are_always_two_frames_to_learn_from(n_samples, tone):
    short = Sound(tone.samples[9000 : 9000 + n_samples], tone.rate)
    training = frame_training(short, stft=STFT_44)
    assert len(training.runs) >= 2
    pca, y = compress(training)
    assert np.isfinite(pca.inverse_transform(y)).all()
