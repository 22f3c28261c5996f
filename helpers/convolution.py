"""Predictive convolution from sound to sound, and the classic kind to compare."""

from collections.abc import Callable, Iterator

from functools import cached_property

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin, clone

from helpers.audio import Sound, check, gather, resample
from helpers.models import make_model
from helpers.recipes import (
    Training,
    align,
    bin_table,
    describe,
    fit_bins,
    frame_training,
    predict_bins,
)
from helpers.spectrum import STFT

BLOCK_FRAMES = 1024  # frames of B in work at a time: 12 s at the default settings


def by_blocks(
    sound: Sound,
    process: Callable[[np.ndarray, range], np.ndarray],
    *,
    stft: STFT,
    context: int,
    block_frames: int = BLOCK_FRAMES,
) -> Sound:
    """Put a sound through a short-time process, a block of frames at a time.

    Memory stays bounded however long the sound is. Neighbouring blocks share
    `context` frames on both sides; where a process looks no further than that, the
    blocks join without a seam.

    Parameters
    ----------
    sound : Sound
    process : callable
        Takes the padded samples ``(n, n_channels)`` under a range of frames, and that
        range; returns as many samples.
    stft : STFT
        Says where the frames lie.
    context : int
        Frames that a block sees beyond its own on either side.
    block_frames : int
        Frames a block calls its own.
    """
    n_frames, half = stft.n_frames(sound.n_samples), stft.n_fft // 2

    def blocks() -> Iterator[np.ndarray]:
        for first in range(0, n_frames, block_frames):
            last = min(first + block_frames, n_frames)
            frames = range(max(first - context, 0), min(last + context, n_frames))
            output = process(stft.cut(sound.samples, frames), frames)
            start = half + (first - frames[0]) * stft.hop_length
            stop = half + (last - frames[0]) * stft.hop_length
            end = half + sound.n_samples - frames[0] * stft.hop_length
            yield output[start : min(stop, end)]

    size = {"n_samples": sound.n_samples, "n_channels": sound.n_channels}
    return Sound(gather(blocks(), **size), sound.rate)


class Pair:
    """Two sounds, analysed once for however many models.

    Parameters
    ----------
    a, b : Sound
        A, to learn from, is brought to B's rate.
    n_fft, hop_length : int
        As in `helpers.spectrum.STFT`.
    seed : int
        For whatever is drawn at random.

    Raises
    ------
    AudioError
        For a sound that nothing can be made of.
    """

    def __init__(
        self, a: Sound, b: Sound, *, n_fft=2048, hop_length=512, seed=42
    ) -> None:
        check(a, name="Sound A")
        check(b, name="Sound B")
        self.stft = STFT(b.rate, n_fft, hop_length)
        self.a, self.b, self.seed = resample(a, rate=b.rate), b, seed

    @cached_property
    def bins(self) -> pd.DataFrame:
        """The bins of 256 frames spread over all of A's channels."""
        last = self.stft.n_frames(self.a.n_samples) - 1
        frames = [
            self.stft.frames(channel)
            for i in np.unique(np.linspace(0, last, 256).astype(int))
            for channel in self.stft.cut(self.a.samples, range(i, i + 1)).T
        ]
        return bin_table(np.concatenate(frames))

    @cached_property
    def training(self) -> Training:
        """The frames of A to learn from."""
        return frame_training(self.a, stft=self.stft, seed=self.seed)

    @cached_property
    def aligned(self) -> np.ndarray:
        """B's descriptions, channel by channel, where A lives."""
        rows = np.arange(len(self.training.runs))
        model = make_model("nearest_path")[0]
        model.fit(self.training.description, rows, runs=self.training.runs)
        described = describe(self.b, stft=self.stft)
        return np.array([align(one, self.training, model) for one in described])


def predict_frames(pair: Pair, regressor: RegressorMixin) -> Sound:
    training, stft = pair.training, pair.stft
    rows = np.arange(len(training.runs))
    fitted = clone(regressor).fit(training.description, rows, runs=training.runs)
    paths = [fitted.predict(one) for one in pair.aligned]

    def process(padded: np.ndarray, frames: range) -> np.ndarray:
        channels = []
        for samples, path in zip(padded.T, paths, strict=True):
            loudness = np.linalg.norm(stft.transform(samples), axis=1, keepdims=True)
            borrowed = training.spectrum[path[frames[0] : frames[-1] + 1]]
            channels.append(stft.inverse(borrowed * loudness))
        return np.stack(channels, axis=1)

    return by_blocks(pair.b, process, stft=stft, context=4)
