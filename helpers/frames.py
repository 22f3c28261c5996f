"""The frame recipe: a coarse description of B goes in, frames of A come out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.fft import rfft
from scipy.linalg import orthogonal_procrustes
from scipy.signal import ShortTimeFFT
from sklearn.base import RegressorMixin, clone

from helpers.audio import Sound, allocate, joints, rms_of
from helpers.averages import fit_magnitudes, magnitude_roots, predict_magnitudes
from helpers.dials import Dials, along
from helpers.estimators import ACTIVE_DB, N_BANDS, FramePath, audible
from helpers.montage import stretches_of
from helpers.pitch import tones
from helpers.singing import Song, make_song, sing
from helpers.spectrum import (
    analyse,
    frame_blocks,
    mel_bands,
    n_frames,
    pick_frames,
    power_of,
    seconds_of,
    synthesise,
)

COLUMNS = [f"band {i} (dB)" for i in range(1, N_BANDS + 1)]
COLUMNS.append("loudness (dB)")
STRETCH = 64  # frames of a long sound that stay together


def band_power(power: np.ndarray, *, frequencies: np.ndarray) -> np.ndarray:
    """Sum the power of frames up in a few broad bands of frequency.

    Parameters
    ----------
    power : ndarray of shape (n_frames, n_bins)
        Squared magnitudes, those of all channels added.
    frequencies : ndarray of shape (n_bins,)
        Of the bins, in Hz.

    Returns
    -------
    ndarray of shape (n_frames, N_BANDS + 1)
        Power in mel bands, and last the power of the whole frame.
    """
    weights = mel_bands(frequencies, N_BANDS) ** 2
    return np.column_stack([power @ weights, power.sum(axis=1)])


def describe(bands: np.ndarray) -> np.ndarray:
    """Describe every frame coarsely.

    Parameters
    ----------
    bands : ndarray of shape (n_frames, N_BANDS + 1)
        All frames of a sound, as from `band_power`.

    Returns
    -------
    ndarray of shape (n_frames, N_BANDS + 1)
        Float32, in dB: the levels of the bands, as if each frame had a power of 1, and
        how loud the frame is, under the loudest.
    """
    total = bands[:, -1:] + 1e-12
    levels_db = 10 * np.log10(bands[:, :-1] / total + 1e-9)
    loudness_db = 10 * np.log10(total)
    loudness_db -= loudness_db.max()
    return np.hstack([levels_db, loudness_db]).astype(np.float32)


def levels_of(described: np.ndarray) -> np.ndarray:
    """Bring the bands of a description to their loudness, ``(n_frames, N_BANDS)``."""
    return described[:, :N_BANDS] + described[:, [N_BANDS]]


def is_active(described: np.ndarray) -> np.ndarray:
    """Tell which frames are loud enough to matter, ``(n_frames,)``."""
    return described[:, N_BANDS] > -ACTIVE_DB


def describe_sound(sound: Sound, *, stft: ShortTimeFFT) -> np.ndarray:
    """Describe every frame of a sound of any length, as `describe` does."""
    bands = []
    n_rows = n_frames(sound.n_samples, stft=stft)
    for rows in frame_blocks(n_rows, n_channels=sound.n_channels):
        power = power_of(analyse(sound.samples, stft=stft, rows=rows))
        bands.append(band_power(power, frequencies=stft.f))
    return describe(np.concatenate(bands))


def choose_frames(
    sound: Sound, described: np.ndarray, *, stft: ShortTimeFFT, most: int = 16384
) -> np.ndarray:
    """Choose the frames of A to learn from: those that can be heard.

    Frames that hang over an end of A, or of one of its files, are left out: they would
    click.

    Parameters
    ----------
    sound : Sound
        A.
    described : ndarray of shape (n_frames, N_BANDS + 1)
        All its frames.
    stft : ShortTimeFFT
    most : int, default 16384
        Of a sound with more (three minutes, at the default settings), stretches that
        lie evenly spread over it: a fair share of all its files.

    Returns
    -------
    ndarray of shape (n_rows,)
        Their numbers, rising; at least two.
    """
    heard = is_active(described)
    whole = heard & is_whole(sound, len(described), stft=stft)
    if whole.sum() > 1:
        heard = whole
    elif heard.sum() < 2:  # nothing can be learned from one frame
        heard[:] = True
    numbers = np.flatnonzero(heard)
    return numbers[_spread(len(numbers), most)]


def _spread(n_rows: int, most: int) -> np.ndarray:
    # Which rows to take: all, or stretches spread evenly over them.
    if n_rows <= most:
        return np.arange(n_rows)
    starts = np.linspace(0, n_rows - STRETCH, most // STRETCH).astype(int)
    return (starts[:, np.newaxis] + np.arange(STRETCH)).ravel()


def is_whole(sound: Sound, n_rows: int, *, stft: ShortTimeFFT) -> np.ndarray:
    """Tell which frames of a sound lie within one file of it, ``(n_rows,)``."""
    starts = (np.arange(n_rows) + stft.p_min) * stft.hop - stft.m_num_mid
    last = starts + stft.m_num - 1
    edges = [0, *joints(sound), sound.n_samples]
    within = np.searchsorted(edges, starts, "right")
    same_file = within == np.searchsorted(edges, last, "right")
    return same_file & (starts >= 0) & (last < sound.n_samples)


def align(
    described_b: np.ndarray,
    described_a: np.ndarray,
    learner: FramePath,
    *,
    n_rounds: int = 2,
    balance: float = 0.4,
    n_study: int = 384,
) -> np.ndarray:
    """Bring B's descriptions to where A lives, so that all of A is heard.

    B's bands are rotated as a whole onto A's: how much its moments differ from each
    other stays as it was. The first guess only replaces B's mean colour by A's; then
    `learner` chooses a frame of A for each frame of B, and the rotation that fits these
    pairs best is taken (orthogonal Procrustes, Schönemann 1966), in turns, as in the
    iterative closest point method (Besl and McKay 1992). At last B is shifted towards
    what of A was chosen too rarely.

    Parameters
    ----------
    described_b, described_a : ndarray of shape (n_frames, N_BANDS + 1)
        All frames of B and of A.
    learner : FramePath
        Fitted to the frames of A to learn from.
    n_rounds : int, default 2
        Rotations, one at least; a third changes little.
    balance : float, default 0.4
        How much of the difference between A's mean and the mean of what was chosen is
        made up for: more has more of A's proportions and less of B's shape.
    n_study : int, default 384
        Frames of B to learn the rotation from, in stretches spread over B.

    Returns
    -------
    ndarray of shape (n_frames, N_BANDS + 1)
        Descriptions of what B's frames should be in A's world: B's bands where A's are,
        and B's loudness.
    """
    study = _spread(len(described_b), n_study)
    heard = is_active(described_b[study])
    heard |= not heard.any()  # of silence, all
    pairs = study[heard]
    levels = audible(levels_of(described_b))
    loudness = described_b[:, [N_BANDS]]
    colour_a = described_a[learner.y_, :N_BANDS].mean(axis=0)
    colour_b = described_b[pairs, :N_BANDS].mean(axis=0)
    aligned = described_b.copy()
    aligned[:, :N_BANDS] = audible(levels + colour_a - colour_b) - loudness
    for _ in range(n_rounds):
        chosen = learner.predict(aligned[study])[heard]
        partners = audible(described_a[chosen, :N_BANDS] + loudness[pairs])
        turn = _rotation(levels[pairs], partners)
        aligned[:, :N_BANDS] = turn(levels) - loudness
    missing = colour_a - described_a[chosen, :N_BANDS].mean(axis=0)
    aligned[:, :N_BANDS] += balance * missing
    return aligned


def _rotation(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    # Maps x onto its partner rows y by rotation, shift and equal spread.
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    turn, _ = orthogonal_procrustes(x - mean_x, y - mean_y)
    spread_x, spread_y = ((x - mean_x) ** 2).sum(), ((y - mean_y) ** 2).sum()
    stretch = np.sqrt(spread_y / (spread_x + 1e-9))
    return lambda z: stretch * (z - mean_x) @ turn + mean_y


@dataclass(frozen=True)
class Plan:
    """What the frames of A that B borrows are predicted from."""

    learner: FramePath  # fitted to A's frames
    described_a: np.ndarray  # (n_frames_a, N_BANDS + 1)
    described_b: np.ndarray  # (n_frames_b, N_BANDS + 1)
    numbers: np.ndarray  # (n_rows,) frames of A that were learned from
    aligned: np.ndarray  # (n_frames_b, N_BANDS + 1) B's descriptions where A lives
    level: float  # of B over that of A

    @cached_property
    def borrowed(self) -> np.ndarray:
        """Which frame of A each frame of B borrows by default, worked out once."""
        return self.learner.predict(self.aligned)


def make_plan(a: Sound, b: Sound, learner: FramePath, *, stft: ShortTimeFFT) -> Plan:
    """Describe A and B, fit the learner on A, and align B.

    Parameters
    ----------
    a, b : Sound
        At one rate.
    learner : FramePath
        Is fitted here.
    stft : ShortTimeFFT
    """
    described_a = describe_sound(a, stft=stft)
    described_b = describe_sound(b, stft=stft)
    numbers = choose_frames(a, described_a, stft=stft)
    learner.fit(described_a[numbers], numbers)
    aligned = align(described_b, described_a, learner)
    level = rms_of(b) / rms_of(a)
    return Plan(learner, described_a, described_b, numbers, aligned, level)


def borrow(
    spectrum_b: np.ndarray,
    picked: np.ndarray,
    magnitude: np.ndarray | None = None,
    *,
    dynamics: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Put a spectrum for B together from frames of A, at the loudness of B's frames.

    Each channel of B borrows from the channel of A of the same number (counted round
    where A has fewer) and as much from A's mix: some of A's width, in B's stereo image.

    Parameters
    ----------
    spectrum_b : ndarray of shape (n_channels, n_frames, n_bins)
    picked : ndarray of shape (n_channels_a, n_frames, n_bins)
        The frame of A for each frame of B.
    magnitude : ndarray of shape (n_frames, n_bins), optional
        Predicted by a model that averages: then only phases are A's.
    dynamics : float or ndarray of shape (n_frames,), default 1
        At 0 each frame keeps the loudness that it has in A.

    Returns
    -------
    ndarray of shape (n_channels, n_frames, n_bins)
    """
    counted_round = np.arange(len(spectrum_b)) % len(picked)
    spectrum = picked[counted_round]
    if len(picked) > 1:
        spectrum = 0.5 * (spectrum + picked.mean(axis=0))
    share = np.broadcast_to(np.float32(dynamics), spectrum.shape[1])[:, np.newaxis]
    size = np.linalg.norm(spectrum, axis=2, keepdims=True)
    size_b = np.linalg.norm(spectrum_b, axis=2, keepdims=True)
    wanted = size_b**share * size ** (1 - share)
    if magnitude is not None:
        spectrum = magnitude * np.exp(1j * np.angle(spectrum)).astype(np.complex64)
        size = np.linalg.norm(spectrum, axis=2, keepdims=True)
    # Of next to nothing no sound can be made: it is not lifted by more than 120 dB.
    return spectrum * (wanted / (size + 1e-6 * wanted + 1e-12))


