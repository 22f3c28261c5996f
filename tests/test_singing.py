"""Frames of A at B's pitch, in A's colour."""

import numpy as np
import pytest

from helpers.audio import Sound, Stretch, join
from helpers.convolution import predictive_convolution
from helpers.estimators import N_BANDS
from helpers.montage import montage
from helpers.scores import score
from helpers.singing import colour, read_frame, tape_positions
from helpers.spectrum import analyse, make_stft, mel_bands

RATE = 44100
STFT = make_stft(RATE)


def sine(hertz, *, seconds=1.0) -> Sound:
    """Make a sine."""
    t = np.arange(int(seconds * RATE)) / RATE
    samples = 0.3 * np.sin(2 * np.pi * hertz * t)
    return Sound(samples.astype(np.float32)[:, None], RATE)


def tune(*, seed, notes=8, base=220.0, brightness=1.0) -> Sound:
    """Make a tune of plucked notes of eight partials, a quarter of a second each."""
    rng = np.random.default_rng(seed)
    t = np.arange(RATE // 4) / RATE
    played = []
    for _ in range(notes):
        hertz = base * 2 ** (rng.integers(0, 12) / 12)
        partials = [
            np.sin(2 * np.pi * hertz * k * t) / k**brightness for k in range(1, 9)
        ]
        played.append(np.sum(partials, axis=0) * np.exp(-4 * t))
    samples = 0.15 * np.concatenate(played)
    samples += 1e-4 * rng.standard_normal(len(samples))
    return Sound(samples.astype(np.float32)[:, None], RATE)


def hiss(seconds=1.5) -> Sound:
    """Make bursts of noise."""
    rng = np.random.default_rng(5)
    t = np.arange(int(seconds * RATE)) / RATE
    samples = rng.uniform(-0.3, 0.3, len(t)) * np.exp(-9 * (t % 0.25))
    return Sound(samples.astype(np.float32)[:, None], RATE)


# Reading A at another speed -----------------------------------------------------------


def test_a_frame_read_at_its_own_speed_is_the_frame():
    samples = sine(500).samples
    read = read_frame(samples, 5000.0, 1.0, 2048)
    np.testing.assert_allclose(
        read[0], samples[5000 - 1024 : 5000 + 1024, 0], atol=1e-7
    )


@pytest.mark.parametrize("ratio", [0.75, 1.25])
def test_a_frame_read_faster_is_higher(ratio):
    read = read_frame(sine(500).samples, 20000.0, ratio, 2048)
    higher = 0.3 * np.sin(
        2 * np.pi * 500 * (20000 + ratio * np.arange(-1024, 1024)) / RATE
    )
    # A cubic is off by about (2 pi 500 / 44100)^4 / 60 of the amplitude.
    np.testing.assert_allclose(read[0], higher, atol=1e-5)


def test_past_the_ends_there_is_silence():
    read = read_frame(np.ones((100, 2), np.float32), 0.0, 1.0, 512)
    assert read.shape == (2, 512)
    assert not read[:, :250].any()
    assert read[:, 260:350].all()
    assert not read[:, 360:].any()


def test_what_is_not_transposed_is_read_where_it_was_borrowed():
    borrowed = np.r_[np.arange(10, 30), np.arange(50, 60)]
    places = tape_positions(sine(300), borrowed, np.ones(30), stft=STFT)
    np.testing.assert_array_equal(places, (borrowed + STFT.p_min) * 512)


def test_a_transposed_stretch_runs_like_a_tape_but_never_far_off():
    borrowed, ratios = np.arange(10, 60), np.full(50, 1.2)
    places = tape_positions(sine(300), borrowed, ratios, stft=STFT)
    own = (borrowed + STFT.p_min) * 512
    steps = np.diff(places)
    assert np.isclose(steps, 1.2 * 512).sum() > 30
    # Up to 20 ms ahead; taken up again within 10 ms of its own place.
    assert np.abs(places - own).max() <= 0.02 * RATE + 1.2 * 512


def test_where_a_tape_is_taken_up_again_the_waves_agree():
    borrowed, ratios = np.arange(10, 60), np.full(50, 1.2)
    places = tape_positions(sine(300), borrowed, ratios, stft=STFT)
    # From frame to frame the phase of the sine moves as it does on the tape.
    turns = (np.diff(places) - 1.2 * 512) * 300 / RATE
    off = np.abs(turns - np.round(turns))
    assert off.max() < 0.02


def test_a_tape_stays_within_its_file():
    parts = [
        Sound(sine(hertz).samples, RATE, (Stretch(0, 1, f"{hertz}.wav", 0),))
        for hertz in (300, 500)
    ]
    both = join(parts)
    borrowed = np.arange(60, 84)  # up to the last whole frame of the first file
    places = tape_positions(both, borrowed, np.full(24, 1.4), stft=STFT)
    assert (places + 1.4 * 1024).max() < RATE


# A's colour, B's partials -------------------------------------------------------------


def test_colour_keeps_the_levels_of_a_and_brings_out_the_partials_of_b():
    noise = np.random.default_rng(0).standard_normal((RATE, 1)).astype(np.float32)
    own, led = (analyse(s, stft=STFT) for s in (0.1 * noise, tune(seed=0).samples))
    n_rows = min(own.shape[1], 60)
    own, led = own[:, 4:n_rows], led[:, 4:n_rows]
    power_a, power_b = (np.abs(x[0]) ** 2 for x in (own, led))
    strength = np.ones((len(power_a), 1))
    found = np.abs(colour(own, power_a, power_b, strength, STFT.f)[0]) ** 2
    weights = mel_bands(STFT.f, N_BANDS) ** 2
    levels_db = 10 * np.log10((found @ weights) / (power_a @ weights))
    # A band of half an octave, whose neighbours pull at it, keeps its level to 3 dB.
    assert np.abs(levels_db).mean() < 3
    inside = (STFT.f > 100) & (STFT.f < 4000)
    before, after = (
        np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(z, logs, strict=True)])
        for logs in [np.log(power_b[:, inside])]
        for z in (np.log(power_a[:, inside]), np.log(found[:, inside]))
    )
    assert after > before + 0.3


