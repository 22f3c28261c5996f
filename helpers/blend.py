"""From B to a prediction and anywhere between, steady or over time."""

from collections.abc import Sequence

import numpy as np

from helpers.audio import AudioError, Sound
from helpers.spectrum import STFT, by_blocks


def breakpoints(blend: float | Sequence) -> np.ndarray:
    """Read a blend as breakpoints, ``(n_points, 2)`` of seconds and values.

    Raises
    ------
    AudioError
        For values outside 0 to 1, or breakpoints out of order.
    """
    try:
        points = np.array(blend if np.ndim(blend) else [(0, blend)], dtype=float)
        seconds, values = points.T
        fits = np.all(np.diff(seconds) >= 0) and np.all((values >= 0) & (values <= 1))
    except (TypeError, ValueError):
        fits = False
    if not fits or not points.size:
        raise AudioError(
            f"blend={blend} does not work: give a number from 0 (B) to 1 (prediction), "
            "or breakpoints in order of time such as [(0, 0), (2.5, 1)]."
        )
    return points


def mix(b: Sound, prediction: Sound, *, points: np.ndarray, stft: STFT) -> Sound:
    """Make one sound between B and a prediction, along the `breakpoints` of a blend.

    The magnitudes meet at their weighted geometric mean, which moves evenly from one
    timbre to the other; a cross-fade of the samples would be two sounds at once.
    """

    def process(padded: np.ndarray, frames: range) -> np.ndarray:
        share = np.interp(stft.times(frames[-1] + 1)[frames[0] :], *points.T)
        share = share[:, None].astype(np.float32)
        other = stft.cut(prediction.samples, frames)
        channels = []
        for dry, wet in zip(padded.T, other.T, strict=True):
            first, last = stft.transform(dry), stft.transform(wet)
            both = (1 - share) * first + share * last
            size = (np.abs(first) + 1e-7) ** (1 - share)
            size *= (np.abs(last) + 1e-7) ** share
            channels.append(stft.inverse(both * (size / (np.abs(both) + 1e-12))))
        return np.stack(channels, axis=1)

    return by_blocks(b, process, stft=stft, context=stft.n_fft // stft.hop_length)


def restore(b: Sound, sound: Sound, *, points: np.ndarray, stft: STFT) -> Sound:
    """Put B back, sample for sample, where its blend is 0."""
    if points[:, 1].min() > 0:
        return sound

    def process(padded: np.ndarray, frames: range) -> np.ndarray:
        first = frames[0] * stft.hop_length - stft.n_fft // 2
        seconds = (first + np.arange(len(padded))) / stft.rate
        dry = np.interp(seconds, *points.T) == 0
        return np.where(dry[:, None], padded, stft.cut(sound.samples, frames))

    return by_blocks(b, process, stft=stft, context=0)
