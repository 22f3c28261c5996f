"""B's gesture in A's timbre, and the classic convolution to compare."""

from dataclasses import asdict
from inspect import signature

import numpy as np
import pytest
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.decomposition import PCA
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge, SGDRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.utils import column_or_1d
from threadpoolctl import threadpool_limits

from helpers import audio, convolution, spectrum
from helpers.audio import AudioError, Sound, resample
from helpers.bins import convolve_bins
from helpers.classic import classic_convolution
from helpers.convolution import (
    check_prediction,
    mix,
    predictive_convolution,
    prepare,
    render,
    restore,
)
from helpers.dials import Dials
from helpers.estimators import FramePath
from helpers.gesture import fine_power
from helpers.models import CATALOGUE, make_model
from helpers.montage import montage
from helpers.scores import compare, features


def part(sound: Sound, seconds: float) -> Sound:
    """Cut out the beginning of a sound."""
    return Sound(sound.samples[: int(seconds * sound.rate)], sound.rate)


class Mean(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """A regressor of someone's own: it predicts the average frame."""

    def fit(self, X, y):  # noqa: N803
        """Remember the mean."""
        self.mean_ = y.mean(axis=0)
        return self

    def predict(self, X):  # noqa: N803
        """Give the mean for every row."""
        return np.tile(self.mean_, (len(X), 1))


@pytest.mark.parametrize("model", CATALOGUE)
def test_every_model_gives_a_sound_like_b_in_shape(model, tone, bursts):
    a, b = part(tone, 0.3), part(bursts, 0.31)
    result = predictive_convolution(a, b, model=model)
    assert result.samples.shape == b.samples.shape
    assert result.samples.dtype == np.float32
    assert result.rate == b.rate
    assert np.isfinite(result.samples).all()
    assert np.abs(result.samples).max() > 1e-3


@pytest.mark.parametrize("model", ["nearest_path", "ridge", "linear_regression"])
@pytest.mark.parametrize("n_samples", [2, 300, 2500])
def test_short_sounds_work_on_either_side(model, n_samples, tone, bursts):
    short, long = Sound(tone.samples[9000:][:n_samples], tone.rate), part(bursts, 0.2)
    for a, b in ((short, long), (long, short), (short, short)):
        result = predictive_convolution(a, b, model=model)
        assert result.samples.shape == b.samples.shape
        assert np.isfinite(result.samples).all()


def test_for_a_mono_b_a_is_mixed_to_mono(tone, bursts):
    mixed = prepare(bursts, tone).a.samples
    np.testing.assert_allclose(mixed, bursts.samples.mean(axis=1, keepdims=True))
    assert prepare(bursts, bursts).a is bursts


@pytest.mark.parametrize("model", ["nearest_path", "linear_regression"])
def test_a_may_have_another_rate_and_other_channels(model, tone, bursts):
    a = resample(part(tone, 0.5), rate=22050)
    a = Sound(np.repeat(a.samples, 3, axis=1), a.rate)
    b = part(bursts, 0.5)
    result = predictive_convolution(a, b, model=model)
    assert result.samples.shape == b.samples.shape
    assert result.rate == b.rate


def test_a_predicts_itself(tone, bursts):
    # Silence around it: its first and last frames are not learned from.
    samples = np.pad(tone.samples, ((3000, 3000), (0, 0)))
    a = Sound(samples, tone.rate)
    noise = Sound(np.resize(bursts.samples[:, :1], samples.shape), tone.rate)
    result = features(predictive_convolution(a, a), peak=True)
    # Bursts of noise stand for what is not A: a timbre of 0.
    nearness = compare(result, features(a), features(noise))
    assert nearness["timbre"] >= 0.98
    assert nearness["motion"] >= 0.95
    assert compare(result, features(a), features(a))["envelope"] >= 0.99


def test_a_result_has_the_timbre_of_a_and_the_loudness_of_b(tone, bursts):
    result = features(predictive_convolution(tone, bursts), peak=True)
    scores = compare(result, features(tone), features(bursts))
    assert scores["timbre"] > 0.5
    assert scores["envelope"] > 0.9


class MeanOfOne(RegressorMixin, BaseEstimator):
    """The same for one target at a time, which is what scikit-learn expects."""

    def fit(self, X, y):  # noqa: N803
        """Remember the mean."""
        self.mean_ = column_or_1d(y).mean()
        return self

    def predict(self, X):  # noqa: N803
        """Give the mean for every row."""
        return np.full(len(X), self.mean_)


@pytest.mark.parametrize("model", [Mean(), MeanOfOne()])
def test_a_regressor_of_ones_own_works_and_is_not_changed(model, tone, bursts):
    b = part(bursts, 0.4)
    result = predictive_convolution(tone, b, model=model)
    assert result.samples.shape == b.samples.shape
    assert np.isfinite(result.samples).all()
    assert not vars(model)


@pytest.mark.parametrize(
    "model",
    [KNeighborsRegressor(2, weights="distance"), make_pipeline(PCA(5), Ridge())],
    ids=["a model with a setting called weights", "a pipeline"],
)
def test_regressors_of_scikit_learn_work(model, tone, bursts):
    result = predictive_convolution(tone, part(bursts, 0.3), model=model)
    assert np.isfinite(result.samples).all()
    assert np.abs(result.samples).max() > 1e-3


@pytest.mark.parametrize("model", ["nearest_path", "ridge"])
def test_each_channel_of_b_borrows_from_its_own_of_a(model, tone, bursts):
    b = Sound(np.repeat(part(bursts, 0.5).samples[:, :1], 2, axis=1), bursts.rate)
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, tone.samples.shape)
    a = Sound(np.hstack([tone.samples, noise]).astype(np.float32), tone.rate)
    result = predictive_convolution(a, b, model=model)
    assert not np.allclose(result.samples[:, 0], result.samples[:, 1], atol=1e-2)


