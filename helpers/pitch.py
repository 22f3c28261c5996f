"""Pitch: which notes sound in a frame, and how far A is to be transposed to B's."""

import numpy as np
from scipy.fft import irfft, rfft
from scipy.ndimage import uniform_filter1d
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from helpers.audio import Sound
from helpers.spectrum import frame_blocks, n_frames, pick_frames, power_of

PER_OCTAVE = 36  # thirds of a semitone
LOWEST, OCTAVES = 100, 6  # of the pitches: 100 Hz to 6400 Hz
NOISE, TONE = 60, 80  # lengths of chroma, in dB: below the one no pitch, above it all


def chroma(sound: Sound, numbers: np.ndarray, *, stft: ShortTimeFFT) -> np.ndarray:
    """Measure how far each third of a semitone stands out, in whatever octave.

    Parameters
    ----------
    sound : Sound
    numbers : ndarray of shape (n_rows,)
        Which frames, as in `helpers.spectrum.pick_frames`.
    stft : ShortTimeFFT
        Says where frames lie. They are measured over 93 ms, to tell neighbouring notes
        apart (but over eight frames at most).

    Returns
    -------
    ndarray of shape (n_rows, 36)
        Float32, in dB over the spectrum's envelope, octaves added, mean taken off
        (Fujishima 1999; over the envelope, so that noise has next to none).
    """
    length = min(2 ** round(np.log2(0.093 * sound.rate)), 8 * stft.m_num)
    window = hann(length, sym=False)
    longer = ShortTimeFFT(window, stft.hop, stft.fs, phase_shift=None)
    # What lies next to half the rate is no pitch but the end of the spectrum.
    highest = 0.9 * sound.rate / 2
    n_octaves = int(np.clip(np.log2(highest / LOWEST), 1, OCTAVES))
    rows_of = numbers + stft.p_min - longer.p_min  # the same moments, counted by it
    blocks = []
    for rows in frame_blocks(len(numbers), n_channels=sound.n_channels):
        frames = pick_frames(sound.samples, rows_of[rows], stft=longer)
        power = power_of(rfft(frames, axis=2))
        floor = 1e-9 * power.max(axis=1, keepdims=True) + 1e-20
        level_db = 10 * np.log10(power + floor)
        blocks.append(fold(level_db, delta_f=longer.delta_f, n_octaves=n_octaves))
    return np.concatenate(blocks).astype(np.float32)


def fold(level_db: np.ndarray, *, delta_f: float, n_octaves: int) -> np.ndarray:
    """Read spectra off at all pitches; lay what stands out of them, by octaves.

    Parameters
    ----------
    level_db : ndarray of shape (n_rows, n_bins)
    delta_f : float
        From one bin to the next, in Hz.
    n_octaves : int
        From 100 Hz on.

    Returns
    -------
    ndarray of shape (n_rows, 36)
        In dB over the spectrum's envelope, octaves added, mean taken off.
    """
    pitches = LOWEST * 2 ** (np.arange(n_octaves * PER_OCTAVE) / PER_OCTAVE)
    place = np.minimum(pitches / delta_f, level_db.shape[1] - 1.001)
    below = place.astype(int)
    part = place - below
    level_db = (1 - part) * level_db[:, below] + part * level_db[:, below + 1]
    envelope_db = uniform_filter1d(level_db, PER_OCTAVE + 1, axis=1)
    peaks_db = np.maximum(level_db - envelope_db, 0)
    folded = peaks_db.reshape(len(peaks_db), -1, PER_OCTAVE).sum(axis=1)
    return folded - folded.mean(axis=1, keepdims=True)


def to_unit_length(rows: np.ndarray) -> np.ndarray:
    """Scale chroma to a length of 1; of silence it is 0."""
    # 1e-9 dB is far above rounding and far under any tone.
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-9)


def tonality(rows: np.ndarray, *, n_smooth: int = 1) -> np.ndarray:
    """Tell from their chroma how far frames have a pitch: 0 for noise, 1 for a tone.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, 36)
    n_smooth : int, default 1
        Average over so many rows: noise has chance peaks, but they do not last.

    Returns
    -------
    ndarray of shape (n_rows, 1)
    """
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    length = uniform_filter1d(length, n_smooth, axis=0, mode="nearest")
    return np.clip((length - NOISE) / (TONE - NOISE), 0, 1)


