"""B's loudness and strokes as a gain over time."""

import numpy as np
import pytest

from helpers import gesture
from helpers.frames import LOUDNESS, N_BANDS
from helpers.sound import Sound
from helpers.spectrum import make_stft

RATE = 44100
STEP = 128  # samples from one point to the next at this rate
POWER = np.full(400, 1e-6)


@pytest.fixture(scope="module")
def hiss() -> Sound:
    """Make a second of steady noise, mono."""
    noise = np.random.default_rng(5).uniform(-0.3, 0.3, (RATE, 1))
    return Sound(noise.astype(np.float32), RATE)


def test_power_is_that_of_all_channels_every_three_milliseconds():
    sound = Sound(np.tile(np.float32([0.1, 0.2]), (10 * STEP, 1)), RATE)
    power = gesture.fine_power(sound)
    assert len(power) == 10 + 1
    np.testing.assert_allclose(power[1:-2], 0.05, rtol=1e-6)


def test_an_even_gain_is_a_factor(hiss):
    turned = gesture.apply_gain(hiss, np.full(len(gesture.fine_power(hiss)), 6.0))
    # A float32 exponent of 0.3 is rounded by at most 2e-8, a factor by 1e-7.
    expected = hiss.samples * 10 ** (6 / 20)
    np.testing.assert_allclose(turned.samples, expected, rtol=1e-6)


def test_a_gain_is_the_same_in_blocks(hiss, monkeypatch):
    gain_db = np.random.default_rng(6).uniform(-9, 9, len(gesture.fine_power(hiss)))
    whole = gesture.apply_gain(hiss, gain_db).samples
    monkeypatch.setattr(gesture, "BLOCK", 1000)
    np.testing.assert_array_equal(gesture.apply_gain(hiss, gain_db).samples, whole)


@pytest.mark.parametrize("point", [0, 3, 8, 200])
def test_a_stroke_is_the_point_of_the_leap_even_at_the_very_beginning(point):
    power = POWER.copy()
    power[point:] = 1e-2
    strokes = gesture.find_strokes(power)
    # A rise is seen over four points; what begins out of nothing begins with one, too.
    assert min(abs(strokes - point)) <= 3
    assert np.all(strokes <= point)
    assert len(strokes) <= 2


@pytest.mark.parametrize(("rise_db", "n_found"), [(14, 1), (12, 0)])
def test_what_rises_by_less_than_13_db_is_no_stroke(rise_db, n_found):
    power = np.full(400, 1e-2)
    power[200:] *= 10 ** (rise_db / 10)
    found = gesture.find_strokes(power)
    assert np.sum(found > 5) == n_found  # the sound's own beginning is one, too


def test_a_sound_that_follows_takes_on_the_loudness_of_b(hiss):
    wanted = 1e-3 + 1e-2 * np.sin(np.linspace(0, 9, 346)) ** 2
    own = gesture.fine_power(hiss)
    gain_db = gesture.follow(own, wanted, np.array([], int))
    level_db = 10 * np.log10(own) + gain_db
    # Under a smoothing of 3.5 points, steady noise stays within 2 dB of a slow swell.
    assert np.abs(level_db - 10 * np.log10(wanted))[:-10].max() < 2  # all but the end


def test_following_keeps_a_stroke_sharp():
    wanted = POWER.copy()
    wanted[200:] = 1e-2  # 40 dB
    own = np.full(400, 1e-2)
    sharp = gesture.follow(own, wanted, np.array([200]))
    blunt = gesture.follow(own, wanted, np.array([], int))
    assert sharp[197] < -39
    assert blunt[197] > -39


def a_description(loudness_db: np.ndarray) -> np.ndarray:
    """Describe a sound whose bands are all as loud as it is."""
    described = np.zeros((len(loudness_db), 2 * N_BANDS + 3))
    described[:, LOUDNESS] = loudness_db
    return described


