"""The frame recipe: what describes a frame, what is learned from, what learns."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.base import clone
from sklearn.neighbors import KNeighborsRegressor

from helpers import frames, spectrum
from helpers.audio import Sound, Stretch, join, resample, rms_of
from helpers.dials import Dials
from helpers.estimators import N_BANDS, FramePath, audible
from helpers.frames import (
    COLUMNS,
    align,
    band_power,
    borrow,
    choose_frames,
    convolve_frames,
    describe,
    describe_sound,
    fill_out,
    is_active,
    levels_of,
    make_plan,
)
from helpers.montage import stretches_of
from helpers.spectrum import analyse, make_stft, mel_bands, n_frames

STFT_44 = make_stft(44100)


@pytest.fixture(scope="module")
def described(tone):
    """Describe the tone, which stands for A."""
    return describe_sound(tone, stft=STFT_44)


@pytest.fixture(scope="module")
def numbers(tone, described):
    """Choose the frames of the tone to learn from."""
    return choose_frames(tone, described, stft=STFT_44)


@pytest.fixture(scope="module")
def nearest(described, numbers):
    """Fit the model that tells which frame is nearest."""
    return FramePath().fit(described[numbers], numbers)


def test_there_is_a_description_of_every_frame(bursts):
    described = describe_sound(bursts, stft=STFT_44)
    assert described.shape == (n_frames(bursts.n_samples, stft=STFT_44), len(COLUMNS))
    assert np.isfinite(described).all()


@pytest.mark.parametrize("gain", [0.03, 3])
def test_the_description_does_not_depend_on_the_level(bursts, gain):
    turned = Sound(bursts.samples * np.float32(gain), bursts.rate)
    described, again = (describe_sound(s, stft=STFT_44) for s in (bursts, turned))
    # 0.01 dB: the floor under silence does not move with the level.
    heard = described[:, N_BANDS] > -60
    np.testing.assert_allclose(again[heard], described[heard], atol=0.01)


def test_alignment_keeps_how_much_moments_differ(described, nearest, bursts):
    of_b = describe_sound(bursts, stft=STFT_44)
    aligned = align(of_b, described, nearest)
    assert aligned.shape == of_b.shape
    before, after = (pdist(x) for x in (audible(levels_of(of_b)), levels_of(aligned)))
    # A rotation keeps all distances, a scale their ratios.
    assert np.corrcoef(before, after)[0, 1] > 0.999
    np.testing.assert_array_equal(aligned[:, N_BANDS:], of_b[:, N_BANDS:])


def test_alignment_brings_b_to_where_a_lives(described, numbers, nearest, bursts):
    of_b = describe_sound(bursts, stft=STFT_44)
    aligned = align(of_b, described, nearest)
    bands = described[numbers, :N_BANDS]
    loud = of_b[:, N_BANDS] > -20
    before, after = (
        np.linalg.norm(rows[loud, :N_BANDS].mean(axis=0) - bands.mean(axis=0))
        for rows in (of_b, aligned)
    )
    assert after < before


@pytest.mark.parametrize("n_samples", [2, 600, 3000])
def test_sounds_shorter_than_the_axes_of_alignment_align(n_samples, tone, bursts):
    short = Sound(tone.samples[8000 : 8000 + n_samples], tone.rate)
    of_a = describe_sound(short, stft=STFT_44)
    few = choose_frames(short, of_a, stft=STFT_44)
    chooser = FramePath().fit(of_a[few], few)
    aligned = align(describe_sound(bursts, stft=STFT_44), of_a, chooser)
    assert np.isfinite(aligned).all()


def test_a_long_b_with_one_short_sound_in_it_aligns(described, numbers):
    samples = np.zeros((30 * 44100, 1), np.float32)
    samples[400_000:402_000, 0] = np.random.default_rng(0).uniform(-0.5, 0.5, 2000)
    of_b = describe_sound(Sound(samples, 44100), stft=STFT_44)
    chooser = FramePath(jump_cost=1, step_weight=1).fit(described[numbers], numbers)
    assert np.isfinite(align(of_b, described, chooser)).all()


def test_frames_that_hang_over_the_ends_are_left_out(numbers, tone):
    first, last = (np.array([numbers[0], numbers[-1]]) + STFT_44.p_min) * 512
    assert first - 1024 >= 0
    assert last + 1024 <= tone.n_samples


def test_a_sound_that_is_nothing_but_ends_is_learned_all_the_same(tone):
    short = Sound(tone.samples[:700], tone.rate)
    described = describe_sound(short, stft=STFT_44)
    assert len(choose_frames(short, described, stft=STFT_44)) == len(described)


@pytest.mark.parametrize("n_samples", [2, 700, 2500, 3000])
def test_there_are_always_two_frames_to_learn_from(n_samples, tone):
    short = Sound(tone.samples[9000 : 9000 + n_samples], tone.rate)
    described = describe_sound(short, stft=STFT_44)
    assert len(choose_frames(short, described, stft=STFT_44)) >= 2


def test_silence_is_not_learned(tone):
    samples = tone.samples.copy()
    samples[20000:30000] = 0
    gap = Sound(samples, tone.rate)
    numbers = choose_frames(gap, describe_sound(gap, stft=STFT_44), stft=STFT_44)
    centres = (numbers + STFT_44.p_min) * 512
    assert not np.any((centres > 21024) & (centres < 28976))
    assert np.sum(np.diff(numbers) > 1) == 1


def test_a_long_sound_gives_a_bounded_choice_of_stretches(tone):
    long = Sound(np.tile(tone.samples, (6, 1)), tone.rate)
    described = describe_sound(long, stft=STFT_44)
    some = choose_frames(long, described, stft=STFT_44, most=200)
    assert 100 < len(some) <= 200
    assert np.sum(np.diff(some) > 1) < len(some) / frames.STRETCH


def test_a_choice_of_stretches_is_a_fair_share_of_the_whole(tone):
    long = Sound(np.tile(tone.samples, (12, 1)), tone.rate)
    described = describe_sound(long, stft=STFT_44)
    some = choose_frames(long, described, stft=STFT_44, most=384)
    every = choose_frames(long, described, stft=STFT_44)
    assert some[0] == every[0]
    assert some[-1] == every[-1]
    # Six stretches with five even gaps between them.
    gaps = np.diff(np.searchsorted(every, some)) - 1
    even = (len(every) - len(some)) / 5
    np.testing.assert_allclose(gaps[gaps > 0], even, atol=1)


@pytest.mark.parametrize("n_more", [1, 63, 64, 1000])
def test_no_frame_is_chosen_twice(n_more, tone):
    long = Sound(np.tile(tone.samples, (12, 1)), tone.rate)
    described = describe_sound(long, stft=STFT_44)
    n_rows = len(choose_frames(long, described, stft=STFT_44))
    most = (n_rows - n_more) // frames.STRETCH * frames.STRETCH
    some = choose_frames(long, described, stft=STFT_44, most=most)
    assert len(some) == most
    assert (np.diff(some) > 0).all()


def test_no_frame_to_learn_from_runs_across_the_end_of_a_file(tone):
    a, b = (replace(tone, stretches=(Stretch(0, tone.duration, f, 0),)) for f in "ab")
    both = join([a, b])
    numbers = choose_frames(both, describe_sound(both, stft=STFT_44), stft=STFT_44)
    starts = (numbers + STFT_44.p_min) * 512 - 1024
    inside_a = starts + 2048 <= tone.n_samples
    assert np.all(inside_a | (starts >= tone.n_samples))
    assert 0 < inside_a.sum() < len(numbers)


def test_a_borrowed_spectrum_has_the_loudness_of_b(tone, bursts):
    rng = np.random.default_rng(0)
    of_b = analyse(bursts.samples, stft=STFT_44)
    of_a = analyse(tone.samples, stft=STFT_44)
    picked = of_a[:, rng.integers(5, 90, of_b.shape[1])]
    spectrum = borrow(of_b, picked)
    assert spectrum.shape == of_b.shape
    sizes = (np.linalg.norm(x, axis=2) for x in (spectrum, of_b))
    np.testing.assert_allclose(*sizes, rtol=1e-4, atol=1e-6)


def test_channels_of_b_borrow_from_channels_of_a_counted_round_and_from_the_mix():
    rng = np.random.default_rng(0)
    picked = rng.uniform(-1, 1, (2, 4, 9)).astype(np.complex64)
    of_b = np.ones((3, 4, 9), np.complex64)
    spectrum = borrow(of_b, picked)
    np.testing.assert_allclose(spectrum[2], spectrum[0])
    expected = picked[1] + picked.mean(axis=0)
    ratio = spectrum[1] / expected
    np.testing.assert_allclose(ratio, ratio[:, :1] * np.ones(9), rtol=1e-4)


def test_a_predicted_magnitude_takes_its_phases_from_a():
    rng = np.random.default_rng(0)
    picked = np.exp(2j * np.pi * rng.random((1, 4, 9))).astype(np.complex64)
    magnitude = rng.uniform(0.1, 1, (4, 9)).astype(np.float32)
    spectrum = borrow(np.ones((1, 4, 9)), picked, magnitude)
    np.testing.assert_allclose(np.angle(spectrum), np.angle(picked), atol=1e-5)
    ratio = np.abs(spectrum[0]) / magnitude
    np.testing.assert_allclose(ratio, ratio[:, :1] * np.ones(9), rtol=1e-4)


def description(bands, loudness=0.0):
    """Describe one frame by the levels of its bands, in dB."""
    return np.array([[*bands, loudness, 0]], np.float32)


BARE = description([0] + [-40] * (N_BANDS - 1))
FULL = description([0] + [-30] * (N_BANDS - 1))


def test_what_is_as_full_as_is_asked_stays_as_it_is():
    assert not fill_out(BARE, BARE, frequencies=STFT_44.f).any()


def test_quiet_bands_are_raised_or_lowered_to_what_is_asked_and_the_loudest_is_not():
    up = fill_out(BARE, FULL, frequencies=STFT_44.f)[0]
    down = fill_out(FULL, BARE, frequencies=STFT_44.f)[0]
    first, *_, last = mel_bands(STFT_44.f, N_BANDS).argmax(axis=0)
    # The mean of 24 bands differs by 23 / 24 of 10 dB; 0.6 of it is made up for, where
    # a band is 40 (30) dB below the loudest by 40 / 50 (30 / 40).
    assert up[last] == pytest.approx(0.6 * 10 * 23 / 24 * 40 / 50, abs=0.2)
    assert down[last] == pytest.approx(-0.6 * 10 * 23 / 24 * 30 / 40, abs=0.2)
    # A bin lies next to the middle of the first band: up to a sixth of the next one's.
    assert abs(up[first]) < up[last] / 6
    assert abs(down[first]) < -down[last] / 6


def test_each_frame_is_filled_out_by_itself():
    lower = description([-10] + [-35] * (N_BANDS - 1))
    together = fill_out(
        np.vstack([BARE, lower]), np.vstack([FULL, FULL]), frequencies=STFT_44.f
    )
    alone = [fill_out(row, FULL, frequencies=STFT_44.f)[0] for row in (BARE, lower)]
    np.testing.assert_allclose(together, alone, atol=1e-5)


# What the notebook and the docstrings say of a description, by hand ------------------


def test_a_description_is_levels_at_unit_power_and_loudness():
    powers = np.array([1.0, 4.0, 2.0])
    bands = np.column_stack([np.outer(powers, np.full(N_BANDS, 1 / 48)), powers])
    found = describe(bands)
    np.testing.assert_allclose(found[:, :N_BANDS], 10 * np.log10(1 / 48), atol=1e-4)
    np.testing.assert_allclose(found[:, N_BANDS], [-6.02, 0, -3.01], atol=0.01)


def test_bands_hold_the_power_of_their_bins_and_the_last_that_of_all(tone):
    power = np.abs(analyse(tone.samples, stft=STFT_44)[0, 40:41]) ** 2
    found = band_power(power, frequencies=STFT_44.f)
    assert found.shape == (1, N_BANDS + 1)
    assert found[0, -1] == pytest.approx(power.sum(), rel=1e-5)
    # 600 Hz in a single bin lies in two bands at most, as far as these reach.
    one = np.zeros((1, 1025))
    one[0, 28] = 9.0
    weights = mel_bands(STFT_44.f, N_BANDS)[28]
    np.testing.assert_allclose(
        band_power(one, frequencies=STFT_44.f)[0], [*9 * weights**2, 9], rtol=1e-6
    )


def test_frames_matter_down_to_45_db_under_the_loudest():
    rows = np.vstack([description(np.zeros(N_BANDS), x) for x in (0, -44.9, -45.1)])
    np.testing.assert_array_equal(is_active(rows), [True, True, False])


# Alignment, where what is to come out is known ----------------------------------------


def rows_of(n_rows, *, seed, tilt_db=4.0):
    """Describe frames, all as loud, of random bands that fall by twice the tilt."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((n_rows, N_BANDS + 1), np.float32)
    rows[:, :N_BANDS] = rng.uniform(-30, -10, (n_rows, N_BANDS))
    rows[:, :N_BANDS] += np.linspace(tilt_db, -tilt_db, N_BANDS)
    return rows


