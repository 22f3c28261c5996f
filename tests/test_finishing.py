"""Finishing: each stage alone, the chain, and the same result from disk."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest

from helpers import audio, finishing, spectrum
from helpers.audio import AudioError, Sound, allocate, describe
from helpers.finishing import (
    Finishing,
    fade,
    finish,
    loudness,
    measure,
    reduce_noise,
    remove_dc,
    set_level,
    trim_silence,
)

RATE = 22050
EVERYTHING = Finishing(trim=True, noise_reduction_db=12.0, loudness_lufs=-20.0)


def noise(n=RATE, channels=1, seed=0, level=0.1):
    rng = np.random.default_rng(seed)
    return Sound(level * rng.standard_normal((n, channels)).astype(np.float32), RATE)


def sine(hertz, seconds=2.0, rate=RATE, peak=1.0):
    t = np.arange(round(seconds * rate)) / rate
    wave = peak * np.sin(2 * np.pi * hertz * t)
    return Sound(wave.astype(np.float32)[:, None], rate)


def melody():
    t = np.arange(RATE // 2) / RATE
    plucks = []
    for hertz in (220, 330, 277, 440, 262, 370):
        partials = [
            np.sin(2 * np.pi * hertz * k * t) * np.exp(-t * (4 + 2 * k)) / k
            for k in range(1, 8)
        ]
        plucks += [0.4 * sum(partials), np.zeros(RATE // 5)]
    return np.concatenate(plucks)


def db(amplitude):
    return 20 * np.log10(amplitude)


def on_disk(sound):
    room = allocate(sound.n_samples, sound.n_channels)
    room[:] = sound.samples
    assert isinstance(room, np.memmap)
    return Sound(room, sound.rate)


def test_offset_is_gone_from_each_channel():
    x = noise(channels=2).samples + np.float32([0.3, -0.1])
    # A float32 mean near 0.3 is rounded by at most 2**-26.
    assert abs(remove_dc(Sound(x, RATE)).samples.mean(axis=0, dtype=float)).max() < 1e-7


def test_trim_keeps_the_sound_and_ten_milliseconds():
    x = np.zeros((3 * RATE, 1), np.float32)
    x[RATE : 2 * RATE] = 0.5
    x[:RATE] = 0.5 * 10 ** (-61 / 20)
    trimmed = trim_silence(Sound(x, RATE), threshold_db=-60)
    keep = round(0.01 * RATE)
    np.testing.assert_array_equal(trimmed.samples, x[RATE - keep : 2 * RATE + keep])


def test_trim_leaves_a_sound_without_silence():
    assert trim_silence(noise()).n_samples == RATE


def test_fade_ends_at_zero_and_leaves_the_middle():
    sound = noise(channels=2)
    faded, n = fade(sound, seconds=0.01).samples, round(0.01 * RATE)
    assert not faded[0].any()
    assert not faded[-1].any()
    np.testing.assert_array_equal(faded[n:-n], sound.samples[n:-n])
    assert (abs(faded) <= abs(sound.samples)).all()


def test_fade_goes_along_half_a_cosine_at_both_ends():
    faded = fade(Sound(np.ones((1000, 2), np.float32), 1000), seconds=0.1).samples
    # Slow at its ends and quick in its middle, as a straight line is not.
    quarters = [(1 - np.cos(np.pi * share)) / 2 for share in (0, 1 / 4, 1 / 2, 3 / 4)]
    np.testing.assert_allclose(faded[[0, 25, 50, 75], 0], quarters, atol=1e-7)
    np.testing.assert_array_equal(faded, faded[::-1])
    assert (faded[100:900] == 1).all()


def test_fade_of_a_short_sound_keeps_its_middle():
    ones = Sound(np.ones((5, 1), np.float32), RATE)
    assert fade(ones).samples[:, 0].tolist() == [0, 0.5, 1, 0.5, 0]


@pytest.mark.parametrize("peak_db", [-1.0, 0.0, -20.0])
def test_peak_is_where_it_was_asked_for(peak_db):
    peak = abs(set_level(noise(channels=2), peak_db=peak_db).samples).max()
    assert db(peak) == pytest.approx(peak_db, abs=1e-5)  # one float32 step: 5e-7 dB
    assert peak <= 1


@pytest.mark.parametrize("rate", [8000, 44100, 48000, 192000])
def test_full_scale_sine_of_997_hz_has_minus_3_01_lufs(rate):
    # ITU-R BS.1770-4: -3.01 in one channel. pyloudnorm is within 0.1 LU, which EBU Tech
    # 3341 allows a meter, and within 0.2 where half the rate cuts its filter short.
    assert measure(sine(997, rate=rate))["loudness_lufs"] == pytest.approx(
        -3.01, abs=0.2 if rate == 8000 else 0.1
    )


def test_second_channel_adds_3_db_of_loudness():
    one = sine(997)
    both = Sound(np.repeat(one.samples, 2, axis=1), RATE)
    more = measure(both)["loudness_lufs"] - measure(one)["loudness_lufs"]
    assert more == pytest.approx(10 * np.log10(2), abs=1e-6)


def test_pauses_do_not_count_for_loudness():
    one = sine(997, seconds=10)
    rest = np.zeros((10 * RATE, 1), np.float32)
    paused = Sound(np.concatenate([one.samples, rest]), RATE)
    # 97 blocks are full; 3 that hold 3/4, 1/2 and 1/4 of the sine pass the gate too:
    # 10 log10(98.5 / 100) = -0.066 dB.
    assert measure(paused)["loudness_lufs"] == pytest.approx(-3.01 - 0.066, abs=0.1)


def test_true_peak_is_found_between_the_samples():
    # A quarter of the rate, an eighth of a period late: each sample is at -3.01 dB.
    wave = np.sin(np.pi / 2 * np.arange(RATE) + np.pi / 4)
    sound = fade(Sound(wave.astype(np.float32)[:, None], RATE), seconds=0.1)
    facts = measure(sound)
    assert facts["peak_db"] == pytest.approx(-3.01, abs=0.01)
    assert facts["true_peak_db"] == pytest.approx(0, abs=0.02)


def test_measures_of_a_sine_with_an_offset():
    wave = sine(441, peak=0.5).samples + np.float32(0.25)
    facts = measure(Sound(wave, RATE))
    assert facts["dc_offset"] == pytest.approx(0.25, abs=1e-6)
    assert facts["rms_db"] == pytest.approx(10 * np.log10(0.125 + 0.0625), abs=1e-4)


def test_the_offset_is_that_of_the_worst_channel():
    offsets = np.float32([0.1, -0.3, 0.2])
    sound = Sound(np.zeros((1000, 3), np.float32) + offsets, RATE)
    for facts in (measure(sound), describe(sound)):
        assert facts["dc_offset"] == pytest.approx(-0.3, abs=1e-6)


def test_loudness_is_reached_where_there_is_room():
    level = measure(set_level(noise(4 * RATE), loudness_lufs=-25.0))["loudness_lufs"]
    assert level == pytest.approx(-25, abs=1e-3)


def test_loudness_gives_way_to_the_true_peak():
    facts = measure(set_level(noise(4 * RATE), loudness_lufs=-5.0, peak_db=-2.0))
    assert facts["loudness_lufs"] < -5
    assert facts["true_peak_db"] == pytest.approx(-2, abs=1e-3)


def test_a_whisper_reaches_its_loudness():
    whisper = noise(4 * RATE, level=1e-5)  # under the absolute gate of -70 LUFS
    level = measure(set_level(whisper, loudness_lufs=-25.0))["loudness_lufs"]
    assert level == pytest.approx(-25, abs=1e-3)


def noisy_melody(seed=1):
    """Make a melody with noise at 20 dB under it."""
    clean = melody()
    added = np.random.default_rng(seed).standard_normal(len(clean))
    added *= 0.1 * np.sqrt(np.mean(clean**2) / np.mean(added**2))
    return (clean + added).astype(np.float32)[:, None]


def in_pauses(samples):
    """Cut out what lies between the notes of the melody, where only noise is."""
    pauses = np.arange(6)[:, None] * (RATE // 2 + RATE // 5) + RATE // 2
    return samples[pauses + np.arange(RATE // 20, RATE // 5 - RATE // 20), 0]


def fall_db(before, after):
    return db(np.std(after) / np.std(before))


def test_noise_at_20_db_falls_by_6_db_and_the_sound_stays():
    clean, noisy = melody(), noisy_melody()
    result = reduce_noise(Sound(noisy, RATE)).samples[:, 0].astype(float)
    snr = 10 * np.log10(np.sum(clean**2) / np.sum((result - clean) ** 2))
    assert snr > 26
    level = np.dot(result, clean) / np.dot(clean, clean)
    assert abs(db(level)) < 0.5
    # No musical noise: in a pause nothing but the floor is left, evenly.
    fall = fall_db(in_pauses(noisy), in_pauses(result[:, None]))
    assert fall == pytest.approx(-12, abs=1)


@pytest.mark.parametrize("silence_seconds", [0, 2])
@pytest.mark.parametrize("strength_db", [1, 6])
def test_noise_falls_by_as_much_as_is_asked_for(strength_db, silence_seconds):
    # Digital silence is not the noise, however much of it there is.
    silence = np.zeros((silence_seconds * RATE, 1), np.float32)
    noisy = np.concatenate([noisy_melody(), silence])
    result = reduce_noise(Sound(noisy, RATE), strength_db=strength_db).samples
    # A little less, for here and there noise exceeds twice its mean.
    fall = fall_db(in_pauses(noisy), in_pauses(result))
    assert fall == pytest.approx(-strength_db, abs=0.2)


def test_noise_of_each_channel_is_reduced_on_its_own():
    both = np.concatenate([noisy_melody(1), 0.1 * noisy_melody(2)[::-1]], axis=1)
    result = reduce_noise(Sound(both, RATE)).samples
    for channel in range(2):
        alone = reduce_noise(Sound(both[:, [channel]], RATE)).samples[:, 0]
        # In other blocks: some steps of float32.
        np.testing.assert_allclose(result[:, channel], alone, atol=1e-6)


@pytest.mark.parametrize(("quieter_db", "falls_db"), [(6, 0), (20, 6)])
def test_what_is_noise_is_told_by_its_level(quieter_db, falls_db):
    # Of every 4 s at 1 kHz, the first one is more quiet; the sound is 1250 frames long.
    rng = np.random.default_rng(0)
    moment = np.arange(20_000) % 4000
    quiet = moment < 1000
    level = np.where(quiet, 0.1 * 10 ** (-quieter_db / 20), 0.1)
    samples = (level * rng.standard_normal(20_000)).astype(np.float32)[:, None]
    result = reduce_noise(Sound(samples, 1000), strength_db=6).samples
    # A frame is 64 samples long, and five are averaged: none of these knows the rest.
    inside = (moment >= 100) & (moment < 900)
    fall = fall_db(samples[inside], result[inside])
    assert fall == pytest.approx(-falls_db, abs=0.5)
    assert fall_db(samples[~quiet], result[~quiet]) == pytest.approx(0, abs=0.5)


def test_a_note_that_goes_on_is_not_taken_for_noise():
    noisy = noisy_melody()
    note = 0.02 * np.sin(2 * np.pi * 1000 * np.arange(len(noisy)) / RATE)
    result = reduce_noise(Sound(noisy + note[:, None].astype(np.float32), RATE)).samples
    heard, wanted = in_pauses(result), in_pauses(note[:, None])
    assert db(np.sum(heard * wanted) / np.sum(wanted**2)) == pytest.approx(0, abs=0.5)
    assert fall_db(in_pauses(noisy), heard - wanted) < -6  # and there was noise


@pytest.mark.parametrize("kind", ["noise", "chord"])
def test_a_steady_sound_is_hardly_changed(kind):
    sound = noise(3 * RATE)
    if kind == "chord":
        t = np.arange(3 * RATE) / RATE
        chord = sum((t * hertz) % 1 - 0.5 for hertz in (110, 138.6, 164.8))
        sound = Sound(0.3 * chord.astype(np.float32)[:, None], RATE)
    change = reduce_noise(sound).samples - sound.samples
    # Analysis and synthesis alone, in float32: far under 16 bits.
    assert db(np.std(change) / np.std(sound.samples)) < -100


@pytest.mark.parametrize("settings", [Finishing(), EVERYTHING])
@pytest.mark.parametrize("block", [1000, 7777])
def test_from_disk_and_in_small_blocks_it_is_the_same(monkeypatch, settings, block):
    x = np.concatenate([0 * melody()[:3000], melody() + 0.05])[:, None]
    x = np.repeat(x, 2, axis=1) * [1, -0.5] + noise(len(x), 2, level=0.01).samples
    sound = Sound(x.astype(np.float32), RATE)
    whole = finish(sound, settings)
    monkeypatch.setattr(audio, "BLOCK", block)
    monkeypatch.setattr(audio, "IN_MEMORY", 10_000)
    monkeypatch.setattr(spectrum, "BLOCK_FRAMES", block // 100)
    result = finish(on_disk(sound), settings)
    assert isinstance(result.samples, np.memmap)
    # Sums in another order, and FFTs in other batches: some float32 steps.
    np.testing.assert_allclose(np.asarray(result.samples), whole.samples, atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 192000])
@pytest.mark.parametrize("channels", [1, 64])
@pytest.mark.parametrize("n", [2, 3, 5, 50, 20000])
def test_any_shape_comes_out_finite_and_unclipped(n, channels, rate):
    sound = Sound(noise(n, channels).samples, rate)
    for settings in (Finishing(), EVERYTHING):
        result = finish(sound, settings).samples
        assert result.dtype == np.float32
        assert np.isfinite(result).all()
        assert 0 < abs(result).max() <= 1


def test_silence_stays_silence():
    silence = Sound(np.zeros((RATE, 2), np.float32), RATE)
    assert not finish(silence, EVERYTHING).samples.any()
    assert set(measure(silence).values()) == {-200, 0}
    nearly = Sound(np.full((RATE, 1), 1e-12, np.float32), RATE)
    assert measure(nearly)["peak_db"] == -200


def test_an_empty_channel_stays_empty():
    x = noise(4 * RATE, 2).samples * np.float32([1, 0])
    assert not finish(Sound(x, RATE), EVERYTHING).samples[:, 1].any()


def test_the_input_is_left_as_it_was():
    sound = noise(2 * RATE)
    before = sound.samples.copy()
    finish(sound, EVERYTHING)
    np.testing.assert_array_equal(sound.samples, before)


def test_finish_is_all_stages_one_after_the_other():
    clean = melody().astype(np.float32)[:, None]
    sound = Sound(clean + noise(len(clean), level=0.005).samples, RATE)
    settings = Finishing(
        trim=True,
        noise_reduction_db=20,
        fade_seconds=0.1,
        peak_db=-3,
        loudness_lufs=-10,
    )
    expected = remove_dc(sound)
    expected = trim_silence(expected)
    trimmed, expected = expected, reduce_noise(expected, strength_db=20)
    change = expected.samples - trimmed.samples
    assert np.std(change) > 0.003  # most of the noise
    expected = fade(expected, seconds=0.1)
    expected = set_level(expected, peak_db=-3, loudness_lufs=-10)
    np.testing.assert_array_equal(finish(sound, settings).samples, expected.samples)
    assert measure(expected)["true_peak_db"] == pytest.approx(-3, abs=0.01)


def test_by_default_a_sound_is_centred_faded_and_brought_to_minus_1_dbfs():
    sound = noise(channels=2)
    result = finish(Sound(sound.samples + np.float32(0.2), RATE)).samples
    expected = set_level(fade(remove_dc(sound))).samples
    np.testing.assert_allclose(result, expected, atol=1e-6)  # some float32 steps
    assert db(abs(result).max()) == pytest.approx(-1, abs=1e-5)
    assert result.shape == sound.samples.shape


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_loudness_in_short_stretches_is_that_of_the_whole(channels, monkeypatch):
    # Seconds at levels of 80 dB, so that both gates shut something out; with an offset,
    # which a filter that has not settled lets through.
    rng = np.random.default_rng(4)
    levels = np.repeat(10 ** rng.uniform(-5, -1, 70), RATE)[:, None]
    samples = levels * rng.standard_normal((len(levels), channels)) + 0.1
    expected = pyloudnorm.Meter(RATE).integrated_loudness(samples.copy())
    monkeypatch.setattr(finishing, "STRETCH", 1)
    sound = Sound(samples.astype(np.float32), RATE)
    assert loudness(sound) == pytest.approx(expected, abs=1e-3)


def test_half_a_second_is_measured_as_it_is():
    wave = (
        sine(500, seconds=0.45).samples * np.linspace(0, 1, round(0.45 * RATE))[:, None]
    )
    expected = pyloudnorm.Meter(RATE).integrated_loudness(wave.astype(float))
    assert loudness(Sound(wave.astype(np.float32), RATE)) == pytest.approx(
        expected, abs=1e-3
    )


@pytest.mark.parametrize("rate", [1000, 2000, 3000])
def test_slow_sounds_have_a_loudness_too(rate):
    # A sine at level .5 has -9.03 dB; the standard takes .691 dB off, and its high-pass
    # (38 Hz, Q .5) another 20 log10(1 + (38 / 200) ** 2) = .308 at 200 Hz.
    wave = sine(200, seconds=3, rate=rate, peak=0.5)
    assert loudness(wave) == pytest.approx(-9.03 - 0.691 - 0.308, abs=0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for memory in use")
def test_finishing_a_long_sound_takes_bounded_memory():
    code = r"""
