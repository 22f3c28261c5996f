"""B's loudness, onsets and silences, put onto another sound by a gain over time."""

import numpy as np
import pytest

from helpers import spectrum
from helpers.audio import Sound
from helpers.estimators import N_BANDS
from helpers.frames import describe_sound, levels_of
from helpers.gesture import (
    apply_gain,
    articulate,
    duck,
    find_strokes,
    fine_power,
    follow,
    gesture_gain,
    spectral_flux,
)
from helpers.scores import compare, features
from helpers.spectrum import make_stft

RATE = 44100
STFT_44 = make_stft(RATE)
HOP = 128  # samples from point to point of a gain at this rate


@pytest.fixture(scope="module")
def hiss(bursts) -> Sound:
    """Make steady noise of the length and channels of the bursts."""
    noise = np.random.default_rng(3).uniform(-0.2, 0.2, bursts.samples.shape)
    return Sound(noise.astype(np.float32), RATE)


def gain_for(sound, b, *, stft=STFT_44):
    """Find the gain that gives a sound the gesture of B."""
    return gesture_gain(sound, b, describe_sound(b, stft=stft), stft=stft)


def correlation(x, y) -> float:
    """Correlate two powers in dB, each floored 60 under its maximum."""
    x_db, y_db = (10 * np.log10(z + 1e-20) for z in (x, y))
    return np.corrcoef(*(np.maximum(z, z.max() - 60) for z in (x_db, y_db)))[0, 1]


def test_power_is_that_of_all_channels_every_three_milliseconds():
    square = np.ones((8000, 2), np.float32)
    square[::2] *= -0.5  # a power of (1 + 1/4) / 2 in each channel
    power = fine_power(Sound(square, RATE))
    assert len(power) == pytest.approx(8000 / HOP, abs=4)
    np.testing.assert_allclose(power[3:-4], 1.25, rtol=1e-3)


def test_a_gain_passes_through_its_points(hiss):
    n_points = len(fine_power(hiss))
    gain_db = np.random.default_rng(0).uniform(-6, 6, n_points)
    turned = apply_gain(hiss, gain_db)
    ratio_db = 20 * np.log10(turned.samples[::HOP] / hiss.samples[::HOP])
    # The first point is one hop before the first sample.
    points = gain_db[1 : 1 + len(ratio_db), None]
    np.testing.assert_allclose(ratio_db, np.tile(points, 2), atol=1e-3)


def test_an_even_gain_is_a_factor(hiss):
    gain_db = np.full(len(fine_power(hiss)), 20 * np.log10(0.5))
    turned = apply_gain(hiss, gain_db)
    np.testing.assert_allclose(turned.samples, hiss.samples / 2, rtol=1e-5)


def test_strokes_are_found_where_power_leaps(bursts):
    strokes = find_strokes(fine_power(bursts))
    begins = np.arange(1, 7) / 7 * RATE / HOP + 1
    later = strokes[strokes > 20]  # the first burst begins with the sound
    assert len(later) == len(begins)
    assert np.abs(later - begins).max() <= 4  # within the window of 12 ms


def test_a_steady_sound_has_no_strokes(hiss):
    assert not len(find_strokes(fine_power(hiss))[1:])


def test_a_sound_that_follows_takes_on_the_loudness_of_b(hiss):
    swell = 0.02 + np.sin(np.linspace(0, 9, len(hiss.samples))) ** 2
    b = Sound(hiss.samples[::-1] * swell[:, None].astype(np.float32), RATE)
    own, wanted = fine_power(hiss), fine_power(b)
    gain_db = follow(own, wanted, find_strokes(wanted))
    result = fine_power(apply_gain(hiss, gain_db))
    assert correlation(result, wanted) > 0.98
    # The loudness in all stays, but for what smoothing does to the dips.
    assert 10 * np.log10(result.sum() / wanted.sum()) == pytest.approx(0, abs=0.5)


def test_following_does_not_lift_silence_without_end():
    power = np.full(300, 1e-12)
    power[100:110] = 1
    lifted, lowered = (
        follow(own, wanted, np.array([], int))
        for own, wanted in ((power, np.ones(300)), (np.ones(300), power))
    )
    assert lifted.max() == pytest.approx(60)
    assert lowered.min() == pytest.approx(-80)


