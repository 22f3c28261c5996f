"""Melody: A is transposed, so that there is a moment of A on each of B's notes."""

import numpy as np
import pandas as pd
from scipy.fft import rfft
from scipy.ndimage import map_coordinates, uniform_filter1d
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from helpers.frames import N_BANDS
from helpers.sound import Sound
from helpers.spectrum import blocks, mel_bands, spectrum_of, starts_of

PER_OCTAVE = 36  # thirds of a semitone
LOWEST, OCTAVES = 100, 6  # of the pitches: 100 Hz to 6400 Hz
NOISE, TONE = 60, 80  # lengths of chroma, in dB: below the one no pitch, above it all
SEMITONES = (0, 1, -1, 2, -2, 3, -3, 4, 5, 6, 7, 8)  # downwards, A's highs are lost
PITCH_COST = 1.5  # of another note, where a distance of 1 is as far as A is wide
TRANSPOSE_COST = 0.15  # a semitone


def fold(level_db: np.ndarray, *, delta_f: float) -> np.ndarray:
    """Read spectra off at all pitches; lay what stands out of them, by octaves.

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


def tonality(rows: np.ndarray, *, n_smooth: int) -> np.ndarray:
    """Tell from their chroma how far frames have a pitch: 0 for noise, 1 for a tone.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, 36)
    n_smooth : int
        Average over so many rows: noise has chance peaks, but they do not last.

    Returns
    -------
    ndarray of shape (n_rows, 1)
    """
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    length = uniform_filter1d(length, n_smooth, axis=0, mode="nearest")
    return np.clip((length - NOISE) / (TONE - NOISE), 0, 1)


def transpose(numbers: np.ndarray, *, stft: ShortTimeFFT) -> pd.DataFrame:
    """List frames of A and of eleven copies of it, each a tape at another speed.

    Parameters
    ----------
    numbers : ndarray of int, shape (n_known,)
        Frames of A that may be borrowed, rising.
    stft : ShortTimeFFT

    Returns
    -------
    DataFrame
        The voices, a row each: first A's frames as they are; then, copy by copy, frames
        as far apart on the faster or slower tape as A's are on theirs. ``row`` says
        which of `numbers` is nearest, ``middle`` where it lies, in samples of A,
        ``semitones`` how far it is transposed, and ``start`` whether it goes on from
        nothing.
    """
    copies = []
    for semitones in SEMITONES:
        on_tape = np.arange(numbers[0], numbers[-1] + 0.5, 2 ** (semitones / 12))
        nearest = np.rint(on_tape)
        row = np.searchsorted(numbers, nearest)
        known = np.flatnonzero(numbers[row] == nearest)
        middle = (on_tape[known] + stft.p_min) * stft.hop
        copy = {"row": row[known], "middle": middle, "start": starts_of(known)}
        copies.append(pd.DataFrame(copy | {"semitones": semitones}))
    return pd.concat(copies, ignore_index=True)


def describe_voices(
    described: np.ndarray, tones: np.ndarray, voices: pd.DataFrame
) -> np.ndarray:
    """Describe voices: as A's own frames are, and by their notes.

    Parameters
    ----------
    described : ndarray of shape (n_known, n_columns)
        Of A's frames, weighed.
    tones : ndarray of shape (n_known, 36)
        Their chroma, of a length of 1. To transpose is to rotate them.
    voices : DataFrame
        As from `transpose`.

    Returns
    -------
    ndarray of shape (n_voices, n_columns + 37)
        The last column is a price on being transposed.
    """
    semitones = voices[["semitones"]].to_numpy()
    thirds = np.arange(PER_OCTAVE) - PER_OCTAVE // 12 * semitones
    rotated = np.take_along_axis(tones[voices["row"]], thirds % PER_OCTAVE, axis=1)
    price = TRANSPOSE_COST * np.abs(semitones)
    return np.hstack([described[voices["row"]], PITCH_COST * rotated, price])


def ask_for_notes(described: np.ndarray, leads: np.ndarray) -> np.ndarray:
    """Describe what B asks for as `describe_voices` does: with its notes, unpriced."""
    free = np.zeros((len(leads), 1))
    return np.hstack([described, PITCH_COST * leads, free])


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
    n_smooth = max(1, round(0.1 / stft.delta_t))  # 0.1 s
    strength = melody[:, np.newaxis] * tonality(tones, n_smooth=n_smooth)
    return to_unit_length(tones) * strength


def sing_frames(
    tape: np.ndarray, own: np.ndarray, voices: pd.DataFrame, *, stft: ShortTimeFFT
) -> np.ndarray:
    """Transpose frames as a tape does, but keep the spectral envelope that they had.

    Parameters
    ----------
    tape : ndarray of shape (n_samples, n_channels)
        Coefficients of cubic splines through the samples of A.
    own : ndarray of shape (n_channels, n_rows, n_bins)
        Spectra of A's own frames.
    voices : DataFrame
        Which they are to be, a row each, as from `transpose`.
    stft : ShortTimeFFT

    Returns
    -------
    ndarray of shape (n_channels, n_rows, n_bins)
        Complex64.
    """
    speed = 2 ** (voices["semitones"].to_numpy() / 12)
    away = np.outer(speed, np.arange(stft.m_num) - stft.m_num_mid)
    places = [voices[["middle"]].to_numpy() + away]
    splines = {"output": np.float32, "prefilter": False}
    frames = [map_coordinates(channel, places, **splines) for channel in tape.T]
    spectra = rfft(np.stack(frames) * stft.win.astype(np.float32), axis=2)
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
