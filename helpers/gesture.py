"""B's gesture: a gain over time that gives another sound B's loudness and strokes.

All gains are in dB and the same for all channels, with a point every 3 ms; but
`articulate` has one for each frame.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, uniform_filter1d
from scipy.signal import ShortTimeFFT, find_peaks

from helpers.frames import LOUDNESS, describe, is_active, levels_of, rise_of
from helpers.sound import Sound
from helpers.spectrum import seconds_of

POINT_SECONDS = 0.0029  # 128 samples at 44.1 kHz
BLOCK = 2**20  # samples that are turned up or down at a time
# In points:
RISE = 4  # so fast a stroke rises
BEFORE = 9  # over the mean of so many
APART = 13  # between two strokes, at least
SMOOTH = 2.75  # so wide a gain is smoothed, but at strokes
AHEAD = 9  # so much too early a stroke may be heard
MASKS = 4  # so long what sounds covers what is weaker
LIMIT_DB = 12  # what is hardly there is not to be made loud
UNDER_DB = 5  # what sounds ahead of a stroke, under B


def points_of(sound: Sound) -> tuple[int, np.ndarray]:
    """Say where the points of a gain lie: how far apart, and each, in samples."""
    step = max(1, round(POINT_SECONDS * sound.rate))
    n_points = -(-len(sound.samples) // step)
    return step, (np.arange(n_points) + 0.5) * step


def fine_power(sound: Sound) -> np.ndarray:
    """Measure the power of all channels together at every point, ``(n_points,)``.

    The mean of a step, smoothed a little over the steps beside it.
    """
    step, samples = points_of(sound)[0], sound.samples
    n_whole = len(samples) // step
    whole = samples[: n_whole * step].reshape(n_whole, step * samples.shape[1])
    energy = np.einsum("ij,ij->i", whole, whole)
    if len(samples) > n_whole * step:
        energy = np.append(energy, np.square(samples[n_whole * step :]).sum())
    return np.convolve(np.pad(energy / step, 1), [0.25, 0.5, 0.25], "valid")


def apply_gain(sound: Sound, gain_db: np.ndarray) -> Sound:
    """Turn a sound up and down along a curve, ``(n_points,)``.

    Between its points it is cubic: corners would put sidebands where A has silence.
    """
    points = points_of(sound)[1]
    curve = _cubic(points, gain_db)
    samples = np.empty_like(sound.samples)
    for first in range(0, len(samples), BLOCK):
        places = np.arange(first, min(first + BLOCK, len(samples)))
        gain = 10 ** (curve(places).astype(np.float32) / 20)
        samples[places] = sound.samples[places] * gain[:, np.newaxis]
    return replace(sound, samples=samples)


def _cubic(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    # Through points; a cubic curve flies off beyond them, so there it stays.
    curve = CubicSpline(x, y) if len(x) > 1 else lambda places: y[0] + 0 * places
    return lambda places: curve(places.clip(x[0], x[-1]))


def find_strokes(power: np.ndarray, *, rise_db: float = 13) -> np.ndarray:
    """Find the points where B's power leaps by `rise_db` within 12 ms.

    Parameters
    ----------
    power : ndarray of shape (n_points,)
        Of B, as from `fine_power`.
    rise_db : float, default 13
        What rises less has no sharp attack.

    Returns
    -------
    ndarray of int
    """
    floor = power.max() * 1e-8 + 1e-20
    n_before = BEFORE + 2  # silence before the sound, for it may begin with a stroke
    power = np.maximum(np.pad(power, (n_before, 0)), floor)
    ahead = maximum_filter1d(power, RISE, origin=-(RISE // 2))
    past = uniform_filter1d(power, BEFORE, origin=(BEFORE - 1) // 2)
    rise = np.zeros(len(power))
    rise[2:] = 10 * np.log10(ahead[2:] / past[:-2])
    strokes, _ = find_peaks(rise, height=rise_db, distance=APART)
    return np.maximum(strokes - n_before, 0)


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


def _in_db(power: np.ndarray, *, range_db: float) -> np.ndarray:
    # Floored at `range_db` under the maximum.
    floor = power.max() / 10 ** (range_db / 10)
    return 10 * np.log10(np.maximum(power, floor) + 1e-20)


def articulate(described: np.ndarray, described_b: np.ndarray) -> np.ndarray:
    """Find the gain that leans into B's onsets and softens those that only A has.

    What the sound lacks of B's rises is added up from frame to frame, and let go of
    within some 50 ms: a push at each onset that is missing, a hand on each that is too
    much. Most of what the mean level of the bands is off is made up for, too. But where
    B's loudness hardly moves, the gain hardly does.

    Parameters
    ----------
    described, described_b : ndarray of shape (n_frames, n_columns)
        Of the sound, at B's loudness already, and of B.

    Returns
    -------
    ndarray of shape (n_frames,)
    """
    levels, levels_b = levels_of(described), levels_of(described_b)
    heard = is_active(described_b)
    rises, rises_b = rise_of(levels), rise_of(levels_b)
    rises_b *= np.sqrt((rises**2).mean() / ((rises_b**2).mean() + 1e-3))
    push = np.cumsum(rises_b - rises)
    lower = (levels_b - levels).mean(axis=1)
    gain_db = push - gaussian_filter1d(push, 4) + 0.6 * (lower - lower[heard].mean())
    most = 0.75 * described_b[heard, LOUDNESS].std()
    gain_db *= min(1, most / (gain_db[heard].std() + 1e-6))
    return np.clip(gain_db, -LIMIT_DB, LIMIT_DB)


def duck(own: np.ndarray, wanted: np.ndarray, strokes: np.ndarray) -> np.ndarray:
    """Find the gain that keeps strokes from being heard too early.

    A frame that holds a stroke sounds before it, too. In the 26 ms ahead of each, what
    is not 5 dB under B's loudest of the last 12 ms is turned down: an onset is heard by
    how far it rises.

    Parameters
    ----------
    own, wanted, strokes
        As in `follow`.
    """
    own_db, wanted_db = 10 * np.log10(own + 1e-20), _in_db(wanted, range_db=80)
    ceiling = maximum_filter1d(wanted_db, MASKS, origin=MASKS // 2 - 1) - UNDER_DB
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
    described_b : ndarray of shape (n_frames, n_columns)
        All frames of B, as from `helpers.frames.describe`.
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

    seconds = points_of(b)[1] / b.rate
    described = describe(sound, stft=stft)
    centres = seconds_of(np.arange(len(described)), stft=stft)
    described[:, LOUDNESS] += np.interp(centres, seconds, gain_db)
    described[:, LOUDNESS] -= described[:, LOUDNESS].max()
    gain_db += _cubic(centres, articulate(described, described_b))(seconds)

    own *= 10 ** (gain_db / 10)
    return gain_db + duck(own, wanted, strokes)
