"""Measure how long a sound takes, and how much memory.

Run from the project's folder; it takes some minutes::

    python -m tests.benchmarks.speed_and_memory
    python -m tests.benchmarks.speed_and_memory --hour

It prints a Markdown table. The sounds are from seeds, at 44.1 kHz. Times are of one
thread, from two sounds in memory to the samples of the result, before any finishing;
"x" is how many times faster than B plays that is. Memory is the most that a process of
its own had in use from files to a file, Python and its libraries included.
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


def seconds_for(a: Sound, b: Sound, model: str, *, n_runs: int) -> float:
    """Measure how long a model takes, the best of several runs."""
    times = []
    for _ in range(n_runs):
        start = time.perf_counter()
        render(prepare(a, b), model)
        times.append(time.perf_counter() - start)
    return min(times)


def from_files_to_a_file(folder: Path) -> float:
    """Render a.wav and b.wav of a folder; return the peak of this process, in MB."""
    import resource  # Windows has none

    result = predictive_convolution(load(folder / "a.wav"), load(folder / "b.wav"))
    save(folder / "result.wav", finish(result))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def memory_for(minutes: float) -> tuple[float, float]:
    """Measure time (s) and memory (MB) of so long a B, and a minute of A at most."""
    with tempfile.TemporaryDirectory() as folder:
        for seed, (name, length) in enumerate(
            {"a": min(1, minutes), "b": minutes}.items()
        ):
            part = make_sound(60 * min(1, minutes), seed=seed, n_channels=2)
            with soundfile.SoundFile(f"{folder}/{name}.wav", "w", RATE, 2) as file:
                for _ in range(round(length / min(1, minutes))):  # over and over
                    file.write(part.samples)
        command = [sys.executable, "-m", __spec__.name, "--folder", folder]
        start = time.perf_counter()
        told = subprocess.run(command, check=True, capture_output=True, text=True)
        return time.perf_counter() - start, float(told.stdout)


def main(arguments: list[str] | None = None) -> None:
    """Measure it all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=18, help="of A and B")
    parser.add_argument("--runs", type=int, default=5, help="of which the best counts")
    parser.add_argument("--models", nargs="*", default=list(CATALOGUE))
    parser.add_argument("--minutes", type=float, default=10, help="of stereo")
    parser.add_argument("--hour", action="store_true", help="of stereo, too")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.folder:
        return print(from_files_to_a_file(options.folder))
    rows, seconds = [], options.seconds
    # First, for a process starts from what its parent has in use.
    for minutes in [options.minutes] + [60] * options.hour:
        taken, memory = memory_for(minutes)
        name = f"from files to a file, {minutes:g} min of stereo"
        rows.append(
            (name, f"{taken:.1f} s, {60 * minutes / taken:.1f} x, {memory:.0f} MB")
        )
    a, b, longer = (
        make_sound(s, seed=i) for i, s in enumerate([seconds, seconds, 4 * seconds])
    )
    print("| what | measured |", "| --- | --- |", sep="\n")
