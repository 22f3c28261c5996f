"""Frames of A at B's pitch, in A's colour."""

import numpy as np
import pytest

from helpers.audio import Sound, Stretch, join
from helpers.convolution import predictive_convolution
from helpers.estimators import N_BANDS
from helpers.montage import montage
from helpers.scores import score
from helpers.singing import Song, colour, make_song, read_frame, sing, tape_positions
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
    borrowed = np.r_[np.arange(20), np.arange(50, 60)]  # the first hang over the start
    places = tape_positions(sine(300), borrowed, np.ones(30), stft=STFT)
    np.testing.assert_array_equal(places, (borrowed + STFT.p_min) * 512)


def test_a_transposed_stretch_runs_like_a_tape_but_never_far_off():
    borrowed, ratios = np.arange(10, 60), np.full(50, 1.2)
    places = tape_positions(sine(300), borrowed, ratios, stft=STFT)
    own = (borrowed + STFT.p_min) * 512
    steps = np.diff(places)
    assert np.isclose(steps, 1.2 * 512).sum() > 30
    # Up to 20 ms ahead; taken up again within 10 ms of its own place.
    assert 0.015 * RATE < np.abs(places - own).max() <= 0.02 * RATE


def test_where_a_tape_is_taken_up_again_the_waves_agree():
    borrowed, ratios = np.arange(10, 60), np.full(50, 1.2)
    places = tape_positions(sine(300), borrowed, ratios, stft=STFT)
    # From frame to frame the phase of the sine moves as it does on the tape.
    turns = (np.diff(places) - 1.2 * 512) * 300 / RATE
    off = np.abs(turns - np.round(turns))
    assert off.max() < 0.02


def test_where_a_tape_is_taken_up_again_in_a_crescendo_the_waves_agree():
    t = np.arange(RATE // 2) / RATE
    samples = np.exp(150 * t - 30) * np.sin(2 * np.pi * 150 * t)
    rising = Sound(samples.astype(np.float32)[:, None], RATE)
    places = tape_positions(rising, np.arange(5, 30), np.full(25, 1.2), stft=STFT)
    turns = (np.diff(places) - 1.2 * 512) * 150 / RATE
    # Without regard to loudness they would be off by atan(150 / (2 pi 150)): .025.
    assert np.abs(turns - np.round(turns)).max() < 0.01


@pytest.mark.parametrize("borrowed", [np.arange(60, 86), np.arange(88, 120)])
def test_a_tape_stays_within_its_file(borrowed):
    parts = [
        Sound(sine(hertz).samples, RATE, (Stretch(0, 1, f"{hertz}.wav", 0),))
        for hertz in (300, 500)
    ]
    ratios = np.full(len(borrowed), 1.4)
    places = tape_positions(join(parts), borrowed, ratios, stft=STFT)[1:]
    reach = 1.4 * 1024 + 2  # a cubic looks at two samples more
    in_first, in_second = places + reach <= RATE, places - reach >= RATE
    assert (in_first if borrowed[0] < 80 else in_second).all()


@pytest.mark.parametrize("jump_to", range(50, 60))
def test_a_jump_lands_within_10_ms_where_the_waves_agree(jump_to):
    period = 900  # samples, so that there is one such place, or two at the ends
    wave = np.random.default_rng(0).uniform(-0.3, 0.3, period)
    noise = Sound(np.resize(wave, (RATE, 1)).astype(np.float32), RATE)
    borrowed = np.array([10, jump_to])
    own = (borrowed + STFT.p_min) * 512
    before, landed = tape_positions(noise, borrowed, np.full(2, 1.1), stft=STFT)
    assert before == own[0]
    off = (own[0] + 1.1 * 512 - own[1] + period / 2) % period - period / 2
    # What would have come next repeats `off` samples from there; positions are tried in
    # steps of 1.1 samples.
    assert landed - own[1] == pytest.approx(off, abs=1.1 / 2 + 0.01)


# A's colour, B's partials -------------------------------------------------------------


def coloured(**settings):
    """Give the spectra of noise, of a tune, and of the noise coloured by the tune."""
    noise = np.random.default_rng(0).standard_normal((RATE, 1)).astype(np.float32)
    own, led = (
        analyse(samples, stft=STFT)[:, 4:60]
        for samples in (0.1 * noise, tune(seed=0).samples)
    )
    power_a, power_b = (np.abs(x[0]) ** 2 for x in (own, led))
    strength = np.ones((len(power_a), 1))
    found = colour(own, power_a, power_b, strength, STFT.f, **settings)
    return own[0], led[0], found[0]


def test_colour_keeps_the_levels_of_a():
    weights = mel_bands(STFT.f, N_BANDS) ** 2
    own_db, _, found_db = (10 * np.log10(np.abs(x) ** 2 @ weights) for x in coloured())
    # A band of half an octave, whose neighbours pull at it, keeps its level to 1.5 dB;
    # what stands out of B would change it by three.
    assert np.abs(found_db - own_db).mean() < 1.5


def test_colour_brings_out_the_partials_of_b():
    inside = (STFT.f > 100) & (STFT.f < 4000)
    own, led, found = (np.log(np.abs(x[:, inside])) for x in coloured())
    before, after = (
        np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(rows, led, strict=True)])
        for rows in (own, found)
    )
    assert after > before + 0.3


