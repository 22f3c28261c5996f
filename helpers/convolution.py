"""Predictive convolution, from sound to sound."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from helpers.audio import AudioError, Sound, check, mono, resample
from helpers.bins import FEATURES, TARGETS, bin_table, convolve_bins, fit_bins
from helpers.blend import breakpoints, mix, restore
from helpers.estimators import name_of
from helpers.frames import (
    Training,
    align,
    compress,
    describe,
    fit_frames,
    frame_training,
)
from helpers.gesture import articulate, impose_loudness
from helpers.models import make_model
from helpers.phase import griffin_lim
from helpers.spectrum import STFT, by_blocks


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
        if not (isinstance(seed, int) and 0 <= seed < 2**32):
            raise AudioError(f"seed={seed} does not work: use a whole number from 0.")
        self.stft = STFT(b.rate, n_fft, hop_length)
        self.a, self.b, self.seed = resample(a, rate=b.rate), b, seed
        if b.n_channels == 1:
            self.a = mono(self.a)

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
    def nearest(self) -> RegressorMixin:
        """The default model, which predicts the row of `training` for each row."""
        rows = np.arange(len(self.training.runs))
        return fit_frames(make_model("nearest_path")[0], self.training, rows)

    @cached_property
    def aligned(self) -> np.ndarray:
        """B's descriptions where A lives, ``(n_frames, n_columns)``."""
        return align(describe(self.b, stft=self.stft), self.training, self.nearest)

    @cached_property
    def chosen(self) -> csr_array:
        """What the default model borrows, ``(n_frames, n_rows)`` of `training`."""
        return self.nearest.weights(self.aligned)

    @cached_property
    def compressed(self) -> tuple:
        """A's magnitudes in a few numbers, as from `compress`."""
        return compress(self.training)

    def render(
        self,
        model: RegressorMixin,
        *,
        recipe: str = "frames",
        blend: float | Sequence = 1.0,
    ) -> Sound:
        """Predict B with a regressor that learns from A, before any finishing.

        Raises `AudioError` where all that is predicted is silence, or not finite.
        """
        points = breakpoints(blend)
        if points[:, 1].max() == 0:
            return self.b
        if recipe == "bins":
            fitted = fit_bins(self.bins, model, n_fft=self.stft.n_fft, seed=self.seed)
            sound = convolve_bins(self.b, fitted, stft=self.stft)
        else:
            sound = convolve_frames(self, model)
        peak = np.max([np.abs(block).max() for block in sound.blocks()])
        if not 1e-6 <= peak < np.inf:  # nan fails here too
            what = "silence" if peak < 1e-6 else "no finite numbers"
            raise AudioError(
                f"{name_of(model)} predicts {what} here: choose another model."
            )
        if points[:, 1].min() < 1:
            sound = mix(self.b, sound, points=points, stft=self.stft)
        if recipe == "frames":
            sound = articulate(impose_loudness(sound, self.b), self.b, stft=self.stft)
        return restore(self.b, sound, points=points, stft=self.stft)

    def held_out_r2(self, model: RegressorMixin, *, recipe: str = "frames") -> float:
        """Score a regressor on the last fifth of A after learning from the rest.

        1 is a perfect prediction, 0 no better than the mean; nan where A is too short.
        """
        if recipe == "bins":
            n_fft = self.stft.n_fft
            cut = len(self.bins) // n_fft * 4 // 5 * n_fft
            rest = self.bins[cut:]
            fitted = fit_bins(self.bins[:cut], model, n_fft=n_fft, seed=self.seed)
            guess = np.column_stack([one.predict(rest[FEATURES]) for one in fitted])
            return float(r2_score(rest[TARGETS], guess))
        cut = len(self.training.runs) * 4 // 5
        y = self.compressed[1]
        if not 2 < cut < len(y) - 1:
            return np.nan
        x, runs = self.training.description, self.training.runs
        early = self.training._replace(description=x[:cut], runs=runs[:cut])
        try:
            fitted = fit_frames(model, early, y[:cut])
        except AudioError:  # enough frames to learn from, but not without the last
            return np.nan
        return float(r2_score(y[cut:], fitted.predict(x[cut:])))


