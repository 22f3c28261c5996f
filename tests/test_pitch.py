"""Which notes sound, and how far A is to be transposed to B's."""

import numpy as np
import pytest

from helpers.audio import Sound
from helpers.pitch import PER_OCTAVE, chroma, tonality, tones, transpositions
from helpers.spectrum import make_stft, n_frames

RATE = 44100
STFT = make_stft(RATE)


def note(hertz, *, seconds=0.5, rate=RATE) -> Sound:
    """Make a tone of ten partials."""
    t = np.arange(int(seconds * rate)) / rate
    partials = [np.sin(2 * np.pi * hertz * k * t) / k for k in range(1, 11)]
    return Sound(0.1 * np.sum(partials, axis=0).astype(np.float32)[:, None], rate)


def hiss(*, seconds=0.5, seed=0) -> Sound:
    """Make white noise."""
    samples = np.random.default_rng(seed).uniform(-0.3, 0.3, int(seconds * RATE))
    return Sound(samples.astype(np.float32)[:, None], RATE)


def middle(sound, *, stft=STFT) -> np.ndarray:
    """Give the numbers of the frames that lie well inside a sound."""
    return np.arange(8, n_frames(sound.n_samples, stft=stft) - 8)


def place(hertz) -> float:
    """Tell where in a chroma a frequency lies, in thirds of a semitone above 100 Hz."""
    return (PER_OCTAVE * np.log2(hertz / 100)) % PER_OCTAVE


@pytest.mark.parametrize("hertz", [110, 233, 440, 1000])
def test_the_chroma_of_a_note_has_its_peak_there_in_any_octave(hertz):
    found = chroma(note(hertz), middle(note(hertz)), stft=STFT).mean(axis=0)
    # The partials 1, 2, 4 and 8 all fold onto the note.
    off = (found.argmax() - place(hertz) + 18) % PER_OCTAVE - 18
    assert abs(off) <= 1


@pytest.mark.parametrize(
    ("rate", "hertz"), [(2000, 233), (2000, 780), (8000, 233), (96_000, 6000)]
)
def test_the_chroma_of_a_note_has_its_peak_there_at_any_rate(rate, hertz):
    t = np.arange(20_000) / rate  # whole octaves from 100 Hz to 800 Hz, or 6400 Hz
    sound = Sound(np.sin(2 * np.pi * hertz * t).astype(np.float32)[:, None], rate)
    stft = make_stft(rate)
    found = chroma(sound, middle(sound, stft=stft), stft=stft).mean(axis=0)
    assert abs(found.argmax() - place(hertz)) <= 1


def test_a_chroma_has_no_mean():
    found = chroma(hiss(), middle(hiss()), stft=STFT)
    # Six octaves of some tens of dB in float32, 36 of them added.
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-4)


def test_the_chroma_of_a_frame_is_measured_around_its_middle():
    samples = np.zeros((RATE, 1), np.float32)
    start = 60 * 512  # the note lasts from frame 60 to frame 80
    samples[start : start + 20 * 512] = note(330).samples[: 20 * 512]
    sound = Sound(samples, RATE)
    numbers = np.arange(n_frames(RATE, stft=STFT))
    sizes = np.linalg.norm(chroma(sound, numbers, stft=STFT), axis=1)
    heard = np.flatnonzero(sizes > sizes.max() / 2) + STFT.p_min
    assert heard.mean() == pytest.approx(70, abs=0.5)


def test_the_pitches_of_both_channels_are_heard():
    both = Sound(np.hstack([note(220).samples, note(311).samples]), RATE)
    found = chroma(both, middle(both), stft=STFT).mean(axis=0)
    peaks = found.argsort()[-4:]
    for hertz in (220, 311):
        assert np.abs(peaks - place(hertz)).min() <= 1


def test_the_chroma_does_not_depend_on_the_level():
    loud = note(330)
    quiet = Sound(loud.samples / 30, RATE)
    both = [chroma(s, middle(s), stft=STFT) for s in (loud, quiet)]
    # The floor is relative; what is left is the rounding of float32, over six octaves.
    np.testing.assert_allclose(*both, atol=0.05)


def test_a_note_has_a_pitch_and_noise_has_none():
    of_note, of_noise = (
        tonality(chroma(s, middle(s), stft=STFT), n_smooth=9)
        for s in (note(330), hiss())
    )
    assert of_note.min() == 1
    assert of_noise.max() == 0


@pytest.mark.parametrize(
    ("lengths", "n_smooth", "expected"),
    [
        ([50, 60, 65, 80, 90], 1, [0, 0, 0.25, 1, 1]),
        ([60, 60, 75, 60, 60], 3, [0, 0.25, 0.25, 0.25, 0]),
        ([75, 60, 60, 60, 75], 3, [0.5, 0.25, 0, 0.25, 0.5]),
    ],
)
def test_from_60_to_80_db_a_chroma_has_a_pitch(lengths, n_smooth, expected):
    rows = np.outer(lengths, np.full(PER_OCTAVE, 1 / 6))  # of length 1
    found = tonality(rows, n_smooth=n_smooth)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-9)