def fill_out(
    described: np.ndarray,
    aligned: np.ndarray,
    *,
    frequencies: np.ndarray,
    share: float = 0.6,
) -> np.ndarray:
    """Find the gains that make frames of A nearly as full, or as bare, as B's are.

    A frame is full where its quiet bands are not far below its loudest one. The gain
    raises or lowers them, the more the quieter they are.

    Parameters
    ----------
    described, aligned : ndarray of shape (n_rows, N_BANDS + 1)
        Descriptions of the frames of A that are borrowed, and of what was asked for.
    frequencies : ndarray of shape (n_bins,)
        Of the bins, in Hz.
    share : float, default 0.6
        How much of the difference is made up for: more has more of B's shape, less is
        more like A.

    Returns
    -------
    ndarray of shape (n_rows, n_bins)
        In dB.
    """
    bands = described[:, :N_BANDS]
    mean_level = audible(bands + aligned[:, [N_BANDS]]).mean(axis=1, keepdims=True)
    wanted_level = audible(levels_of(aligned)).mean(axis=1, keepdims=True)
    below = bands.max(axis=1, keepdims=True) - bands
    gain_db = share * (wanted_level - mean_level) * below / (below + 10)
    return gain_db @ mel_bands(frequencies, N_BANDS).T


def convolve_frames(
    a: Sound,
    b: Sound,
    plan: Plan,
    model: RegressorMixin,
    *,
    stft: ShortTimeFFT,
    dials: Dials | None = None,
) -> Sound:
    """Render B from frames of A.

    Parameters
    ----------
    a, b : Sound
        At one rate.
    plan : Plan
    model : regressor
        Cloned and fitted to A's frames. A `FramePath` predicts the numbers of the
        frames to borrow; any other predicts magnitudes, whose phases are those of the
        frames of the plan.
    stft : ShortTimeFFT
    dials : Dials, optional
        Of which `continuity`, `melody` and `dynamics` are heard here.
    """
    dials = dials or Dials()
    if isinstance(model, FramePath):
        return _convolve_borrowed(a, b, plan, model, stft=stft, dials=dials)
    return _convolve_averaged(a, b, plan, model, stft=stft, dials=dials)