def colour_of(rows):
    return rows[:, :N_BANDS].mean(axis=0)


A = rows_of(200, seed=0)
LEARNER = FramePath(jump_cost=1).fit(A, np.arange(200))


class Listener(FramePath):
    """A `FramePath` that keeps what it is first asked for."""

    def predict(self, X):  # noqa: N803 scikit-learn's name
        """Predict as ever."""
        if not hasattr(self, "first_"):
            self.first_ = X.copy()
        return super().predict(X)


def first_guess(b, **settings):
    """Align B with A, and look at what is asked for before anything is turned."""
    learner = Listener().fit(A, np.arange(200))
    align(b, A, learner, **settings)
    return learner.first_


def test_the_first_guess_gives_b_the_mean_colour_of_a():
    b = rows_of(50, seed=1, tilt_db=-4)
    moved = (first_guess(b) - b)[:, :N_BANDS]
    expected = np.tile(colour_of(A) - colour_of(b), (50, 1))
    np.testing.assert_allclose(moved, expected, atol=1e-4)


def test_b_is_spread_as_a_is():
    b = A.copy()
    b[:, :N_BANDS] = colour_of(A) + 0.8 * (A[:, :N_BANDS] - colour_of(A))
    np.testing.assert_allclose(align(b, A, LEARNER, balance=0), A, atol=0.01)


