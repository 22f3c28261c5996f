"""Predictive convolution, from sound to sound."""

from ast import literal_eval
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
from scipy.signal import ShortTimeFFT
from sklearn.base import RegressorMixin, clone
from threadpoolctl import threadpool_limits

from helpers import frames, melody, models, spectrum
from helpers.bins import convolve_bins
from helpers.gesture import apply_gain, gesture_gain, points_of
from helpers.path import FramePath
from helpers.sound import AudioError, Sound, block_offset, check, fade, mono, resample

MOST_FRAMES = 16384  # of A that are learned from: three minutes
MOST_SUNG = 4096  # the same where each is there twelve times
LONG_FRAMES = 100  # frames: files that are shorter leave no choice but to jump

Dial = float | str | Sequence[tuple[float, float]]  # a number, or breakpoints
# Numbers of frames of B, and spectra made of A for them.
Picked = Iterator[tuple[np.ndarray, np.ndarray]]


def along(dial: Dial, seconds: np.ndarray, *, name: str) -> np.ndarray:
    """Read a dial off at some moments, in seconds.

    Parameters
    ----------
    dial : number or breakpoints
        From 0 to 1. Breakpoints are in order of time, ``[(seconds, value), ...]``:
        between them the dial moves evenly, before the first and after the last it
        stays. Both may come as text.
    seconds : ndarray of shape (n_moments,)
    name : str
        For the sentence.

    Returns
    -------
    ndarray of shape (n_moments,)
        Float32.

    Raises
    ------
    AudioError
        For values outside 0 to 1, or breakpoints out of order.
    """
    try:
        dial = literal_eval(dial) if isinstance(dial, str) else dial
        points = np.array([(0, dial)] if np.ndim(dial) == 0 else dial, dtype=float)
        times, values = points.reshape(-1, 2).T
        in_order = np.all(np.diff(times, prepend=-1e9) >= 0)
        if not in_order or not np.all((values >= 0) & (values <= 1)):
            raise ValueError
        return np.interp(seconds, times, values).astype(np.float32)
    except (TypeError, ValueError, OverflowError, SyntaxError):
        remedy = "give a number from 0 to 1, or breakpoints in order: [(0, 0), (2, 1)]"
        raise AudioError(f"{name}={dial!r} does not work: {remedy}.") from None


def read_dials(dials: Mapping[str, Dial], seconds: np.ndarray) -> SimpleNamespace:
    """Read all dials off at some moments; those that are not given stand as usual.

    Raises
    ------
    AudioError
        As `along`, and for a dial that there is not.
    """
    for name in dials:
        if name not in models.DIALS:
            raise AudioError(f"There is no dial {name}: use {', '.join(models.DIALS)}.")
    dials = models.DIALS | dials
    return SimpleNamespace(**{k: along(dials[k], seconds, name=k) for k in dials})


def check_settings(
    model: models.Model, *, n_fft: int = 2048, hop_length: int = 512, **dials: Dial
) -> None:
    """Raise the `AudioError` that `predictive_convolution` would, before any work."""
    models.find_model(model)
    spectrum.make_stft(44100, n_fft, hop_length)
    read_dials(dials, np.zeros(1))


@dataclass(frozen=True, eq=False)
class Pair:
    """Two sounds at one rate, and what all models share; rows are frames."""

    a: Sound  # without offset, its ends faded
    b: Sound  # without offset
    dry: Sound  # B as it was read
    stft: ShortTimeFFT
    described_a: np.ndarray  # (n_frames_a, n_columns)
    described_b: np.ndarray  # (n_frames_b, n_columns)
    numbers: np.ndarray  # (n_known,) frames of A that are learned from, rising
    aligned: np.ndarray  # (n_frames_b, n_columns) B's descriptions where A lives


