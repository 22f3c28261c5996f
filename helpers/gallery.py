"""Many renders: pairs of sounds and models side by side, with a scoreboard."""

import glob
import hashlib
import json
import os
import threading
import time
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from pickle import PicklingError

import pandas as pd
from joblib import Parallel, delayed
from joblib import hash as content_hash
from sklearn.base import RegressorMixin
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from helpers.audio import AudioError, load, save
from helpers.convolution import Pair
from helpers.estimators import quietly
from helpers.mastering import finish
from helpers.models import make_model
from helpers.scores import compare, features

RANKED_BY = ["timbre", "structure", "motion"]  # by their mean
COLUMNS = ["file", "model", "recipe", "direction", "seconds", "timbre", "envelope"]
COLUMNS += ["onsets", "shape", "structure", "motion", "held_out_r2"]
ANALYSING = threading.Lock()  # so that two threads do not make one analysis twice
SAVING = threading.Lock()  # so that nothing is saved once a batch was interrupted


def grid(files_a: Iterable[str | Path], files_b: Iterable[str | Path]) -> dict:
    """Pair every A with every B but itself: ``{"bell_to_bird": (bell, bird), ...}``."""
    pairs = {(Path(a), Path(b)) for a in files_a for b in files_b if Path(a) != Path(b)}
    named = {f"{a.stem}_to_{b.stem}": (a, b) for a, b in sorted(pairs)}
    if len(named) < len(pairs):
        raise AudioError("Two of the sounds have one name: give one of them another.")
    return named