def test_b_is_rotated_to_where_a_is():
    # Two neighbouring bands are exchanged, which is a rotation and a reflection.
    b = A.copy()
    b[:, [3, 4]] = A[:, [4, 3]]
    np.testing.assert_allclose(align(b, A, LEARNER, balance=0), A, atol=0.01)


@pytest.mark.parametrize(("settings", "share"), [({}, 0.4), ({"balance": 0.8}, 0.8)])
def test_b_is_shifted_towards_what_of_a_was_chosen_too_rarely(settings, share):
    b = rows_of(50, seed=1)
    plain = align(b, A, LEARNER, n_rounds=9, balance=0)  # the choice has settled
    missing = colour_of(A) - colour_of(A[LEARNER.predict(plain)])
    shift = (align(b, A, LEARNER, n_rounds=9, **settings) - plain)[:, :N_BANDS]
    np.testing.assert_allclose(shift, np.tile(share * missing, (50, 1)), atol=1e-4)


def test_what_of_b_is_hardly_heard_does_not_turn_the_rest():
    learner = FramePath().fit(A, np.arange(200))  # each row for itself
    b = rows_of(80, seed=1)
    quiet = rows_of(20, seed=2, tilt_db=-9)
    quiet[:, N_BANDS] = -50
    alone, together = (
        align(rows, A, learner)[:80] for rows in (b, np.vstack([b, quiet]))
    )
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_of_a_long_b_stretches_from_all_over_it_are_studied():
    b = np.vstack(
        [rows_of(1000, seed=i, tilt_db=tilt) for i, tilt in enumerate([5, -5])]
    )
    # All rows are moved alike, and the first one is always among them.
    some, whole = first_guess(b, n_study=256)[0], first_guess(b, n_study=2000)[0]
    # Means of 256 values, 20 dB wide, are off by .36 dB (rms) at random, those of a
    # dull half alone by up to 5.
    assert np.abs(some - whole).max() < 4 * 0.36