def convolve_frames(pair: Pair, model: RegressorMixin) -> Sound:
    """Predict B frame by frame, in the loudness of B's frames.

    The choice is made once for all channels, so that they stay together; each channel
    of B then borrows from the channel of A of the same number (counted round where A
    has fewer) and from A's mix, at its own loudness: some of A's width, in B's stereo
    image.

    A model with a method ``weights`` says which frames of A it mixes: they are mixed
    as they are. Of any other only magnitudes are known: their phases are reconstructed,
    starting from those of the frames that the alignment chose.
    """
    training, stft, aligned = pair.training, pair.stft, pair.aligned
    borrows = hasattr(type(model), "weights")  # some models have a setting so named
    if borrows:
        rows = np.arange(len(training.runs))
        weights = fit_frames(model, training, rows).weights(aligned)
    else:
        pca, y = pair.compressed
        fitted, weights = fit_frames(model, training, y), pair.chosen

    def process(padded: np.ndarray, frames: range) -> np.ndarray:
        rows = slice(frames[0], frames[-1] + 1)
        borrowed = [weights[rows] @ channel for channel in training.spectrum]
        # As much of the mix as of the channel: whole in mono, and where one is silent.
        mix_of_a = sum(borrowed) / np.float32(len(borrowed))
        if not borrows:
            roots = fitted.predict(aligned[rows]) @ pca.components_ + pca.mean_
            magnitude = np.maximum(roots, 0).astype(np.float32) ** 2
        channels = []
        for channel, samples in enumerate(padded.T):
            spectrum = borrowed[channel % len(borrowed)] + mix_of_a
            if not borrows:
                # From phases as good as these one round is best: more cost timbre.
                spectrum = griffin_lim(magnitude, spectrum, stft=stft, n_rounds=1)
            loudness = np.linalg.norm(stft.transform(samples), axis=1, keepdims=True)
            loudness /= np.linalg.norm(spectrum, axis=1, keepdims=True) + 1e-12
            channels.append(stft.inverse(spectrum * loudness))
        return np.stack(channels, axis=1)

    reach = stft.n_fft // stft.hop_length  # frames, of the round of phases too
    return by_blocks(pair.b, process, stft=stft, context=3 * reach)


def predictive_convolution(
    a: Sound,
    b: Sound,
    *,
    model: str | RegressorMixin = "nearest_path",
    blend: float | Sequence = 1.0,
    n_fft: int = 2048,
    hop_length: int = 512,
    seed: int = 42,
) -> Sound:
    """Tell B's gesture in A's timbre: learn from A's frames, predict B's.

    Parameters
    ----------
    a, b : Sound
        Of any rates and numbers of channels. The model learns from all of A's channels
        and predicts each channel of B.
    model : str or scikit-learn regressor
        A name in `helpers.models.CATALOGUE`, or any regressor (cloned, never changed).
    blend : float or sequence of (seconds, value)
        From 0, B itself, to 1, the full prediction.
    n_fft, hop_length : int
        As in `helpers.spectrum.STFT`.
    seed : int, default 42
        For models that draw random numbers.

    Returns
    -------
    Sound
        As long as B, at B's rate, with B's channels; not yet finished (see
        `helpers.mastering`).

    Raises
    ------
    AudioError
        For a sound, model or setting that nothing can be made of.
    """
    points = breakpoints(blend)  # raises before the work, not after it
    regressor, recipe = make_model(model, seed=seed)
    pair = Pair(a, b, n_fft=n_fft, hop_length=hop_length, seed=seed)
    return pair.render(regressor, recipe=recipe, blend=points)