def test_following_keeps_a_stroke_sharp():
    wanted = np.full(300, 1e-4)
    wanted[150:] = 1
    own = np.ones(300)
    sharp, dull = (
        follow(own, wanted, np.array(strokes, int)) for strokes in ([150], [])
    )
    # 6 ms before the stroke the gain is still low; smoothed across, it is not.
    assert sharp[147] < -39
    assert dull[147] > -36


def test_articulation_leans_into_the_onsets_of_b(hiss, bursts):
    described, described_b = (describe_sound(s, stft=STFT_44) for s in (hiss, bursts))
    gain_db = articulate(described, described_b)
    assert gain_db.shape == (len(described),)
    before, wanted = (levels_of(d) for d in (described, described_b))
    flux, plain, leaning = (
        spectral_flux(levels)
        for levels in (wanted, before, before + gain_db[:, np.newaxis])
    )
    old, new = (np.corrcoef(flux, x)[0, 1] for x in (plain, leaning))
    assert new > old + 0.2


def test_ducking_turns_down_what_is_above_b_ahead_of_a_stroke_and_nothing_else():
    own, wanted = np.ones(400), np.ones(400)
    own[200:350] = 100  # 20 dB above B
    gain_db = duck(own, wanted, np.array([300]))
    assert gain_db.max() <= 0
    assert gain_db[295] == pytest.approx(-25, abs=0.1)
    np.testing.assert_allclose(gain_db[:285], 0, atol=1e-6)
    np.testing.assert_allclose(gain_db[305:], 0, atol=1e-6)


def test_a_sound_with_bs_gesture_has_its_loudness_and_onsets(hiss, bursts):
    gain_db = gain_for(hiss, bursts)
    result = features(apply_gain(hiss, gain_db), peak=True)
    plain, b = features(hiss, peak=True), features(bursts)
    before, after = (compare(x, plain, b) for x in (plain, result))
    assert after["envelope"] > 0.95
    assert after["onsets"] > before["onsets"] + 0.3
    assert after["attack"] < 3


def test_what_has_bs_gesture_keeps_it(bursts):
    gain_db = gain_for(bursts, bursts)
    heard = describe_sound(bursts, stft=STFT_44)[:, N_BANDS] > -45
    assert heard.any()
    # Strokes are left as they are; 1.5 dB is what one hardly hears.
    power = fine_power(bursts)
    assert np.abs(gain_db[power > power.max() / 1000]).mean() < 1.5


@pytest.mark.parametrize("silent", ["sound", "b", "both"])
def test_silence_stays_finite_and_silent(silent, hiss):
    silence = Sound(np.zeros_like(hiss.samples), RATE)
    sound = hiss if silent == "b" else silence
    b = hiss if silent == "sound" else silence
    result = apply_gain(sound, gain_for(sound, b)).samples
    assert np.isfinite(result).all()
    assert silent == "b" or not result.any()


@pytest.mark.parametrize("rate", [100, 8000, 192000])
@pytest.mark.parametrize("n_samples", [2, 100, 5000])
def test_gestures_of_any_rate_and_length_are_finite(n_samples, rate, hiss, bursts):
    sound, b = (Sound(s.samples[:n_samples], rate) for s in (hiss, bursts))
    gain_db = gain_for(sound, b, stft=make_stft(rate))
    assert np.isfinite(apply_gain(sound, gain_db).samples).all()


def test_blocks_give_the_whole(hiss, bursts, monkeypatch):
    whole = gain_for(hiss, bursts)
    monkeypatch.setattr(spectrum, "BLOCK_FRAMES", 16)
    # Products of matrices of another size add up in another order.
    np.testing.assert_allclose(gain_for(hiss, bursts), whole, atol=1e-3)


def test_a_click_is_heard_within_six_milliseconds_of_it():
    click = np.zeros((100 * HOP, 1), np.float32)
    click[50 * HOP] = 1
    power = fine_power(Sound(click, RATE))
    # A Hann window of four hops is 1/2 one hop from its middle, 0 from two on, and its
    # sum is two hops. The first point is one hop before the first sample.
    expected = np.zeros(len(power))
    expected[50:53] = np.array([0.5, 1, 0.5]) / (2 * HOP)
    np.testing.assert_allclose(power, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("share", "kept"), [(0, 0), (0.5, 0.5), ([(0.5, 0), (0.5, 1)], [0, 1])]
)
def test_a_share_of_a_gain_is_that_share_of_its_decibels(share, kept):
    ones = Sound(np.ones((8000, 1), np.float32), 8000)
    turned = apply_gain(ones, np.full(len(fine_power(ones)), -12.0), share=share)
    early_and_late = 20 * np.log10(turned.samples[[2000, 6000], 0])
    np.testing.assert_allclose(early_and_late, np.full(2, -12) * kept, atol=1e-4)