def test_a_silent_channel_of_a_silences_nothing(tone, bursts):
    a = Sound(np.hstack([tone.samples, 0 * tone.samples]), tone.rate)
    result = predictive_convolution(a, bursts).samples
    powers, wanted = (np.mean(x**2, axis=0) for x in (result, bursts.samples))
    # The loudness of B in both channels, but for its softened onsets.
    np.testing.assert_allclose(10 * np.log10(powers / wanted), 0, atol=2)


@pytest.mark.parametrize("model", ["nearest_path", "extra_trees", "linear_regression"])
def test_two_runs_give_the_same_bytes(model, tone, bursts):
    one, two = (
        predictive_convolution(part(tone, 0.4), part(bursts, 0.4), model=model)
        for _ in range(2)
    )
    assert one.samples.tobytes() == two.samples.tobytes()


@pytest.mark.parametrize("model", ["extra_trees", "linear_regression"])
def test_another_seed_draws_other_numbers(model, tone, bursts):
    one, two = (
        predictive_convolution(tone, part(bursts, 0.3), model=model, seed=seed).samples
        for seed in (1, 2)
    )
    assert not np.array_equal(one, two)


@pytest.mark.parametrize("model", ["nearest_path", "ridge"])
def test_the_number_of_threads_changes_no_byte(model, tone, bursts):
    sounds = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads):
            sounds.append(predictive_convolution(tone, bursts, model=model).samples)
    assert sounds[0].tobytes() == sounds[1].tobytes()


@pytest.mark.parametrize(
    ("rate", "n_fft", "hop_length"), [(1000, 65536, 32768), (768_000, 2, 1)]
)
def test_the_most_unlikely_lengths_work(rate, n_fft, hop_length, tone, bursts):
    a, b = (Sound(s.samples[:2000], rate) for s in (tone, bursts))
    result = predictive_convolution(a, b, n_fft=n_fft, hop_length=hop_length)
    assert np.isfinite(result.samples).all()