def test_articulation_leans_into_an_onset_of_b_and_softens_one_that_b_has_not():
    wave_db = 6 * np.sin(np.arange(120) / 9) - 20
    of_b, of_a = wave_db.copy(), wave_db.copy()
    of_b[40:44] += 9
    of_a[80:84] += 9
    gain_db = gesture.articulate(a_description(of_a), a_description(of_b))
    assert gain_db[40] > 2
    assert gain_db[80] < -2


def test_where_b_hardly_moves_the_gain_hardly_does():
    of_a = np.random.default_rng(7).uniform(-30, -10, 200)
    of_b = -20 + 0.1 * np.sin(np.arange(200) / 9)
    gain_db = gesture.articulate(a_description(of_a), a_description(of_b))
    assert gain_db.std() <= 0.75 * of_b.std() * 1.01


def test_ducking_turns_down_what_is_above_b_ahead_of_a_stroke_and_nothing_else():
    wanted, own = POWER.copy(), POWER.copy()
    wanted[200:], own[180:] = 1e-2, 1e-2
    gain_db = gesture.duck(own, wanted, np.array([200]))
    assert gain_db[195] < -40  # 40 dB too loud, and 5 under
    assert np.all(gain_db[:180] == 0)
    assert np.all(np.abs(gain_db[206:]) < 1e-6)


def test_a_sound_with_bs_gesture_has_its_loudness(hiss, bursts):
    stft = make_stft(RATE)
    b = Sound(bursts.samples[:, :1], RATE)
    described_b = gesture.describe(b, stft=stft)
    gain_db = gesture.gesture_gain(hiss, b, described_b, stft=stft)
    spoken = gesture.apply_gain(hiss, gain_db)
    powers = [gesture.fine_power(x) for x in (spoken, b)]
    in_db = [10 * np.log10(np.maximum(p, p.max() * 1e-4)) for p in powers]
    assert np.corrcoef(*in_db)[0, 1] > 0.95


def test_nothing_becomes_far_louder_than_bs_loudest_moment(bursts):
    stft, t = make_stft(RATE), np.arange(RATE)[:, np.newaxis] / RATE
    b = bursts.samples[:, :1]
    samples = 0.2 * np.sin(2 * np.pi * 300 * t) + b * (t > 0.5)
    samples *= np.linalg.norm(b) / np.linalg.norm(samples)  # as loud in all
    sound, b = Sound(samples.astype(np.float32), RATE), Sound(b, RATE)
    gain_db = gesture.gesture_gain(sound, b, gesture.describe(b, stft=stft), stft=stft)
    spoken = gesture.apply_gain(sound, gain_db)
    powers = [gesture.fine_power(x).max() for x in (spoken, b)]
    # By 3 dB, and a little between the points of the gain, where it is cubic.
    assert 10 * np.log10(powers[0] / powers[1]) < 4


@pytest.mark.parametrize("n_samples", [2, 127, 129, 3000])
def test_gestures_of_any_length_are_finite(n_samples, hiss, bursts):
    stft = make_stft(RATE)
    a = Sound(hiss.samples[:n_samples], RATE)
    b = Sound(bursts.samples[:n_samples, :1], RATE)
    described_b = gesture.describe(b, stft=stft)
    gain_db = gesture.gesture_gain(a, b, described_b, stft=stft)
    assert np.isfinite(gesture.apply_gain(a, gain_db).samples).all()


def test_a_gain_behind_the_last_frame_is_like_the_one_in_it(hiss, bursts):
    # Frames of 64 samples end well ahead of the last point.
    stft = make_stft(RATE, 64, 16)
    for n_samples in range(9000, 9128, 16):  # the burst goes on
        a = Sound(hiss.samples[:n_samples], RATE)
        b = Sound(bursts.samples[:n_samples, :1], RATE)
        described_b = gesture.describe(b, stft=stft)
        gain_db = gesture.gesture_gain(a, b, described_b, stft=stft)
        assert np.ptp(gain_db[-4:]) < 12
