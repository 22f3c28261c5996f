"""Measure how long a sound takes, and how much memory.

Run from the project's folder; it takes some minutes::

    python -m tests.benchmarks.speed_and_memory
    python -m tests.benchmarks.speed_and_memory --hour

It prints a Markdown table. The sounds are from seeds, at 44.1 kHz. *Files to file* is a
process of its own that reads a minute of A and so much of B, finishes the result and
saves it: its time and the most memory that it had in use, libraries included. The other
times are of one thread and mono, from sounds in memory to samples, not yet finished.
"x" is how many times faster than B plays that is.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from threadpoolctl import threadpool_limits

from helpers.convolution import predictive_convolution, prepare, render
from helpers.finishing import finish
from helpers.models import CATALOGUE
from helpers.sound import Sound, load, save

ROOT = Path(__file__).parents[2]
RATE = 44_100


def make_sound(seconds: float, *, seed: int, n_channels: int = 1) -> Sound:
    """Make a sound, a note with a noisy onset every quarter of a second.

    Pitch, brightness and loudness of the notes are drawn from the seed, which decides
    also in which octave they lie: sounds of two seeds have two timbres.
    """
    rng, n_samples = np.random.default_rng(seed), round(seconds * RATE)
    t, partials = np.arange(RATE // 4)[:, np.newaxis] / RATE, np.arange(1, 13)
    notes = []
    for _ in range(0, n_samples, len(t)):
        pitch = 110 * 2 ** (seed % 4 + rng.integers(24) / 12)
        levels = partials ** -rng.uniform(0.5, 2) * (pitch * partials < 15_000)
        note = np.sin(2 * np.pi * pitch * partials * t) @ levels[:, np.newaxis]
        noise = rng.standard_normal(t.shape) * np.exp(-t * 60) * rng.random()
        decay = np.exp(-t * rng.uniform(2, 12)) * rng.uniform(0.02, 0.2)
        pan = rng.uniform(0.3, 1, size=n_channels)
        notes.append((note + noise) * decay * pan)
    return Sound(np.concatenate(notes)[:n_samples].astype(np.float32), RATE)


def seconds_for(a: Sound, b: Sound, model: str = "nearest_path") -> float:
    """Measure how long a model takes, in seconds."""
    start = time.perf_counter()
    render(prepare(a, b), model)
    return time.perf_counter() - start


def told(taken: float, seconds: float) -> str:
    """Say how long something took, and how many times faster it plays."""
    return f"{taken:.2f} s, {seconds / taken:.1f} x"


def from_files_to_a_file(folder: Path) -> float:
    """Render a.wav and b.wav of a folder; return the peak of this process, in MB."""
    import resource  # Windows has none

    result = predictive_convolution(load(folder / "a.wav"), load(folder / "b.wav"))
    save(folder / "result.wav", finish(result))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def cost_of(minutes: float) -> str:
    """Measure time and memory of so long a B and, as A, a minute of it at most."""
    part = min(1, minutes)
    with tempfile.TemporaryDirectory() as folder:
        for name, seed, n_parts in (("a", 1, 1), ("b", 2, round(minutes / part))):
            samples = make_sound(60 * part, seed=seed, n_channels=2).samples
            with soundfile.SoundFile(f"{folder}/{name}.wav", "w", RATE, 2) as file:
                for _ in range(n_parts):  # over and over
                    file.write(samples)
        start = time.perf_counter()
        command = [sys.executable, "-m", __spec__.name, "--folder", folder]
        peak = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
        seconds = time.perf_counter() - start
    return f"{told(seconds, 60 * minutes)}, {float(peak.stdout):.0f} MB"


def main(arguments: list[str] | None = None) -> None:
    """Measure it all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=18, help="of A and of B")
    parser.add_argument("--runs", type=int, default=5, help="the best counts")
    parser.add_argument("--models", nargs="*", default=list(CATALOGUE))
    parser.add_argument("--minutes", type=float, default=10, help="of stereo")
    parser.add_argument("--hour", action="store_true", help="of stereo, too")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.folder:
        print(from_files_to_a_file(options.folder))
        return
    print("| what | measured |", "| --- | --- |", sep="\n")
    # First, for a process counts from what its parent had in use.
    for minutes in [options.minutes] + [60] * options.hour:
        print(f"| files to file, {minutes:g} min of stereo | {cost_of(minutes)} |")
    n = options.seconds
    a, b = (make_sound(n, seed=seed) for seed in (1, 2))
    longer = make_sound(4 * n, seed=2)
    with threadpool_limits(1):
        best, best_of_longer = (
            min(seconds_for(a, one) for _ in range(options.runs)) for one in (b, longer)
        )
        print(f"| {n:g} s by {n:g} s, best of {options.runs} | {told(best, n)} |")
        print(f"| growth: four times B over B | {best_of_longer / best:.2f} |")
        for model in options.models:
            print(f"| {model} | {told(seconds_for(a, b, model), n)} |", flush=True)


if __name__ == "__main__":
    main()
