"""Predictive convolution from sound to sound, and the classic kind to compare."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.signal import get_window, oaconvolve
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from helpers.audio import AudioError, Sound, check, mono, resample
from helpers.bins import (
    FEATURES,
    TARGETS,
    bin_table,
    convolve_bins,
    fit_bins,
)
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
    def compressed(self) -> tuple:
        """A's magnitudes in a few numbers, as from `compress`."""
        return compress(self.training)

    def render(self, model: RegressorMixin, *, recipe: str = "frames") -> Sound:
        """Predict B with a regressor that learns from A, before any finishing."""
        if recipe == "bins":
            fitted = fit_bins(self.bins, model, n_fft=self.stft.n_fft, seed=self.seed)
            return convolve_bins(self.b, fitted, stft=self.stft)
        predicted = convolve_frames(self, model)
        return articulate(impose_loudness(predicted, self.b), self.b, stft=self.stft)

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
        first = self.training._replace(
            description=self.training.description[:cut], runs=self.training.runs[:cut]
        )
        fitted = fit_frames(model, first, y[:cut])
        return float(r2_score(y[cut:], fitted.predict(self.training.description[cut:])))


def convolve_frames(pair: Pair, model: RegressorMixin) -> Sound:
    """Predict B frame by frame, in the loudness of B's frames.

    The choice is made once for all channels, so that they stay together; each channel
    of B then borrows from the channel of A of the same number (counted round where A
    has fewer), at its own loudness: A's width, in B's stereo image.

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
        fitted, weights = fit_frames(model, training, y), pair.nearest.weights(aligned)

    def process(padded: np.ndarray, frames: range) -> np.ndarray:
        rows = slice(frames[0], frames[-1] + 1)
        borrowed = [weights[rows] @ channel for channel in training.spectrum]
        # A little of all channels, for where a channel of A is silent.
        some = sum(borrowed) * np.float32(0.1 / len(borrowed))
        if not borrows:
            guess = fitted.predict(aligned[rows])
            roots = pca.inverse_transform(guess).astype(np.float32)
            magnitude = np.maximum(roots, 0) ** 2
        channels = []
        for channel, samples in enumerate(padded.T):
            spectrum = borrowed[channel % len(borrowed)] + some
            if not borrows:
                spectrum = griffin_lim(magnitude, spectrum, stft=stft)
            loudness = np.linalg.norm(stft.transform(samples), axis=1, keepdims=True)
            loudness /= np.linalg.norm(spectrum, axis=1, keepdims=True) + 1e-12
            channels.append(stft.inverse(spectrum * loudness))
        return np.stack(channels, axis=1)

    reach = stft.n_fft // stft.hop_length  # frames, of each round of phases too
    return by_blocks(pair.b, process, stft=stft, context=9 * reach)


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


def mix(b: Sound, prediction: Sound, *, blend: float | Sequence, stft: STFT) -> Sound:
    """Make one sound between B (0) and the prediction (1).

    The magnitudes meet at their weighted geometric mean, which moves evenly from one
    timbre to the other; a cross-fade of the samples would be two sounds at once.

    Parameters
    ----------
    b, prediction : Sound
        Of one shape.
    blend : float or sequence of (seconds, value)
        A number from 0 to 1, or breakpoints over time with straight lines between.
        Where it is 0 the result is B, sample for sample.
    stft : STFT
    """
    points = breakpoints(blend)
    if points[:, 1].min() == 1:
        return prediction

    def process(padded: np.ndarray, frames: range) -> np.ndarray:
        seconds = np.array(frames) * stft.hop_length / stft.rate
        share = np.interp(seconds, *points.T)[:, None].astype(np.float32)
        padded_prediction = stft.cut(prediction.samples, frames)
        samples = np.arange(len(padded)) - stft.n_fft // 2
        now = samples / stft.rate + seconds[0]
        dry = np.interp(now, *points.T) == 0
        channels = []
        for one, other in zip(padded.T, padded_prediction.T, strict=True):
            first, last = stft.transform(one), stft.transform(other)
            both = (1 - share) * first + share * last
            size = (np.abs(first) + 1e-7) ** (1 - share) * (
                np.abs(last) + 1e-7
            ) ** share
            mixed = stft.inverse(both * (size / (np.abs(both) + 1e-12)))
            channels.append(np.where(dry, one, mixed))
        return np.stack(channels, axis=1)

    return by_blocks(b, process, stft=stft, context=stft.n_fft // stft.hop_length)


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
    regressor, recipe = make_model(model, seed=seed)
    breakpoints(blend)  # before the work, not after it
    pair = Pair(a, b, n_fft=n_fft, hop_length=hop_length, seed=seed)
    prediction = pair.render(regressor, recipe=recipe)
    return mix(b, prediction, blend=blend, stft=pair.stft)


def classic_convolution(
    a: Sound,
    b: Sound,
    *,
    window: str = "none",
    brighten: bool = False,
    ring: bool = False,
    moving_seconds: float | None = None,
) -> Sound:
    """Convolve B with A, the sound that the idea was first compared with.

    The options are those that users of Tom Erbe's SoundHack know. The result has B's
    length and rate, a peak of 1, and each channel of B meets the channel of A of the
    same number (the last, where A has fewer).

    Parameters
    ----------
    a, b : Sound
        The impulse and the input.
    window : str, default "none"
        Fade of the impulse: "none", or a name that `scipy.signal.get_window` knows.
    brighten : bool, default False
        Tilt by +6 dB per octave, against the dullness that convolution adds.
    ring : bool, default False
        Multiply the two sounds moment by moment instead: ring modulation.
    moving_seconds : float, optional
        Length of a stretch of A that moves through A while B goes by.
    """
    check(a, name="Sound A")
    check(b, name="Sound B")
    a = resample(a, rate=b.rate)
    impulse, source = np.asarray(a.samples), np.asarray(b.samples)
    impulse = impulse[:, np.minimum(np.arange(b.n_channels), a.n_channels - 1)]
    if window != "none":
        try:
            impulse = impulse * get_window(window, len(impulse))[:, None]
        except ValueError as error:
            text = f"There is no window {window!r}: use none, hann, hamming or boxcar."
            raise AudioError(text) from error
    if ring:
        output = source * np.resize(impulse, source.shape)
    elif moving_seconds:
        output = _moving(impulse, source, round(moving_seconds * b.rate))
    else:
        output = oaconvolve(source, impulse, axes=0)[: len(source)]
    if brighten:
        output = np.diff(output, axis=0, prepend=0)
    peak = np.abs(output).max()
    return Sound((output / max(peak, 1e-12)).astype(np.float32), b.rate)


def _moving(impulse: np.ndarray, source: np.ndarray, length: int) -> np.ndarray:
    length = int(np.clip(length, 2, len(impulse)))
    output = np.zeros((len(source) + 2 * length, source.shape[1]))
    fade = get_window("hann", length)[:, None]
    hop = max(length // 2, 1)
    for start in range(-hop, len(source), hop):
        there = max(start, 0) / len(source) * (len(impulse) - length)
        piece = np.zeros((length, source.shape[1]))
        inside = source[max(start, 0) : start + length]
        piece[max(-start, 0) :][: len(inside)] = inside
        part = impulse[int(there) : int(there) + length]
        out = oaconvolve(piece * fade, part, axes=0)
        at = start + hop
        output[at : at + len(out)] += out[: len(output) - at]
    return output[hop : hop + len(source)]
