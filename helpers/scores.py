"""How much of A's timbre and of B's structure a result has."""

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import dct
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist, squareform

from helpers.audio import Sound, resample
from helpers.pitch import OCTAVES, fold, to_unit_length
from helpers.spectrum import analyse, frame_blocks, mel_bands, power_of

RATE = 44100  # Hz
SECONDS = 60  # a minute tells enough
N_FFT = 2048
HOP_LENGTH = 512
ACTIVE_DB = 45  # frames further under the loudest hardly matter
RANGE_DB = 60  # levels further under the highest are not heard
FLATNESS_EDGES = (150, 300, 600, 1200, 2400, 4800, 9600, 16000)  # Hz
PITCH_N_FFT = 4096  # twice as long, to tell neighbouring notes apart
STEP = 110  # samples, 2.5 ms: as fine as an attack is heard
SHARP_DB = 15  # onsets that rise less have no attack to be smeared
STEPS_APART = 20


class Features(NamedTuple):
    """What the scores look at, one row per frame but for the last field."""

    bands_db: np.ndarray  # (n_frames, 40) power in mel bands
    loudness_db: np.ndarray  # (n_frames,) power in all
    active: np.ndarray  # (n_frames,) True within 45 dB of the loudest frame
    descriptor: np.ndarray  # (n_frames, 20) timbre: cepstrum and flatness
    chroma: np.ndarray  # (n_frames, 36) pitch: how far each third of a semitone sounds
    step_power: np.ndarray  # (n_steps,) mean power of every 2.5 ms


def features(sound: Sound, *, peak: bool = False) -> Features:
    """Measure what the scores look at.

    The first minute of the sound counts, at 44.1 kHz, its channels averaged.

    Parameters
    ----------
    sound : Sound
    peak : bool, default False
        Bring the sound to a peak of 1 first, as the scores ask of a result (A and B
        are measured as they are).

    Returns
    -------
    Features
    """
    samples = _first_minute(sound, peak=peak)
    stft = ShortTimeFFT(hann(N_FFT, sym=False), HOP_LENGTH, RATE)
    power = _power(samples, stft=stft)
    bands_db = _bands_db(power, stft=stft)
    loudness_db = 10 * np.log10(power.sum(axis=1))
    cepstrum = dct(bands_db, norm="ortho")[:, 1:14]
    return Features(
        bands_db=bands_db,
        loudness_db=loudness_db,
        active=loudness_db > loudness_db.max() - ACTIVE_DB,
        descriptor=np.hstack([cepstrum, _flatness_db(power, stft.f)]),
        chroma=_chroma(samples, p0=stft.p_min, n_rows=len(power)),
        step_power=_step_power(samples),
    )


def _power(samples: np.ndarray, *, stft: ShortTimeFFT) -> np.ndarray:
    return power_of(analyse(samples[:, np.newaxis], stft=stft)) + 1e-12


def _bands_db(power: np.ndarray, *, stft: ShortTimeFFT) -> np.ndarray:
    return 10 * np.log10(power @ mel_bands(stft.f, 40) + 1e-9)


def _first_minute(sound: Sound, *, peak: bool) -> np.ndarray:
    first = Sound(np.asarray(sound.samples[: sound.rate * SECONDS]), sound.rate)
    samples = resample(first, rate=RATE).samples.mean(axis=1, dtype=np.float64)
    # The longer transform needs at least half a window.
    samples = np.pad(samples, (0, max(0, N_FFT - len(samples))))
    if peak:
        samples /= max(np.abs(samples).max(), 1e-12)
    return samples


