"""Many renders: pairs of sounds and models side by side, with a scoreboard."""

import hashlib
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from joblib import Parallel, delayed
from joblib import hash as joblib_hash
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from helpers.audio import AudioError, Sound, check_excerpt_seconds, excerpt
from helpers.convolution import check_seed, prepare, render
from helpers.dials import Dials
from helpers.files import (
    check_output,
    files_of,
    is_corpus,
    load,
    place_of,
    save,
    shown,
    write_table,
)
from helpers.finishing import Finishing, finish
from helpers.models import make_model
from helpers.scores import compare, features
from helpers.spectrum import make_stft

SCORES = ["timbre", "envelope", "onsets", "shape", "structure", "motion"]
SCORES += ["melody", "attack"]
COLUMNS = ["file", "model", "recipe", "direction", "seconds", *SCORES]
RANKED_BY = ["timbre", "structure", "motion"]  # by their mean


Source = str | Path | tuple[Path, ...]  # a file, or those of a corpus


class Settings(NamedTuple):
    """What all renders of a batch share."""

    n_fft: int
    hop_length: int
    seed: int
    dials: Dials | None
    finishing: Finishing | None
    subtype: str
    excerpt_seconds: float | None


class Task(NamedTuple):
    """One sound to make."""

    path: Path
    files: tuple[Source, Source]  # A and B
    model: str | RegressorMixin
    facts: dict[str, str]  # what the scoreboard says of it, and its `fingerprint`