def prepare(a: Sound, b: Sound, *, n_fft: int = 2048, hop_length: int = 512) -> Pair:
    """Bring A to B's rate, and to mono if B is; describe both, and align B.

    Parameters
    ----------
    a, b : Sound
        Of any rates and numbers of channels.
    n_fft, hop_length : int
        As in `helpers.spectrum.make_stft`.

    Returns
    -------
    Pair

    Raises
    ------
    AudioError
        For a sound or setting that nothing can be made of.
    """
    a, dry = check(a, name="Sound A"), check(b, name="Sound B")
    stft = spectrum.make_stft(b.rate, n_fft, hop_length)
    if b.samples.shape[1] == 1:
        a = mono(a)
    a = fade(block_offset(resample(a, rate=b.rate)))
    check(a, name="Sound A, at the rate of sound B and without its offset,")
    b = check(block_offset(b), name="Sound B, without its offset,")
    with threadpool_limits(1):  # the last bit of a sum depends on who adds it up
        described_a, described_b = (frames.describe(x, stft=stft) for x in (a, b))
        active = np.flatnonzero(frames.is_active(described_a))
        numbers = frames.spread_evenly(active, MOST_FRAMES)
        known, starts = described_a[numbers], spectrum.starts_of(numbers)
        guide = clone(models.NEAREST_PATH)
        guide.fit(frames.weigh(known), numbers, starts=starts)
        # Turned onto few of many short sounds, B would find only these.
        turn = share_of_long(a, numbers) == 1
        aligned = frames.align(described_b, known, guide, turn=turn)
    return Pair(a, b, dry, stft, described_a, described_b, numbers, aligned)


def share_of_long(a: Sound, numbers: np.ndarray) -> float:
    """Tell how many known frames a file of A has on average, as a share of 100.

    It is 1 at most, and 1 for a single file. Where files are short, jumps are to cost
    so much less.
    """
    return min(1, len(numbers) / len(a.files) / LONG_FRAMES) if len(a.files) > 1 else 1


def render(
    pair: Pair, model: models.Model = "nearest_path", **dials: Dial
) -> tuple[Sound, np.ndarray | None]:
    """Predict B with a model that learns from A, before any finishing.

    Parameters
    ----------
    pair : Pair
        As from `prepare`.
    model : str or scikit-learn regressor
        A name in `helpers.models.CATALOGUE`, or any regressor (cloned, never changed).
    **dials : number or breakpoints
        `blend`, `continuity`, `melody`, `dynamics`, as in `predictive_convolution`.

    Returns
    -------
    sound : Sound
        As long as B, at B's rate, with B's channels.
    borrowed : ndarray of shape (n_frames_b,) or None
        Which frame of A each frame of B borrows; None for models that average, and for
        those of bins.

    Raises
    ------
    AudioError
        For a model or a dial that cannot work, and where all that is predicted is
        silence, or not finite.
    """
    regressor, recipe = models.find_model(model)
    seconds = spectrum.seconds_of(np.arange(len(pair.aligned)), stft=pair.stft)
    dials = read_dials(dials, seconds)
    borrowed = None
    with threadpool_limits(1):  # the last bit of a sum depends on who adds it up
        if recipe == "bins":
            sound = convolve_bins(pair.a, pair.b, regressor, stft=pair.stft)
        else:
            if isinstance(regressor, FramePath):
                # In the middle the model's own; squared, for prices are felt in ratios.
                factor = (2 * dials.continuity) ** 2
                borrowed, picked = choose(pair, regressor, factor, leading=dials.melody)
            else:
                picked = averaged_frames(pair, regressor)
            sound = put_together(pair, picked, dynamics=dials.dynamics)
            gain_db = gesture_gain(sound, pair.b, pair.described_b, stft=pair.stft)
            points = points_of(sound) / sound.rate
            gain_db *= np.interp(points, seconds, dials.dynamics)
            sound = apply_gain(sound, gain_db)
        check(sound, name="What the model predicts")
        return mix(pair.dry, sound, dials.blend, stft=pair.stft), borrowed


