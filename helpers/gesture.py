"""B's gesture: a gain over time that gives another sound B's loudness and onsets.

All gains are in dB, with a point every 3 ms, and the same for all channels.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, uniform_filter1d
from scipy.signal import ShortTimeFFT, find_peaks
from scipy.signal.windows import hann
from scipy.sparse import dia_array, diags_array, eye_array, vstack
from scipy.sparse.linalg import spsolve

from helpers.audio import Sound, allocate, spans
from helpers.dials import Dial, along
from helpers.estimators import N_BANDS, RANGE_DB, audible
from helpers.frames import describe_sound, is_active, levels_of
from helpers.spectrum import cut_frames, frame_blocks, n_frames, seconds_of

POINT_SECONDS = 0.0029  # from one point of a gain to the next: 128 samples at 44.1 kHz
# In points:
RISE = 4  # so fast a stroke rises
BEFORE = 9  # over the mean of so many
APART = 12  # two strokes are further apart
SMOOTH = 2.75  # so wide a gain is smoothed, but at strokes
AHEAD = 9  # so much too early a stroke may be heard
MASKS = 4  # so long what sounds covers what is weaker


def fine_power(sound: Sound) -> np.ndarray:
    """Measure the power of all channels together every 3 ms.

    Returns
    -------
    ndarray of shape (n_points,)
        Under a Hann window of 12 ms.
    """
    stft = _fine(sound.rate)
    n_points = n_frames(sound.n_samples, stft=stft)
    power = []
    for rows in frame_blocks(n_points, n_channels=sound.n_channels):
        frames = cut_frames(sound.samples, stft=stft, rows=rows)
        power.append((frames**2).sum(axis=(0, 2)) / (stft.win**2).sum())
    return np.concatenate(power)


def _fine(rate: int) -> ShortTimeFFT:
    # Where the points lie. Its window is squared with the samples: then it is Hann's.
    hop_length = max(1, round(POINT_SECONDS * rate))
    window = np.sqrt(hann(4 * hop_length, sym=False))
    return ShortTimeFFT(window, hop=hop_length, fs=rate)


def apply_gain(sound: Sound, gain_db: np.ndarray, *, share: Dial = 1.0) -> Sound:
    """Turn a sound up and down along a curve.

    Between its points it is cubic: corners would put sidebands where A has silence.

    Parameters
    ----------
    sound : Sound
    gain_db : ndarray of shape (n_points,)
    share : number or breakpoints, default 1
        How much of it, from 0 to 1.
    """
    stft = _fine(sound.rate)
    places = (np.arange(len(gain_db)) + stft.p_min) * stft.hop
    gain_db = gain_db * along(share, places / sound.rate)
    curve = CubicSpline(places, gain_db * (np.log(10) / 20))
    output = allocate(sound.n_samples, sound.n_channels)
    for rows in spans(sound.samples, output):
        gain = np.exp(curve(np.arange(rows.start, rows.stop))).astype(np.float32)
        output[rows] = sound.samples[rows] * gain[:, np.newaxis]
    return replace(sound, samples=output)


def _in_db(power: np.ndarray, *, range_db: float) -> np.ndarray:
    # In dB, floored at `range_db` under the maximum.
    floor = power.max() / 10 ** (range_db / 10)
    return 10 * np.log10(np.maximum(power, floor) + 1e-20)


def find_strokes(power: np.ndarray, *, rise_db: float = 13) -> np.ndarray:
    """Find the points where B's power leaps by `rise_db` within 12 ms.

    Parameters
    ----------
    power : ndarray of shape (n_points,)
        Of B, as from `fine_power`.
    rise_db : float, default 13
        What rises less has no sharp attack.
    """
    power = np.maximum(power, power.max() * 1e-8 + 1e-20)
    ahead = maximum_filter1d(power, RISE, origin=-(RISE // 2))
    past = uniform_filter1d(power, BEFORE, origin=(BEFORE - 1) // 2)
    rise = np.zeros(len(power))
    rise[2:] = 10 * np.log10(ahead[2:] / past[:-2])
    # Of points that rise alike, as out of digital silence, it takes the middle one.
    strokes, _ = find_peaks(rise, height=rise_db, distance=APART + 1)
    return strokes


def follow(own: np.ndarray, wanted: np.ndarray, strokes: np.ndarray) -> np.ndarray:
    """Find the gain that follows B's loudness.

    Smooth, for a gain that ripples puts sidebands where A has silence; but never
    across a stroke, which would be heard too early, nor across the end of its first
    12 ms, which would be dulled by what follows.

    Parameters
    ----------
    own, wanted : ndarray of shape (n_points,)
        Power of the sound and of B.
    strokes : ndarray of int
        As from `find_strokes`.
    """
    gain_db = _in_db(wanted, range_db=80) - _in_db(own, range_db=60)
    after = np.minimum(strokes + RISE, len(own))
    edges = np.unique([0, *strokes, *after, len(own)])
    for start, stop in pairwise(edges):
        stretch = gain_db[start:stop]
        gain_db[start:stop] = gaussian_filter1d(stretch, SMOOTH, mode="nearest")
    return gaussian_filter1d(gain_db, 0.7)


def articulate(
    described: np.ndarray,
    described_b: np.ndarray,
    *,
    flux: float = 6,
    effort: float = 0.7,
    limit_db: float = 12,
    n_rounds: int = 3,
) -> np.ndarray:
    """Find the gain that leans into B's onsets and softens those that only A has.

    Three wishes are met as well as they go together, in least squares: that the mean
    level of the bands moves as B's does, that the spectral flux is B's, in proportion
    to the sound's own, and that there is little gain. What is not heard and what falls
    adds nothing to the flux, so that a gain changes what the equations are: they are
    solved in turns (Gauss-Newton).

    Parameters
    ----------
    described, described_b : ndarray of shape (n_frames, N_BANDS + 1)
        Of the sound, at B's loudness already, and of B.
    flux, effort : float, default 6 and 0.7
        What 1 dB that lacks in flux, and 1 dB of gain, weigh against 1 dB of level.
    limit_db : float, default 12
        The most that it does: what is hardly there is not to be made loud.
    n_rounds : int, default 3
        More change next to nothing.

    Returns
    -------
    ndarray of shape (n_frames,)
    """
    levels, wanted = levels_of(described), levels_of(described_b)
    mean_b = audible(wanted).mean(axis=1)
    lower = mean_b - audible(levels).mean(axis=1)
    mean_b -= lower[is_active(described_b)].mean()
    flux_b = spectral_flux(wanted)
    size, size_b = ((x**2).mean() for x in (spectral_flux(levels), flux_b))
    flux_b *= np.sqrt(size / (size_b + 1e-3))

    gain_db = np.zeros(len(levels))
    for _ in range(n_rounds):
        turned = audible(levels + gain_db[:, np.newaxis])
        rises = _rises(turned)
        off_level = mean_b - turned.mean(axis=1)
        off_flux = flux_b - rises.mean(axis=1)
        missing = np.concatenate([off_level, -effort * gain_db, flux * off_flux])
        level_slopes, flux_slopes = _slopes(turned > -RANGE_DB, rises > 0)
        gain_slopes = effort * eye_array(len(gain_db))
        slopes = vstack([level_slopes, gain_slopes, flux * flux_slopes])
        gain_db += spsolve((slopes.T @ slopes).tocsc(), slopes.T @ missing)
    return np.clip(gain_db, -limit_db, limit_db)


def spectral_flux(levels_db: np.ndarray) -> np.ndarray:
    """Measure the mean rise of the audible bands since the frame before, in dB."""
    return _rises(audible(levels_db)).mean(axis=1)


def _rises(levels_db: np.ndarray) -> np.ndarray:
    # Of each band since the frame before; a fall is none.
    return np.maximum(np.diff(levels_db, axis=0, prepend=levels_db[:1]), 0)


def _slopes(heard: np.ndarray, rising: np.ndarray) -> tuple[dia_array, dia_array]:
    # How much the mean level, and the flux, of each frame (a row) grow per dB of gain
    # of each frame (a column): by the share of the bands that it moves.
    here = (rising & heard).mean(axis=1)
    before = (rising[1:] & heard[:-1]).mean(axis=1)
    flux_slopes = diags_array(here) - diags_array(before, offsets=-1)
    return diags_array(heard.mean(axis=1)), flux_slopes


def duck(
    own: np.ndarray, wanted: np.ndarray, strokes: np.ndarray, *, over_db: float = -5
) -> np.ndarray:
    """Find the gain that keeps strokes from being heard too early.

    A frame that holds a stroke sounds before it, too. In the 26 ms ahead of each, what
    is louder than B's loudest of the last 10 ms and `over_db` is turned down.

    Parameters
    ----------
    own, wanted, strokes
        As in `follow`.
    over_db : float, default -5
        Below 0, for an onset is heard by how far it rises.
    """
    own_db, wanted_db = 10 * np.log10(own + 1e-20), _in_db(wanted, range_db=80)
    ceiling = maximum_filter1d(wanted_db, MASKS, origin=MASKS // 2 - 1) + over_db
    gain_db = np.zeros(len(own))
    for stroke in strokes:
        ahead = slice(max(0, stroke - AHEAD), stroke)
        gain_db[ahead] = np.minimum(0, ceiling[ahead] - own_db[ahead])
    return gaussian_filter1d(gain_db, 1)


def gesture_gain(
    sound: Sound, b: Sound, described_b: np.ndarray, *, stft: ShortTimeFFT
) -> np.ndarray:
    """Find the gain that gives a sound B's gesture: follow, articulate, duck.

    Parameters
    ----------
    sound, b : Sound
        Of one length and rate.
    described_b : ndarray of shape (n_frames, N_BANDS + 1)
        All frames of B, as from `helpers.frames.describe_sound`.
    stft : ShortTimeFFT
        That they were described with.

    Returns
    -------
    ndarray of shape (n_points,)
        For `apply_gain`.
    """
    own, wanted = fine_power(sound), fine_power(b)
    own *= wanted.sum() / (own.sum() + 1e-20)
    strokes = find_strokes(wanted)
    gain_db = follow(own, wanted, strokes)

    fine = _fine(sound.rate)
    seconds = seconds_of(np.arange(len(own)), stft=fine)
    described = describe_sound(sound, stft=stft)
    centres = seconds_of(np.arange(len(described)), stft=stft)
    described[:, N_BANDS] += np.interp(centres, seconds, gain_db)
    described[:, N_BANDS] -= described[:, N_BANDS].max()
    by_frame = articulate(described, described_b)
    within = seconds.clip(centres[0], centres[-1])  # a cubic curve flies off beyond
    gain_db += CubicSpline(centres, by_frame)(within)

    own *= 10 ** (gain_db / 10)
    return gain_db + duck(own, wanted, strokes)