# What is borrowed ---------------------------------------------------------------------


@pytest.mark.parametrize("dynamics", [0.0, 0.5, np.array([0, 0.25, 0.5, 1])])
def test_without_dynamics_a_frame_keeps_the_loudness_that_it_has_in_a(dynamics):
    rng = np.random.default_rng(0)
    picked = rng.uniform(-1, 1, (1, 4, 9)).astype(np.complex64)
    of_b = 100 * rng.uniform(-1, 1, (1, 4, 9)).astype(np.complex64)
    found = borrow(of_b, picked, dynamics=dynamics)
    size, size_a, size_b = (np.linalg.norm(x[0], axis=1) for x in (found, picked, of_b))
    # In between, in dB, as far as the dial is turned.
    expected = size_a ** (1 - dynamics) * size_b**dynamics
    np.testing.assert_allclose(size, expected, rtol=1e-3)


def test_next_to_nothing_is_not_lifted_by_more_than_120_db():
    picked = np.full((1, 1, 9), 1e-9, np.complex64)
    found = borrow(np.ones((1, 1, 9), np.complex64), picked)
    np.testing.assert_allclose(np.abs(found), 1e-3, rtol=0.01)


@pytest.fixture(scope="module")
def pair(tone, bursts):
    """Make a plan of what the bursts, three times as loud, borrow of the tone."""
    b = Sound(3 * bursts.samples, bursts.rate)
    plan = make_plan(tone, b, FramePath(jump_cost=3), stft=STFT_44)
    return tone, b, plan


