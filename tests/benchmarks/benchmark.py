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
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.signal import ShortTimeFFT, get_window
from sklearn.decomposition import non_negative_factorization
from threadpoolctl import threadpool_limits

from helpers.audio import AudioError, Sound, load, save
from helpers.classic import classic_convolution
from helpers.convolution import Pair
from helpers.estimators import quietly
from helpers.frames import describe, fit_frames
from helpers.mastering import finish
from helpers.models import CATALOGUE, make_model
from helpers.phase import griffin_lim
from tests.benchmarks.sounds import make_sound

ROUNDS = 16
LONGEST_FACTORISATION = 20  # seconds: four times that take sixteen times as long
LONGEST_SHORT_TIME_FFT = 80  # seconds of sound, a minute of work


def scipy_griffin_lim(magnitude: np.ndarray, n_samples: int) -> np.ndarray:
    """Reconstruct phase as one would with scipy alone (Griffin and Lim 1984)."""
    stft = ShortTimeFFT(get_window("hann", 2048), 512, 44_100)
    spectrum = magnitude.T.astype(complex)
    for _ in range(ROUNDS):
        samples = stft.istft(spectrum, k1=n_samples)
        ahead = stft.stft(samples)
        n = min(ahead.shape[1], len(magnitude))
        spectrum[:, :n] = magnitude.T[:, :n] * np.exp(1j * np.angle(ahead[:, :n]))
    return stft.istft(spectrum, k1=n_samples)


def factorise(pair: Pair) -> np.ndarray:
    """Mix B's frames of all of A's, as "Let it Bee" does (Driedger et al. 2015)."""
    a, b = (
        np.abs(pair.stft.analyse(sound.samples[:, 0])) + 1e-6
        for sound in (pair.a, pair.b)
    )
    settings = {"solver": "mu", "beta_loss": "kullback-leibler", "max_iter": 30}
    with quietly():
        return non_negative_factorization(
            b, H=a, n_components=len(a), init="custom", update_H=False, **settings
        )[0]


def steps(a: Sound, b: Sound, folder: Path, models: list[str]) -> dict[str, Callable]:
    """Name everything that is measured, each as a function without arguments."""
    pair, file = Pair(a, b), save(folder / "b.wav", b)
    stft, training = pair.stft, pair.training
    spectra = [stft.analyse(channel) for channel in np.asarray(b.samples).T]
    magnitudes = [np.abs(spectrum) for spectrum in spectra]
    rows = np.arange(len(training.runs))
    nearest = make_model("nearest_path")[0]
    fitted, aligned, result = (
        fit_frames(nearest, training, rows),
        pair.aligned,
        finish(b),
    )

    def model(name: str) -> Callable:
        regressor, recipe = make_model(name)
        return lambda: Pair(a, b).render(regressor, recipe=recipe)

    stages = {
        "load": lambda: load(file),
        "analyse": lambda: [stft.analyse(c) for c in np.asarray(b.samples).T],
        "describe": lambda: describe(b, stft=stft),
        "collect A's frames": lambda: Pair(a, b).training,
        "fit": lambda: fit_frames(nearest, training, rows),
        "predict": lambda: fitted.predict(aligned),
        f"phase, {ROUNDS} rounds": lambda: [
            griffin_lim(magnitude, start, stft=stft, n_rounds=ROUNDS)
            for magnitude, start in zip(magnitudes, spectra, strict=True)
        ],
        "inverse": lambda: [stft.synthesise(s, n_samples=b.n_samples) for s in spectra],
        "finish": lambda: finish(b),
        "save": lambda: save(folder / "result.wav", result),
    }
    rivals: dict[str, Callable] = {
        "classic convolution": lambda: classic_convolution(a, b)
    }
    if b.duration <= LONGEST_SHORT_TIME_FFT:
        rivals[f"phase, {ROUNDS} rounds, through ShortTimeFFT"] = lambda: [
            scipy_griffin_lim(magnitude, b.n_samples) for magnitude in magnitudes
        ]
    if b.duration <= LONGEST_FACTORISATION:
        rivals["factorisation over all of A's frames, one channel"] = lambda: factorise(
            pair
        )
    chosen = {f"model {name}": model(name) for name in models}
    return stages | chosen | {f"rival: {name}": rivals[name] for name in rivals}


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


def main() -> None:
    """Measure it all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, nargs="+", default=[5, 20, 80, 320])
    parser.add_argument("--models", nargs="*", default=list(CATALOGUE))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--enough", type=float, default=5, help="s to spend on a cell")
    options = parser.parse_args()
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
