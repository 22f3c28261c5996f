"""Many renders: pairs of sounds and models side by side, with a scoreboard."""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import RegressorMixin
from tqdm.auto import tqdm

from helpers.audio import AudioError, load, save
from helpers.convolution import Pair
from helpers.mastering import finish
from helpers.models import make_model
from helpers.scores import compare, features


@lru_cache(maxsize=2)
def _pair(file_a: str, file_b: str, analysis: str, _contents: str) -> Pair:
    # All models of a pair follow each other, so each sound is analysed once.
    return Pair(load(file_a), load(file_b), **json.loads(analysis))


@lru_cache(maxsize=2)
def _features(pair: Pair) -> tuple:
    return features(pair.a), features(pair.b)


def _digest(*parts: str | Path) -> str:
    whole = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with part.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        else:
            whole.update(part.encode())
    return whole.hexdigest()


def grid(
    files_a: Iterable[str | Path], files_b: Iterable[str | Path]
) -> dict[str, tuple[str | Path, str | Path]]:
    """Pair every A with every B: ``{"bell_to_bird": (bell, bird), ...}``."""
    return {
        f"{Path(a).stem}_to_{Path(b).stem}": (a, b)
        for a in files_a
        for b in files_b
        if Path(a) != Path(b)
    }


def render_one(
    name: str,
    files: tuple[str | Path, str | Path],
    model_name: str,
    model: str | RegressorMixin,
    *,
    folder: Path,
    analysis: dict,
    finishing: dict,
) -> dict:
    """Render one pair with one model into `folder`; return its scoreboard row.

    A hidden file beside the sound remembers what it was made from; while that is
    unchanged, the sound is not made again.
    """
    path = folder / f"{model_name}_{name}.wav"
    memory = folder / f".{path.stem}.json"
    a, b = (Path(file) for file in files)
    row = {"file": path.name, "model": model_name, "direction": name}
    try:
        contents = _digest(a, b) if a.is_file() and b.is_file() else ""
        code = sorted(Path(__file__).parent.glob("*.py"))
        made_from = _digest(contents, repr((model, analysis, finishing)), *code)
        if path.exists() and memory.exists():
            before = json.loads(memory.read_text())
            if before.pop("made_from") == made_from:
                return before
        regressor, recipe = make_model(model, seed=analysis.get("seed", 42))
        pair = _pair(str(a), str(b), json.dumps(analysis), contents)
        start = time.perf_counter()
        result = finish(pair.render(regressor, recipe=recipe), **finishing)
        save(path, result, inputs=files)
        row |= {"recipe": recipe, "seconds": time.perf_counter() - start}
        row |= compare(features(result, peak=True), *_features(pair))
        row |= {"held_out_r2": pair.held_out_r2(regressor, recipe=recipe)}
        memory.write_text(json.dumps(row | {"made_from": made_from}))
    except AudioError as error:
        row |= {"error": str(error)}
    return row


def render_all(
    pairs: Mapping[str, tuple[str | Path, str | Path]],
    models: Iterable[str] | Mapping[str, RegressorMixin],
    *,
    folder: str | Path,
    analysis: dict | None = None,
    finishing: dict | None = None,
    n_jobs: int = 2,
) -> pd.DataFrame:
    """Render every pair with every model; write the sounds and ``scoreboard.csv``."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not isinstance(models, Mapping):
        models = {name: name for name in models}
    settings = {"analysis": analysis or {}, "finishing": finishing or {}}
    jobs = [
        delayed(render_one)(name, files, label, model, folder=folder, **settings)
        for name, files in pairs.items()
        for label, model in models.items()
    ]
    parallel = Parallel(
        n_jobs=n_jobs, prefer="threads", return_as="generator_unordered"
    )
    rows = list(tqdm(parallel(jobs), total=len(jobs), desc="rendering", unit="sound"))
    board = pd.DataFrame(rows)
    board.to_csv(folder / "scoreboard.csv", index=False)
    return board
