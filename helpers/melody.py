"""Melody: A is transposed, so that there is a moment of A on each of B's notes."""

import numpy as np
import pandas as pd
import soxr
from scipy.ndimage import uniform_filter1d
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from helpers.frames import N_BANDS
from helpers.sound import Sound
from helpers.spectrum import blocks, mel_bands, spectrum_of

PER_OCTAVE = 36  # thirds of a semitone
LOWEST, OCTAVES = 100, 6  # of the pitches: 100 Hz to 6400 Hz
NOISE, TONE = 60, 80  # lengths of chroma, in dB: below the one no pitch, above it all
SEMITONES = (0, 1, -1, 2, -2, 3, -3, 4, 5, 6, 7, 8)  # downwards, A's highs are lost
PITCH_COST = 1.1  # of another note, where a distance of 1 is as far as A is wide
TRANSPOSE_COST = 0.15  # a semitone


def fold(level_db: np.ndarray, *, delta_f: float) -> np.ndarray:
    """Keep what stands out of spectra at 216 pitches, and add up the octaves.

    Parameters
    ----------
    level_db : ndarray of shape (n_rows, n_bins)
    delta_f : float
        From one bin to the next, in Hz.

    Returns
    -------
    ndarray of shape (n_rows, 36)
        Chroma (Fujishima 1999): in dB over the spectrum's envelope, so that noise has
        next to none, octaves added, mean taken off.
    """
    pitches = LOWEST * 2 ** (np.arange(OCTAVES * PER_OCTAVE) / PER_OCTAVE)
    # So that there is a bin behind each place, too.
    place = np.minimum(pitches / delta_f, level_db.shape[1] - 1.001)
    below = place.astype(int)
    part = place - below
    level_db = (1 - part) * level_db[:, below] + part * level_db[:, below + 1]
    smooth_db = uniform_filter1d(level_db, PER_OCTAVE + 1, axis=1)
    peaks_db = np.maximum(level_db - smooth_db, 0)
    folded = peaks_db.reshape(len(peaks_db), -1, PER_OCTAVE).sum(axis=1)
    return folded - folded.mean(axis=1, keepdims=True)


def to_unit_length(rows: np.ndarray) -> np.ndarray:
    """Scale chroma to a length of 1; of silence it is 0."""
    # 1e-9 dB is far above rounding and far under any tone.
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-9)


def chroma(sound: Sound, numbers: np.ndarray, *, stft: ShortTimeFFT) -> np.ndarray:
    """Measure how far each third of a semitone stands out, in whatever octave.

    Parameters
    ----------
    sound : Sound
    numbers : ndarray of int, shape (n_rows,)
        Which frames.
    stft : ShortTimeFFT
        Says where they lie. They are measured over 93 ms, to tell neighbouring notes
        apart, but over eight frames at most.

    Returns
    -------
    ndarray of shape (n_rows, 36)
        As from `fold`.
    """
    length = min(2 ** round(np.log2(0.093 * sound.rate)), 8 * stft.m_num)
    longer = ShortTimeFFT(hann(length, sym=False), stft.hop, stft.fs, phase_shift=None)
    numbers = numbers + stft.p_min - longer.p_min  # the same moments, counted by it
    parts = []
    for rows in blocks(len(numbers)):
        spectrum = spectrum_of(sound, numbers[rows], stft=longer)
        power = (np.abs(spectrum) ** 2).sum(axis=0)
        floor = 1e-9 * power.max(axis=1, keepdims=True) + 1e-20
        level_db = 10 * np.log10(power + floor)
        parts.append(fold(level_db, delta_f=longer.delta_f))
    return np.concatenate(parts).astype(np.float32)


def tonality(rows: np.ndarray) -> np.ndarray:
    """Tell from their chroma how far frames have a pitch: 0 for noise, 1 for a tone.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, 36)

    Returns
    -------
    ndarray of shape (n_rows, 1)
    """
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    # Noise has chance peaks, but they do not last: nine rows are .1 s.
    length = uniform_filter1d(length, 9, axis=0, mode="nearest")
    return np.clip((length - NOISE) / (TONE - NOISE), 0, 1)