def convolve(pair, model=None, **settings):
    """Render a pair with the model of its plan, or another one."""
    a, b, plan = pair
    model = model or clone(plan.learner)
    return convolve_frames(a, b, plan, model, stft=STFT_44, dials=Dials(**settings))


def test_a_plan_is_learned_from_a_and_asks_for_b(pair):
    a, b, plan = pair
    np.testing.assert_array_equal(plan.described_a, describe_sound(a, stft=STFT_44))
    np.testing.assert_array_equal(plan.described_b, describe_sound(b, stft=STFT_44))
    aligned = align(plan.described_b, plan.described_a, plan.learner)
    np.testing.assert_array_equal(plan.aligned, aligned)
    assert np.isin(plan.borrowed, plan.numbers).all()
    np.testing.assert_array_equal(plan.borrowed, plan.learner.predict(plan.aligned))


@pytest.mark.parametrize("model", [None, KNeighborsRegressor(1)])
def test_what_keeps_its_dynamics_is_as_loud_as_b_all_in_all(model, pair):
    _, b, _ = pair
    # To 2 dB: frames of A that are loud and those that are not come as they are chosen.
    level_db = 20 * np.log10(rms_of(convolve(pair, model, dynamics=0)) / rms_of(b))
    assert abs(level_db) < 2


def test_a_model_that_averages_borrows_no_stretches(pair):
    assert convolve(pair, KNeighborsRegressor(1)).stretches == ()


def test_what_is_borrowed_is_the_plan_and_in_its_stretches(pair):
    a, b, plan = pair
    expected = stretches_of(plan.borrowed, a, n_samples=b.n_samples, stft=STFT_44)
    assert convolve(pair).stretches == expected


def test_without_dials_a_pair_is_convolved_as_they_stand_by_default(pair):
    a, b, plan = pair
    sound = convolve_frames(a, b, plan, clone(plan.learner), stft=STFT_44)
    np.testing.assert_array_equal(sound.samples, convolve(pair).samples)


@pytest.mark.parametrize("model", [None, KNeighborsRegressor(1)])
def test_frames_in_blocks_give_the_whole(model, pair, monkeypatch):
    whole = convolve(pair, model).samples
    monkeypatch.setattr(spectrum, "BLOCK_FRAMES", 20)
    np.testing.assert_allclose(convolve(pair, model).samples, whole, atol=1e-5)


def test_continuity_scales_the_price_of_a_jump_by_its_cube(pair):
    plain = convolve(pair, FramePath(jump_cost=3 / 8), continuity=1)
    np.testing.assert_array_equal(plain.samples, convolve(pair).samples)
    numbers = [len(convolve(pair, continuity=dial).stretches) for dial in (1, 0.5, 0)]
    assert numbers[0] < numbers[1] < numbers[2]


def test_melody_transposes_what_is_borrowed(tone):
    higher = resample(Sound(tone.samples, 48000), rate=44100)  # by 1.47 semitones
    plan = make_plan(tone, higher, FramePath(jump_cost=3), stft=STFT_44)
    still, led = (
        convolve((tone, higher, plan), melody=melody).stretches for melody in (0, 1)
    )
    assert not any(stretch.semitones for stretch in still)
    longest = max(led, key=lambda stretch: stretch.stop - stretch.start)
    assert 0 < longest.semitones < 2