@pytest.mark.parametrize("model", ["nearest_path", "ridge", "linear_regression"])
def test_equal_channels_stay_equal_and_panned_ones_panned(model, tone, bursts):
    left = part(bursts, 0.5).samples[:, :1]
    b = Sound(np.hstack([left, left, left / 4]), bursts.rate)
    result = predictive_convolution(tone, b, model=model).samples
    np.testing.assert_array_equal(result[:, 0], result[:, 1])
    if CATALOGUE[model].recipe == "frames":
        # The floors under silence do not move with the level: 0.1 dB.
        loud = np.abs(result[:, 0]) > np.abs(result[:, 0]).max() / 100
        np.testing.assert_allclose(result[loud, 2] * 4, result[loud, 0], rtol=0.012)


@pytest.mark.parametrize("hop_length", [512, 128])
@pytest.mark.parametrize("model", ["nearest_path", "ridge", "linear_regression"])
def test_blocks_give_the_whole(model, hop_length, tone, bursts, monkeypatch):
    settings = {"model": model, "hop_length": hop_length, "blend": 0.9}
    whole = predictive_convolution(tone, bursts, **settings).samples
    monkeypatch.setattr(spectrum, "BLOCK_FRAMES", 20)
    pieces = predictive_convolution(tone, bursts, **settings).samples
    # Sums in another order: some steps of float32, which a fitted line carries further.
    atol = 1e-3 if model == "ridge" else 1e-5
    np.testing.assert_allclose(pieces, whole, atol=atol)


@pytest.mark.parametrize("model", ["passive_aggressive", "ransac"])
def test_models_that_mirror_frames_have_them_turned(model, tone, bursts):
    pair = prepare(tone, part(bursts, 0.3))
    regressor, _ = make_model(model, seed=pair.seed)
    expected = convolve_bins(
        pair.a, pair.b, regressor, stft=pair.stft, turned=True, seed=pair.seed
    )
    np.testing.assert_array_equal(render(pair, model).samples, expected.samples)


def test_all_models_of_a_pair_share_one_plan(tone, bursts, monkeypatch):
    made = []
    make = convolution.make_plan
    monkeypatch.setattr(
        convolution, "make_plan", lambda *a, **k: made.append(a) or make(*a, **k)
    )
    pair = prepare(tone, bursts)
    render(pair, "nearest_path")
    render(pair, "ridge")
    assert len(made) == 1


def test_a_blend_of_0_is_b_sample_for_sample(tone, bursts):
    result = predictive_convolution(tone, bursts, blend=0)
    np.testing.assert_array_equal(result.samples, bursts.samples)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_blend_meets_at_the_geometric_mean_of_the_magnitudes(share, bursts):
    louder = Sound(4 * bursts.samples, bursts.rate)
    stft = spectrum.make_stft(bursts.rate)
    mixed = mix(bursts, louder, blend=np.array([(0, share)]), stft=stft).samples
    # What is added to magnitudes, 1e-7, is far under this.
    np.testing.assert_allclose(mixed, 4**share * bursts.samples, atol=1e-5)


def test_a_blend_that_moves_is_where_it_should_be_at_any_time(tone):
    louder = Sound(4 * tone.samples, tone.rate)
    stft = spectrum.make_stft(tone.rate)
    mixed = mix(tone, louder, blend=np.array([(0.1, 0), (1.1, 1)]), stft=stft).samples
    seconds = np.arange(tone.n_samples)[:, None] / tone.rate
    loud = (np.abs(tone.samples) > 0.01) & (seconds > 0.2) & (seconds < 1)
    ratio = (mixed / tone.samples)[loud]
    # Frames of 46 ms, in which it rises by 0.6 dB, overlap: one step is 1.6 %.
    np.testing.assert_allclose(ratio, 4 ** (seconds[loud[:, 0], 0] - 0.1), rtol=0.01)


def test_where_a_blend_leaps_from_0_b_ends_and_the_rest_begins(tone, monkeypatch):
    monkeypatch.setattr(audio, "BLOCK", 1000)
    other = Sound(tone.samples + np.float32(1), tone.rate)
    leap = 0.5 + 0.5 / tone.rate  # between two samples
    result = restore(tone, other, blend=np.array([(leap, 0), (leap, 1)])).samples
    half = tone.rate // 2 + 1
    np.testing.assert_array_equal(result[:half], tone.samples[:half])
    np.testing.assert_array_equal(result[half:], other.samples[half:])


