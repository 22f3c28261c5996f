"""A is transposed, so that there is a moment of it on each of B's notes."""

import numpy as np
import pandas as pd
import pytest

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
        assert np.all(melody.tonality(rows) == expected)


@pytest.fixture(scope="module")
def choir() -> tuple[Sound, np.ndarray, Sound, pd.DataFrame]:
    """Transpose some frames of a tone."""
    a = Sound(tone(300), RATE)
    numbers = np.array([3, 4, 5, *range(9, 40)])
    return a, numbers, *melody.transpose(a, numbers, stft=STFT)


def test_the_first_voices_are_a_itself(choir):
    a, numbers, sound, voices = choir
    own = voices[voices["semitones"] == 0]
    assert own.index.tolist() == own["row"].tolist() == list(range(len(numbers)))
    first, sung = (spectrum_of(x, numbers, stft=STFT) for x in (a, sound))
    assert own["number"].tolist() == numbers.tolist()
    np.testing.assert_array_equal(sung, first)


def test_frames_of_a_copy_are_as_far_apart_as_its_tape_is_fast(choir):
    _, numbers, _, voices = choir
    faster = voices[(voices["semitones"] == 7) & (voices["row"] >= 3)]
    assert set(np.diff(faster["number"])) == {1}
    steps = np.diff(numbers[faster["row"]])
    # Each frame is counted as the nearest one of A.
    assert abs(np.mean(steps) - 2 ** (7 / 12)) < 1 / len(steps)


def test_voices_are_as_high_as_they_say(choir):
    _, _, sound, voices = choir
    for semitones, part in voices.groupby("semitones"):
        middles = (part["number"].iloc[[5, -5]] + STFT.p_min) * STFT.hop
        hertz = 300 * 2 ** (semitones / 12)
        heard = pitch_of(sound.samples[slice(*middles)], hertz)
        assert abs(heard / hertz - 1) < 0.02  # a third of a semitone


def test_a_transposed_frame_gets_back_its_envelope():
    tilt = (10 ** (-STFT.f / 16_000)).astype(np.complex64)  # 20 dB, up to 16 kHz
    own, sung = (x[np.newaxis, np.newaxis] for x in (tilt, tilt[::-1]))
    lent = melody.lend_envelope(own, sung, stft=STFT)
    heard = (STFT.f > 100) & (STFT.f < 10_000)
    off_db = 20 * np.log10(np.abs(lent / own))[0, 0, heard]
    # Bands are 1.5 kHz wide at most, within which the tilt is 2 dB.
    assert np.abs(off_db).max() < 2


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
