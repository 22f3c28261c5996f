"""Singing: frames of A at B's pitch, in A's colour.

What is borrowed from A is transposed, as a tape played at another speed, and B's
partials are brought out in it; but it keeps the spectral envelope of A's frames.
"""

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import ShortTimeFFT

from helpers.audio import Sound, joints
from helpers.estimators import N_BANDS
from helpers.pitch import transpositions
from helpers.spectrum import mel_bands, power_of

DRIFT_SECONDS = 0.02  # how far a transposed stretch may run ahead of its frames


def tape_positions(
    a: Sound, borrowed: np.ndarray, ratios: np.ndarray, *, stft: ShortTimeFFT
) -> np.ndarray:
    """Find where to read A for each frame, so that frames agree in phase.

    A transposed stretch plays like a tape at another speed; when it is `DRIFT_SECONDS`
    off, or another one starts, it is taken up again where A is most like what would
    have come next (WSOLA: Verhelst and Roelands 1993). It stays within its file; frames
    that are not transposed stay where they are.

    Parameters
    ----------
    a : Sound
    borrowed, ratios : ndarray of shape (n_rows,)
        Numbers of A's frames, and their ratios of frequency.
    stft : ShortTimeFFT

    Returns
    -------
    ndarray of shape (n_rows,)
        The middle of each frame, in samples of A.
    """
    places = (borrowed + stft.p_min) * float(stft.hop)
    first, last = _room(a, places, ratios, stft.m_num)
    free = (ratios != 1) | np.append(False, np.diff(borrowed) == 1)
    drift = DRIFT_SECONDS * stft.fs
    positions = places.copy()
    for t in np.flatnonzero(free[1:]) + 1:
        next_up = positions[t - 1] + stft.hop * (ratios[t - 1] + ratios[t]) / 2
        if next_up == places[t] and ratios[t] == 1:
            continue
        if abs(next_up - places[t]) > drift:
            next_up = _most_alike(
                a.samples, next_up, places[t], ratios[t], reach=drift / 2, stft=stft
            )
        positions[t] = np.clip(next_up, first[t], last[t])
    return positions


def _room(a, places, ratios, n_fft):
    # The first and the last position at which a frame lies within its file.
    edges = np.array([0, *joints(a), a.n_samples])
    file = np.searchsorted(edges[1:-1], places, side="right")
    margin = ratios * n_fft / 2 + 2
    return edges[file] + margin, np.maximum(edges[file], edges[file + 1] - margin)


def _most_alike(samples, wanted, place, ratio, *, reach, stft):
    # The place, within `reach` of another, where A is most like where it is wanted.
    n_reach, n_fft = int(reach / ratio), stft.m_num
    pattern = read_frame(samples, wanted, ratio, n_fft).mean(axis=0) * stft.win
    around = read_frame(samples, place, ratio, n_fft + 2 * n_reach).mean(axis=0)
    size = next_fast_len(len(around), real=True)  # what wraps around is cut off

    def slide(x, y):
        product = rfft(x, size) * np.conj(rfft(y, size))
        return irfft(product, size)[: 2 * n_reach + 1]

    energy = slide(around**2, stft.win)
    floor = 1e-3 * energy.max() + 1e-12
    likeness = slide(around, pattern) / np.sqrt(np.maximum(energy, floor))
    return place + (likeness.argmax() - n_reach) * ratio