import re
from pathlib import Path
import numpy as np
from helpers import audio, finishing, spectrum
def peak_mb():
    # Not ru_maxrss, which starts from that of the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
audio.IN_MEMORY, audio.BLOCK, finishing.STRETCH = 2**18, 2**17, 2**18
spectrum.BLOCK_FRAMES = 64
samples = audio.allocate(2**22, 2)  # 32 MB
rng = np.random.default_rng(0)
for rows in audio.spans(samples):
    level = 0.01 + 0.1 * (np.arange(rows.start, rows.stop) % 2**17 < 2**15)
    samples[rows] = level[:, None] * rng.standard_normal(samples[rows].shape)
short = audio.Sound(np.array(samples[: 2**17]), 44100)
settings = finishing.Finishing(noise_reduction_db=12, loudness_lufs=-20, trim=True)
finishing.finish(short, settings)
before = peak_mb()
finishing.finish(audio.Sound(samples, 44100), settings)
print(peak_mb() - before)
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(finishing.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    # Some blocks of a megabyte, and not even half of the 32.
    assert float(run.stdout) < 16


def test_a_moment_is_as_loud_as_when_repeated():
    moment = sine(1000, seconds=0.1)
    again = Sound(np.tile(moment.samples, (10, 1)), RATE)
    assert loudness(moment) == pytest.approx(loudness(again), abs=0.1)


def test_more_than_five_channels_are_measured_as_their_mix():
    one = sine(997)
    six = Sound(np.repeat(one.samples, 6, axis=1), RATE)
    assert loudness(six) == pytest.approx(loudness(one), abs=1e-3)


RANGES = {
    "noise_reduction_db": (0, 60),
    "fade_seconds": (0, 10),
    "peak_db": (-60, 0),
    "loudness_lufs": (-70, 0),
}


@pytest.mark.parametrize("name", RANGES)
def test_a_setting_is_taken_within_its_range_and_refused_beyond_it(name):
    low, high = RANGES[name]
    for value in (low, high):
        assert getattr(Finishing(**{name: value}), name) == value
    for value in (low - 0.1, high + 0.1, np.nan, "loud", "", True, [low]):
        with pytest.raises(AudioError, match=rf"^{name}=.*: use {low} to {high}\.$"):
            Finishing(**{name: value})


@pytest.mark.parametrize("trim", ["yes", 1, None, 0.0])
def test_trim_is_yes_or_no(trim):
    with pytest.raises(AudioError, match=r"^trim=.*: use True or False\.$"):
        Finishing(trim=trim)


STAGES = [
    (trim_silence, "threshold_db", -120, -1),
    (reduce_noise, "strength_db", 0, 60),
    (fade, "seconds", 0, 10),
    (set_level, "peak_db", -60, 0),
    (set_level, "loudness_lufs", -70, 0),
]


@pytest.mark.parametrize(("stage", "name", "low", "high"), STAGES)
def test_a_stage_takes_its_setting_within_its_range_and_no_other(
    stage, name, low, high
):
    for value in (low, high):
        assert stage(noise(), **{name: value}).n_channels == 1
    for value in (low - 0.1, high + 0.1, np.nan):
        with pytest.raises(AudioError, match=rf"{name}=.*: use {low} to {high}\.$"):
            stage(noise(), **{name: value})
