"""The frame recipe: descriptions, alignment, what is borrowed."""

import numpy as np
import pytest
from scipy.linalg import expm

from helpers import frames
from helpers.frames import LOUDNESS, N_BANDS, RISE, bands_of
from helpers.path import FramePath
from helpers.sound import Sound
from helpers.spectrum import make_stft, n_frames

STFT = make_stft(44100)
RNG = np.random.default_rng(3)
STEPS = slice(N_BANDS, LOUDNESS)


def a_description(n_rows: int, *, loudness: float = 0.0) -> np.ndarray:
    """Make rows with random bands, all equally loud, that do not move."""
    described = np.zeros((n_rows, 2 * N_BANDS + 3), np.float32)
    bands_of(described)[:] = RNG.uniform(-40, -10, (n_rows, N_BANDS))
    described[:, LOUDNESS] = loudness
    return described


def test_there_is_a_description_of_every_frame(bursts):
    described = frames.describe(bursts, stft=STFT)
    assert described.shape == (n_frames(bursts, stft=STFT), 2 * N_BANDS + 3)
    assert described.dtype == np.float32


def test_a_description_tells_strokes():
    burst = np.r_[np.zeros(4410), np.hanning(882), np.zeros(5000)]  # 20 ms
    samples = np.tile(0.3 * burst * RNG.standard_normal(len(burst)), 6)
    sound = Sound(np.float32(samples)[:, np.newaxis], 44100)
    strokes = np.flatnonzero(frames.describe(sound, stft=STFT)[:, frames.STROKE])
    starts = 4410 + len(burst) * np.arange(6)
    # A frame that rises has the beginning of the burst in it.
    assert np.all(np.abs((strokes + STFT.p_min) * STFT.hop - starts) < 1024)


def test_a_description_may_be_coarser(bursts):
    eight = frames.describe(bursts, stft=STFT, n_bands=8)
    assert bands_of(eight).shape == (len(eight), 8)
    loud = [frames.describe(bursts, stft=STFT)[:, LOUDNESS], eight[:, LOUDNESS]]
    np.testing.assert_array_equal(*loud)


def test_a_description_does_not_depend_on_the_level(bursts):
    softer = Sound(bursts.samples * np.float32(0.25), bursts.rate)
    active = frames.is_active(frames.describe(bursts, stft=STFT))
    of_both = [frames.describe(x, stft=STFT)[active] for x in (bursts, softer)]
    # The floor of 1e-12 that power is given is 60 dB under these frames or more.
    np.testing.assert_allclose(*of_both, atol=1e-2)


def test_a_sound_that_grows_by_6_db_a_frame_rises_by_as_much():
    samples = 1e-3 * 2 ** (np.arange(8 * 512) / 512) * RNG.standard_normal(8 * 512)
    sound = Sound(np.float32(samples)[:, np.newaxis], 44100)
    described = frames.describe(sound, stft=STFT)[4:8]
    # Noise: each of 24 bands holds some independent bins, so a band is 1 to 3 dB off.
    assert np.abs(described[:, RISE] - 6.02).max() < 1.5
    np.testing.assert_allclose(described[:, STEPS].mean(axis=1), 6.02, atol=1.5)


def test_what_is_inaudible_does_not_move():
    silent = np.zeros((9000, 1), np.float32)
    silent[:3000, 0] = 0.3 * RNG.standard_normal(3000)
    silent[6000:, 0] = 3e-5 * RNG.standard_normal(3000)  # 80 dB under the beginning
    described = frames.describe(Sound(silent, 44100), stft=STFT)
    assert np.all(described[12:, STEPS] == 0)


def test_frames_matter_down_to_45_db_under_the_loudest():
    described = a_description(3)
    described[:, LOUDNESS] = 0, -44.9, -45.1
    assert frames.is_active(described).tolist() == [True, True, False]


def test_a_stroke_rises_more_than_its_neighbours_and_far_more_than_most():
    described = a_description(30)
    described[:, RISE] = 1  # so that 3.5 dB are enough
    described[[5, 8, 15, 25], RISE] = 6, 9, 3.4, 3.6
    described[25:, LOUDNESS] = -50
    assert np.flatnonzero(frames.is_stroke(described)).tolist() == [8]
    described[25:, LOUDNESS] = -40
    assert np.flatnonzero(frames.is_stroke(described)).tolist() == [8, 25]