def grid(files_a: Iterable[str | Path], files_b: Iterable[str | Path]) -> dict:
    """Pair every A with every B but itself.

    Parameters
    ----------
    files_a, files_b : paths

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
    pairs: Mapping[str, tuple[str | Path, str | Path]],
    models: Iterable[str] | Mapping[str, str | RegressorMixin],
    *,
    folder: str | Path,
    n_fft: int = 2048,
    hop_length: int = 512,
    seed: int = 42,
    dials: Dials | None = None,
    finishing: Finishing | None = None,
    subtype: str = "PCM_24",
    excerpt_seconds: float | None = None,
    n_jobs: int = -1,
) -> pd.DataFrame:
    """Render every pair with every model; write the sounds and ``scoreboard.csv``.

    One failure does not stop the others: its row and a warning at the end say why, and
    no sound of an earlier batch is left under its name.

    A batch that was interrupted goes on where it stopped, when it is called again: what
    is done stands in ``unfinished.csv`` until all is done. A sound is only kept if it
    is still what was written, made from the same sounds (by their contents), settings
    and model, by the same helpers; those with a model of your own class, whose code may
    have changed, are made again. A batch that was finished makes everything again.

    Parameters
    ----------
    pairs : dict
        The files (A, B) of every pair by name, as from `grid`. A folder or a list of
        files stands for all its sounds as one (without the other sound of the pair).
    models : names in `helpers.models.CATALOGUE`, or dict of regressors by name
    folder : path
        Gets ``<model>_<pair>.wav`` and ``scoreboard.csv``.
    n_fft, hop_length, seed : int
        As in `helpers.convolution.prepare`.
    dials : Dials, optional
        How all of them are to sound; by default `Dials()`.
    finishing : Finishing, optional
        What is done to each sound before it is saved; by default `Finishing()`. The
        scores are of the sound before that: trimmed, it would no longer be in time
        with B.
    subtype : str, default "PCM_24"
        Precision of the files, as in `helpers.files.save`.
    excerpt_seconds : float, optional
        Take only the liveliest stretch of each sound, as `helpers.audio.excerpt` does.
    n_jobs : int, default -1
        Threads, -1 for one to a processor. The work is mostly numpy's, which lets
        threads run side by side, and processes would import everything again. Under
        ``joblib.parallel_config(backend="dask")`` a cluster does the work instead; it
        need not see the files, which are all read and written here.

    Returns
    -------
    DataFrame
        The scoreboard, the highest mean of timbre, structure and motion first, with
        the `COLUMNS` and, where anything failed, ``error``.

    Raises
    ------
    AudioError
        Before any work, for a model or setting that there is not, for two results of
        one name, and for a result that would replace a sound to read.
    """
    folder = place_of(folder)
    if not isinstance(models, Mapping):
        models = {name: name for name in listed(models)}
    check_settings(
        models.values(),
        n_fft=n_fft,
        hop_length=hop_length,
        seed=seed,
        excerpt_seconds=excerpt_seconds,
    )
    settings = Settings(
        n_fft, hop_length, seed, dials, finishing, subtype, excerpt_seconds
    )
    _check(settings, n_jobs=n_jobs)
    tasks = plan_tasks(pairs, models, folder=folder, settings=settings)
    unfinished = folder / "unfinished.csv"
    rows = _render_tasks(tasks, settings, unfinished=unfinished, n_jobs=n_jobs)
    board = rank([rows[file] for file in tasks])
    write_table(folder / "scoreboard.csv", board)
    unfinished.unlink(missing_ok=True)
    _warn_of_failures(board)
    return board


def _render_tasks(
    tasks: dict[str, Task], settings: Settings, *, unfinished: Path, n_jobs: int
) -> dict[str, dict]:
    # Make what an interrupted batch has not made yet; a row of the scoreboard for each.
    rows = recall(unfinished, tasks)
    to_do = [task for file, task in tasks.items() if file not in rows]
    with closing(_results(to_do, settings, n_jobs=n_jobs)) as results:
        for row, sound in tqdm(results, unit="sound", total=len(to_do)):
            file = row["file"]
            rows[file] = keep(row, sound, tasks[file], subtype=settings.subtype)
            write_table(unfinished, pd.DataFrame(list(rows.values())))
    return rows


def check_settings(
    models: Iterable[str | RegressorMixin],
    *,
    n_fft: int,
    hop_length: int,
    seed: int,
    excerpt_seconds: float | None,
) -> None:
    """Raise `AudioError` for a setting that cannot work, before any work is done."""
    make_stft(44100, n_fft, hop_length)
    check_seed(seed)
    check_excerpt_seconds(excerpt_seconds)
    for model in listed(models):
        make_model(model, seed=seed)


def listed(models: Iterable) -> Iterable:
    """Raise `AudioError` for a single name, or none, where a list belongs."""
    if isinstance(models, str):
        raise AudioError(
            f"{models!r} is a name and no list: write [{models!r}], in brackets."
        )
    if not isinstance(models, Iterable):
        raise AudioError(
            f"{models!r} is no list of models: write their names in brackets."
        )
    return models


def _check(settings: Settings, *, n_jobs: int) -> None:
    finishing, dials = settings.finishing, settings.dials
    if not isinstance(dials, Dials | None):
        raise AudioError(f"dials={dials!r} does not work: use Dials().")
    if not isinstance(finishing, Finishing | None):
        raise AudioError(f"finishing={finishing!r} does not work: use a Finishing().")
    if type(n_jobs) is not int or n_jobs == 0:
        raise AudioError(
            f"n_jobs={n_jobs!r} does not work: use 1 or more, or -1 for all processors."
        )


def plan_tasks(
    pairs: Mapping, models: Mapping, *, folder: Path, settings: Settings
) -> dict[str, Task]:
    """List the sounds to make by their files' names, and check that all can be made.

    Raises
    ------
    AudioError
        As `render_all`.
    """
    pairs = {
        direction: (_found(a, leave_out=b), _found(b, leave_out=a))
        for direction, (a, b) in pairs.items()
    }
    inputs = {source for sources in pairs.values() for source in sources}
    checksums = {source: checksum(source) for source in inputs}
    tasks = {}
    for direction, files in pairs.items():
        for name, model in models.items():
            path = folder / f"{name}_{direction}.wav"
            if path.parent != folder or path.name in tasks:
                raise AudioError(
                    f"{shown(path)} cannot be made, for its name leads elsewhere or is "
                    "taken: rename the pair or the model."
                )
            check_output(path, subtype=settings.subtype, inputs=inputs)
            regressor, recipe = make_model(model, seed=settings.seed)
            of_files = [checksums[file] for file in files]
            facts = {
                "file": path.name,
                "model": name,
                "recipe": recipe,
                "direction": direction,
                "fingerprint": fingerprint(regressor, recipe, of_files, settings),
            }
            tasks[path.name] = Task(path, files, model, facts)
    return tasks


def _found(path: str | Path | Sequence, *, leave_out: str | Path | Sequence) -> Source:
    # Which file is meant, or which files by a folder or a list.
    with suppress(AudioError):  # `load` will say it
        files = files_of(path, leave_out=leave_out)
        return tuple(files) if is_corpus(path) else files[0]
    return path


def checksum(source: Source) -> str:
    """Sum up the contents of a file or of many (SHA-256); "" where there is none."""
    if isinstance(source, tuple):
        sums = [checksum(file) for file in source]
        return "" if "" in sums else joblib_hash(sums)
    with suppress(OSError, ValueError, TypeError):
        if Path(source).is_file():  # a device might have no end
            with Path(source).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    return ""


# Of the helpers as they were imported, which a student may have edited since.
CODE = checksum(tuple(sorted(Path(__file__).parent.glob("*.py"))))


def fingerprint(
    regressor: RegressorMixin, recipe: str, checksums: list[str], settings: Settings
) -> str:
    """Sum up all that a sound is made from; "" where that cannot be told."""
    if "" in checksums or not is_known(regressor):
        return ""
    return joblib_hash([regressor, recipe, checksums, settings, CODE])


def is_known(value: object) -> bool:
    """Tell whether a model is known by its settings.

    A class or function of somebody's own is not: it may change under the same name.
    """
    if isinstance(value, BaseEstimator):
        package = type(value).__module__.partition(".")[0]
        settings = value.get_params(deep=False).values()
        return package in ("sklearn", "helpers") and all(map(is_known, settings))
    if isinstance(value, list | tuple):
        return all(map(is_known, value))
    return value is None or isinstance(value, bool | int | float | str)


def recall(unfinished: Path, tasks: Mapping[str, Task]) -> dict[str, dict]:
    """Read the rows of what an interrupted batch has made and nothing has changed."""
    columns = {"file": str, "fingerprint": str, "checksum": str, "seconds": float}
    columns |= dict.fromkeys(SCORES, float)
    try:
        table = pd.read_csv(
            unfinished,
            usecols=list(columns),
            dtype=columns,
            encoding_errors="surrogateescape",
        )
    except (OSError, ValueError):  # there is none, or it is not such a table
        return {}
    rows = {}
    for row in table.to_dict("records"):
        task = tasks.get(row["file"])
        # Where there was nothing to note, this is nan, which equals nothing.
        same = task and row["fingerprint"] == task.facts["fingerprint"]
        if same and row["checksum"] == checksum(task.path):
            rows[row["file"]] = task.facts | row
    return rows


def _results(tasks: list[Task], settings: Settings, *, n_jobs: int) -> Iterator[tuple]:
    # What `render_one` returns, whatever is done first. One thread to each sum, for the
    # last bits of a result differ with their number.
    parallel = Parallel(n_jobs, prefer="threads", return_as="generator_unordered")
    with threadpool_limits(1), warnings.catch_warnings():
        # Sounds are large, but a cluster that loses a worker must have them once more.
        warnings.filterwarnings("ignore", message="Sending large graph")
        # What an interrupt leaves undone is meant to be.
        warnings.filterwarnings("ignore", message=".*benefit from adjusting the input")
        # Models silence this themselves, but threads share what is silenced.
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield from parallel(_jobs(tasks, settings))


def _jobs(tasks: list[Task], settings: Settings) -> Iterator[tuple]:
    # joblib asks for some jobs more whenever some are done, so that only the sounds of
    # a few pairs are in memory.
    for files, of_these_files in groupby(tasks, key=lambda task: task.files):
        analysis = _analyse(files, settings)
        for task in of_these_files:
            yield delayed(render_one)(task, analysis, settings)


def _analyse(files: tuple[Source, Source], settings: Settings) -> tuple | Exception:
    # What is worked out once for all models: the pair, the features of A and of B.
    try:
        seconds = settings.excerpt_seconds
        a, b = (excerpt(load(one), seconds=seconds, each_file=True) for one in files)
        pair = prepare(
            a,
            b,
            n_fft=settings.n_fft,
            hop_length=settings.hop_length,
            seed=settings.seed,
        )
        return pair, features(pair.a), features(pair.b)
    except Exception as error:  # for the rows of these files, not to stop the others
        return error


def render_one(
    task: Task, analysis: tuple | Exception, settings: Settings
) -> tuple[dict, Sound | None]:
    """Make one sound and score it.

    Returns
    -------
    row : dict
        Of the scoreboard. Where anything went wrong there is an ``error``, a sentence,
        in place of scores.
    sound : Sound or None
        Finished, not saved: only the caller writes, so that after an interrupt nothing
        is written any more.
    """
    # OpenMP counts for each thread anew. BLAS counts for the whole process: left alone
    # here, for after an interrupt a late thread would undo what the caller restored.
    # (Workers of a Dask cluster start with one thread to each sum.)
    threadpool_limits(1, user_api="openmp")
    try:
        if isinstance(analysis, Exception):
            raise analysis
        pair, features_a, features_b = analysis
        if task.facts["recipe"] == "frames":
            _ = pair.plan  # shared by all models, so not in their seconds
        start = time.perf_counter()
        sound = render(pair, task.model, dials=settings.dials)
        result = finish(sound, settings.finishing)
        seconds = {"seconds": time.perf_counter() - start}
        scores = compare(features(sound, peak=True), features_a, features_b)
        return task.facts | seconds | scores, result
    except Exception as error:  # whatever it is must not stop the other renders
        kind = "" if isinstance(error, AudioError) else f"{type(error).__name__}: "
        return task.facts | {"error": f"{kind}{error}"}, None


def keep(row: dict, sound: Sound | None, task: Task, *, subtype: str) -> dict:
    """Save what was made; of what was not, delete the file of an earlier batch."""
    if sound is not None:
        try:
            save(task.path, sound, subtype=subtype, inputs=task.files)
            return row | {"checksum": checksum(task.path)}
        except AudioError as error:
            row = task.facts | {"error": str(error)}
    with suppress(OSError):
        task.path.unlink()
    return row


def rank(rows: list[dict]) -> pd.DataFrame:
    """Make the scoreboard, best first."""
    failed = any("error" in row for row in rows)
    board = pd.DataFrame(rows, columns=[*COLUMNS, "error"] if failed else COLUMNS)
    best = board[RANKED_BY].mean(axis=1).sort_values(ascending=False, kind="stable")
    return board.loc[best.index].reset_index(drop=True)


def _warn_of_failures(board: pd.DataFrame) -> None:
    if "error" in board:
        failed = board[board["error"].notna()]
        reasons = " ".join(failed["file"] + ": " + failed["error"])
        text = f"{len(failed)} of {len(board)} sounds failed. {reasons}"
        warnings.warn(text, stacklevel=3)  # where `render_all` was called