def choose(
    pair: Pair, model: FramePath, factor: float | np.ndarray, *, leading: np.ndarray
) -> tuple[np.ndarray, Picked]:
    """Choose the frames of A to borrow: those on the path through B's.

    Parameters
    ----------
    pair : Pair
    model : FramePath
    factor : float or ndarray of shape (n_frames_b,)
        Of what jumping, and playing again, cost.
    leading : ndarray of shape (n_frames_b,)
        How far B's notes lead. If they do anywhere, there are transposed copies to
        choose from, too, of A's first 47 s (4096 frames).

    Returns
    -------
    borrowed : ndarray of shape (n_frames_b,)
        Which frames of A they are.
    picked : iterator of (rows, spectra)
        Numbers of B's frames, some hundred at a time, and the spectra that they borrow,
        ``(n_channels_a, n_rows, n_bins)``.
    """
    jump_cost = model.jump_cost * share_of_long(pair.a, pair.numbers)
    model = clone(model).set_params(jump_cost=jump_cost)
    asked = frames.weigh(pair.aligned)
    leads = melody.lead(pair.b, leading, stft=pair.stft)
    if not leads.any():
        known = frames.weigh(pair.described_a[pair.numbers])
        model.fit(known, pair.numbers, starts=spectrum.starts_of(pair.numbers))
        borrowed = pair.numbers[model.path(asked, factor)]
        return borrowed, borrowed_frames(pair, borrowed, pair.a, borrowed)
    numbers = pair.numbers[pair.numbers < pair.numbers[0] + MOST_SUNG]
    weighed = frames.weigh(pair.described_a[numbers])
    choir, voices = melody.transpose(pair.a, numbers, stft=pair.stft)
    known = melody.describe_voices(weighed, choir, voices, stft=pair.stft)
    model.set_params(extras=(*model.extras, leads.shape[1], 1))
    model.fit(known, voices["row"], starts=spectrum.starts_of(voices["number"]))
    # A tune leaps and returns: at full price, B's strokes would be missed for it.
    factor = factor * (1 - 0.6 * leading)
    sung = voices.iloc[model.path(melody.ask_for_notes(asked, leads), factor)]
    borrowed = numbers[sung["row"]]
    return borrowed, borrowed_frames(pair, borrowed, choir, sung["number"].to_numpy())


def borrowed_frames(
    pair: Pair, borrowed: np.ndarray, choir: Sound, sung: np.ndarray
) -> Picked:
    """Yield the frames `sung` of a choir, as full as was asked for.

    The choir is A itself, or A and its transposed copies; `borrowed` are the numbers
    that the frames have in A.
    """
    to_bins = spectrum.mel_bands(pair.stft.f, frames.N_BANDS).T
    for rows in spectrum.blocks(len(borrowed)):
        spectra = spectrum.spectrum_of(choir, sung[rows], stft=pair.stft)
        if choir is not pair.a:
            own = spectrum.spectrum_of(pair.a, borrowed[rows], stft=pair.stft)
            spectra = melody.lend_envelope(own, spectra, stft=pair.stft)
        gain_db = frames.fill_out(pair.described_a[borrowed[rows]], pair.aligned[rows])
        yield rows, spectra * 10 ** (gain_db @ to_bins / 20)


def averaged_frames(pair: Pair, model: RegressorMixin) -> Picked:
    """Yield magnitudes that a model predicts, with the phases of frames on a path.

    Averages of spectra with their phases would cancel out.
    """
    magnitudes = []
    for rows in spectrum.blocks(len(pair.numbers)):
        spectra = spectrum.spectrum_of(pair.a, pair.numbers[rows], stft=pair.stft)
        size = np.linalg.norm(spectra, axis=(0, 2), keepdims=True)[0]
        magnitudes.append(np.linalg.norm(spectra, axis=0) / (size + 1e-12))
    # Columns: how a frame moves tells no colour.
    still = [*range(frames.N_BANDS), frames.LOUDNESS]
    known = pair.described_a[pair.numbers][:, still]
    averages = models.fit_magnitudes(model, known, np.concatenate(magnitudes))
    no_lead = np.zeros(len(pair.aligned))
    _, picked = choose(pair, models.NEAREST_PATH, 1.0, leading=no_lead)
    for rows, spectra in picked:
        predicted = models.predict_magnitudes(averages, pair.aligned[rows][:, still])
        size = np.linalg.norm(spectra, axis=2, keepdims=True)
        phases = np.exp(1j * np.angle(spectra)).astype(np.complex64)
        yield rows, size * predicted * phases