def test_a_gain_is_cubic_between_its_points():
    ones = Sound(np.ones((200 * HOP, 1), np.float32), RATE)
    turns = 2 * np.pi / (16 * HOP)  # a wave of 16 points; the first is at -HOP
    points = 6 * np.sin(turns * HOP * (np.arange(len(fine_power(ones))) - 1))
    inside = np.arange(20 * HOP, 180 * HOP)
    turned_db = 20 * np.log10(apply_gain(ones, points).samples[inside, 0])
    # A cubic spline is off by 5/384 of the fourth derivative, 6 dB (2 pi / 16)^4: .002
    # dB; straight lines would be by 1/8 of the second, .12 dB.
    np.testing.assert_allclose(turned_db, 6 * np.sin(turns * inside), atol=0.005)


def leaps(*starts):
    """Make a power that dies away, but for leaps, each a little less high."""
    power_db = -0.2 * np.arange(200)
    power_db[[*starts]] += 30 - np.arange(len(starts))
    return 10 ** (power_db / 10)


def test_a_stroke_is_the_point_of_the_leap():
    np.testing.assert_array_equal(find_strokes(leaps(100)), [100])


@pytest.mark.parametrize("n_samples", [1, 60, 3000])
def test_a_stroke_out_of_digital_silence_is_found_once(n_samples):
    samples = np.zeros((RATE, 1), np.float32)
    begins = np.array([5000, 16_000, 27_077, 38_000])
    for at in begins:
        sound = np.random.default_rng(at).uniform(0.1, 0.5, n_samples)
        samples[at : at + n_samples, 0] = sound
    strokes = find_strokes(fine_power(Sound(samples, RATE)))
    assert len(strokes) == len(begins)
    assert np.abs(strokes - (begins / HOP + 1)).max() <= 4  # 12 ms


@pytest.mark.parametrize(("apart", "strokes"), [(12, [100]), (13, [100, 113])])
def test_two_leaps_within_35_ms_are_one_stroke(apart, strokes):
    np.testing.assert_array_equal(find_strokes(leaps(100, 100 + apart)), strokes)


@pytest.mark.parametrize(("rise_db", "found"), [(12.9, False), (13.1, True)])
def test_what_rises_by_less_than_13_db_is_no_stroke(rise_db, found):
    power = np.ones(200)
    power[100] = 10 ** (rise_db / 10)
    assert bool(len(find_strokes(power))) == found


@pytest.mark.parametrize(("n_points", "found"), [(4, True), (40, False)])
def test_what_rises_slowly_is_no_stroke(n_points, found):
    power_db = np.interp(np.arange(200), [100, 100 + n_points], [-30, 0])
    assert bool(len(find_strokes(10 ** (power_db / 10)))) == found


def test_what_is_80_db_under_the_loudest_is_no_stroke():
    power = np.r_[1e-12 * np.ones(100), 1e-9 * np.ones(100), np.ones(100)]
    assert find_strokes(power).min() > 190  # the leap at 200 is one, that at 100 is not


def test_following_lets_swells_through_and_no_ripples():
    points = np.arange(700)
    swell, ripple = (np.cos(2 * np.pi * points / period) for period in (70, 7))
    for wave, least, most in ((swell, 0.96, 1), (ripple, 0, 0.05)):
        gain_db = follow(np.ones(700), 10 ** (wave / 10), np.array([], int))
        # Gaussians of 2.75 and .7 points leave exp(-8.05 (2 pi / period)^2 / 2): .968
        # of a wave of 200 ms, .039 of one of 20 ms.
        assert least < np.ptp(gain_db[100:600]) / 2 < most


def test_following_does_not_dull_the_first_twelve_milliseconds_of_a_stroke():
    wanted = np.ones(300)
    wanted[150:154] = 100  # four points
    gain_db = follow(np.ones(300), wanted, np.array([150]))
    # A Gaussian of .7 points, which rounds the edges, has .01 of its weight two points
    # off.
    np.testing.assert_allclose(gain_db[151:153], gain_db.min() + 20, atol=0.3)
    assert follow(np.ones(300), wanted, np.array([], int)).max() < gain_db.min() + 12


