"""Compare: how much of A's timbre and of B's structure a result has, and many results.

The scores are anchored: B itself has timbre and motion 0, structure and melody 1; A
itself has timbre and motion 1, structure and melody about 0.
"""

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import dct
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist, squareform
from sklearn.base import RegressorMixin
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from helpers.convolution import Dial, along, prepare, render
from helpers.finishing import check_finishing, finish
from helpers.melody import OCTAVES, fold, to_unit_length
from helpers.models import find_model
from helpers.sound import (
    AudioError,
    Sound,
    Source,
    beside,
    check_output,
    excerpt,
    load,
    resample,
    save,
)
from helpers.spectrum import blocks, make_stft, mel_bands

RATE = 44100  # Hz
SECONDS = 60  # a minute tells enough
SHORT = ShortTimeFFT(hann(2048, sym=False), 512, RATE)
LONG = ShortTimeFFT(hann(4096, sym=False), 512, RATE)  # tells neighbouring notes apart
ACTIVE_DB = 45  # frames further under the loudest hardly matter
RANGE_DB = 60  # levels further under the highest are not heard
FLATNESS_EDGES = (150, 300, 600, 1200, 2400, 4800, 9600, 16000)  # Hz
STEP = 110  # samples, 2.5 ms: as fine as an attack is heard
SHARP_DB = 15  # onsets that rise less have no attack to be smeared
APART = 20  # steps from one onset to the next, at least
SCORES = ["timbre", "motion", "structure", "envelope", "onsets", "shape"]
SCORES += ["melody", "attack"]
COLUMNS = ["file", "model", "recipe", "pair", "seconds", *SCORES]
DIALS = ("blend", "continuity", "melody", "dynamics")

# What the scores look at -------------------------------------------------------------


class Features(NamedTuple):
    """What the scores look at, one row per frame but for the last field."""

    bands_db: np.ndarray  # (n_frames, 40) power in mel bands
    loudness_db: np.ndarray  # (n_frames,) power in all
    active: np.ndarray  # (n_frames,) True within 45 dB of the loudest frame
    descriptor: np.ndarray  # (n_frames, 20) timbre: cepstrum and flatness
    chroma: np.ndarray  # (n_frames, 36) how far each third of a semitone stands out
    step_power: np.ndarray  # (n_steps,) mean power of every 2.5 ms


