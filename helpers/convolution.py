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


    def render(self, regressor: RegressorMixin, *, recipe: str = "frames") -> Sound:
        """Predict B with a regressor that learns from A, before any finishing."""
        if recipe == "bins":
            fitted = fit_bins(
                self.bins, regressor, n_fft=self.stft.n_fft, seed=self.seed
            )
            return convolve_bins(self.b, fitted, stft=self.stft)
        return convolve_frames(self, regressor)

    def held_out_r2(self, regressor: RegressorMixin, *, recipe: str = "frames") -> float:
        """Score a regressor on the last fifth of A after learning from the rest.

        1 is a perfect prediction, 0 is no better than the mean.
        """
        if recipe == "bins":
            cut = len(self.bins) * 4 // 5 // self.stft.n_fft * self.stft.n_fft
            fitted = fit_bins(
                self.bins[:cut], regressor, n_fft=self.stft.n_fft, seed=self.seed
            )
            rest = self.bins[cut:]
            return float(
                np.mean(
                    [
                        model.score(rest[FEATURES], rest[target])
                        for model, target in zip(fitted, TARGETS, strict=True)
                    ]
                )
            )
        cut = len(self.training.runs) * 4 // 5
        x = self.training.description
        y = compress(np.abs(self.training.spectrum))[0]
        if cut < 2:
            return np.nan
        fitted = fit_frames(regressor, x[:cut], y[:cut], runs=self.training.runs[:cut])
        return float(r2_score(y[cut:], fitted.predict(x[cut:])))


def _fit(regressor, x, y, runs):
    regressor = clone(regressor)
    if has_fit_parameter(regressor, "runs"):
        return regressor.fit(x, y, runs=runs)
    if y.ndim == 2 and not regressor.__sklearn_tags__().target_tags.multi_output: 
        regressor = MultiOutputRegressor(regressor)
    with quietly():
        return regressor.fit(x, y)