def test_a_blend_between_lies_between(tone, bursts):
    a, b = features(tone), features(bursts)
    timbres = [
        compare(
            features(predictive_convolution(tone, bursts, blend=blend), peak=True), a, b
        )["timbre"]
        for blend in (0, 0.5, 1)
    ]
    assert timbres == sorted(timbres)


def test_breakpoints_move_from_b_to_the_prediction(tone, bursts):
    points = [(0, 0), (0.4, 0), (0.5, 1)]
    full, mixed = (
        predictive_convolution(tone, bursts, blend=blend).samples
        for blend in (1, points)
    )
    before, after = int(0.4 * 44100), int(0.5 * 44100) + 2048
    np.testing.assert_array_equal(mixed[:before], bursts.samples[:before])
    # The same frames; only the articulation, which looks around for seconds, differs.
    assert np.corrcoef(mixed[after:, 0], full[after:, 0])[0, 1] > 0.99


def defaults_of(function) -> dict[str, object]:
    return {name: p.default for name, p in signature(function).parameters.items()}


@pytest.mark.parametrize("function", [prepare, predictive_convolution])
def test_frames_are_as_long_and_the_seed_is_the_same_everywhere(function):
    expected = defaults_of(spectrum.make_stft) | defaults_of(make_model)
    for name in ("n_fft", "hop_length", "seed"):
        assert defaults_of(function)[name] == expected[name]


def test_dials_stand_where_they_stand_by_themselves():
    assert asdict(Dials()).items() <= defaults_of(predictive_convolution).items()


@pytest.mark.parametrize("dial", ["blend", "continuity", "melody", "dynamics"])
def test_a_dial_that_does_not_work_is_refused_before_the_work(
    dial, tone, bursts, monkeypatch
):
    monkeypatch.delattr(convolution, "prepare")
    with pytest.raises(AudioError, match=rf"^{dial}=1\.5 does not work: give a number"):
        predictive_convolution(tone, bursts, **{dial: 1.5})


def mean_length(sound: Sound, *, start: float = 0, stop: float = 9) -> float:
    """Measure the mean length of the stretches that begin in a part of a sound."""
    table = montage(sound)
    return table.loc[table["start"].between(start, stop), "length"].mean()


def test_continuity_makes_stretches_longer(tone, bursts):
    lengths = [
        mean_length(predictive_convolution(tone, bursts, continuity=continuity))
        for continuity in (0, 0.3, 0.5, 0.7, 1)
    ]
    assert lengths == sorted(lengths)
    assert lengths[-1] > 3 * lengths[0]


def test_continuity_moves_over_time(tone, bursts):
    moved = predictive_convolution(tone, bursts, continuity=[(0.5, 0), (0.5, 1)])
    sooner, later = mean_length(moved, stop=0.4), mean_length(moved, start=0.4)
    assert later > 2 * sooner


def test_continuity_scales_what_a_model_of_ones_own_pays_for_a_jump(tone, bursts):
    results = [
        predictive_convolution(tone, bursts, model=FramePath(jump), continuity=dial)
        for jump, dial in ((8, 0.5), (1, 1.0))  # one (2 x 1)^3 times as much
    ]
    np.testing.assert_array_equal(*(result.samples for result in results))


def steady_noise(seconds: float) -> Sound:
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, (int(seconds * 44100), 1))
    return Sound(samples.astype(np.float32), 44100)


@pytest.mark.parametrize("model", ["nearest_path", "ridge"])
def test_without_dynamics_a_keeps_its_own_loudness(model, bursts):
    ranges = []
    for dynamics in (0, 0.5, 1):
        result = predictive_convolution(
            steady_noise(1.5), bursts, model=model, dynamics=dynamics
        )
        power_db = 10 * np.log10(fine_power(result)[20:-20])
        ranges.append(np.ptp(np.percentile(power_db, [5, 95])))
    # Noise itself ranges over some 5 dB in windows of 12 ms, the bursts over 18.
    assert ranges == sorted(ranges)
    assert ranges[0] < 8
    assert ranges[2] > 15


