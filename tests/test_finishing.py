"""Finishing: each stage alone, the chain, and the same whatever the block."""

import numpy as np
import pyloudnorm
import pytest
from signals import noise, refused, sine

from helpers import finishing, spectrum
from helpers.finishing import finish, loudness, reduce_noise, set_level
from helpers.sound import Sound, block_offset, fade

RATE = 22050
EVERYTHING = {"noise_reduction_db": 12, "fade_seconds": 0.1, "loudness_lufs": -20}


def hiss(n_samples=RATE, n_channels=1, *, level=0.1, seed=0) -> Sound:
    samples = noise(n_samples, n_channels, level=3**0.5 * level, seed=seed)
    return Sound(samples, RATE)  # of that level, RMS


def tone(hertz, *, seconds=2.0, rate=RATE, level=1.0) -> Sound:
    n_samples = round(seconds * rate)
    return Sound(sine(n_samples, hertz=hertz, level=level, rate=rate), rate)


def db(amplitude):
    return 20 * np.log10(amplitude)


# Level --------------------------------------------------------------------------------


def test_the_offset_of_each_channel_is_removed():
    off = Sound(hiss(n_channels=2).samples + np.float32([0.3, -0.1]), RATE)
    # What is left is the mean of noise over a tenth of a second, let go of within a
    # fiftieth: .1 / sqrt(2205) * .02, times three, and as much of the finished level.
    assert abs(finish(off).samples.mean(axis=0, dtype=float)).max() < 1e-3


@pytest.mark.parametrize("peak_db", [-1.0, 0.0, -20.0])
def test_the_peak_is_where_it_was_asked_for(peak_db):
    levelled = set_level(hiss(n_channels=2), peak_db=peak_db, loudness_lufs=None)
    peak = abs(levelled.samples).max()
    assert db(peak) == pytest.approx(peak_db, abs=1e-5)  # a float32 step is 5e-7 dB
    assert peak <= 1


def test_the_true_peak_is_found_between_the_samples():
    # A quarter of the rate, an eighth of a period late: each sample is at -3.01 dB.
    wave = np.sin(np.pi / 2 * np.arange(RATE) + np.pi / 4).astype(np.float32)
    faded = fade(Sound(wave[:, np.newaxis], RATE), seconds=0.1)
    assert db(abs(faded.samples).max()) == pytest.approx(-3.01, abs=0.01)
    assert finishing.true_peak_db(faded) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("rate", [8000, 44100, 192_000])
def test_a_full_sine_of_997_hz_has_minus_3_01_lufs(rate):
    # ITU-R BS.1770-4: -3.01 in one channel. pyloudnorm is within 0.1 LU, which EBU Tech
    # 3341 allows a meter, and within 0.2 where half the rate cuts its filter short.
    assert loudness(tone(997, rate=rate)) == pytest.approx(-3.01, abs=0.2)


@pytest.mark.parametrize("rate", [1000, 2000, 3000])
def test_slow_sounds_have_a_loudness_too(rate):
    # A sine at .5 has -9.03 dB; the standard takes .691 dB off, and its high-pass (38
    # Hz, Q .5) another 20 log10(1 + (38 / 200) ** 2) = .308 at 200 Hz.
    expected = -9.03 - 0.691 - 0.308
    assert loudness(tone(200, rate=rate, level=0.5)) == pytest.approx(expected, abs=0.1)


def test_a_moment_is_as_loud_as_when_repeated():
    moment, longer = (tone(1000, seconds=seconds) for seconds in (0.1, 1))
    assert loudness(moment) == pytest.approx(loudness(longer), abs=0.1)


def test_more_than_five_channels_are_measured_as_their_mix():
    one = tone(997)
    six = Sound(np.repeat(one.samples, 6, axis=1), RATE)
    assert loudness(six) == pytest.approx(loudness(one), abs=1e-3)


def test_the_loudness_of_a_long_sound_is_that_of_the_whole():
    # Seconds at levels of 80 dB, so that both gates shut something out; with an offset,
    # which a filter that has not settled lets through.
    rng = np.random.default_rng(4)
    levels = np.repeat(10 ** rng.uniform(-5, -1, 50), 8000)[:, np.newaxis]
    samples = (levels * rng.standard_normal((400_000, 2)) + 1).astype(np.float32)
    expected = pyloudnorm.Meter(8000).integrated_loudness(samples.astype(float))
    assert loudness(Sound(samples, 8000)) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("level", [0.1, 1e-5])  # which is under the gate of -70 LUFS
def test_a_loudness_is_reached_where_there_is_room(level):
    levelled = finish(hiss(2 * RATE, level=level), loudness_lufs=-25.0)
    assert loudness(levelled) == pytest.approx(-25, abs=1e-3)


def test_a_loudness_gives_way_to_the_true_peak():
    levelled = set_level(hiss(2 * RATE), loudness_lufs=-1.0, peak_db=-2.0)
    assert loudness(levelled) < -2
    assert finishing.true_peak_db(levelled) == pytest.approx(-2, abs=1e-3)


# Noise --------------------------------------------------------------------------------

NOTE, REST = RATE // 2, RATE // 5


# Six plucked notes with rests between, and the same with noise at 20 dB under it.
def melody() -> np.ndarray:
    t = np.arange(NOTE)[:, np.newaxis] / RATE
    pluck, rest = np.exp(-8 * t), np.zeros((REST, 1))
    phases = 2 * np.pi * t * [220, 330, 277, 440, 262, 370]
    notes = np.split(pluck * np.sin(phases + np.sin(phases)), 6, axis=1)
    return np.concatenate([part for note in notes for part in (note, rest)])


