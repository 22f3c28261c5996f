"""Compare: how much of A's timbre and of B's structure a result has, and many results.

The scores are anchored: B itself has timbre and motion 0, structure and melody 1; A
itself has timbre and motion 1, structure and melody about 0.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.fft import dct
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist, squareform
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from helpers.convolution import Dial, check_settings, predictive_convolution
from helpers.finishing import check_finishing, finish
from helpers.melody import fold, to_unit_length
from helpers.models import Model
from helpers.sound import Sound, Source, excerpt, load, resample, save, write
from helpers.spectrum import mel_bands

RATE, SECONDS = 44100, 60  # a minute tells enough
SHORT = ShortTimeFFT(hann(2048, sym=False), 512, RATE)
LONG = ShortTimeFFT(hann(4096, sym=False), 512, RATE)  # tells neighbouring notes apart
# Not those of `frames`: what judges must not move with what it judges.
ACTIVE_DB = 45  # frames further under the loudest hardly matter
RANGE_DB = 60  # levels further under the highest are not heard
FLATNESS_EDGES = (150, 300, 600, 1200, 2400, 4800, 9600, 16000)  # Hz
SCORES = ["timbre", "motion", "structure", "envelope", "onsets", "shape", "melody"]
COLUMNS = ["file", "model", "pair", *SCORES, "error"]


def features(sound: Sound, *, peak: bool = False) -> SimpleNamespace:
    """Measure what the scores look at.

    The first minute of the sound counts, at 44.1 kHz, its channels averaged.

    Parameters
    ----------
    sound : Sound
    peak : bool, default False
        Bring it to a peak of 1 first, as a result is; A and B are measured as read.

    Returns
    -------
    SimpleNamespace
        Arrays with a row a frame: ``bands_db``, the power in 40 mel bands, and
        ``loudness_db``, in all, both floored; ``active``, True within 45 dB of the
        loudest frame; ``descriptor``, its timbre, by cepstrum and flatness; ``chroma``,
        as from `helpers.melody.fold`.
    """
    first = excerpt(sound, seconds=SECONDS)
    samples = resample(first, rate=RATE).samples.mean(axis=1, dtype=float)
    if peak:
        samples /= max(np.abs(samples).max(initial=0), 1e-12)
    samples = np.pad(samples, (0, max(0, SHORT.m_num - len(samples))))
    power = np.abs(SHORT.stft(samples).T) ** 2 + 1e-12
    longer = LONG.stft(samples, SHORT.p_min, SHORT.p_min + len(power)).T
    bands_db = _db(power @ mel_bands(SHORT.f, 40) + 1e-9)
    loudness_db = _db(power.sum(axis=1))
    level_db = _db(np.abs(longer) ** 2 + 1e-9)
    edges = np.searchsorted(SHORT.f, FLATNESS_EDGES)
    parts = [power[:, low:high] for low, high in pairwise(edges)]
    flatness_db = [_db(part).mean(axis=1) - _db(part.mean(axis=1)) for part in parts]
    cepstrum = dct(bands_db, norm="ortho")[:, 1:14]
    return SimpleNamespace(
        bands_db=np.maximum(bands_db, bands_db.max() - RANGE_DB),
        loudness_db=np.maximum(loudness_db, loudness_db.max() - RANGE_DB),
        active=loudness_db > loudness_db.max() - ACTIVE_DB,
        descriptor=np.column_stack([cepstrum, *flatness_db]),
        chroma=fold(level_db, delta_f=LONG.delta_f),
    )


def _db(power):
    return 10 * np.log10(power)


def score(out: Sound, a: Sound, b: Sound) -> dict[str, float]:
    """Score a result against the sounds that it was made from.

    Parameters
    ----------
    out : Sound
        The result, as long as B.
    a, b : Sound

    Returns
    -------
    dict of float
        The `SCORES`; nan where a sound is too short, or B has nothing to tell by.

        - ``timbre``: 1 where every frame sounds like some frame of A, 0 where they are
          as far from A as B is.
        - ``motion``: timbre over three frames, 46 ms apart: does it move as A moves?
        - ``structure``: the mean of the three that follow.
        - ``envelope``, ``onsets``, ``shape``: correlations with B's loudness, with its
          spectral flux and with its self-distance matrix.
        - ``melody``: how far B's pitch is heard, 0 as by chance, 1 as in B. nan where B
          has but one note, or none.
    """
    out, a, b = features(out, peak=True), features(a), features(b)
    frames = np.flatnonzero(b.active)[::4]
    far = np.triu_indices(len(frames), 4)  # what lies near each other is alike anyway
    bands = out.bands_db, b.bands_db
    flux = (np.maximum(np.diff(x, axis=0), 0).mean(axis=1) for x in bands)
    distances = (squareform(pdist(x[frames]))[far] for x in bands)
    envelope = _correlation(out.loudness_db, b.loudness_db)
    onsets, shape = _correlation(*flux), _correlation(*distances)
    structure = (envelope + onsets + shape) / 3
    timbre, motion = (_nearness(out, a, b, after) for after in ([0], [0, 4, 8]))
    values = timbre, motion, structure, envelope, onsets, shape, _melody(out, b)
    return dict(zip(SCORES, values, strict=True))


def _correlation(x, y):
    # 0 where one of them does not move, nan where there is nothing.
    x, y = x - x.sum() / max(1, len(x)), y - y.sum() / max(1, len(y))
    return float(x @ y / (np.sqrt((x @ x) * (y @ y)) + 1e-12)) if len(x) else np.nan


def _nearness(out, a, b, offsets):
    # How much nearer the result is to A than B is: 1 - its distance / B's distance.
    scale = np.vstack([x.descriptor[x.active] for x in (a, b)]).std(axis=0) + 1e-9
    rows, rows_a, rows_b = (_stretches(x, scale, offsets) for x in (out, a, b))
    if not (len(rows) and len(rows_a) and len(rows_b)):
        return np.nan  # too short to have any motion
    to_a = cKDTree(rows_a)
    distance, distance_b = (to_a.query(x)[0].mean() for x in (rows, rows_b))
    return float(1 - distance / distance_b) if distance_b > 1e-9 else 1.0


def _stretches(x, scale, offsets):
    # Each frame's descriptor side by side with those `offsets` later, where all sound.
    rows = np.arange(max(0, len(x.active) - max(offsets)))
    rows = rows[np.all([x.active[rows + i] for i in offsets], axis=0)]
    return np.hstack([x.descriptor[rows + i] / scale for i in offsets])


def _melody(out, b):
    weights = np.linalg.norm(b.chroma, axis=1) * b.active
    weights /= weights.sum() + 1e-12
    chroma, chroma_b = to_unit_length(out.chroma), to_unit_length(b.chroma)
    together = weights @ (chroma * chroma_b).sum(axis=1)
    mean, mean_b = weights @ chroma, weights @ chroma_b
    room = weights.sum() - mean_b @ mean_b
    # By chance they meet where both only dwell on the same notes.
    return float((together - mean @ mean_b) / room) if room > 1e-6 else np.nan


def render_all(
    pairs: Mapping[str, Sequence[Source | Sound]],
    models: Iterable[str] | Mapping[str, Model],
    *,
    folder: str | Path,
    finishing: Mapping[str, float] | None = None,
    **settings: int | Dial,
) -> pd.DataFrame:
    """Render every pair with every model; write the sounds and ``scoreboard.csv``.

    One failure does not stop the others: its row says why. There is a thread for each
    processor, for numpy lets them run side by side; under
    ``joblib.parallel_config(backend="dask")`` a cluster does the work, whose workers
    see the same files.

    Parameters
    ----------
    pairs : dict
        A and B of every pair by name: as for `helpers.sound.load`, or sounds. Of a
        folder the other file of the pair is left out.
    models : names in `helpers.models.CATALOGUE`, or dict of regressors by name
    folder : str or Path
        Gets ``<model>_<pair>.wav``, numbered where another take has that name, and
        ``scoreboard.csv``, which is always that of the last call.
    finishing : dict, optional
        Keywords of `helpers.finishing.finish`. The scores are of the sound before that.
    **settings : int, number or breakpoints
        `n_fft`, `hop_length` and dials, as in
        `helpers.convolution.predictive_convolution`.

    Returns
    -------
    DataFrame
        A row for each result, the highest mean of timbre, motion and structure first:
        file, model, pair, the `SCORES`, and error, which says what went wrong.

    Raises
    ------
    AudioError
        Before any work, for a model or setting that there is not, and for an output
        that cannot be written.
    """
    models = models if isinstance(models, Mapping) else {name: name for name in models}
    finishing, folder = finishing or {}, Path(folder).expanduser()
    for model in models.values():
        check_settings(model, **settings)
    check_finishing(**finishing)
    write(folder / "scoreboard.csv", "")
    # Warnings' filters and BLAS's threads are one for the whole process: of models that
    # change them side by side, the last to leave may restore what was not there before:
    # so what `models.complaints` leaves out is left out here.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="sklearn")
        how = {"folder": folder, "finishing": finishing} | settings
        tasks = [
            delayed(_render_one)(*pair, *named_model, **how)
            for pair in pairs.items()
            for named_model in models.items()
        ]
        done = Parallel(-1, prefer="threads", return_as="generator")(tasks)
        rows = list(tqdm(done, "sounds", len(tasks)))
    board = pd.DataFrame(rows, columns=COLUMNS)
    # What failed has no scores, and comes last.
    best = board[["timbre", "motion", "structure"]].mean(axis=1)
    board = board.loc[best.sort_values(ascending=False, kind="stable").index]
    write(folder / "scoreboard.csv", board.to_csv(index=False))
    if board["error"].any():
        warnings.warn("Sounds failed: see the column error.", stacklevel=2)
    return board.reset_index(drop=True)


def _render_one(pair, sources, name, model, *, folder, finishing, **settings):
    # A row of the scoreboard. What goes wrong is told there, not to stop the others.
    row = {"model": name, "pair": pair}
    try:
        a, b = (
            one if isinstance(one, Sound) else load(one, leave_out=other)
            for one, other in (sources, sources[::-1])
        )
        sound = predictive_convolution(a, b, model=model, **settings)
        take = save(folder / f"{name}_{pair}.wav", finish(sound, **finishing))
        return row | {"file": take.name} | score(sound, a, b)
    except Exception as error:
        return row | {"error": str(error) or repr(error)}
