"""How much of A's timbre and of B's structure a result has."""

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.fft import dct
from scipy.signal import ShortTimeFFT, get_window
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist, squareform

from helpers.audio import Sound, resample
from helpers.spectrum import mel_bands

RATE = 44100
SECONDS = 60
N_FFT = 2048
HOP_LENGTH = 512
FLATNESS_EDGES = (150, 300, 600, 1200, 2400, 4800, 9600, 16000)


class Features(NamedTuple):
    """What the scores look at, one row per frame."""

    bands_db: np.ndarray  # (n_frames, 40) power in mel bands
    loudness_db: np.ndarray  # (n_frames,) power in all
    active: np.ndarray  # (n_frames,) True within 45 dB of the loudest frame
    descriptor: np.ndarray  # (n_frames, 20) timbre: cepstrum and flatness


def features(sound: Sound, *, peak: bool = False) -> Features:
    """Measure what the scores look at.

    The first minute of the sound counts, at 44.1 kHz, its channels averaged.

    Parameters
    ----------
    sound : Sound
    peak : bool, default False
        Bring the sound to a peak of 1 first, as the scores ask of a result (A and B
        are measured as they are).
    """
    first = Sound(np.asarray(sound.samples[: sound.rate * SECONDS]), sound.rate)
    samples = resample(first, rate=RATE).samples.mean(axis=1, dtype=np.float64)
    if peak:
        samples /= max(np.abs(samples).max(), 1e-12)
    # The transform needs at least half a window.
    samples = np.pad(samples, (0, max(0, N_FFT - len(samples))))
    stft = ShortTimeFFT(get_window("hann", N_FFT), HOP_LENGTH, RATE)
    power = np.abs(stft.stft(samples).T) ** 2 + 1e-12
    bands_db = 10 * np.log10(power @ mel_bands(stft.f, 40) + 1e-9)
    loudness_db = 10 * np.log10(power.sum(axis=1))
    edges = np.searchsorted(stft.f, FLATNESS_EDGES)
    log_power = 10 * np.log10(power)
    flatness = [
        log_power[:, low:high].mean(axis=1)
        - 10 * np.log10(power[:, low:high].mean(axis=1))
        for low, high in pairwise(edges)
    ]
    cepstrum = dct(bands_db, norm="ortho")[:, 1:14]
    return Features(
        bands_db,
        loudness_db,
        loudness_db > loudness_db.max() - 45,
        np.column_stack([cepstrum, *flatness]),
    )


def _floored(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, values.max() - 60)


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    if not len(x):
        return np.nan  # too short to tell
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / norm) if norm > 0 else 0.0


def _flux(bands_db: np.ndarray) -> np.ndarray:
    return np.maximum(np.diff(_floored(bands_db), axis=0), 0).mean(axis=1)


def _self_distances(bands_db: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    distances = squareform(pdist(_floored(bands_db)[chosen]))
    return distances[np.triu_indices(len(chosen), 4)]


def _stacked(sound: Features, scale: np.ndarray, offsets: tuple) -> np.ndarray:
    n = max(len(sound.active) - max(offsets), 0)
    steps = [slice(offset, offset + n) for offset in offsets]
    active = np.all([sound.active[step] for step in steps], axis=0)
    return np.hstack([sound.descriptor[step][active] for step in steps]) / scale


def _nearness(out, a, b, *, offsets) -> float:
    both = np.vstack([a.descriptor[a.active], b.descriptor[b.active]])
    scale = np.tile(both.std(axis=0) + 1e-9, len(offsets))
    rows_out, rows_a, rows_b = (_stacked(s, scale, offsets) for s in (out, a, b))
    if not (len(rows_out) and len(rows_a) and len(rows_b)):
        return np.nan  # too short to have any motion
    tree = cKDTree(rows_a)
    d_out, d_b = (tree.query(rows)[0].mean() for rows in (rows_out, rows_b))
    return float(1 - d_out / d_b) if d_b > 1e-9 else 1.0


def compare(out: Features, a: Features, b: Features) -> dict[str, float]:
    """Score a result against the sounds that it was made from.

    Parameters
    ----------
    out, a, b : Features
        Of the result (``peak=True``), of sound A and of sound B; `out` as long as `b`.

    Returns
    -------
    dict of float
        ``timbre``: 1 where every frame sounds like some frame of A, 0 where they are as
        far from A as B is. ``envelope``, ``onsets``, ``shape``: correlations with B's
        loudness, with its spectral flux and with its self-distance matrix.
        ``structure``: the mean of these three. ``motion``: timbre over stretches of
        three frames. B itself scores timbre 0 and structure 1, A itself timbre 1 and
        structure about 0.
    """
    chosen = np.flatnonzero(b.active)[::4]
    scores = {
        "timbre": _nearness(out, a, b, offsets=(0,)),
        "envelope": _correlation(_floored(out.loudness_db), _floored(b.loudness_db)),
        "onsets": _correlation(_flux(out.bands_db), _flux(b.bands_db)),
        "shape": _correlation(
            _self_distances(out.bands_db, chosen), _self_distances(b.bands_db, chosen)
        ),
    }
    structure = np.mean([scores[name] for name in ("envelope", "onsets", "shape")])
    motion = _nearness(out, a, b, offsets=(0, 4, 8))
    return {**scores, "structure": float(structure), "motion": motion}


def score(sounds: Mapping[str, Sound], a: Sound, b: Sound) -> pd.DataFrame:
    """Score sounds against A and B: a row each, its key in the column ``model``."""
    of_a, of_b = features(a), features(b)
    rows = [
        {"model": name, **compare(features(sound, peak=True), of_a, of_b)}
        for name, sound in sounds.items()
    ]
    return pd.DataFrame(rows)