def read_frame(
    samples: np.ndarray, position: float, ratio: float, n_fft: int
) -> np.ndarray:
    """Read a stretch of a sound at another speed, by cubic interpolation.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, n_channels)
        Past its ends there is silence.
    position : float
        Sample that comes to lie in the middle.
    ratio : float
        Samples from one that is read to the next.
    n_fft : int
        How many are read.

    Returns
    -------
    ndarray of shape (n_channels, n_fft)
        Float32, not windowed.
    """
    places = position + ratio * (np.arange(n_fft) - n_fft // 2)
    before = np.floor(places).astype(int)
    part = (places - before).astype(np.float32)
    start, stop = before[0] - 1, before[-1] + 3
    stretch = np.zeros((samples.shape[1], stop - start), np.float32)
    inside = samples[max(start, 0) : max(stop, 0)]
    skipped = max(-start, 0)
    stretch[:, skipped : skipped + len(inside)] = inside.T
    y0, y1, y2, y3 = (stretch[:, before - start + i] for i in (-1, 0, 1, 2))
    cubic = 3 * (y1 - y2) + y3 - y0  # Catmull-Rom
    square = 2 * y0 - 5 * y1 + 4 * y2 - y3
    return y1 + part / 2 * (y2 - y0 + part * (square + part * cubic))


def colour(
    spectrum: np.ndarray,
    own: np.ndarray,
    power_b: np.ndarray,
    strength: np.ndarray,
    frequencies: np.ndarray,
    *,
    limit_db: float = 20,
) -> np.ndarray:
    """Bring B's partials out in a spectrum that keeps A's envelope.

    A gain for every bin, phases stay: what of B stands out of B's own envelope is
    raised, what lies below it is lowered; then the levels of the mel bands are those of
    A's frame again.

    Parameters
    ----------
    spectrum : ndarray of shape (n_channels, n_rows, n_bins)
    own, power_b : ndarray of shape (n_rows, n_bins)
        Power of A's frames, as they are in A, and of B's.
    strength : ndarray of shape (n_rows, 1)
        0 for none to 1 for all of B's fine structure.
    frequencies : ndarray of shape (n_bins,)
        In Hz.
    limit_db : float, default 20
        The most by which a bin of B stands out.

    Returns
    -------
    ndarray of shape (n_channels, n_rows, n_bins)
    """
    weights = mel_bands(frequencies, N_BANDS)
    fine_db = 10 * np.log10(power_b + 1e-12) - _envelope_db(power_b, weights)
    fine_db = np.clip(fine_db, -limit_db, limit_db) * (weights.sum(axis=1) > 0)
    spectrum = spectrum * 10 ** (strength * fine_db / 20).astype(np.float32)
    back_db = _envelope_db(own, weights) - _envelope_db(power_of(spectrum), weights)
    return spectrum * 10 ** (np.clip(back_db, -30, 30) / 20).astype(np.float32)


def _envelope_db(power: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # The level of every bin, smoothed over the mel bands around it.
    mean = power @ weights**2 / ((weights**2).sum(axis=0) + 1e-12)
    floor = 1e-9 * power.max(axis=1, keepdims=True) + 1e-12
    shares = weights / (weights.sum(axis=1, keepdims=True) + 1e-6)
    return 10 * np.log10(mean + floor) @ shares.T


@dataclass(frozen=True)
class Song:
    """How B's pitch changes what is borrowed, a value for each frame of B."""

    strength: np.ndarray  # (n_frames, 1) 0 to 1: melody times tonality
    ratios: np.ndarray  # (n_frames,) of frequency
    positions: np.ndarray  # (n_frames,) where to read A, in samples


def make_song(
    a: Sound,
    borrowed: np.ndarray,
    tones_a: np.ndarray,
    tones_b: np.ndarray,
    *,
    stft: ShortTimeFFT,
) -> Song:
    """Find how to transpose and where to read each frame that is borrowed.

    Parameters
    ----------
    a : Sound
    borrowed : ndarray of shape (n_frames,)
        Number of a frame of A for each frame of B.
    tones_a, tones_b : ndarray of shape (n_frames, 36)
        Of the frames borrowed and of B, as from `helpers.pitch.tones`.
    stft : ShortTimeFFT
    """
    goes_on = np.append(False, np.diff(borrowed) == 1)
    ratios = transpositions(tones_a, tones_b, goes_on)
    strength = np.linalg.norm(tones_b, axis=1, keepdims=True)
    return Song(strength, ratios, tape_positions(a, borrowed, ratios, stft=stft))


def sing(
    picked: np.ndarray,
    spectrum_b: np.ndarray,
    song: Song,
    samples: np.ndarray,
    *,
    rows: slice,
    stft: ShortTimeFFT,
) -> np.ndarray:
    """Transpose and colour some of the frames that are borrowed.

    Parameters
    ----------
    picked : ndarray of shape (n_channels, n_rows, n_bins)
        Spectra of A's frames as they are.
    spectrum_b : ndarray of shape (n_channels_b, n_rows, n_bins)
    song : Song
    samples : ndarray of shape (n_samples, n_channels)
        A.
    rows : slice
        Which of the song's frames these are.
    stft : ShortTimeFFT

    Returns
    -------
    ndarray of shape (n_channels, n_rows, n_bins)
        The very same where B has no pitch and A is not transposed.
    """
    sung = picked.copy()
    places = zip(song.positions[rows], song.ratios[rows], strict=True)
    for row, (position, ratio) in enumerate(places):
        frame = read_frame(samples, position, ratio, stft.m_num)
        sung[:, row] = rfft(frame * stft.win.astype(np.float32), axis=1)
    return colour(
        sung, power_of(picked), power_of(spectrum_b), song.strength[rows], stft.f
    )