def test_a_gain_leaps_at_a_stroke_within_a_few_points_and_not_in_one():
    own = np.ones(200)
    wanted = np.r_[np.full(100, 1e-4), np.ones(100)]
    gain_db = follow(own, wanted, np.array([100]))
    assert gain_db[96] == pytest.approx(-40, abs=0.01)
    assert gain_db[103] == pytest.approx(0, abs=0.01)
    # A Gaussian of .7 points has .57 of its weight in one of them.
    assert np.diff(gain_db).max() < 0.6 * 40


def flat_frames(levels_db, *, loudness_db=0.0):
    """Describe frames whose bands are all at one level."""
    rows = np.zeros((len(levels_db), N_BANDS + 1), np.float32)
    rows[:, :N_BANDS] = np.reshape(levels_db, (-1, 1))
    rows[:, N_BANDS] = loudness_db
    return rows


def steps_up(*onsets, by=3.0, n_rows=80):
    """Describe a sound whose bands all rise by some dB at each onset, and else stay."""
    risen = np.searchsorted(onsets, np.arange(n_rows), side="right")
    return flat_frames(-40 + by * risen)


def test_flux_is_the_mean_rise_of_what_can_be_heard():
    levels_db = np.array([[-80.0, -20], [-54, -30], [-54, -20]])
    # From the floor of -60 dB it is a rise by 6, in one band of two; a fall is none.
    np.testing.assert_allclose(spectral_flux(levels_db), [0, 3, 5])


def turned_flux(described, gain_db):
    """Measure the flux of a sound that is turned up and down."""
    return spectral_flux(levels_of(described) + gain_db[:, np.newaxis])


@pytest.mark.parametrize("effort", [0.5, 1, 2])
def test_articulation_weighs_levels_against_gain(effort):
    sound, b = (
        flat_frames(np.repeat([-20.0, second], 40)) for second in (-24.0, -21.0)
    )
    gain_db = articulate(sound, b, flux=0, effort=effort)
    # The second half lacks 3 dB, all in all it stays as loud: 1.5 dB each. Of d dB the
    # least sum of (d - gain)^2 and (effort gain)^2 is at d / (1 + effort^2).
    expected = np.repeat([-1.5, 1.5], 40) / (1 + effort**2)
    np.testing.assert_allclose(gain_db, expected, atol=1e-4)


def test_levels_are_compared_where_b_is_heard():
    loudness_db = np.repeat([0.0, -50.0], [60, 20])
    gain_db = articulate(
        flat_frames(np.repeat([-3.0, -1.0, -3.0], [30, 30, 20])),
        flat_frames(np.full(80, -2.0), loudness_db=loudness_db),
        flux=0,
        effort=0,
    )
    np.testing.assert_allclose(gain_db[:60], np.repeat([1, -1], 30), atol=1e-4)


def test_articulation_gives_a_sound_the_flux_of_b_where_nothing_weighs_against_it():
    sound, b = steps_up(10), steps_up(40)
    gain_db = articulate(sound, b, flux=100, effort=0.01)
    # 1 %: fluxes of next to nothing are not brought into proportion, and levels count.
    flux_b = spectral_flux(levels_of(b))
    np.testing.assert_allclose(turned_flux(sound, gain_db), flux_b, atol=0.03)


def test_articulation_leans_into_an_onset_of_b_and_softens_one_that_b_has_not():
    sound, b = steps_up(10, 60), steps_up(40, 60)
    gain_db = articulate(sound, b)
    rise_db = np.diff(gain_db, prepend=gain_db[0])
    assert rise_db[40] > 0.5
    assert rise_db[10] < -0.5
    assert abs(rise_db[60]) < 0.1  # they share it
    others = np.delete(rise_db, [10, 40])
    assert np.abs(others).max() < rise_db[40] / 2


def test_more_effort_makes_less_gain():
    sizes = [
        np.abs(articulate(steps_up(10), steps_up(40), effort=effort)).max()
        for effort in (0.1, 0.7, 5)
    ]
    assert sizes[0] > sizes[1] > sizes[2] > 0


def test_a_sound_that_moves_when_b_does_is_left_alone_however_much_it_moves():
    there_and_back = np.tile([0.0, 0, 1, 1], 50)
    sound, b = (flat_frames(-30 + by * there_and_back) for by in (4, 1))
    gain_db = articulate(sound, b, flux=1000)
    # Levels differ by 3 dB; with flux in proportion they hardly count.
    flux = turned_flux(sound, gain_db)
    np.testing.assert_allclose(flux, spectral_flux(levels_of(sound)), atol=0.01)


