"""The frame recipe: a coarse description of B goes in, frames of A come out."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.base import RegressorMixin, clone
from sklearn.decomposition import PCA
from sklearn.multioutput import MultiOutputRegressor
from sklearn.utils.validation import has_fit_parameter

from helpers.audio import AudioError, Sound
from helpers.estimators import ACTIVE_DB, RANGE_DB, name_of, quietly
from helpers.spectrum import BLOCK_FRAMES, STFT, mel_bands, power_by_blocks

N_BANDS = 20  # enough to tell timbres apart, too few to tell B's pitch
STRETCH = 64  # frames of a long A that stay together


def describe(
    sound: Sound, *, stft: STFT, block_frames: int = BLOCK_FRAMES
) -> np.ndarray:
    """Describe every frame coarsely: the mean power of all channels.

    Returns
    -------
    ndarray of shape (n_frames, N_BANDS + 2)
        Float32, in dB: the power of the frame, at unit loudness, in mel bands; its
        loudness under that of the loudest frame; and its spectral flux, the mean rise
        of the audible bands since the frame before.
    """
    weights = mel_bands(stft.frequencies, N_BANDS) ** 2
    shape = (stft.n_frames(sound.n_samples), N_BANDS + 2)
    described = np.empty(shape, np.float32)
    for rows, power in power_by_blocks(sound, stft=stft, block_frames=block_frames):
        loudness = power.sum(axis=1, keepdims=True) + 1e-12
        described[rows, :N_BANDS] = 10 * np.log10(power @ weights / loudness + 1e-9)
        described[rows, N_BANDS] = 10 * np.log10(loudness[:, 0])
    described[:, N_BANDS] -= described[:, N_BANDS].max()
    rise = np.diff(audible(described), axis=0, prepend=audible(described[:1]))
    described[:, N_BANDS + 1] = np.maximum(rise, 0).mean(axis=1)
    return described


def audible(described: np.ndarray) -> np.ndarray:
    """Bring the bands of a description to their loudness, floored at `-RANGE_DB`."""
    bands, loudness = described[..., :N_BANDS], described[..., N_BANDS, None]
    return np.maximum(bands + loudness, -RANGE_DB)


class Training(NamedTuple):
    """The frames of A that a regressor of the frame recipe learns from."""

    description: np.ndarray  # (n_rows, N_BANDS + 2), as from `describe`
    spectrum: np.ndarray  # complex64 (n_channels, n_rows, n_bins), at unit loudness
    runs: np.ndarray  # (n_rows,) rows of one run follow each other in time
    numbers: np.ndarray  # (n_rows,) which frame of A it is


def frame_training(
    a: Sound, *, stft: STFT, max_frames: int = 4096, seed: int = 42
) -> Training:
    """Collect A's audible frames.

    Frames that hang over an end of A are left out: they would click. Of a long sound
    a seeded choice of stretches, `max_frames` together, is enough.
    """
    described = describe(a, stft=stft)
    heard = described[:, N_BANDS] > -ACTIVE_DB
    margin = stft.n_fft // stft.hop_length // 2
    if heard[margin : -margin - 1].sum() > 1:
        heard[:margin] = heard[-margin - 1 :] = False
    elif heard.sum() < 2:  # nothing can be learned from one frame
        heard[:] = True
    numbers = np.flatnonzero(heard)
    runs = np.cumsum(np.diff(numbers, prepend=-2) != 1)
    if len(numbers) > max_frames:
        stretches = np.arange(len(numbers)) // STRETCH
        order = np.random.default_rng(seed).permutation(stretches[-1] + 1)
        kept = np.isin(stretches, order[: max_frames // STRETCH])
        numbers, runs = numbers[kept], (runs + stretches)[kept]
    shape = (a.n_channels, len(numbers), len(stft.frequencies))
    spectrum = np.empty(shape, np.complex64)
    for run in np.unique(runs):
        rows = np.flatnonzero(runs == run)
        frames = range(numbers[rows[0]], numbers[rows[-1]] + 1)
        for channel, samples in enumerate(stft.cut(a.samples, frames).T):
            spectrum[channel, rows] = stft.transform(samples)
    spectrum /= np.linalg.norm(spectrum, axis=(0, 2))[:, None] + 1e-12
    return Training(described[numbers], spectrum, runs, numbers)


def _rotation(x: np.ndarray, y: np.ndarray) -> Callable:
    """Map x onto its partner rows y by rotation, shift and equal spread."""
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    left, _, right = np.linalg.svd((x - mean_x).T @ (y - mean_y))
    scale = np.sqrt(((y - mean_y) ** 2).sum() / (((x - mean_x) ** 2).sum() + 1e-9))
    return lambda z: (z - mean_x) @ (scale * (left @ right)) + mean_y


def align(
    b: np.ndarray,
    training: Training,
    model: RegressorMixin,
    *,
    n_rounds: int = 2,
    n_study: int = 512,
) -> np.ndarray:
    """Bring B's descriptions to where A lives, so that all of A is heard.

    B's bands are rotated as a whole onto A's: how much its moments differ from each
    other stays as it was. The first guess only replaces B's mean colour by A's; then
    `model` chooses a frame of A for each frame of B, and the rotation that fits these
    pairs best is taken (orthogonal Procrustes, Schönemann 1966), in turns, as in the
    iterative closest point method (Besl and McKay 1992).

    Parameters
    ----------
    b : ndarray of shape (n_rows, N_BANDS + 2)
        Description of one channel of B.
    training : Training
        Of A.
    model : regressor
        Fitted; predicts the row of `training` for each row given.
    n_rounds : int, default 2
        Rotations; a third changes little.
    n_study : int, default 512
        Frames of B to learn the rotation from, in stretches spread over B.

    Returns
    -------
    ndarray of shape (n_rows, N_BANDS + 2)
        Bands at B's loudness, B's loudness and B's flux.
    """
    study = np.arange(len(b))
    if len(b) > n_study:
        starts = np.linspace(0, len(b) - STRETCH, n_study // STRETCH).astype(int)
        study = (starts[:, None] + np.arange(STRETCH)).ravel()
    heard = b[:, N_BANDS] > -ACTIVE_DB
    pairs = study[heard[study]] if heard[study].any() else study
    colour = training.description[:, :N_BANDS].mean(axis=0)
    guess = b.copy()
    guess[:, :N_BANDS] += colour - b[heard, :N_BANDS].mean(axis=0)
    aligned, bands, loudness = b.copy(), audible(b), b[:, N_BANDS, None]
    aligned[:, :N_BANDS] = audible(guess)
    for _ in range(n_rounds):
        chosen = np.zeros(len(b), int)
        chosen[study] = model.predict(aligned[study])
        partners = training.description[chosen[pairs], :N_BANDS] + loudness[pairs]
        turn = _rotation(bands[pairs], np.maximum(partners, -RANGE_DB))
        aligned[:, :N_BANDS] = turn(bands)
    return aligned


def compress(training: Training, *, n_components: int = 40) -> tuple[PCA, np.ndarray]:
    """Sum up the magnitudes of A's frames in a few numbers that a model can predict.

    Principal components of the square roots, between power (where the loudest partial
    is all) and log (where the noise is).

    Returns
    -------
    pca : PCA
        Its inverse gives back square roots of magnitudes.
    y : ndarray of shape (n_rows, n_components or fewer)
    """
    roots = np.sqrt(np.linalg.norm(training.spectrum, axis=0))
    n_components = min(n_components, *roots.shape)
    pca = PCA(n_components, svd_solver="randomized", random_state=0)
    return pca, pca.fit_transform(roots)


def fit_frames(
    model: RegressorMixin, training: Training, y: np.ndarray
) -> RegressorMixin:
    """Fit a copy of `model`: descriptions of A's frames in, a row of `y` out.

    A model that takes one target at a time is fitted once for each column of `y`;
    `AudioError` for one that cannot learn from these frames, such as too few.
    """
    model = clone(model)
    if has_fit_parameter(model, "runs"):
        return model.fit(training.description, y, runs=training.runs)
    with quietly():
        try:
            try:
                return model.fit(training.description, y)
            except ValueError:
                if y.ndim == 1:
                    raise
                return MultiOutputRegressor(model).fit(training.description, y)
        except ValueError as error:
            raise AudioError(
                f"{name_of(model)} cannot learn from the {len(y)} audible frames "
                f"of sound A ({error}): choose a longer A or another model."
            ) from error