def features(sound: Sound, *, peak: bool = False) -> Features:
    """Measure what the scores look at.

    The first minute of the sound counts, at 44.1 kHz, its channels averaged.

    Parameters
    ----------
    sound : Sound
    peak : bool, default False
        Bring it to a peak of 1 first, as a result is; A and B are measured as read.

    Returns
    -------
    Features
    """
    first = Sound(sound.samples[: sound.rate * SECONDS], sound.rate)
    samples = resample(first, rate=RATE).samples.mean(axis=1, dtype=float)
    if peak:
        samples /= max(np.abs(samples).max(initial=0), 1e-12)
    samples = np.pad(samples, (0, max(0, SHORT.m_num - len(samples))))
    mel, parts = mel_bands(SHORT.f, 40), []
    for rows in blocks(SHORT.p_num(len(samples))):
        p0, p1 = rows.start + SHORT.p_min, rows.stop + SHORT.p_min
        power = np.abs(SHORT.stft(samples, p0, p1).T) ** 2 + 1e-12
        longer_db = _db(np.abs(LONG.stft(samples, p0, p1).T) ** 2 + 1e-9)
        chroma = fold(longer_db, delta_f=LONG.delta_f, n_octaves=OCTAVES)
        loudness_db = _db(power.sum(axis=1))
        parts.append(
            (_db(power @ mel + 1e-9), loudness_db, _flatness_db(power), chroma)
        )
    columns = (np.concatenate(part) for part in zip(*parts, strict=True))
    bands_db, loudness_db, flatness_db, chroma = columns
    active = loudness_db > loudness_db.max() - ACTIVE_DB
    descriptor = np.hstack([dct(bands_db, norm="ortho")[:, 1:14], flatness_db])
    steps = samples[: len(samples) // STEP * STEP].reshape(-1, STEP)
    step_power = (steps**2).mean(axis=1)
    return Features(bands_db, loudness_db, active, descriptor, chroma, step_power)


def _db(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(power)


def _flatness_db(power: np.ndarray) -> np.ndarray:
    # 0 dB for noise, far below for a tone: one column for each of seven bands.
    edges = np.searchsorted(SHORT.f, FLATNESS_EDGES)
    bands = [power[:, low:high] for low, high in pairwise(edges)]
    columns = [_db(band).mean(axis=1) - _db(band.mean(axis=1)) for band in bands]
    return np.stack(columns, axis=1)


# Scores -------------------------------------------------------------------------------


Heard = Sound | Features


def score(out: Heard, a: Heard, b: Heard) -> dict[str, float]:
    """Score a result against the sounds that it was made from.

    Parameters
    ----------
    out, a, b : Sound or Features
        The result, sound A and sound B; `out` is as long as `b`. Features are taken as
        they are, those of a result as from ``features(out, peak=True)``.

    Returns
    -------
    dict of float
        The `SCORES`; nan where a sound is too short, or B has nothing to tell by.

        - ``timbre``: 1 where every frame sounds like some frame of A, 0 where they are
          as far from A as B is.
        - ``motion``: timbre over stretches of three frames: does it move as A moves?
        - ``structure``: the mean of the three that follow.
        - ``envelope``, ``onsets``, ``shape``: correlations with B's loudness, with its
          spectral flux and with its self-distance matrix.
        - ``melody``: how far B's pitch is heard, 0 as by chance, 1 as in B. nan where B
          has but one note, or none.
        - ``attack``: how many dB of the rise of B's sharp onsets are smeared ahead of
          them, in the median; 0 is best. nan where B has no sharp onset.

    Raises
    ------
    AudioError
        When the result is not as long as B.
    """
    if isinstance(out, Sound):
        out = features(out, peak=True)
    a, b = (features(one) if isinstance(one, Sound) else one for one in (a, b))
    if len(out.active) != len(b.active):
        raise AudioError(
            "The result is not as long as sound B: bring it to B's length."
        )
    frames = np.flatnonzero(b.active)[::4]
    envelope = _correlation(_floored(out.loudness_db), _floored(b.loudness_db))
    onsets = _correlation(_flux(out), _flux(b))
    shape = _correlation(_self_distances(out, frames), _self_distances(b, frames))
    return {
        "timbre": _nearness(out, a, b, offsets=(0,)),
        "motion": _nearness(out, a, b, offsets=(0, 4, 8)),
        "structure": (envelope + onsets + shape) / 3,
        "envelope": envelope,
        "onsets": onsets,
        "shape": shape,
        "melody": _melody(out, b),
        "attack": _attack(out, b),
    }


def _nearness(out: Features, a: Features, b: Features, *, offsets: tuple) -> float:
    # How much nearer to A than B is, each frame together with those `offsets` later.
    scale = np.vstack([x.descriptor[x.active] for x in (a, b)]).std(axis=0) + 1e-9
    out, a, b = (_stacked(x, scale, offsets) for x in (out, a, b))
    if not (len(out) and len(a) and len(b)):
        return np.nan  # too short to have any motion
    tree = cKDTree(a)
    distance_out, distance_b = (tree.query(x)[0].mean() for x in (out, b))
    return float(1 - distance_out / distance_b) if distance_b > 1e-9 else 1.0


def _stacked(sound: Features, scale: np.ndarray, offsets: tuple) -> np.ndarray:
    n = max(len(sound.active) - max(offsets), 0)
    active = np.all([sound.active[i : i + n] for i in offsets], axis=0)
    descriptor = sound.descriptor / scale
    return np.hstack([descriptor[i : i + n][active] for i in offsets])


def _floored(values_db: np.ndarray) -> np.ndarray:
    return np.maximum(values_db, values_db.max() - RANGE_DB)


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    if not len(x):
        return np.nan  # too short to tell
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / norm) if norm > 0 else 0.0


def _flux(sound: Features) -> np.ndarray:
    steps_db = np.diff(_floored(sound.bands_db), axis=0)
    return np.maximum(steps_db, 0).mean(axis=1)


def _self_distances(sound: Features, frames: np.ndarray) -> np.ndarray:
    distances = squareform(pdist(_floored(sound.bands_db)[frames]))
    return distances[np.triu_indices(len(frames), 4)]


def _melody(out: Features, b: Features) -> float:
    weights = np.linalg.norm(b.chroma, axis=1) * b.active
    if weights.sum() < 1e-9:
        return np.nan  # B has no pitch at all
    weights /= weights.sum()
    chroma_out, chroma_b = to_unit_length(out.chroma), to_unit_length(b.chroma)
    together = weights @ (chroma_out * chroma_b).sum(axis=1)
    mean_out, mean_b = weights @ chroma_out, weights @ chroma_b
    by_chance = mean_out @ mean_b  # where both only dwell on the same notes
    room = 1 - mean_b @ mean_b
    return float((together - by_chance) / room) if room > 1e-6 else np.nan


def _attack(out: Features, b: Features) -> float:
    onsets = []
    for step in np.flatnonzero(_rises_db(b, ahead=8) >= SHARP_DB):
        if not onsets or step - onsets[-1] >= APART:
            onsets.append(step)
    if not onsets:
        return np.nan
    rise_b, rise_out = (_rises_db(x, ahead=12)[onsets] for x in (b, out))
    return float(np.median(np.minimum(rise_b, 30) - np.minimum(rise_out, 30)))


def _rises_db(sound: Features, *, ahead: int) -> np.ndarray:
    # For each step: the largest of it and those after it, `ahead` in all, over the mean
    # of the nine before the last. The first ten steps have no such past: 0 dB.
    power = sound.step_power
    rises_db = np.zeros(len(power))
    if len(power) > 10:
        to_the_end = np.pad(power, (0, ahead - 1))
        after = sliding_window_view(to_the_end, ahead).max(axis=1)[10:]
        before = sliding_window_view(power, 9).mean(axis=1)[:-2]
        rises_db[10:] = _db((after + 1e-12) / (before + 1e-12))
    return rises_db


# Many renders -------------------------------------------------------------------------


def grid(files_a: Iterable[str | Path], files_b: Iterable[str | Path]) -> dict:
    """Pair every A with every B but itself.

    Parameters
    ----------
    files_a, files_b : list of str or Path

    Returns
    -------
    dict
        ``{"bell_to_bird": (bell, bird), ...}``, in the order of the names of the files.

    Raises
    ------
    AudioError
        When two of the pairs would have one name.
    """
    pairs = {(Path(a), Path(b)) for a in files_a for b in files_b if Path(a) != Path(b)}
    named = {f"{a.stem}_to_{b.stem}": (a, b) for a, b in sorted(pairs)}
    if len(named) < len(pairs):
        raise AudioError("Two of the sounds have one name: give one of them another.")
    return named


def render_all(
    pairs: Mapping[str, tuple[Source, Source]],
    models: Iterable[str] | Mapping[str, str | RegressorMixin],
    *,
    folder: str | Path,
    excerpt_seconds: float | None = None,
    finishing: Mapping[str, float | None] | None = None,
    subtype: str = "PCM_24",
    n_jobs: int = -1,
    n_fft: int = 2048,
    hop_length: int = 512,
    **dials: Dial,
) -> pd.DataFrame:
    """Render every pair with every model; write the sounds and ``scoreboard.csv``.

    One failure does not stop the others: its row and a warning at the end say why.

    Parameters
    ----------
    pairs : dict
        The sources (A, B) of every pair by name, as from `grid`. Of a folder the other
        sound of the pair is left out.
    models : names in `helpers.models.CATALOGUE`, or dict of regressors by name
    folder : str or Path
        Gets ``<model>_<pair>.wav``, numbered where another take has that name, and
        ``scoreboard.csv``, which is always that of the last call.
    excerpt_seconds : float or None, default None
        Take only the liveliest stretch of each sound, as `helpers.sound.excerpt` does.
    finishing : dict or None, default None
        Keywords of `helpers.finishing.finish`. The scores are of the sound before that.
    subtype : str, default "PCM_24"
        Precision of the files, as in `helpers.sound.save`.
    n_jobs : int, default -1
        Threads, -1 for one to a processor: numpy lets them run side by side. Under
        ``joblib.parallel_config(backend="dask")`` a cluster does the work instead; it
        need not see the files, which are all read and written here.
    n_fft, hop_length : int
        As in `helpers.spectrum.make_stft`.
    **dials : number or breakpoints
        As in `helpers.convolution.render`.

    Returns
    -------
    DataFrame
        A row for each result, the highest mean of timbre, structure and motion first:
        file, model, recipe, pair, seconds (to render and finish it), the `SCORES` and,
        where anything failed, error.

    Raises
    ------
    AudioError
        Before any work, for a sound, model or setting that there is not, and for names
        that meet or lead to another folder.
    """
    models, finishing = _by_name(models), finishing or {}
    _check_settings(finishing, dials, n_jobs)
    excerpt(Sound(np.zeros((2, 1)), RATE), seconds=excerpt_seconds)  # is that a length?
    make_stft(RATE, n_fft, hop_length)
    paths = _plan(pairs, models, folder, subtype)

    def jobs() -> Iterator[tuple]:
        # joblib asks for more as some are done: few pairs are in memory at a time.
        for pair, (a, b) in pairs.items():
            analysed = _analyse(a, b, excerpt_seconds, n_fft, hop_length)
            for name, model in models.items():
                yield delayed(_make)(name, pair, model, analysed, finishing, dials)

    rows = dict.fromkeys(paths)
    parallel = Parallel(n_jobs, prefer="threads", return_as="generator_unordered")
    # Warnings' filters and BLAS's threads are one for the whole process: of models that
    # change them side by side, the last to leave may restore what was not there before.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="sklearn")  # as `models.fit` means it
        warnings.filterwarnings("ignore", message="Sending large graph")  # of Dask
        for row, sound in tqdm(parallel(jobs()), unit="sound", total=len(paths)):
            key = row["model"], row["pair"]
            rows[key] = _keep(row, sound, paths[key], subtype)
    board = _rank(list(rows.values()))
    _write(board, Path(folder).expanduser() / "scoreboard.csv")
    if "error" in board:
        n_failed = board["error"].count()
        text = f"{n_failed} of {len(board)} sounds failed: see the column error."
        warnings.warn(text, stacklevel=2)
    return board


def _by_name(models: Iterable[str] | Mapping) -> dict[str, str | RegressorMixin]:
    if isinstance(models, str) or not isinstance(models, Iterable) or not models:
        raise AudioError(f"{models!r} lists no models: write names in brackets.")
    if not isinstance(models, Mapping):
        models = {str(model): model for model in models}
    for model in models.values():
        find_model(model)
    return dict(models)


def _check_settings(finishing: Mapping, dials: Mapping, n_jobs: int) -> None:
    if not isinstance(finishing, Mapping):
        raise AudioError(f"finishing={finishing!r} is no dict: use {{'peak_db': -1}}.")
    check_finishing(**finishing)
    for name, dial in dials.items():
        if name not in DIALS:
            raise AudioError(f"There is no dial {name}: use {', '.join(DIALS)}.")
        along(dial, np.zeros(1), name=name)
    if type(n_jobs) is not int or n_jobs == 0:
        raise AudioError(f"n_jobs={n_jobs!r} does not work: use 1 or more, or -1.")


def _plan(pairs, models, folder, subtype) -> dict[tuple[str, str], Path]:
    # Where the result of each model and pair goes.
    if not isinstance(folder, str | Path):
        raise AudioError(f"{folder!r} is no name of a folder: write one in quotes.")
    if not isinstance(pairs, Mapping) or not pairs:
        raise AudioError(f"{pairs!r} names no pairs: use {{'a_to_b': (fileA, fileB)}}.")
    for pair, sources in pairs.items():
        if not isinstance(sources, tuple | list) or len(sources) != 2:
            raise AudioError(f"{pair} is not of two sounds: write (fileA, fileB).")
    inputs = [source for sources in pairs.values() for source in sources]
    paths = {}
    for pair in pairs:
        for model in models:
            path = Path(folder) / f"{model}_{pair}.wav"
            if path.parent != Path(folder) or path in paths.values():
                raise AudioError(
                    f"{model}_{pair} is there twice or holds a slash: rename one."
                )
            paths[model, pair] = check_output(path, subtype=subtype, inputs=inputs)
    return paths


def _analyse(a, b, seconds, n_fft, hop_length) -> tuple | Exception:
    # What all models of a pair share, or why there is no such thing.
    try:
        sounds = load(a, leave_out=b), load(b, leave_out=a)
        a, b = (excerpt(sound, seconds=seconds) for sound in sounds)
        prepared = prepare(a, b, n_fft=n_fft, hop_length=hop_length)
        _ = prepared.aligned  # worked out here, once, and kept
        return prepared, features(a), features(b)
    except Exception as error:
        return error


def _make(name, pair, model, analysed, finishing, dials) -> tuple[dict, Sound | None]:
    # A row of the scoreboard and a sound; whatever goes wrong is told in the row.
    row = {"model": name, "recipe": find_model(model)[1], "pair": pair}
    try:
        if isinstance(analysed, Exception):
            raise analysed
        prepared, features_a, features_b = analysed
        start = time.perf_counter()
        sound, _ = render(prepared, model, **dials)
        finished = finish(sound, **finishing)
        row["seconds"] = time.perf_counter() - start
        return row | score(sound, features_a, features_b), finished
    except Exception as error:
        kind = "" if isinstance(error, AudioError) else f"{type(error).__name__}: "
        return row | {"error": f"{kind}{error}"}, None


def _keep(row: dict, sound: Sound | None, path: Path, subtype: str) -> dict:
    # Only the caller writes: the workers of a cluster need not see the folder.
    if sound is None:
        return row
    try:
        return row | {"file": save(path, sound, subtype=subtype).name}
    except AudioError as error:
        return row | {"error": str(error)}


def _rank(rows: list[dict]) -> pd.DataFrame:
    failed = any("error" in row for row in rows)
    board = pd.DataFrame(rows, columns=[*COLUMNS, "error"] if failed else COLUMNS)
    ranked = board[["timbre", "structure", "motion"]].mean(axis=1)
    order = ranked.sort_values(ascending=False, kind="stable").index
    return board.loc[order].reset_index(drop=True)


def _write(board: pd.DataFrame, path: Path) -> None:
    with beside(path) as part:
        board.to_csv(part, index=False, errors="surrogateescape")
        part.replace(path)
