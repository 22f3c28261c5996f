"""From A and B to the result."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.neighbors import KNeighborsRegressor
from threadpoolctl import threadpool_limits

from helpers import spectrum
from helpers.convolution import along, mix, predictive_convolution, prepare, render
from helpers.gesture import fine_power
from helpers.models import CATALOGUE
from helpers.path import FramePath
from helpers.show import montage
from helpers.sound import Sound, join
from tests.signals import refused

SOME = ["nearest_path", "ridge", "linear_regression"]


def part(sound: Sound, seconds: float) -> Sound:
    """Cut out the beginning of a sound."""
    return Sound(sound.samples[: int(seconds * sound.rate)], sound.rate)


@pytest.mark.parametrize("model", CATALOGUE)
def test_every_model_gives_a_sound_like_b_in_shape(model, tone, bursts):
    a, b = part(tone, 0.3), part(bursts, 0.31)
    result = predictive_convolution(a, b, model=model)
    assert result.samples.shape == b.samples.shape
    assert result.samples.dtype == np.float32
    assert np.isfinite(result.samples).all()
    assert np.abs(result.samples).max() > 1e-3


@pytest.mark.parametrize("model", SOME)
@pytest.mark.parametrize("n_samples", [20, 300, 2500])
def test_short_sounds_work_on_either_side(model, n_samples, tone, bursts):
    short, long = Sound(tone.samples[9000:][:n_samples], tone.rate), part(bursts, 0.2)
    for a, b in ((short, long), (long, short), (short, short)):
        result = predictive_convolution(a, b, model=model)
        assert result.samples.shape == b.samples.shape
        assert np.isfinite(result.samples).all()


def test_a_may_have_another_rate_and_other_channels(tone, bursts):
    slower = Sound(part(bursts, 0.5).samples, 22050)
    assert prepare(tone, slower).a.rate == 22050
    assert prepare(slower, tone).a.samples.shape[1] == 1
    assert predictive_convolution(tone, slower).samples.shape == slower.samples.shape


def test_a_predicts_itself(tone):
    pair = prepare(tone, tone)
    borrowed = render(pair)[1]
    # Its middle, where no frame hangs over an end, goes on as it was.
    assert np.all(np.diff(borrowed[3:-3]) == 1)


def test_a_result_is_made_of_a_and_as_loud_as_b(tone, bursts):
    b = Sound(bursts.samples[:, :1], bursts.rate)
    samples = predictive_convolution(tone, b).samples
    hertz = np.fft.rfftfreq(len(samples), 1 / b.rate)
    power = np.abs(np.fft.rfft(samples[:, 0])) ** 2
    # A has nothing over 8 * 286 Hz but a little noise; B is white up to 22 kHz.
    assert power[hertz > 4000].sum() < 0.05 * power.sum()
    ratio = np.square(samples).sum() / np.square(b.samples).sum()
    assert 0.3 < ratio < 3


@pytest.mark.parametrize(
    "model",
    [KNeighborsRegressor(3), DummyRegressor(), FramePath(jump_cost=1)],
)
def test_any_regressor_works_and_is_not_changed(model, tone, bursts):
    before = str(model.get_params())
    result = predictive_convolution(part(tone, 0.3), part(bursts, 0.3), model=model)
    assert np.abs(result.samples).max() > 1e-3
    assert str(model.get_params()) == before
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize("model", ["nearest_path", "extra_trees", "ransac"])
def test_two_runs_and_any_number_of_threads_give_the_same_bytes(model, tone, bursts):
    a, b = part(tone, 0.4), part(bursts, 0.4)
    results = []
    for n_threads in (1, 2, 2):
        with threadpool_limits(n_threads):
            results.append(predictive_convolution(a, b, model=model).samples.tobytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize("model", SOME)
def test_blocks_give_the_whole(model, tone, bursts, monkeypatch):
    pair = prepare(tone, part(bursts, 0.6))
    whole = render(pair, model)[0].samples
    monkeypatch.setattr(spectrum, "BLOCK_FRAMES", 7)
    # Sums of float32 in another order: the last bits of samples up to 1.
    np.testing.assert_allclose(render(pair, model)[0].samples, whole, atol=1e-4)


def test_offsets_of_a_and_b_change_next_to_nothing(tone, bursts):
    b = part(bursts, 0.7)
    plain = predictive_convolution(tone, b).samples
    shifted = predictive_convolution(
        Sound(tone.samples + np.float32(0.2), tone.rate),
        Sound(b.samples - np.float32(0.1), b.rate),
    ).samples
    assert abs(shifted.mean()) < 1e-3  # of offsets of 0.1 and 0.2
    assert np.corrcoef(plain[:, 0], shifted[:, 0])[0, 1] > 0.99


def test_a_blend_of_0_is_b(tone, bursts):
    shifted = Sound(bursts.samples + np.float32(0.1), bursts.rate)
    result = predictive_convolution(tone, shifted, blend=0)
    np.testing.assert_allclose(result.samples, shifted.samples, atol=1e-6)


def test_a_blend_meets_at_the_geometric_mean_of_the_magnitudes(bursts):
    stft = spectrum.make_stft(bursts.rate)
    louder = Sound(4 * bursts.samples, bursts.rate)
    n_rows = spectrum.n_frames(bursts, stft=stft)
    half = mix(bursts, louder, np.full(n_rows, 0.5, np.float32), stft=stft)
    np.testing.assert_allclose(half.samples, 2 * bursts.samples, atol=1e-5)


def test_breakpoints_move_from_b_to_the_prediction(tone, bursts):
    pair = prepare(tone, bursts)
    moving = render(pair, blend=[(0.4, 0), (0.6, 1)])[0].samples
    predicted = render(pair)[0].samples
    early, late = slice(0, 15000), slice(29000, None)
    np.testing.assert_allclose(moving[early], bursts.samples[early], atol=1e-6)
    np.testing.assert_allclose(moving[late], predicted[late], atol=1e-5)


def test_continuity_makes_stretches_longer(tone, bursts):
    pair = prepare(tone, bursts)
    n_jumps = [
        np.sum(np.diff(render(pair, continuity=dial)[1]) != 1) for dial in (0, 0.5, 1)
    ]
    assert n_jumps[0] > n_jumps[1] > n_jumps[2]


def test_of_many_short_sounds_most_are_heard(bursts):
    t, rate = np.arange(2000) / bursts.rate, bursts.rate
    shots = []
    for i in range(12):
        wave = 0.5 * np.sin(2 * np.pi * 200 * 1.3**i * t) * np.exp(-40 * t)
        file = ((0.0, f"{i}.wav"),)
        shots.append(Sound(wave.astype(np.float32)[:, np.newaxis], rate, file))
    pair = prepare(join(shots), Sound(np.tile(bursts.samples, (2, 1)), rate))
    heard = montage(render(pair)[1], pair.a, stft=pair.stft)["file"]
    assert heard.nunique() >= 7


def test_without_dynamics_a_keeps_its_own_loudness(tone, bursts):
    b = Sound(bursts.samples[:, :1], bursts.rate)
    pair = prepare(tone, b)
    alike = []
    for dial in (0.0, 1.0):
        powers = [fine_power(x) for x in (render(pair, dynamics=dial)[0], b)]
        alike.append(np.corrcoef(*np.log(powers))[0, 1])
    assert alike[0] < 0.6 < 0.9 < alike[1]


@pytest.mark.parametrize("dial", [0.5, [(0, 0), (2, 1)]])
def test_a_dial_may_come_as_text(dial):
    seconds = np.arange(3)
    expected = along(dial, seconds, name="blend")
    np.testing.assert_array_equal(along(str(dial), seconds, name="blend"), expected)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"speed": 1}, "There is no dial speed: use blend, continuity"),
        ({"blend": 2}, "blend=2 does not work"),
        ({"n_fft": 100}, "n_fft=100 and hop_length=512 do not fit"),
    ],
)
def test_settings_that_do_not_work_are_refused_before_the_work(settings, said, tone):
    with refused(said):
        predictive_convolution(tone, None, **settings)


@pytest.mark.parametrize(
    "dial", [-0.1, 1.1, "loud", None, [], [(1, 0), (0, 1)], [(0, 2)], [(0,)], np.nan]
)
def test_a_dial_that_does_not_work_is_refused(dial):
    with refused("blend=.* give a number from 0 to 1, or breakpoints"):
        along(dial, np.zeros(3), name="blend")


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.zeros((9000, 1), np.float32), "is silent"),
        (np.full((9000, 1), np.nan, np.float32), "NaN"),
        (np.full((9000, 1), 0.5, np.float32), "without its offset, is silent"),
        (np.ones((9000, 1), np.int16), "make them float32"),
        (np.ones(9000, np.float32), "n_samples, n_channels"),
    ],
)
def test_what_is_no_sound_is_refused_by_name(samples, said, tone):
    bad = Sound(samples, tone.rate)
    with refused(f"Sound A.*{said}"):
        predictive_convolution(bad, tone)
    with refused(f"Sound B.*{said}"):
        predictive_convolution(tone, bad)


def test_a_model_that_there_is_not_is_refused_before_the_work(tone):
    with refused("There is no model 'Ridge': choose ridge"):
        predictive_convolution(tone, None, model="Ridge")


class Says(RegressorMixin, BaseEstimator):
    """A regressor that predicts one number everywhere."""

    def __init__(self, number=0.0):
        self.number = number

    def fit(self, X, y):  # noqa: N803
        """Learn nothing."""
        self.n_targets_ = y.shape[1]
        return self

    def predict(self, X):  # noqa: N803
        """Say the number."""
        return np.full((len(X), self.n_targets_), self.number)


def test_a_model_that_predicts_no_numbers_is_refused(tone, bursts):
    with refused("cannot predict sound B"):
        predictive_convolution(tone, bursts, model=Says(np.nan))