def _convolve_borrowed(a, b, plan, model, *, stft, dials):
    borrowed, song = choose(a, b, plan, model, stft=stft, dials=dials)
    dynamics = along(dials.dynamics, seconds_of(np.arange(len(borrowed)), stft=stft))
    output = allocate(b.n_samples, b.n_channels)
    for rows, spectrum_b, picked in _spectra(a, b, borrowed, stft=stft):
        if song is not None:
            picked = sing(picked, spectrum_b, song, a.samples, rows=rows, stft=stft)
        described = plan.described_a[borrowed[rows]]
        gain_db = fill_out(described, plan.aligned[rows], frequencies=stft.f)
        picked *= plan.level * 10 ** (gain_db / 20)
        spectrum = borrow(spectrum_b, picked, dynamics=dynamics[rows])
        synthesise(output, spectrum, stft=stft, first=rows.start)
    ratios = None if song is None else song.ratios
    stretches = stretches_of(
        borrowed, a, n_samples=b.n_samples, stft=stft, ratios=ratios
    )
    return Sound(output, b.rate, stretches)


def _convolve_averaged(a, b, plan, model, *, stft, dials):
    # Of A's frames only the phases are borrowed.
    roots = magnitude_roots(a, plan.numbers, stft=stft)
    averages = fit_magnitudes(model, plan.described_a[plan.numbers], roots)
    borrowed = plan.borrowed
    dynamics = along(dials.dynamics, seconds_of(np.arange(len(borrowed)), stft=stft))
    output = allocate(b.n_samples, b.n_channels)
    for rows, spectrum_b, picked in _spectra(a, b, borrowed, stft=stft):
        picked *= np.float32(plan.level)
        magnitude = predict_magnitudes(averages, plan.aligned[rows])
        spectrum = borrow(spectrum_b, picked, magnitude, dynamics=dynamics[rows])
        synthesise(output, spectrum, stft=stft, first=rows.start)
    return Sound(output, b.rate)