def _digest(path: Path) -> str:
    with suppress(OSError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return ""  # `load` will say what is wrong


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(text.encode())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _memory(path: Path) -> Path:
    return path.with_name(f".{path.stem}.json")


def _recall(memory: Path, made: list[str]) -> dict:
    with suppress(OSError, ValueError):
        row = json.loads(memory.read_text())
        if made[0] and row.pop("made", None) == made:
            return row
    return {}


@lru_cache(maxsize=2)  # all models of a pair follow each other
def _analyse(a: Path, b: Path, analysis: tuple, _contents: tuple) -> tuple:
    pair = Pair(load(a), load(b), **dict(analysis))
    return pair, features(pair.a), features(pair.b)


def render_one(
    path: Path, files: tuple, model: str | RegressorMixin, batch: dict, contents=()
) -> dict:
    """Render one pair with one model into `path`; return its row of the scoreboard.

    `batch` has ``analysis``, ``finishing`` and ``subtype`` of `render_all`. Calls with
    the same `contents` (digests of both files) share an analysis. Where anything goes
    wrong there is an ``error``, a sentence, in place of scores.
    """
    analysis, row = batch["analysis"], {"file": path.name}
    try:
        regressor, recipe = make_model(model, seed=analysis.get("seed", 42))
        with threadpool_limits(1):  # its results differ with the number of threads
            with ANALYSING:
                known = tuple(sorted(analysis.items())), contents
                pair, *features_ab = _analyse(*files, *known)
                _ = pair.bins if recipe == "bins" else pair.aligned
            start = time.perf_counter()
            sound = pair.render(regressor, recipe=recipe)
            result = finish(sound, **batch["finishing"])
            with SAVING:
                if batch.get("interrupted"):
                    return row
                save(path, result, subtype=batch["subtype"], inputs=files)
            row |= {"recipe": recipe, "seconds": time.perf_counter() - start}
            row |= compare(features(result, peak=True), *features_ab)
            row["held_out_r2"] = pair.held_out_r2(regressor, recipe=recipe)
    except Exception as error:  # whatever it is must not stop the other renders
        kind = "" if isinstance(error, AudioError) else f"{type(error).__name__}: "
        row["error"] = f"{kind}{error}"
    return row


def render_all(
    pairs: Mapping[str, tuple[str | Path, str | Path]],
    models: Iterable[str] | Mapping[str, str | RegressorMixin],
    *,
    folder: str | Path,
    analysis: dict | None = None,
    finishing: dict | None = None,
    subtype: str = "PCM_24",
    n_jobs: int = -1,
) -> pd.DataFrame:
    """Render every pair with every model; write the sounds and ``scoreboard.csv``.

    Each sound is analysed once. What is there already, made by the same code from the
    same contents, model and settings, stays, so that an interrupted batch goes on. One
    failure does not stop the others: its row and a warning at the end say why.

    Parameters
    ----------
    pairs : dict
        The files (A, B) of every pair by name, as from `grid`.
    models : names in `helpers.models.CATALOGUE`, or dict of regressors by name
    folder : path
        Gets ``<model>_<pair>.wav``, and hidden files that say what each was made from.
    analysis, finishing : dict, optional
        Arguments of `helpers.convolution.Pair` and of `helpers.mastering.finish`.
    subtype : str, default "PCM_24"
        Precision of the files, as in `helpers.audio.save`.
    n_jobs : int, default -1
        Threads, -1 for one to a processor. The work is mostly numpy's, which lets
        threads run side by side, and processes would import everything again. Under
        ``joblib.parallel_config(backend="dask")`` a cluster does the work instead.

    Returns
    -------
    DataFrame
        The scoreboard: the highest mean of timbre, structure and motion first.

    Raises
    ------
    AudioError
        For a model that there is not, and for results of one name or that of an input.
    """
    folder = Path(folder).resolve()
    models = models if isinstance(models, Mapping) else {name: name for name in models}
    batch = {"analysis": analysis or {}, "finishing": finishing or {}}
    batch["subtype"] = subtype
    code = [_digest(file) for file in sorted(Path(__file__).parent.glob("*.py"))]
    pairs = {name: tuple(Path(f).resolve() for f in pairs[name]) for name in pairs}
    contents = {file: _digest(file) for files in pairs.values() for file in files}
    rows, made_from, jobs = {}, defaultdict(str), []
    for direction, files in pairs.items():
        known = tuple(contents[file] for file in files)
        for name, model in models.items():
            make_model(model)
            path = folder / f"{name}_{direction}.wav"
            if path in rows or path in contents or path.parent != folder:
                raise AudioError(f"{path} cannot be made: rename the pair or model.")
            rows[path] = {"file": path.name, "model": name, "direction": direction}
            with suppress(PicklingError):  # a lambda is never the same again
                made_from[path] = content_hash((known, model, batch, code))
            made = [made_from[path], _digest(path)]
            if before := _recall(_memory(path), made):
                rows[path] = before
            else:
                jobs += [delayed(render_one)(path, files, model, batch, known)]
    folder.mkdir(parents=True, exist_ok=True)
    parallel = Parallel(n_jobs, prefer="threads", return_as="generator_unordered")
    bar = {"total": len(rows), "initial": len(rows) - len(jobs), "desc": "rendering"}
    with quietly(), threadpool_limits(1):
        results = parallel(jobs)
        try:
            for row in tqdm(results, **bar, unit="sound"):
                path = folder / row["file"]
                rows[path] |= row
                if "error" not in row:
                    made = [made_from[path], _digest(path)]
                    _write(_memory(path), json.dumps(rows[path] | {"made": made}))
        except BaseException:
            with SAVING:
                batch["interrupted"] = True  # threads cannot be stopped, only told
            with warnings.catch_warnings(action="ignore"):  # that it stops early
                results.close()
            raise
        finally:  # what a worker that was killed may have left
            for path in rows:
                for part in folder.glob(f".{glob.escape(path.name)}.*"):
                    part.unlink(missing_ok=True)
    failed = [f"{r['file']}: {r['error']}" for r in rows.values() if "error" in r]
    columns = [*COLUMNS, "error"] if failed else COLUMNS
    board = pd.DataFrame(list(rows.values()), columns=columns)
    best = board[RANKED_BY].mean(axis=1).sort_values(ascending=False, kind="stable")
    board = board.loc[best.index].reset_index(drop=True)
    _write(folder / "scoreboard.csv", board.to_csv(index=False, lineterminator="\n"))
    if failed:
        text = f"{len(failed)} of {len(rows)} sounds failed. {' '.join(failed)}"
        warnings.warn(text, stacklevel=2)
    return board
