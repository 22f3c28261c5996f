"""How much of A's timbre and of B's structure a result has."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.fft import dct
from scipy.signal import ShortTimeFFT, get_window
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist, squareform

RATE = 44100
N_FFT = 2048
HOP_LENGTH = 512
FLATNESS_EDGES = (150, 300, 600, 1200, 2400, 4800, 9600, 16000)


class Features(NamedTuple):
    """What the scores look at, one row per frame."""

    bands_db: np.ndarray
    loudness_db: np.ndarray
    active: np.ndarray
    descriptor: np.ndarray


@lru_cache
def _mel_bands() -> np.ndarray:
    """Forty triangles between 40 Hz and 16 kHz, ``(n_bins, 40)``."""
    bottom, top = 2595 * np.log10(1 + np.array([40, 16000]) / 700)
    edges = 700 * (10 ** (np.linspace(bottom, top, 42) / 2595) - 1)
    frequencies = np.arange(N_FFT // 2 + 1)[:, None] * RATE / N_FFT
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies - low) / (centre - low)
    falling = (high - frequencies) / (high - centre)
    return np.maximum(0, np.minimum(rising, falling))


def features(samples: np.ndarray) -> Features:
    stft = ShortTimeFFT(get_window("hann", N_FFT), HOP_LENGTH, RATE)
    power = np.abs(stft.stft(samples).T) ** 2 + 1e-12
    bands_db = 10 * np.log10(power @ _mel_bands() + 1e-9)
    loudness_db = 10 * np.log10(power.sum(axis=1))
    edges = np.searchsorted(stft.f, FLATNESS_EDGES)
    log_power = 10 * np.log10(power)
    flatness = [
        log_power[:, low:high].mean(axis=1)
        - 10 * np.log10(power[:, low:high].mean(axis=1))
        for low, high in zip(edges[:-1], edges[1:], strict=True)
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
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / norm) if norm > 0 else 0.0


def _flux(bands_db: np.ndarray) -> np.ndarray:
    return np.maximum(np.diff(_floored(bands_db), axis=0), 0).mean(axis=1)


def _self_distances(bands_db: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    distances = squareform(pdist(_floored(bands_db)[chosen]))
    return distances[np.triu_indices(len(chosen), 4)]


def _stacked(sound: Features, scale: np.ndarray, offsets: tuple) -> np.ndarray:
    n = len(sound.active) - max(offsets)
    steps = [slice(offset, offset + n) for offset in offsets]
    active = np.all([sound.active[step] for step in steps], axis=0)
    return np.hstack([sound.descriptor[step][active] for step in steps]) / scale


def _nearness(out, a, b, *, offsets) -> float:
    both = np.vstack([a.descriptor[a.active], b.descriptor[b.active]])
    scale = np.tile(both.std(axis=0), len(offsets))
    tree = cKDTree(_stacked(a, scale, offsets))
    d_out, d_b = (
        tree.query(_stacked(sound, scale, offsets))[0].mean() for sound in (out, b)
    )
    return float(1 - d_out / d_b)


def compare(out: Features, a: Features, b: Features) -> dict[str, float]:
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