def transpose(
    a: Sound, numbers: np.ndarray, *, stft: ShortTimeFFT
) -> tuple[Sound, pd.DataFrame]:
    """Put A and eleven copies of it, each a tape at another speed, one behind another.

    Parameters
    ----------
    a : Sound
    numbers : ndarray of int, shape (n_known,)
        Frames of A that may be borrowed, rising.
    stft : ShortTimeFFT

    Returns
    -------
    choir : Sound
        Up to the last of the frames.
    voices : DataFrame
        A row for each frame of the choir that may be borrowed, A's own first:
        ``number`` is its number there, ``row`` says which of `numbers` it was before it
        was transposed, and ``semitones`` how far that is.
    """
    parts, voices, n_ahead = [], [], 0
    heard = a.samples[: numbers[-1] * stft.hop + stft.m_num]
    for semitones in SEMITONES:
        speed = 2 ** (semitones / 12)
        # Interpolated without a filter: mirrored highs are better than none (they get
        # the envelope that A has there).
        copy = soxr.resample(heard, a.rate * speed, a.rate, quality="QQ")
        # Silence behind it, to where a frame begins.
        silence = stft.m_num - len(copy) % stft.hop
        parts.append(np.pad(copy, ((0, silence), (0, 0))))
        of_copy = np.arange(len(parts[-1]) // stft.hop)
        of_a = np.rint((of_copy + stft.p_min) * speed - stft.p_min)
        # Which of `numbers` each frame was; beyond the last, that one, to be left out.
        row = np.searchsorted(numbers[:-1], of_a)
        allowed = numbers[row] == of_a
        columns = {"number": n_ahead + of_copy[allowed], "row": row[allowed]}
        voices.append(pd.DataFrame(columns | {"semitones": semitones}))
        n_ahead += len(of_copy)
    return Sound(np.concatenate(parts), a.rate), pd.concat(voices, ignore_index=True)


def describe_voices(
    described: np.ndarray, choir: Sound, voices: pd.DataFrame, *, stft: ShortTimeFFT
) -> np.ndarray:
    """Describe voices: as A's own frames are, by their notes, and with a price.

    Parameters
    ----------
    described : ndarray of shape (n_known, n_columns)
        Of A's frames, weighed.
    choir, voices
        As from `transpose`.
    stft : ShortTimeFFT

    Returns
    -------
    ndarray of shape (n_voices, n_columns + 37)
        The last column is the price of being transposed.
    """
    tones = to_unit_length(chroma(choir, voices["number"].to_numpy(), stft=stft))
    price = TRANSPOSE_COST * voices["semitones"].abs()
    return np.column_stack([described[voices["row"]], PITCH_COST * tones, price])


def ask_for_notes(described: np.ndarray, leads: np.ndarray) -> np.ndarray:
    """Describe what B asks for as `describe_voices` does: with its notes, unpriced."""
    return np.column_stack([described, PITCH_COST * leads, np.zeros(len(leads))])


def lead(b: Sound, melody: np.ndarray, *, stft: ShortTimeFFT) -> np.ndarray:
    """Measure the notes of B that are to lead.

    Parameters
    ----------
    b : Sound
    melody : ndarray of shape (n_frames_b,)
        From 0 to 1.
    stft : ShortTimeFFT

    Returns
    -------
    ndarray of shape (n_frames_b, 36)
        Chroma; their length is `melody` where B has a pitch, and 0 where it has none.
    """
    if not melody.any():
        return np.zeros((len(melody), PER_OCTAVE), np.float32)
    tones = chroma(b, np.arange(len(melody)), stft=stft)
    return to_unit_length(tones) * tonality(tones) * melody[:, np.newaxis]


def lend_envelope(
    own: np.ndarray, spectra: np.ndarray, *, stft: ShortTimeFFT
) -> np.ndarray:
    """Give transposed frames the spectral envelope that they had before.

    Parameters
    ----------
    own, spectra : ndarray of shape (n_channels, n_rows, n_bins)
        Of A's own frames, and of the transposed ones.
    stft : ShortTimeFFT

    Returns
    -------
    ndarray of shape (n_channels, n_rows, n_bins)
        Complex64.
    """
    gain_db = envelope_db(own, stft.f) - envelope_db(spectra, stft.f)
    return spectra * 10 ** (np.clip(gain_db, -30, 30) / 20).astype(np.float32)


def envelope_db(spectra: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Smooth the level of every bin over the mel bands around it, in dB."""
    weights = mel_bands(frequencies, N_BANDS)
    power = (np.abs(spectra) ** 2).sum(axis=0)
    floor = 1e-9 * power.max(axis=1, keepdims=True) + 1e-12
    of_bands = power @ weights**2 / ((weights**2).sum(axis=0) + 1e-12)  # their means
    shares = weights / (weights.sum(axis=1, keepdims=True) + 1e-6)  # of bands in a bin
    return 10 * np.log10(of_bands + floor) @ shares.T