def test_colour_leaves_phases_and_what_lies_beyond_the_bands_as_they_are():
    own, _, found = coloured()
    np.testing.assert_allclose(np.angle(found / own), 0, atol=1e-5)
    gain_db = 20 * np.log10(np.abs(found / own))
    beyond = (STFT.f < 40) | (STFT.f > 16000)
    np.testing.assert_allclose(gain_db[:, beyond], 0, atol=1e-3)
    assert np.ptp(gain_db[:, ~beyond]) > 20


@pytest.mark.parametrize("limit_db", [3, 6])
def test_a_bin_of_b_stands_out_by_the_limit_at_most(limit_db):
    own, _, found = coloured(limit_db=limit_db)
    gain_db = 20 * np.log10(np.abs(found / own))[:, 20:200]
    # From a bin that is raised to one that is lowered; that bands get their levels back
    # tilts the gain a little.
    largest = np.abs(np.diff(gain_db, axis=1)).max()
    assert largest == pytest.approx(2 * limit_db, abs=0.5)


def test_what_is_not_led_is_the_very_same():
    samples = hiss().samples
    borrowed = np.arange(10, 40)
    still = np.zeros((30, 36))
    song = make_song(Sound(samples, RATE), borrowed, still, still, stft=STFT)
    picked = analyse(samples, stft=STFT)[:, borrowed]
    sung = sing(picked, 9 * picked, song, samples, rows=slice(0, 30), stft=STFT)
    np.testing.assert_allclose(sung, picked, rtol=1e-3, atol=1e-4)


def test_what_is_transposed_sounds_at_another_pitch_in_its_own_colour():
    samples = sine(400).samples
    places = np.full(10, 20_000.0)
    song = Song(np.zeros((10, 1)), np.linspace(1.1, 1.4, 10), places)
    picked = np.repeat(analyse(samples, stft=STFT)[:, 40:41], 5, axis=1)
    sung = sing(picked, picked, song, samples, rows=slice(5, 10), stft=STFT)
    peaks = np.abs(sung[0]).argmax(axis=1) * RATE / 2048
    np.testing.assert_allclose(peaks, 400 * song.ratios[5:], atol=RATE / 2048)


def test_a_song_is_as_strong_as_the_tones_of_b_are_long():
    rng = np.random.default_rng(0)
    tones_a, tones_b = rng.uniform(-1, 1, (2, 8, 36))
    borrowed = np.arange(20, 28)
    song = make_song(sine(300), borrowed, tones_a, tones_b, stft=STFT)
    expected = np.sqrt((tones_b**2).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(song.strength, expected)
    assert song.ratios.shape == song.positions.shape == (8,)


@pytest.mark.parametrize(("borrowed", "steps"), [([20, 21], 4), ([20, 30], 8)])
def test_a_song_changes_its_transposition_where_a_jumps(borrowed, steps):
    # As in test_pitch: eight steps in place of four are worth 0.133 to 0.189.
    tones_a, tones_b = np.eye(36)[[10, 10]], np.eye(36)[[14, 18]] * [[1], [0.16]]
    song = make_song(sine(300), np.array(borrowed), tones_a, tones_b, stft=STFT)
    np.testing.assert_allclose(song.ratios, 2 ** (np.array([4, steps]) / 36))


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