def _spectra(a, b, borrowed, *, stft):
    # Some hundred frames of B at a time, and those of A that they borrow.
    for rows in frame_blocks(len(borrowed), n_channels=max(a.n_channels, b.n_channels)):
        spectrum_b = analyse(b.samples, stft=stft, rows=rows)
        picked = rfft(pick_frames(a.samples, borrowed[rows], stft=stft), axis=2)
        yield rows, spectrum_b, picked


def choose(
    a: Sound,
    b: Sound,
    plan: Plan,
    model: FramePath,
    *,
    stft: ShortTimeFFT,
    dials: Dials,
) -> tuple[np.ndarray, Song | None]:
    """Choose the frames of A to borrow.

    Parameters
    ----------
    a, b : Sound
        At one rate.
    plan : Plan
    model : FramePath
        Cloned and fitted to A's frames.
    stft : ShortTimeFFT
    dials : Dials
        The model's prices grow with the cube of `continuity`, and are its own in the
        middle; `melody` makes B's pitches count.

    Returns
    -------
    borrowed : ndarray of shape (n_frames_b,)
        Numbers of frames of A.
    song : Song or None
        How they are to be transposed, if they are.
    """
    seconds = seconds_of(np.arange(len(plan.aligned)), stft=stft)
    continuity = (2 * along(dials.continuity, seconds)) ** 3
    melody = along(dials.melody, seconds)
    tones_a, tones_b = tones(a, b, plan.numbers, melody=melody, stft=stft)
    known = np.hstack([plan.described_a[plan.numbers], tones_a])
    asked = np.hstack([plan.aligned, tones_b])
    learner = clone(model).fit(known, plan.numbers)
    borrowed = learner.predict(asked, continuity=continuity)
    if not tones_b.any():
        return borrowed, None
    tones_a = tones_a[np.searchsorted(plan.numbers, borrowed)]
    return borrowed, make_song(a, borrowed, tones_a, tones_b, stft=stft)