def noisy_melody() -> Sound:
    clean = melody()
    added = hiss(len(clean), level=0.1 * np.std(clean), seed=1).samples
    return Sound((clean + added).astype(np.float32), RATE)


@pytest.mark.parametrize("strength_db", [1, 6])
@pytest.mark.parametrize("n_silent", [0, 2 * RATE])  # which is no noise
def test_noise_falls_by_as_much_as_is_asked_for(strength_db, n_silent):
    noisy = noisy_melody().samples
    whole = Sound(np.pad(noisy, ((0, n_silent), (0, 0))), RATE)
    result = reduce_noise(whole, strength_db=strength_db).samples[: len(noisy)]
    inside = np.arange(len(noisy)) % (NOTE + REST) - NOTE
    rests = (inside > REST / 4) & (inside < 3 * REST / 4)
    # A little less, for here and there noise exceeds twice its mean.
    fall = db(np.std(result[rests]) / np.std(noisy[rests]))
    assert fall == pytest.approx(-strength_db, abs=0.2)


def test_the_sound_stays_where_noise_is_reduced():
    clean, result = melody(), reduce_noise(noisy_melody(), strength_db=12).samples
    level = np.vdot(result, clean) / np.vdot(clean, clean)
    assert abs(db(level)) < 0.5  # less than is noticed
    # It was 20 dB under the melody.
    assert db(np.std(result - clean) / np.std(clean)) < -26


@pytest.mark.parametrize(("quieter_db", "falls_db"), [(6, 0), (20, 6)])
def test_what_is_noise_is_told_by_its_level(quieter_db, falls_db):
    # The first of every 4 s is more quiet; at 1 kHz a frame is 64 samples long.
    moment = np.arange(20_000) % 4000
    samples = hiss(20_000).samples
    samples[moment < 1000] *= 10 ** (-quieter_db / 20)
    result = reduce_noise(Sound(samples, 1000), strength_db=6).samples
    inside = (moment >= 200) & (moment < 800)  # frames that do not know the rest
    fall = db(np.std(result[inside]) / np.std(samples[inside]))
    assert fall == pytest.approx(-falls_db, abs=0.5)


def test_a_steady_sound_is_hardly_changed():
    sound = hiss(2 * RATE)
    change = reduce_noise(sound, strength_db=12).samples - sound.samples
    # Analysis and synthesis alone, in float32: far under 16 bits.
    assert db(np.std(change) / np.std(sound.samples)) < -100


# The chain ----------------------------------------------------------------------------


def test_finish_is_all_stages_one_after_the_other():
    noisy = noisy_melody()
    level = {"peak_db": -3, "loudness_lufs": -10}
    expected = reduce_noise(block_offset(noisy), strength_db=20)
    expected = set_level(fade(expected, seconds=0.1), **level)
    result = finish(noisy, noise_reduction_db=20, fade_seconds=0.1, **level)
    np.testing.assert_array_equal(result.samples, expected.samples)


def test_by_default_a_sound_is_centred_faded_and_brought_to_minus_1_dbfs():
    sound = hiss(n_channels=2)
    result = finish(Sound(sound.samples + np.float32(0.2), RATE)).samples
    expected = fade(block_offset(sound))
    expected = set_level(expected, peak_db=-1, loudness_lufs=None).samples
    np.testing.assert_allclose(result, expected, atol=1e-6)  # some float32 steps
    assert db(abs(result).max()) == pytest.approx(-1, abs=1e-5)


@pytest.mark.parametrize("rate", [1000, 192_000])
@pytest.mark.parametrize("n_channels", [1, 64])
@pytest.mark.parametrize("n_samples", [2, 5, 8000])
def test_any_shape_comes_out_as_long_and_unclipped(n_samples, n_channels, rate):
    sound = Sound(noise(n_samples, n_channels), rate)
    for settings in ({}, EVERYTHING):
        result = finish(sound, **settings).samples
        assert (result.shape, result.dtype) == (sound.samples.shape, np.float32)
        assert abs(result).max() <= 1  # which NaN is not


def test_silence_stays_silence():
    silence = Sound(np.zeros((RATE, 2), np.float32), RATE)
    assert not finish(silence, **EVERYTHING).samples.any()
    assert loudness(silence) == finishing.true_peak_db(silence) == -200


def test_the_input_is_left_as_it_was():
    sound = noisy_melody()
    finish(sound, **EVERYTHING)
    np.testing.assert_array_equal(sound.samples, noisy_melody().samples)


def test_in_small_blocks_it_is_the_same(monkeypatch):
    sound = noisy_melody()
    whole = finish(sound, **EVERYTHING).samples
    monkeypatch.setattr(spectrum, "BLOCK_FRAMES", 50)
    # Sums in another order, and FFTs in other batches: some float32 steps.
    np.testing.assert_allclose(finish(sound, **EVERYTHING).samples, whole, atol=1e-5)


RANGES = {"peak_db": (-60, 0), "loudness_lufs": (-70, 0)}
RANGES |= {"noise_reduction_db": (0, 60), "fade_seconds": (0, 10)}


@pytest.mark.parametrize("name", RANGES)
def test_a_setting_is_taken_within_its_range_and_refused_beyond_it(name):
    low, high = RANGES[name]
    for value in (low, high):
        assert np.isfinite(finish(hiss(), **{name: value}).samples).all()
    for value in (low - 0.1, high + 0.1, np.nan, "loud", True, [low]):
        with refused(rf"^{name}=.* does not work: use {low} to {high}\.$"):
            finish(hiss(), **{name: value})
