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