def tones(
    a: Sound,
    b: Sound,
    numbers: np.ndarray,
    *,
    melody: np.ndarray | float,
    stft: ShortTimeFFT,
) -> tuple[np.ndarray, np.ndarray]:
    """Measure the pitches of A's frames, and those of B's that are to lead.

    Parameters
    ----------
    a, b : Sound
        At one rate.
    numbers : ndarray of shape (n_rows,)
        Frames of A.
    melody : float or ndarray of shape (n_frames_b,)
        From 0 to 1.
    stft : ShortTimeFFT

    Returns
    -------
    tones_a : ndarray of shape (n_rows, 36)
        Chroma, their lengths the `tonality`.
    tones_b : ndarray of shape (n_frames_b, 36)
        The same of all frames of B, times `melody`. Both have no columns where nothing
        is to lead.
    """
    n_rows = n_frames(b.n_samples, stft=stft)
    if not np.any(melody):
        return np.empty((len(numbers), 0)), np.empty((n_rows, 0), np.float32)
    tones_a = chroma(a, numbers, stft=stft)
    tones_b = chroma(b, np.arange(n_rows), stft=stft)
    n_smooth = max(1, round(0.1 / stft.delta_t))
    leads = np.reshape(melody, (-1, 1)) * tonality(tones_b, n_smooth=n_smooth)
    tones_a = to_unit_length(tones_a) * tonality(tones_a)
    return tones_a, (to_unit_length(tones_b) * leads).astype(np.float32)


def transpositions(
    tones_a: np.ndarray,
    tones_b: np.ndarray,
    goes_on: np.ndarray,
    *,
    far: float = 0.2,
    change: float = 0.15,
) -> np.ndarray:
    """Find how far to transpose each borrowed frame, as little as it takes.

    To transpose is to rotate chroma. The best rotation of every frame is sought for
    all frames together (Viterbi 1967), then refined by a parabola.

    Parameters
    ----------
    tones_a, tones_b : ndarray of shape (n_rows, 36)
        Chroma of the frames borrowed and of B, their lengths how much they count.
    goes_on : ndarray of bool, shape (n_rows,)
        Whether a frame follows in A on the one before it.
    far : float, default 0.2
        Price of half an octave, in products of chroma. It grows with the root, so that
        a little melody leads only where it matters.
    change : float, default 0.15
        Price of changing the transposition within a stretch.

    Returns
    -------
    ndarray of shape (n_rows,)
        Ratios of frequency, 0.7 to 1.42.
    """
    matches = irfft(np.conj(rfft(tones_a)) * rfft(tones_b), PER_OCTAVE)
    steps = (np.arange(PER_OCTAVE) + 18) % PER_OCTAVE - 18
    costs = far * np.sqrt(np.abs(steps) / 18) - matches
    total = costs[0]
    best = []
    for cost, price in zip(costs[1:], change * goes_on[1:], strict=True):
        cheapest = total.argmin()
        moves = total[cheapest] + price < total
        best.append(np.where(moves, cheapest, np.arange(PER_OCTAVE)).astype(np.uint8))
        total = np.minimum(total, total[cheapest] + price) + cost
    path = [total.argmin()]
    for source in reversed(best):
        path.append(source[path[-1]])
    chosen = np.array(path[::-1], int)
    return 2 ** ((steps[chosen] + _peak_offset(matches, chosen)) / PER_OCTAVE)


def _peak_offset(matches: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    # Where between its neighbours the peak of a parabola lies: -0.5 to 0.5.
    rows = np.arange(len(chosen))
    left, middle, right = (matches[rows, (chosen + i) % PER_OCTAVE] for i in (-1, 0, 1))
    is_peak = (middle > np.maximum(left, right)) & (middle > 0.05)
    bend = 2 * middle - left - right
    return np.where(is_peak, 0.5 * (right - left) / (bend + 1e-9), 0)
