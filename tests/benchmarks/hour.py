"""Render an hour of stereo from disk to disk and print the memory curve.

Run from the project's folder; it takes some minutes and 4 GB of disk::

    python -m tests.benchmarks.hour                  an hour of B, ten seconds of A
    python -m tests.benchmarks.hour --a 60 --b 0.2   an hour of A, twelve seconds of B
    python -m tests.benchmarks.hour --model ridge --b 20

The peak must stay under 1 GB however long the sounds are.
"""

import argparse
import re
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

from helpers.files import save
from helpers.gallery import render_all
from tests.benchmarks.sounds import make_sound


def resident_mb() -> float:
    """Read the memory in use now, in MB; where the system does not tell, the peak."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return peak_mb()
    return int(statm.read_text().split()[1]) * resource.getpagesize() / 1e6


def peak_mb() -> float:
    """Read the most memory that was ever in use, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # elsewhere it starts from what our parent used
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def watch(stop: threading.Event, *, every: float) -> None:
    """Print a line with the memory in use until told to stop."""
    start = time.perf_counter()
    while not stop.wait(every):
        now, mb = time.perf_counter() - start, resident_mb()
        print(f"{now:7.0f} s {mb:6.0f} MB {'#' * round(mb / 20)}", flush=True)


def main() -> None:
    """Make the sounds, render one of them through the other and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--a", type=float, default=1 / 6, help="minutes of A")
    parser.add_argument("--b", type=float, default=60, help="minutes of B")
    parser.add_argument("--model", default="nearest_path", help="name of the catalogue")
    parser.add_argument("--every", type=float, default=5, help="seconds between lines")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "a.wav"), Path(folder, "b.wav")
        for seed, minutes in enumerate([options.a, options.b]):
            save(files[seed], make_sound(60 * minutes, seed=seed), subtype="PCM_16")
        print(f"{peak_mb():.0f} MB at most while the sounds were made", flush=True)
        stop = threading.Event()
        watcher = threading.Thread(
            target=watch, args=[stop], kwargs={"every": options.every}
        )
        watcher.start()
        start = time.perf_counter()
        board = render_all({"hour": files}, [options.model], folder=folder)
        seconds = time.perf_counter() - start
        stop.set()
        watcher.join()
    print(board.T)
    times = 60 * (options.a + options.b) / seconds
    print(f"{seconds:.0f} s, {times:.0f} times real time, peak {peak_mb():.0f} MB")


if __name__ == "__main__":
    main()
