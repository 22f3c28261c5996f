"""Ten thousand damaged files: each must be a sound or a sentence, soon and in bounds.

Run in the project's root: python -m tests.benchmarks.mutated_files
"""

import argparse
import resource
import tempfile
import time
import warnings
from collections import Counter
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import soundfile

from helpers.sound import AudioError, load

RATE = 8000
GIGABYTES = 4  # of address space that a process may have, libraries included


def originals() -> list[bytes]:
    """Make a quarter of a second of noise in every kind of file."""
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (2000, 2)).astype(np.float32)
    kinds = [
        (kind, None) for kind in ("WAV", "RF64", "W64", "AIFF", "AU", "CAF", "VOC")
    ]
    kinds += [("FLAC", None), ("OGG", None), ("OGG", "OPUS"), ("MP3", None)]
    kinds += [("WAV", kind) for kind in ("FLOAT", "ULAW", "IMA_ADPCM", "MS_ADPCM")]
    found = []
    for kind, subtype in kinds:
        file = BytesIO()
        soundfile.write(file, samples, RATE, format=kind, subtype=subtype)
        found.append(file.getvalue())
    for kind, codec in (("ipod", "aac"), ("ipod", "alac"), ("adts", "aac")):
        file, form = BytesIO(), "s16p" if codec == "alac" else "fltp"
        with av.open(file, "w", format=kind) as container:
            stream = container.add_stream(codec, rate=RATE, layout="stereo")
            planes = samples if form == "fltp" else (samples * 2**15).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(planes.T.copy(), form, "stereo")
            frame.sample_rate, frame.pts = RATE, 0
            for part in (frame, None):
                container.mux(stream.encode(part))
        found.append(file.getvalue())
    return found


ORIGINALS = originals()


def mutated(seed: int) -> bytes:
    """Change a file's header or body, cut it, or splice it with another."""
    rng = np.random.default_rng(seed)
    first, second = (
        bytearray(ORIGINALS[i]) for i in rng.integers(len(ORIGINALS), size=2)
    )
    place, other = rng.integers(len(first)), rng.integers(len(second))
    ways = rng.integers(5)
    if ways == 0:  # it ends early
        del first[place:]
    elif ways == 1:  # it ends as another does
        first[place:] = second[other:]
    elif ways == 2:  # a number of its header is at an edge
        edges = (0, 1, 2**31 - 1, 2**31, 2**32 - 1)
        place, number = rng.integers(100), int(rng.choice(edges))
        first[place : place + 4] = number.to_bytes(4, rng.choice(["little", "big"]))
    elif ways == 3:  # a piece is missing, or there twice
        first[place:place] = first[min(place, other) : place] * int(rng.integers(2))
        del first[place : place + rng.integers(500)]
    for place in rng.integers(len(first) + 1, size=rng.integers(10)):
        first[place : place + 1] = rng.bytes(1)
    return bytes(first)


def outcome(folder: Path, seed: int) -> str:
    """Read a damaged file: ``sound``, ``sentence``, or the fault that was found."""
    folder.mkdir(exist_ok=True)
    path = folder / "mutated"
    path.write_bytes(mutated(seed))
    try:
        sound = load(path)
    except AudioError as error:
        text = str(error)
        is_fine = text.isprintable() and text.endswith(".") and ". " not in text
        return "sentence" if is_fine else f"no sentence: {text}"
    except Exception as error:
        return f"raw {error!r}"
    return "sound" if np.isfinite(sound.samples).all() else "not finite"


def main(arguments: list[str] | None = None) -> None:
    """Read so many damaged files and count what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    n_files = parser.parse_args(arguments).files
    limit = GIGABYTES * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    found, slowest = Counter(), 0.0
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        for seed in range(n_files):
            start = time.perf_counter()
            found[outcome(Path(folder), seed)] += 1
            slowest = max(slowest, time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for what, n in found.most_common():
        print(f"{n:6} {what}")
    print(f"slowest {slowest:.2f} s, peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