def test_articulation_does_12_db_at_most():
    sound, b = (flat_frames(np.repeat([-20.0, second], 40)) for second in (-50, -4))
    for gain_db in (articulate(sound, b), articulate(b, sound)):
        # Halves that differ by 46 dB ask for 23 up and down, and weighed for 15.
        np.testing.assert_allclose(np.abs(gain_db), 12)


def test_more_rounds_of_articulation_change_next_to_nothing(hiss, bursts):
    described, described_b = (describe_sound(s, stft=STFT_44) for s in (hiss, bursts))
    three, six = (articulate(described, described_b, n_rounds=n) for n in (3, 6))
    assert np.sqrt(np.mean((six - three) ** 2)) < 0.1 * np.std(six)


def test_what_is_not_heard_is_not_turned():
    sound, b = steps_up(10), steps_up(40)
    for described in (sound, b):
        described[60:, N_BANDS] = -100
    gain_db = articulate(sound, b)
    np.testing.assert_allclose(gain_db[61:], 0, atol=1e-6)


def test_ducking_ends_where_the_stroke_begins():
    gain_db = duck(np.ones(400), np.ones(400), np.array([300]))
    # Smoothed evenly, so halfway at both ends of the nine points before it.
    assert gain_db[290:292].mean() == pytest.approx(-2.5, abs=1e-3)
    assert gain_db[299:301].mean() == pytest.approx(-2.5, abs=1e-3)


@pytest.mark.parametrize("loud", [slice(0, 100), slice(103, 300)])
def test_just_ahead_of_a_stroke_b_masks_for_ten_milliseconds_only(loud):
    wanted = np.full(300, 1e-4)
    wanted[loud] = 1
    gain_db = duck(np.ones(300), wanted, np.array([107]))
    # Between -5 dB and -45 dB, three points after B's fall, and at once where it rises.
    assert gain_db[102:104].mean() == pytest.approx(-25, abs=0.5)


def test_what_is_ducked_is_ducked_smoothly():
    own, wanted = np.full(100, 1e-6), np.ones(100)
    own[50] = 100  # 20 dB over B, so 25 dB over the ceiling
    gain_db = duck(own, wanted, np.array([53]))
    # A Gaussian of one point: .40 of its weight at its middle, .24 beside it.
    np.testing.assert_allclose(gain_db[49:52], [-6, -10, -6], atol=0.1)


def test_the_loudness_that_a_sound_had_before_makes_no_difference(hiss, bursts):
    seconds = np.arange(hiss.n_samples)[:, None] / RATE
    swell_db = 6 * np.sin(2 * np.pi * 1.5 * seconds) - 20
    swelling = Sound(hiss.samples * (10 ** (swell_db / 20)).astype(np.float32), RATE)
    one, other = (
        fine_power(apply_gain(s, gain_for(s, bursts))) for s in (hiss, swelling)
    )
    one_db, other_db = (10 * np.log10(p[8:-8] / p.sum()) for p in (one, other))
    # Within 12 ms, and within a frame, a swell is not quite even.
    np.testing.assert_allclose(other_db, one_db, atol=1)


def test_a_gesture_leaves_a_sound_at_its_own_level(hiss, bursts):
    quiet = Sound(hiss.samples / 10, RATE)
    # The floors under silence do not move with the level.
    np.testing.assert_allclose(
        gain_for(quiet, bursts), gain_for(hiss, bursts), atol=0.1
    )


def test_a_gesture_leans_into_what_begins_in_b_without_being_louder(hiss):
    # Noise that turns from dull to bright four times a second, at one loudness.
    dull = hiss.samples[:, :1] + np.roll(hiss.samples[:, :1], 1)
    bright = hiss.samples[:, :1] - np.roll(hiss.samples[:, :1], 1)
    part = np.arange(hiss.n_samples) // (RATE // 4)
    b = Sound(np.where(part[:, None] % 2, bright, dull), RATE)
    gain_db = gain_for(Sound(hiss.samples[:, 1:], RATE), b)
    period = RATE / 4 / HOP
    off = (np.arange(len(gain_db)) - 1 + period / 2) % period - period / 2
    near, between = gain_db[np.abs(off) < 6], gain_db[np.abs(off) > 12]
    assert near.mean() > between.mean() + 1.5  # unarticulated: +- 0.1
