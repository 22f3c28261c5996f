"""Measure every stage and every model over the length of the sounds, and rivals.

Run from the project's folder; the default takes a quarter of an hour::

    python -m tests.benchmarks.benchmark
    python -m tests.benchmarks.benchmark --seconds 5 20 --models nearest_path ridge

It prints its progress, and at the end a Markdown table. Sounds are stereo at 44.1 kHz,
A as long as B, from seeds. A cell has the median time of several runs, how many times
faster than real time that is, and the most memory in use beyond what was there before
(of numpy and Python, as `tracemalloc` sees it, in a run of its own). *Growth* is the
slope of log time over log length: 1 is a time in proportion, 2 is quadratic. The rivals
are what one would run otherwise, measured in the same way on the same sounds.
"""

import argparse
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.signal import ShortTimeFFT
from sklearn.decomposition import non_negative_factorization
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from helpers.audio import AudioError, Sound
from helpers.classic import classic_convolution
from helpers.convolution import predictive_convolution, prepare
from helpers.files import load, save
from helpers.finishing import finish
from helpers.frames import choose_frames, describe_sound
from helpers.models import CATALOGUE, make_model
from helpers.scores import features
from helpers.spectrum import analyse, synthesise
from tests.benchmarks.sounds import make_sound

LONGEST_FACTORISATION = 20  # seconds: four times that take sixteen times as long


def factorise(a: Sound, b: Sound, stft: ShortTimeFFT) -> np.ndarray:
    """Mix B's frames of all of A's, as "Let it Bee" does (Driedger et al. 2015)."""
    known, given = (
        np.abs(analyse(sound.samples[:, :1], stft=stft)[0]) + 1e-6 for sound in (a, b)
    )
    settings = {"solver": "mu", "beta_loss": "kullback-leibler", "max_iter": 30}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 30 rounds are meant
        return non_negative_factorization(
            given,
            H=known,
            n_components=len(known),
            init="custom",
            update_H=False,
            **settings,
        )[0]


def synthesised(spectrum: np.ndarray, b: Sound, stft: ShortTimeFFT) -> np.ndarray:
    """Turn a spectrum back into sound."""
    output = np.zeros(b.samples.shape, np.float32)
    synthesise(output, spectrum, stft=stft)
    return output


def steps(a: Sound, b: Sound, folder: Path, models: list[str]) -> dict[str, Callable]:
    """Name everything that is measured, each as a function without arguments."""
    pair, file = prepare(a, b), save(folder / "b.wav", b)
    stft, plan = pair.stft, pair.plan
    spectrum = analyse(b.samples, stft=stft)
    learner, _ = make_model("nearest_path")
    known = plan.described_a[plan.numbers]
    learner.fit(known, plan.numbers)
    result = finish(b)

    def model(name: str) -> Callable:
        return lambda: predictive_convolution(a, b, model=name)

    stages = {
        "load": lambda: load(file),
        "analyse": lambda: analyse(b.samples, stft=stft),
        "analyse, by scipy": lambda: stft.stft(b.samples.T),
        "describe": lambda: describe_sound(b, stft=stft),
        "choose frames": lambda: choose_frames(pair.a, plan.described_a, stft=stft),
        "plan": lambda: prepare(a, b).plan,
        "predict": lambda: learner.predict(plan.aligned),
        "synthesise": lambda: synthesised(spectrum, b, stft),
        "synthesise, by scipy": lambda: stft.istft(spectrum.transpose(0, 2, 1)),
        "finish": lambda: finish(b),
        "save": lambda: save(folder / "result.wav", result),
        "features": lambda: features(b),
    }
    chosen = {f"model {name}": model(name) for name in models}
    rivals: dict[str, Callable] = {
        "rival: classic convolution": lambda: classic_convolution(a, b)
    }
    if b.duration <= LONGEST_FACTORISATION:
        rivals["rival: factorisation, one channel"] = lambda: factorise(a, b, stft)
    return stages | chosen | rivals


def measure(step: Callable, *, runs: int, enough: float) -> tuple[float, float]:
    """Return the median time (s; few runs past `enough` s) and the memory (MB)."""
    times: list[float] = []
    while not times or (len(times) < runs and sum(times) < enough):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    tracemalloc.start()
    step()
    memory = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return float(np.median(times)), memory


def main(arguments: list[str] | None = None) -> None:
    """Measure it all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, nargs="+", default=[5, 20, 80, 320])
    parser.add_argument("--models", nargs="*", default=list(CATALOGUE))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--enough", type=float, default=5, help="s to spend on a cell")
    options = parser.parse_args(arguments)
    table: dict[str, dict[float, tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        for seconds in options.seconds:
            a, b = (make_sound(seconds, seed=seed) for seed in (0, 1))
            for name, step in steps(a, b, Path(folder), options.models).items():
                cells = table.setdefault(name, {})
                try:
                    cell = measure(step, runs=options.runs, enough=options.enough)
                except AudioError as error:  # a model may have nothing to say
                    print(f"{seconds:g} s, {name}: {error}", file=sys.stderr)
                    continue
                cells[seconds] = cell
                print(f"{seconds:g} s, {name}: {cell[0]:.3f} s", file=sys.stderr)
    heads = ["", *(f"{seconds:g} s" for seconds in options.seconds), "growth"]
    print("|", " | ".join(heads), "|")
    print("|", " | ".join("---" for _ in heads), "|")
    for name, cells in table.items():
        texts = [
            f"{cells[s][0]:.3f} s, {s / cells[s][0]:.0f} x, {cells[s][1]:.0f} MB"
            if s in cells
            else "-"
            for s in options.seconds
        ]
        lengths, times = list(cells), [cell[0] for cell in cells.values()]
        several = len(cells) > 1
        growth = np.polyfit(np.log(lengths), np.log(times), 1)[0] if several else np.nan
        print("|", " | ".join([name, *texts, f"{growth:.2f}"]), "|")


if __name__ == "__main__":
    main()
