"""B's loudness, onsets and silences, put onto another sound by a gain over time."""

import numpy as np
import pytest

from helpers import spectrum
from helpers.audio import Sound
from helpers.estimators import N_BANDS
from helpers.frames import describe_sound, levels_of, spectral_flux
from helpers.gesture import (
    apply_gain,
    articulate,
    duck,
    find_strokes,
    fine_power,
    follow,
    gesture_gain,
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


def test_following_does_not_lift_silence():
    own = np.full(300, 1e-12)
    own[100:110] = 1
    gain_db = follow(own, np.full(300, 1.0), np.array([], int))
    assert gain_db.max() <= 60 + 1e-6


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
    gain_db = articulate(described, described_b, frames_per_second=RATE / 512)
    assert gain_db.shape == (len(described),)
    before, wanted = (levels_of(d) for d in (described, described_b))
    flux, plain, leaning = (
        spectral_flux(levels)
        for levels in (wanted, before, before + gain_db[:, np.newaxis])
    )
    old, new = (np.corrcoef(flux, x)[0, 1] for x in (plain, leaning))
    assert new > old + 0.2


def test_articulation_stays_within_its_limits(hiss, bursts):
    described, described_b = (describe_sound(s, stft=STFT_44) for s in (hiss, bursts))
    settings = {"frames_per_second": RATE / 512, "limit_db": 3}
    gain_db = articulate(described, described_b, **settings)
    assert 3 < np.abs(gain_db).max() <= 6  # two parts of 3 dB each


def test_ducking_turns_down_what_is_above_b_and_nothing_else():
    own, wanted = np.ones(400), np.ones(400)
    own[200:260] = 100  # 20 dB above B
    gain_db = duck(own, wanted, np.array([], int))
    assert gain_db.max() <= 0
    np.testing.assert_allclose(gain_db[:190], 0, atol=1e-6)
    np.testing.assert_allclose(gain_db[210:250], -15, atol=1e-6)  # all but far_db


def test_ducking_is_stricter_just_ahead_of_a_stroke():
    own, wanted = np.ones(400), np.ones(400)
    gain_db = duck(own, wanted, np.array([300]))
    assert gain_db[295] == pytest.approx(-4, abs=0.1)
    np.testing.assert_allclose(gain_db[:280], 0, atol=1e-6)


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


@pytest.mark.parametrize("rate", [1000, 8000, 192000])
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