def put_together(pair: Pair, picked: Picked, *, dynamics: np.ndarray) -> Sound:
    """Turn spectra made of A into a sound, each at the loudness of B's frame."""
    output = np.zeros_like(pair.b.samples)
    # Where A keeps its own loudness, all of it gets the level of all of B.
    level = pair.b.samples.std() / pair.a.samples.std()
    for rows, spectra in picked:
        frames_b = spectrum.cut_frames(pair.b, rows, stft=pair.stft)
        # By Parseval's theorem, half of a spectrum has half of its frame's power, times
        # the number of samples.
        size_b = (pair.stft.m_num / 2) ** 0.5 * np.linalg.norm(frames_b, axis=2)
        spectra = frames.borrow(level * spectra, size_b, dynamics[rows])
        spectrum.add_spectrum(output, spectra, stft=pair.stft, first=rows[0])
    return Sound(output, pair.b.rate)


def mix(b: Sound, sound: Sound, blend: np.ndarray, *, stft: ShortTimeFFT) -> Sound:
    """Make one sound between B and a prediction.

    The magnitudes meet at their weighted geometric mean, which moves evenly from one
    timbre to the other; a cross-fade of the samples would be two sounds at once.

    Parameters
    ----------
    b, sound : Sound
        Of one length.
    blend : ndarray of shape (n_frames,)
        From 0, B itself, to 1.
    stft : ShortTimeFFT

    Returns
    -------
    Sound
        As long as they are.
    """
    if blend.min() == 1:
        return sound
    output = np.zeros_like(b.samples, np.float32)
    for rows in spectrum.blocks(len(blend)):
        share = blend[rows, np.newaxis]
        dry, wet = (spectrum.spectrum_of(one, rows, stft=stft) for one in (b, sound))
        size = np.abs(dry) ** (1 - share) * np.abs(wet) ** share
        phase = np.angle((1 - share) * dry + share * wet)
        met = size * np.exp(1j * phase)
        spectrum.add_spectrum(output, met, stft=stft, first=rows[0])
    return replace(sound, samples=output)


def predictive_convolution(
    a: Sound,
    b: Sound,
    *,
    model: models.Model = "nearest_path",
    n_fft: int = 2048,
    hop_length: int = 512,
    **dials: Dial,
) -> Sound:
    """Tell B's gesture in A's timbre: learn from A's frames, predict B's.

    Parameters
    ----------
    a, b : Sound
        Of any rates and numbers of channels.
    model : str or scikit-learn regressor
        A name in `helpers.models.CATALOGUE`, or any regressor (cloned, never changed).
        "nearest_path" borrows stretches of A: of all models it has most of A's timbre
        and motion.
    blend : number or breakpoints, default 1
        From 0, B itself, to 1, the full prediction. Breakpoints are in order of time,
        ``[(seconds, value), ...]``; so for all dials.
    continuity : number or breakpoints, default 0.5
        From 0, a mosaic of single moments of A, to 1, long stretches of it. At the
        default B's structure and A's motion are both kept well. Only a `FramePath`
        knows it.
    melody : number or breakpoints, default 0
        From 0, where A keeps its own notes, to 1, where it is transposed to B's, at the
        price of timbre. Where B has no pitch, it does nothing. Only a `FramePath` knows
        it, and of a long A only the first 47 s are led.
    dynamics : number or breakpoints, default 1
        From 0, where A keeps its own loudness, to 1, where it has B's. Models of bins
        do not know it.
    n_fft, hop_length : int
        As in `helpers.spectrum.make_stft`.

    Returns
    -------
    Sound
        As long as B, at B's rate, with B's channels; not yet finished (see
        `helpers.finishing`).

    Raises
    ------
    AudioError
        For a sound, model or setting that nothing can be made of.
    """
    check_settings(model, n_fft=n_fft, hop_length=hop_length, **dials)
    pair = prepare(a, b, n_fft=n_fft, hop_length=hop_length)
    return render(pair, model, **dials)[0]