def test_without_strength_colour_does_nothing():
    spectrum = analyse(hiss().samples, stft=STFT)
    power = np.abs(spectrum[0]) ** 2
    power_b = np.roll(power, 9, axis=0)
    same = colour(spectrum, power, power_b, np.zeros((len(power), 1)), STFT.f)
    np.testing.assert_allclose(same, spectrum, rtol=1e-5, atol=1e-5)


# The dial -----------------------------------------------------------------------------


def test_melody_leads_a_to_the_notes_of_b_as_far_as_it_is_turned():
    a, b = tune(seed=1, notes=12, brightness=0.3), tune(seed=2, base=320)
    sounds = {
        melody: predictive_convolution(a, b, melody=melody) for melody in (0, 0.1, 1)
    }
    found = score(sounds, a, b)["melody"]
    assert list(found) == sorted(found)
    assert found.iloc[0] < 0.3
    assert found.iloc[-1] > 0.6


def test_melody_does_nothing_where_b_has_no_pitch():
    a, b = tune(seed=1), hiss()
    still, led = (predictive_convolution(a, b, melody=melody) for melody in (0, 1))
    np.testing.assert_array_equal(led.samples, still.samples)


def test_melody_moves_over_time():
    a, b = tune(seed=1, notes=12), tune(seed=2, base=320)
    half = b.n_samples // 2 - 4096
    still, moved = (
        predictive_convolution(a, b, melody=melody)
        for melody in (0, [(1.1, 0), (1.1, 1)])
    )
    sooner, later = (
        np.corrcoef(still.samples[part, 0], moved.samples[part, 0])[0, 1]
        for part in (slice(0, half), slice(b.n_samples - half, None))
    )
    assert sooner > 0.9  # the gesture looks around for seconds
    assert later < 0.7


def test_the_montage_tells_how_far_a_is_transposed():
    a = tune(seed=1, notes=1)
    b = Sound(np.tile(a.samples, (6, 1)), RATE)
    higher = tune(seed=1, notes=1, base=220 * 2 ** (3 / 12))
    led = predictive_convolution(
        a, Sound(np.tile(higher.samples, (6, 1)), RATE), melody=1
    )
    semitones = montage(led)["semitones"]
    # Three up, or what is the same note, but for moments without pitch.
    assert semitones.median() == pytest.approx(3, abs=0.2)
    assert not montage(predictive_convolution(a, b))["semitones"].any()


def test_stereo_is_led_in_both_channels():
    a, b = tune(seed=1, notes=12), tune(seed=2, base=320)
    wide = Sound(np.hstack([b.samples, 0.5 * b.samples]), RATE)
    led = predictive_convolution(a, wide, melody=1)
    left, right = (Sound(led.samples[:, [i]], RATE) for i in (0, 1))
    found = score({"left": left, "right": right}, a, b)["melody"]
    assert (found > 0.5).all()
