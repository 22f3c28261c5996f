"""Predictive convolution, from sound to sound."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.signal import ShortTimeFFT
from sklearn.base import RegressorMixin
from threadpoolctl import threadpool_limits

from helpers.audio import (
    AudioError,
    Sound,
    allocate,
    check,
    mono,
    peak_of,
    resample,
    spans,
)
from helpers.bins import convolve_bins
from helpers.dials import Dial, Dials, breakpoints
from helpers.frames import Plan, convolve_frames, make_plan
from helpers.gesture import apply_gain, gesture_gain
from helpers.models import make_model
from helpers.spectrum import (
    analyse,
    frame_blocks,
    make_stft,
    n_frames,
    seconds_of,
    synthesise,
)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two sounds at one rate, ready for however many models."""

    a: Sound
    b: Sound
    stft: ShortTimeFFT
    seed: int

    @cached_property
    def plan(self) -> Plan:
        """What each frame of B borrows by default, worked out once."""
        learner, _ = make_model("nearest_path")
        return make_plan(self.a, self.b, learner, stft=self.stft)


def prepare(
    a: Sound, b: Sound, *, n_fft: int = 2048, hop_length: int = 512, seed: int = 42
) -> Pair:
    """Bring A to B's rate, mix it to mono if B is mono, and check everything.

    Parameters
    ----------
    a, b : Sound
        Of any rates and numbers of channels.
    n_fft, hop_length : int
        As in `helpers.spectrum.make_stft`.
    seed : int, default 42
        For whatever is drawn at random.

    Raises
    ------
    AudioError
        For a sound or setting that nothing can be made of.
    """
    check(a, name="Sound A")
    check(b, name="Sound B")
    check_seed(seed)
    stft = make_stft(b.rate, n_fft, hop_length)
    if b.n_channels == 1:
        a = mono(a)
    a = resample(a, rate=b.rate)
    check(a, name="Sound A, at the rate of sound B,")
    return Pair(a, b, stft, seed)


def check_seed(seed: int) -> None:
    """Raise `AudioError` unless `seed` is a whole number that numpy can start from."""
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise AudioError(
            f"seed={seed!r} does not work: use a whole number from 0 to 4294967295."
        )


def render(
    pair: Pair, model: str | RegressorMixin, *, dials: Dials | None = None
) -> Sound:
    """Predict B with a model that learns from A, before any finishing.

    Parameters
    ----------
    pair : Pair
        As from `prepare`.
    model : str or scikit-learn regressor
        A name in `helpers.models.CATALOGUE`, or any regressor (cloned, never changed).
    dials : Dials, optional
        By default `Dials()`. A model of the bin recipe knows `blend` only.

    Returns
    -------
    Sound
        As long as B, at B's rate, with B's channels.

    Raises
    ------
    AudioError
        For a model that there is not, and where all that is predicted is silence, or
        not finite.
    """
    dials = dials or Dials()
    regressor, recipe = make_model(model, seed=pair.seed)
    blend = breakpoints(dials.blend)
    if blend[:, 1].max() == 0:
        return pair.b
    stft = pair.stft
    if recipe == "frames":
        plan = pair.plan
        sound = convolve_frames(pair.a, pair.b, plan, regressor, stft=stft, dials=dials)
    else:
        turned = recipe == "turned bins"
        sound = convolve_bins(
            pair.a, pair.b, regressor, stft=stft, turned=turned, seed=pair.seed
        )
    check_prediction(sound, model)
    sound = mix(pair.b, sound, blend=blend, stft=stft)
    if recipe == "frames":
        gain = gesture_gain(sound, pair.b, pair.plan.described_b, stft=stft)
        sound = apply_gain(sound, gain, share=dials.dynamics)
    return restore(pair.b, sound, blend=blend)


def predictive_convolution(
    a: Sound,
    b: Sound,
    *,
    model: str | RegressorMixin = "nearest_path",
    blend: Dial = 1.0,
    continuity: Dial = 0.5,
    melody: Dial = 0.0,
    dynamics: Dial = 1.0,
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
        "nearest_path" borrows stretches of A: of all models it has most of A's timbre
        and motion.
    blend, continuity, melody, dynamics : number or breakpoints
        As in `helpers.dials.Dials`.
    n_fft, hop_length : int
        As in `helpers.spectrum.make_stft`.
    seed : int, default 42
        For models that draw random numbers.

    Returns
    -------
    Sound
        As long as B, at B's rate, with B's channels; not yet finished (see
        `helpers.finishing`). It knows which stretches of A it is made of.

    Raises
    ------
    AudioError
        For a sound, model or setting that nothing can be made of.
    """
    dials = Dials(blend=blend, continuity=continuity, melody=melody, dynamics=dynamics)
    make_model(model)  # raises before the work, not after it
    pair = prepare(a, b, n_fft=n_fft, hop_length=hop_length, seed=seed)
    with threadpool_limits(1):  # the last bit of a sum depends on who adds it up
        return render(pair, model, dials=dials)


def check_prediction(sound: Sound, model: str | RegressorMixin) -> None:
    """Raise `AudioError`, naming the model, for silence and for what is not finite."""
    name = model if isinstance(model, str) else type(model).__name__
    peak = peak_of(sound)
    if not np.isfinite(peak):
        raise AudioError(f"{name} predicts no finite numbers: choose another model.")
    if peak < 1e-6:
        raise AudioError(f"{name} predicts silence here: choose another model.")


def mix(b: Sound, prediction: Sound, *, blend: np.ndarray, stft: ShortTimeFFT) -> Sound:
    """Make one sound between B and a prediction, along the breakpoints of a blend.

    The magnitudes meet at their weighted geometric mean, which moves evenly from one
    timbre to the other; a cross-fade of the samples would be two sounds at once.
    """
    if blend[:, 1].min() == 1:
        return prediction
    output = allocate(b.n_samples, b.n_channels)
    n_rows = n_frames(b.n_samples, stft=stft)
    for rows in frame_blocks(n_rows, n_channels=b.n_channels):
        seconds = seconds_of(np.arange(rows.start, rows.stop), stft=stft)
        share = np.interp(seconds, *blend.T)[:, None].astype(np.float32)
        dry = analyse(b.samples, stft=stft, rows=rows)
        wet = analyse(prediction.samples, stft=stft, rows=rows)
        both = (1 - share) * dry + share * wet
        magnitude = (np.abs(dry) + 1e-7) ** (1 - share) * (np.abs(wet) + 1e-7) ** share
        both *= magnitude / (np.abs(both) + 1e-12)
        synthesise(output, both, stft=stft, first=rows.start)
    return replace(prediction, samples=output)


def restore(b: Sound, sound: Sound, *, blend: np.ndarray) -> Sound:
    """Put B back, sample for sample, where its blend is 0."""
    if blend[:, 1].min() > 0:
        return sound
    output = allocate(b.n_samples, b.n_channels)
    for rows in spans(b.samples, sound.samples, output):
        block = b.samples[rows]
        seconds = (rows.start + np.arange(len(block))) / b.rate
        dry = np.interp(seconds, *blend.T) == 0
        output[rows] = np.where(dry[:, None], block, sound.samples[rows])
    return replace(sound, samples=output)
