"""B's gesture: a gain over time that gives another sound B's loudness and strokes.

All gains are in dB and the same for all channels, with a point every 3 ms; but
`articulate` has one for each frame.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d
from scipy.signal import ShortTimeFFT, find_peaks

from helpers.frames import LOUDNESS, bands_of, describe, is_active, levels_of, rise_of
from helpers.sound import Sound
from helpers.spectrum import seconds_of

POINT_SECONDS = 0.0029  # 128 samples at 44.1 kHz
BLOCK = 2**16  # samples that are turned up or down at a time
# In points:
AFTER, BEFORE = 4, 9  # a stroke is told by its first 12 ms and by what was before
APART = 13  # from one stroke to the next, at least
SMOOTH = 3.5  # so wide a gain is smoothed, but at strokes
AHEAD = 10  # so much too early a stroke may be heard
# In dB:
RISE_DB = 13  # a stroke rises so far, at least
OVER_DB = 3  # B's loudest moment: a stroke over it would make all else quiet
UNDER_DB = 4  # what sounds ahead of a stroke, under B
# Of articulation:
LET_GO = 4  # frames: so long a push lasts
LEVEL_SHARE = 0.6  # of what the bands are off, the rest is A's colour
GAIN_SHARE = 0.75  # of how far B's loudness moves


def points_of(sound: Sound) -> np.ndarray:
    """Give the places where a gain has its points, ``(n_points,)``, in samples.

    They are the middles of steps of 3 ms; the last one lies behind the end.
    """
    step = round(POINT_SECONDS * sound.rate)
    n_steps = -(-len(sound.samples) // step)
    return (np.arange(n_steps + 1) + 0.5) * step


def fine_power(sound: Sound) -> np.ndarray:
    """Measure the power of all channels together at every point, ``(n_points,)``.

    The mean of a step, smoothed a little over the steps beside it.
    """
    step = round(POINT_SECONDS * sound.rate)
    energy = np.einsum("ij,ij->i", sound.samples, sound.samples)  # of each sample
    energy = np.add.reduceat(energy, np.arange(0, len(energy), step))  # of each step
    return np.convolve(np.pad(energy / step, (1, 2)), [0.25, 0.5, 0.25], "valid")


def apply_gain(sound: Sound, gain_db: np.ndarray) -> Sound:
    """Turn a sound up and down along a curve through points, ``(n_points,)``."""
    points, samples = points_of(sound), np.empty_like(sound.samples)
    curve = CubicSpline(points, gain_db)  # corners would add sidebands
    for first in range(0, len(samples), BLOCK):
        places = np.arange(first, min(first + BLOCK, len(samples)))
        gain = 10 ** (curve(places.clip(points[0])).astype(np.float32) / 20)
        samples[places] = sound.samples[places] * gain[:, np.newaxis]
    return replace(sound, samples=samples)


def find_strokes(power: np.ndarray) -> np.ndarray:
    """Find the points where B's power leaps by 13 dB within 12 ms.

    What rises less has no sharp attack.

    Parameters
    ----------
    power : ndarray of shape (n_points,)
        Of B, as from `fine_power`.

    Returns
    -------
    ndarray of int
        Numbers of points.
    """
    floor = power.max() * 1e-8 + 1e-20
    # There is silence ahead of the sound, for it may begin with a stroke. The point
    # just before one is left out: the stroke may have begun in it.
    padded = np.maximum(np.pad(power, (BEFORE + 1, AFTER - 1)), floor)
    after = sliding_window_view(padded, AFTER).max(axis=1)[BEFORE + 1 :]
    before = sliding_window_view(padded, BEFORE).mean(axis=1)[: len(power)]
    # Padded by one, so that the first and the last point can be peaks, too.
    rises_db = np.pad(10 * np.log10(after / before), 1)
    return find_peaks(rises_db, height=RISE_DB, distance=APART)[0] - 1


def follow(own: np.ndarray, wanted: np.ndarray, strokes: np.ndarray) -> np.ndarray:
    """Find the gain that follows B's loudness.

    Smooth, for a gain that ripples puts sidebands where A has silence; but hardly
    across a stroke, which would be heard too early.

    Parameters
    ----------
    own, wanted : ndarray of shape (n_points,)
        Power of the sound and of B.
    strokes : ndarray of int
        As from `find_strokes`.

    Returns
    -------
    ndarray of shape (n_points,)
    """
    gain_db = power_db(wanted, range_db=80) - power_db(own, range_db=60)
    for start, stop in pairwise(np.unique([0, *strokes, len(own)])):
        stretch = gain_db[start:stop]
        gain_db[start:stop] = gaussian_filter1d(stretch, SMOOTH, mode="nearest")
    return gaussian_filter1d(gain_db, 0.7)  # at a stroke no step, either


def power_db(power: np.ndarray, *, range_db: float) -> np.ndarray:
    """Give power in dB, floored at `range_db` under its maximum."""
    floor = power.max() / 10 ** (range_db / 10)
    return 10 * np.log10(np.maximum(power, floor) + 1e-20)


def articulate(described: np.ndarray, described_b: np.ndarray) -> np.ndarray:
    """Find the gain that leans into B's onsets and softens those that only A has.

    What the sound lacks of B's rises is added up from frame to frame, and let go of in
    a few frames: a push at each onset that is missing, a hand on each that is too much.
    Most of what the mean level of the bands is off is made up for, too. But where
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
    active = is_active(described_b)
    rises, rises_b = rise_of(levels), rise_of(levels_b)
    # As much rise in all as the sound has: it is to rise at other times, not more.
    rises_b *= np.sqrt((rises**2).mean() / ((rises_b**2).mean() + 1e-3))
    push = np.cumsum(rises_b - rises)
    missing = (levels_b - levels).mean(axis=1)
    gain_db = push - gaussian_filter1d(push, LET_GO)
    gain_db += LEVEL_SHARE * (missing - missing[active].mean())
    most = GAIN_SHARE * described_b[active, LOUDNESS].std()
    gain_db *= min(1, most / (gain_db[active].std() + 1e-6))
    return gain_db