def _flatness_db(power: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    # 0 dB for noise, far below for a tone: one column for each of seven bands.
    columns = []
    for low, high in pairwise(np.searchsorted(frequencies, FLATNESS_EDGES)):
        band = power[:, low:high]
        mean_of_logs = 10 * np.log10(band).mean(axis=1)
        log_of_mean = 10 * np.log10(band.mean(axis=1))
        columns.append(mean_of_logs - log_of_mean)
    return np.column_stack(columns)


def _chroma(samples: np.ndarray, *, p0: int, n_rows: int) -> np.ndarray:
    # What stands out of the spectrum's envelope, its octaves laid on one another, for
    # as many frames from slice `p0` on, some hundred at a time.
    stft = ShortTimeFFT(hann(PITCH_N_FFT, sym=False), HOP_LENGTH, RATE)
    blocks = []
    ahead = p0 - stft.p_min  # this stft counts its rows from a slice of its own
    for block in frame_blocks(n_rows):
        rows = slice(block.start + ahead, block.stop + ahead)
        power = power_of(analyse(samples[:, np.newaxis], stft=stft, rows=rows))
        level_db = 10 * np.log10(power + 1e-9)
        blocks.append(fold(level_db, delta_f=stft.delta_f, n_octaves=OCTAVES))
    return np.concatenate(blocks)


def _step_power(samples: np.ndarray) -> np.ndarray:
    n_steps = len(samples) // STEP
    steps = samples[: n_steps * STEP].reshape(n_steps, STEP)
    return (steps**2).mean(axis=1)


def _floored(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, values.max() - RANGE_DB)


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    if not len(x):
        return np.nan  # too short to tell
    x = x - x.mean()
    y = y - y.mean()
    norm = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / norm) if norm > 0 else 0.0


def _envelope(out: Features, b: Features) -> float:
    return _correlation(_floored(out.loudness_db), _floored(b.loudness_db))


def _onsets(out: Features, b: Features) -> float:
    return _correlation(_flux(out.bands_db), _flux(b.bands_db))


def _flux(bands_db: np.ndarray) -> np.ndarray:
    return np.maximum(np.diff(_floored(bands_db), axis=0), 0).mean(axis=1)


def _shape(out: Features, b: Features) -> float:
    frames = np.flatnonzero(b.active)[::4]
    return _correlation(
        _self_distances(out.bands_db, frames), _self_distances(b.bands_db, frames)
    )


def _self_distances(bands_db: np.ndarray, frames: np.ndarray) -> np.ndarray:
    distances = squareform(pdist(_floored(bands_db)[frames]))
    return distances[np.triu_indices(len(frames), 4)]


def _nearness(out: Features, a: Features, b: Features, *, offsets: tuple) -> float:
    # How much nearer to A than B is, each frame together with those `offsets` later.
    both = np.vstack([a.descriptor[a.active], b.descriptor[b.active]])
    scale = np.tile(both.std(axis=0) + 1e-9, len(offsets))
    rows_out = _stacked(out, offsets) / scale
    rows_a = _stacked(a, offsets) / scale
    rows_b = _stacked(b, offsets) / scale
    if not (len(rows_out) and len(rows_a) and len(rows_b)):
        return np.nan  # too short to have any motion
    tree = cKDTree(rows_a)
    distance_out = tree.query(rows_out)[0].mean()
    distance_b = tree.query(rows_b)[0].mean()
    return float(1 - distance_out / distance_b) if distance_b > 1e-9 else 1.0


def _stacked(sound: Features, offsets: tuple) -> np.ndarray:
    n = max(len(sound.active) - max(offsets), 0)
    steps = [slice(offset, offset + n) for offset in offsets]
    active = np.all([sound.active[step] for step in steps], axis=0)
    return np.hstack([sound.descriptor[step][active] for step in steps])


def _melody(out: Features, b: Features) -> float:
    tonality = np.linalg.norm(b.chroma, axis=1) * b.active
    if tonality.sum() < 1e-9:
        return np.nan  # B has no pitch at all
    weights = tonality / tonality.sum()
    chroma_out = to_unit_length(out.chroma)
    chroma_b = to_unit_length(b.chroma)
    together = weights @ (chroma_out * chroma_b).sum(axis=1)
    mean_out = weights @ chroma_out
    mean_b = weights @ chroma_b
    by_chance = mean_out @ mean_b  # where both only dwell on the same notes
    room = 1 - mean_b @ mean_b
    return float((together - by_chance) / room) if room > 1e-6 else np.nan


def _attack(out: Features, b: Features) -> float:
    onsets = _sharp_onsets(b.step_power)
    if not len(onsets):
        return np.nan
    rise_out = _rises_db(out.step_power, ahead=12)[onsets]
    rise_b = _rises_db(b.step_power, ahead=12)[onsets]
    return float(np.median(np.minimum(rise_b, 30) - np.minimum(rise_out, 30)))