def test_without_melody_there_are_no_columns():
    a, b = note(220), note(330)
    tones_a, tones_b = tones(a, b, middle(a), melody=0.0, stft=STFT)
    assert tones_a.shape == (len(middle(a)), 0)
    assert tones_b.shape == (n_frames(b.n_samples, stft=STFT), 0)


def test_the_tones_of_a_are_as_long_as_they_have_a_pitch():
    b = note(330)
    for a, expected in ((note(220), 1), (Sound(0 * b.samples, RATE), 0)):
        found, _ = tones(a, b, middle(a), melody=1.0, stft=STFT)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), expected, atol=1e-5)


def test_only_a_b_with_a_pitch_leads():
    a, numbers = note(220), middle(note(220))
    for b, expected in ((note(330), 1), (hiss(), 0)):
        _, leading = tones(a, b, numbers, melody=1.0, stft=STFT)
        lengths = np.linalg.norm(leading[middle(b)], axis=1)
        np.testing.assert_allclose(lengths, expected, atol=1e-5)


def test_the_dial_is_how_far_b_leads():
    a, b = note(220), note(330)
    dial = np.linspace(0, 1, n_frames(b.n_samples, stft=STFT))
    _, leading = tones(a, b, middle(a), melody=dial, stft=STFT)
    inside = middle(b)
    np.testing.assert_allclose(
        np.linalg.norm(leading, axis=1)[inside], dial[inside], atol=1e-5
    )


def peaked(places) -> np.ndarray:
    """Make chroma of length 1 with a peak at each place, three thirds wide."""
    distance = np.arange(PER_OCTAVE) - np.reshape(places, (-1, 1))
    distance = (distance + 18) % PER_OCTAVE - 18
    rows = np.exp(-0.5 * (distance / 1.5) ** 2)
    rows -= rows.mean(axis=1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("steps", [-12, -3, 4, 9, 4.5])
def test_a_transposition_leads_from_a_to_b(steps):
    ratios = transpositions(
        peaked(np.full(9, 10)), peaked(np.full(9, 10 + steps)), np.ones(9, bool)
    )
    # To a tenth of a step, a thirtieth of a semitone: the parabola is no bell.
    np.testing.assert_allclose(
        PER_OCTAVE * np.log2(ratios), np.full(9, steps), atol=0.1
    )


def test_what_b_does_not_lead_stays_where_it_is():
    ratios = transpositions(
        peaked(np.full(9, 10)), np.zeros((9, PER_OCTAVE)), np.ones(9, bool)
    )
    np.testing.assert_array_equal(ratios, 1)


def test_a_stretch_is_not_torn_by_one_frame():
    asked = np.full(9, 14)
    asked[4] = 22
    weights = np.ones((9, 1))
    weights[4] = 0.1  # of which B is not sure
    ratios = transpositions(
        peaked(np.full(9, 10)), peaked(asked) * weights, np.ones(9, bool)
    )
    steps = PER_OCTAVE * np.log2(ratios)
    np.testing.assert_allclose(steps, np.full(9, 4), atol=0.6)


def one_pitch(*places, weight=1.0) -> np.ndarray:
    """Make rows with a single pitch each, of which neighbours have nothing."""
    return weight * np.eye(PER_OCTAVE)[np.array(places) % PER_OCTAVE]


@pytest.mark.parametrize(("steps", "price"), [(-18, 0.2), (9, 0.1414), (2, 0.0667)])
def test_a_transposition_has_to_be_worth_its_price(steps, price):
    # 0.2 for half an octave of 18 steps, and for less the root of the share of it.
    for weight, led in ((0.99 * price, 0), (1.01 * price, steps)):
        a, b = one_pitch(10), one_pitch(10 + steps, weight=weight)
        ratios = transpositions(a, b, np.array([False]))
        np.testing.assert_allclose(ratios, [2 ** (led / PER_OCTAVE)])


@pytest.mark.parametrize(
    ("goes_on", "price", "otherwise"), [(True, 0.189, 4), (False, 0.133, 0)]
)
def test_to_change_the_transposition_costs_within_a_stretch(goes_on, price, otherwise):
    # 0.15, and the root of 8 / 18 in place of that of 4 / 18, times 0.2; on its own
    # each frame pays for its eight steps alone.
    for weight, led in ((price - 0.01, otherwise), (price + 0.01, 8)):
        b = np.vstack([one_pitch(14), one_pitch(18, weight=weight)])
        ratios = transpositions(one_pitch(10, 10), b, np.array([False, goes_on]))
        np.testing.assert_allclose(ratios, 2 ** (np.array([4, led]) / PER_OCTAVE))


def test_a_change_that_pays_only_in_the_end_is_made_at_once():
    a, b = one_pitch(*[10] * 14), one_pitch(*np.repeat([14, 18, 14], [4, 5, 5]))
    ratios = transpositions(a, 0.16 * b, np.ones(14, bool))
    # A frame gains 0.16 - 0.039 by it, which is less than the price of 0.15.
    expected = 2 ** (np.repeat([4, 8, 4], [4, 5, 5]) / PER_OCTAVE)
    np.testing.assert_allclose(ratios, expected)