def duck(own: np.ndarray, wanted: np.ndarray, strokes: np.ndarray) -> np.ndarray:
    """Find the gain that keeps strokes from being heard too early.

    A frame that holds a stroke sounds before it, too. In the 29 ms ahead of each, what
    is not 4 dB under B is turned down: an onset is heard by how far it rises.

    Parameters
    ----------
    own, wanted, strokes
        As in `follow`.

    Returns
    -------
    ndarray of shape (n_points,)
    """
    ceiling = power_db(wanted, range_db=80) - UNDER_DB
    lower = np.minimum(0, ceiling - 10 * np.log10(own + 1e-20))
    gain_db = np.zeros(len(own))
    for stroke in strokes:
        ahead = slice(max(0, stroke - AHEAD), stroke)
        gain_db[ahead] = lower[ahead]
    return gaussian_filter1d(gain_db, 1)


def gesture_gain(
    sound: Sound, b: Sound, described_b: np.ndarray, *, stft: ShortTimeFFT
) -> np.ndarray:
    """Find the gain that gives a sound B's gesture: follow, articulate, duck.

    Nothing becomes louder than B's loudest moment by much more than 3 dB.

    Parameters
    ----------
    sound, b : Sound
        Of one length and rate; what their levels differ by in all stays as it is.
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

    # The last points lie behind the last frame, where a spline runs away.
    seconds = np.minimum(points_of(b), len(b.samples)) / b.rate
    described = describe(sound, stft=stft, n_bands=bands_of(described_b).shape[1])
    middles = seconds_of(np.arange(len(described)), stft=stft)
    # As the sound will be once it follows, without measuring it again.
    described[:, LOUDNESS] += np.interp(middles, seconds, gain_db)
    gain_db += CubicSpline(middles, articulate(described, described_b))(seconds)

    own *= 10 ** (gain_db / 10)
    over_db = 10 * np.log10(own / wanted.max() + 1e-20) - OVER_DB
    return gain_db + duck(own, wanted, strokes) - np.maximum(over_db, 0)