@pytest.mark.parametrize("n_numbers", [10, 640, 641, 5000])
def test_of_a_long_sound_stretches_from_all_over_it_are_taken(n_numbers):
    taken = frames.spread_evenly(np.arange(n_numbers), 640)
    assert len(taken) == min(n_numbers, 640)
    assert taken[0] == 0
    assert taken[-1] == n_numbers - 1
    assert np.all(np.diff(taken) >= 1) or n_numbers == 641


def test_weights_floor_what_is_not_heard_and_count_a_stroke_as_a_stroke():
    described = a_description(1)
    described[0, [0, LOUDNESS, RISE]] = -80, -70, 30
    weighed = frames.weigh(described)[0]
    assert weighed[[0, LOUDNESS]].tolist() == [-64, -64]
    assert weighed[RISE] == frames.RISE_WEIGHT * frames.MOST_RISE


def test_b_is_rotated_to_where_a_lives():
    known = a_description(60)
    described_b = known.copy()
    middle = bands_of(known).mean(axis=0)
    skew = RNG.standard_normal((N_BANDS, N_BANDS))
    turn = expm(0.02 * (skew - skew.T))  # so little that partners are found at once
    bands_of(described_b)[:] = middle - 3 + (bands_of(known) - middle) @ turn
    model = FramePath().fit(frames.weigh(known), np.arange(60))
    aligned = frames.align(described_b, known, model)
    # Float32 rows of some 20 dB: 1e-3 dB is a thousand times their precision.
    np.testing.assert_allclose(bands_of(aligned), bands_of(known), atol=1e-3)
    others = slice(N_BANDS, frames.STROKE)
    np.testing.assert_array_equal(aligned[:, others], described_b[:, others])


def test_a_stroke_may_come_a_frame_early_or_late():
    known, described_b = a_description(20), a_description(20)
    described_b[7, frames.STROKE] = 1
    model = FramePath().fit(frames.weigh(known), np.arange(20))
    asked = frames.align(described_b, known, model)[:, frames.STROKE]
    assert np.flatnonzero(asked).tolist() == [6, 7, 8]


def test_what_is_found_too_dull_is_asked_for_as_bright_as_a():
    known, described_b = np.repeat(a_description(1), 9, axis=0), a_description(50)
    bands_of(known)[1:, 12:] += 8
    always_dull = FramePath().fit(frames.weigh(known[:1]), [0])
    aligned = frames.align(described_b, known, always_dull)
    of_both = [frames.brightness_of(frames.levels_of(x)) for x in (aligned, known)]
    np.testing.assert_allclose(*of_both, atol=1e-3)


def test_what_is_as_full_as_is_asked_stays_as_it_is():
    described = a_description(5)
    assert np.all(frames.fill_out(described, described) == 0)


def test_quiet_bands_are_raised_where_b_is_fuller_and_the_loudest_is_not():
    described, aligned = a_description(5), a_description(5)
    bands_of(aligned)[:] = -8  # above all that is there
    gain_db = frames.fill_out(described, aligned)
    loudest = bands_of(described).argmax(axis=1)
    assert np.all(gain_db[np.arange(5), loudest] == 0)
    assert np.all(np.sort(gain_db, axis=1)[:, 1:] > 0)


def test_what_is_borrowed_has_the_loudness_of_b_channel_by_channel():
    picked = np.complex64(RNG.standard_normal((2, 6, 30)))
    size_b = RNG.uniform(1, 2, (3, 6))
    borrowed = frames.borrow(picked, size_b, np.ones(6))
    # It is held back by a millionth, so that silence is not lifted.
    np.testing.assert_allclose(np.linalg.norm(borrowed, axis=2), size_b, rtol=1e-5)


def test_a_frame_may_keep_its_own_loudness():
    picked = np.complex64(RNG.standard_normal((1, 6, 30)))
    borrowed = frames.borrow(picked, np.ones((1, 6)), np.zeros(6))
    np.testing.assert_allclose(borrowed, picked, rtol=1e-5)


def test_channels_borrow_from_those_of_a_counted_round_and_from_its_mix():
    picked = np.ones((2, 1, 1), np.complex64) * np.array([[[1]], [[3]]])
    borrowed = frames.borrow(picked, np.zeros((3, 1)), np.zeros(1))
    np.testing.assert_allclose(borrowed.ravel().real, [1.5, 2.5, 1.5], rtol=1e-5)