def test_dynamics_move_over_time(bursts):
    moved = predictive_convolution(
        steady_noise(1.5), bursts, dynamics=[(0.5, 0), (0.5, 1)]
    )
    power_db = 10 * np.log10(fine_power(moved))
    middle = len(power_db) // 2
    halves = power_db[20 : middle - 20], power_db[middle + 20 : -20]
    sooner, later = (np.ptp(np.percentile(half, [5, 95])) for half in halves)
    assert sooner < 8 < later


@pytest.mark.parametrize("convolve", [predictive_convolution, classic_convolution])
@pytest.mark.parametrize(
    ("samples", "fault"),
    [
        (np.zeros((4000, 1)), "silent"),
        (np.full((4000, 1), np.nan), "NaN"),
        (np.ones((1, 1)), "under 2 samples"),
        (np.ones((0, 1)), "under 2 samples"),
    ],
)
def test_what_is_no_sound_is_refused_by_name(convolve, samples, fault, tone):
    bad = Sound(samples.astype(np.float32), 44100)
    with pytest.raises(AudioError, match=f"Sound A .*{fault}"):
        convolve(bad, tone)
    with pytest.raises(AudioError, match=f"Sound B .*{fault}"):
        convolve(tone, bad)


def test_settings_that_do_not_fit_are_refused(tone):
    with pytest.raises(AudioError, match="nearest_pth"):
        predictive_convolution(tone, tone, model="nearest_pth")
    with pytest.raises(AudioError, match="hop_length"):
        predictive_convolution(tone, tone, hop_length=2048)


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_the_least_and_the_greatest_seed_work(seed, tone):
    assert prepare(tone, tone, seed=seed).seed == seed


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "42", None, True])
def test_a_seed_that_does_not_work_is_refused(seed, tone):
    with pytest.raises(AudioError, match=r"seed=.*whole number"):
        prepare(tone, tone, seed=seed)


def test_a_that_is_gone_at_the_rate_of_b_is_refused(tone):
    click = Sound(np.ones((3, 1), np.float32), 768_000)
    b = Sound(tone.samples[:2000], 1000)
    with pytest.raises(AudioError, match=r"Sound A.* 2 samples"):
        predictive_convolution(click, b)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (0, "silence"),
        (0.99e-6, "silence"),
        (np.nan, "no finite"),
        (np.inf, "no finite"),
    ],
)
def test_a_prediction_that_is_no_sound_is_refused_with_its_model(value, what, tone):
    samples = np.full_like(tone.samples, 0)
    samples[7] = value
    sound = Sound(samples, tone.rate)
    with pytest.raises(AudioError, match=f"^Ridge predicts {what}"):
        check_prediction(sound, Ridge())


def test_a_prediction_that_can_just_be_heard_is_not_refused(tone):
    check_prediction(Sound(np.full_like(tone.samples, -1.01e-6), tone.rate), Ridge())


def test_a_model_that_predicts_silence_is_refused(tone, bursts, monkeypatch):
    silence = Sound(np.zeros_like(bursts.samples), bursts.rate)
    monkeypatch.setattr(convolution, "convolve_frames", lambda *a, **k: silence)
    with pytest.raises(AudioError, match=r"^ridge predicts silence here"):
        predictive_convolution(tone, bursts, model="ridge")


def test_a_model_that_predicts_no_numbers_is_refused(tone, bursts):
    class Nothing(DummyRegressor):
        def predict(self, X):  # noqa: N803
            return super().predict(X) * np.nan

    with pytest.raises(
        AudioError, match=r"cannot predict sound B .*NaN.*: choose another"
    ):
        predictive_convolution(tone, bursts, model=Nothing())


def test_a_model_that_is_sensitive_to_scale_works_too(tone, bursts):
    result = predictive_convolution(tone, bursts, model=SGDRegressor(random_state=0))
    assert np.isfinite(result.samples).all()