def _sharp_onsets(step_power: np.ndarray) -> list[int]:
    onsets = []
    for step in np.flatnonzero(_rises_db(step_power, ahead=8) >= SHARP_DB):
        if not onsets or step - onsets[-1] >= STEPS_APART:
            onsets.append(step)
    return onsets


def _rises_db(step_power: np.ndarray, *, ahead: int) -> np.ndarray:
    # For each step: the largest of it and those after it, `ahead` in all, over the mean
    # of the nine before the last. The first ten steps have no such past: 0 dB.
    rises_db = np.zeros(len(step_power))
    if len(step_power) > 10:
        to_the_end = np.pad(step_power, (0, ahead - 1))
        after = sliding_window_view(to_the_end, ahead).max(axis=1)[10:]
        before = sliding_window_view(step_power, 9).mean(axis=1)[:-2]
        rises_db[10:] = 10 * np.log10((after + 1e-12) / (before + 1e-12))
    return rises_db


def compare(out: Features, a: Features, b: Features) -> dict[str, float]:
    """Score a result against the sounds that it was made from.

    Parameters
    ----------
    out, a, b : Features
        Of the result (``peak=True``), of sound A and of sound B; `out` as long as `b`.

    Returns
    -------
    dict of float
        nan where a sound is too short, or B has nothing, for the score to tell by.

        - ``timbre``: 1 where every frame sounds like some frame of A, 0 where they are
          as far from A as B is.
        - ``envelope``, ``onsets``, ``shape``: correlations with B's loudness, with its
          spectral flux and with its self-distance matrix.
        - ``structure``: the mean of these three.
        - ``motion``: timbre over stretches of three frames.
        - ``melody``: how far B's pitch is to be heard, 0 as much as by chance, 1 as in
          B. nan where B has but one note, or none.
        - ``attack``: how many dB of the rise of B's sharp onsets are smeared ahead of
          them, in the median; 0 is best. nan where B has no sharp onset.

        B itself scores timbre 0, structure and melody 1 and attack 0; A itself timbre
        1, structure and melody about 0.
    """
    scores = {
        "timbre": _nearness(out, a, b, offsets=(0,)),
        "envelope": _envelope(out, b),
        "onsets": _onsets(out, b),
        "shape": _shape(out, b),
    }
    structure = np.mean([scores["envelope"], scores["onsets"], scores["shape"]])
    scores["structure"] = float(structure)
    scores["motion"] = _nearness(out, a, b, offsets=(0, 4, 8))
    scores["melody"] = _melody(out, b)
    scores["attack"] = _attack(out, b)
    return scores


def score(sounds: Mapping[str, Sound], a: Sound, b: Sound) -> pd.DataFrame:
    """Score sounds against A and B.

    Parameters
    ----------
    sounds : dict of Sound by name
    a, b : Sound

    Returns
    -------
    DataFrame
        A row for each sound, its name in the column ``model``, and the scores of
        `compare`.
    """
    features_a = features(a)
    features_b = features(b)
    rows = []
    for name, sound in sounds.items():
        scores = compare(features(sound, peak=True), features_a, features_b)
        rows.append({"model": name, **scores})
    return pd.DataFrame(rows)


def group_alike(
    sounds: Mapping[str, Sound], *, within_db: float = 2.0
) -> list[list[str]]:
    """Put those sounds together that can hardly be told apart.

    Parameters
    ----------
    sounds : dict of Sound by name
        Of one length.
    within_db : float, default 2
        How much their mel bands may differ, on average over all that is heard: by
        trial with many pairs of sounds, one sound under two names stays under 2 dB.

    Returns
    -------
    list of list of str
        The names, in their order; first in each group the one to stand for it.
    """
    groups: list[tuple[np.ndarray, list[str]]] = []
    stft = ShortTimeFFT(hann(N_FFT, sym=False), HOP_LENGTH, RATE)
    for name, sound in sounds.items():
        power = _power(_first_minute(sound, peak=True), stft=stft)
        bands_db = _floored(_bands_db(power, stft=stft))
        for known_db, names in groups:
            if np.abs(bands_db - known_db).mean() < within_db:
                names.append(name)
                break
        else:
            groups.append((bands_db, [name]))
    return [names for _, names in groups]
