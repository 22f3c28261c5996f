"""A is transposed, so that there is a moment of it on each of B's notes."""

import numpy as np
import pytest
from scipy.ndimage import spline_filter1d

from helpers import melody
from helpers.convolution import prepare, render
from helpers.sound import Sound
from helpers.spectrum import make_stft, n_frames, spectrum_of

RATE = 44100
STFT = make_stft(RATE)


def tone(hertz: float, seconds: float = 0.5, *, n_partials: int = 8) -> np.ndarray:
    """Make a tone with partials, faded at its ends."""
    t = np.arange(int(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * hertz * k * t) / k for k in range(1, n_partials + 1))
    wave *= np.minimum(1, 50 * np.minimum(t, t[::-1]))
    return (0.1 * wave).astype(np.float32)[:, np.newaxis]


def pitch_of(samples: np.ndarray, near: float) -> float:
    """Find the strongest frequency within half an octave of another, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples.mean(axis=1) * np.hanning(len(samples))))
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    inside = (hertz > near * 2**-0.5) & (hertz < near * 2**0.5)
    return hertz[inside][spectrum[inside].argmax()]


def test_chroma_of_a_tone_stand_out_at_its_note():
    sound = Sound(tone(440), RATE)
    middle = np.array([n_frames(sound, stft=STFT) // 2])
    third = 36 * np.log2(440 / melody.LOWEST) % 36
    rows = melody.chroma(sound, middle, stft=STFT)
    assert abs(rows[0].argmax() - third) <= 1


def test_noise_has_no_pitch_and_a_tone_has():
    hiss = np.random.default_rng(0).uniform(-0.3, 0.3, (RATE // 2, 1))
    numbers = np.arange(10, 30)
    for samples, expected in ((hiss.astype(np.float32), 0), (tone(330), 1)):
        rows = melody.chroma(Sound(samples, RATE), numbers, stft=STFT)
        assert np.all(melody.tonality(rows, n_smooth=9) == expected)


def test_the_first_voices_are_a_itself():
    numbers = np.array([3, 4, 5, 9, 10, 11, 12])
    voices = melody.transpose(numbers, stft=STFT)
    own = voices[voices["semitones"] == 0]
    assert own.index.tolist() == own["row"].tolist() == list(range(7))
    assert own["middle"].tolist() == ((numbers + STFT.p_min) * STFT.hop).tolist()
    assert own["start"].tolist() == [True, False, False, True, False, False, False]


def test_frames_of_a_transposed_copy_are_as_far_apart_as_the_faster_tape_is_fast():
    voices = melody.transpose(np.arange(50), stft=STFT)
    faster = voices[voices["semitones"] == 7]
    np.testing.assert_allclose(np.diff(faster["middle"]), STFT.hop * 2 ** (7 / 12))
    assert faster["start"].tolist() == [True] + [False] * (len(faster) - 1)


def test_to_transpose_is_to_rotate_chroma():
    tones = np.random.default_rng(1).standard_normal((20, 36))
    voices = melody.transpose(np.arange(20), stft=STFT)
    described = melody.describe_voices(np.zeros((20, 4)), tones, voices)
    up = voices["semitones"] == 2
    expected = melody.PITCH_COST * np.roll(tones, 6, axis=1)[voices["row"][up]]
    np.testing.assert_array_equal(described[up, 4:40], expected)
    assert np.all(described[up, 40] == 2 * melody.TRANSPOSE_COST)


def test_a_voice_that_is_not_transposed_is_the_frame_itself():
    a = Sound(tone(300), RATE)
    numbers = np.arange(5, 40)
    voices = melody.transpose(numbers, stft=STFT)
    own = spectrum_of(a, numbers, stft=STFT)
    tape = spline_filter1d(a.samples, axis=0, output=np.float32)
    voice = voices[voices["semitones"] == 0]
    sung = melody.sing_frames(tape, own, voice, stft=STFT)
    # Splines go through the samples; float32 coefficients are rounded by some 1e-7.
    assert np.abs(sung - own).max() < 1e-4 * np.abs(own).max()


@pytest.fixture(scope="module")
def sung() -> tuple[np.ndarray, list[float]]:
    """Lead one held note to five others; the result, and those notes in Hz."""
    notes = [262 * 2 ** (step / 12) for step in (0, 4, 7, 2, 5)]
    a = Sound(tone(262, 2), RATE)
    b = Sound(np.concatenate([tone(note, n_partials=4) for note in notes]), RATE)
    return render(prepare(a, b), melody=1.0)[0].samples, notes


def test_a_held_note_is_led_to_the_notes_of_b_within_30_cents(sung):
    samples, notes = sung
    for note, part in zip(notes, np.split(samples, 5), strict=True):
        heard = pitch_of(part[4000:-4000], note)
        cents = 1200 * np.log2(heard / note)
        assert abs((cents + 600) % 1200 - 600) < 30, note


def test_where_b_has_no_pitch_nothing_changes(bursts):
    a = Sound(tone(262, 1), RATE)
    pair = prepare(a, Sound(bursts.samples[:, :1], RATE))
    plain, led = (render(pair, melody=dial)[0].samples for dial in (0.0, 1.0))
    np.testing.assert_array_equal(plain, led)
