"""A long sound is worked through in blocks, and nobody hears where they meet."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers import audio, spectrum
from helpers.audio import Sound, allocate
from helpers.convolution import predictive_convolution
from helpers.files import save
from helpers.finishing import finish

RATE = 8000


def phrase(seed, seconds=3.0):
    """Make a stereo phrase of eight notes a second with noisy onsets."""
    rng = np.random.default_rng(seed)
    t = np.arange(RATE // 8)[:, None] / RATE
    notes = [
        (
            np.sin(2 * np.pi * rng.uniform(200, 900) * (seed + 1) * t)
            + np.exp(-80 * t) * rng.standard_normal(t.shape)
        )
        * np.exp(-8 * t)
        * rng.uniform(0.1, 0.3, size=2)
        for _ in range(int(8 * seconds))
    ]
    return Sound(np.concatenate(notes).astype(np.float32), RATE)


def in_small_blocks(monkeypatch):
    """Let everything be long: on disk, and in blocks of 48 frames or fewer."""
    monkeypatch.setattr(audio, "IN_MEMORY", 1000)
    monkeypatch.setattr(audio, "BLOCK", 5000)
    monkeypatch.setattr(spectrum, "BLOCK_FRAMES", 48)


def on_disk(sound):
    room = allocate(sound.n_samples, sound.n_channels)
    room[:] = sound.samples
    return Sound(room, sound.rate)


@pytest.mark.parametrize("model", ["nearest_path", "ridge", "linear_regression"])
def test_blocks_and_whole_give_the_same_sound(model, monkeypatch):
    a, b = phrase(0), phrase(1, 6.0)
    settings = {"model": model, "n_fft": 512, "hop_length": 128}
    whole = finish(predictive_convolution(a, b, **settings))
    in_small_blocks(monkeypatch)
    a, b = on_disk(a), on_disk(b)
    result = finish(predictive_convolution(a, b, **settings))
    assert isinstance(b.samples, np.memmap)
    assert isinstance(result.samples, np.memmap)
    # Frames that are borrowed are the same to the last digit; what is fitted carries
    # the rounding of float32 further. It stays under two steps of 16 bits.
    np.testing.assert_allclose(result.samples, whole.samples, atol=2**-14)


MEMORY = r"""
import re, sys
from pathlib import Path
from helpers import audio, spectrum
from helpers.files import load, save
from helpers.convolution import predictive_convolution
from helpers.finishing import finish
audio.IN_MEMORY, audio.BLOCK, spectrum.BLOCK_FRAMES = 2**17, 2**16, 128
a, b, result = sys.argv[1:]
save(result, finish(predictive_convolution(load(a), load(b))))
# Not ru_maxrss, which starts from that of the process that started this one.
status = Path("/proc/self/status").read_text()
print(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024)
"""


def memory_mb(folder, seconds) -> float:
    """Render B of so many seconds, file to file, in a process of its own: its peak."""
    b = phrase(1, 4.0)
    long = np.tile(b.samples, (seconds // 4, 1))
    paths = [folder / name for name in ("a.wav", f"b{seconds}.wav", "result.wav")]
    save(paths[0], phrase(0))
    save(paths[1], Sound(long, RATE), subtype="PCM_16")
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, *map(str, paths)],
        cwd=Path(audio.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(run.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for memory in use")
def test_memory_stays_bounded_from_file_to_file(tmp_path):
    short, long = (memory_mb(tmp_path, seconds) for seconds in (8, 800))
    # 800 s are 51 MB of samples, and there are seven such sounds on the way. What may
    # grow are some numbers for each of 12,500 frames, 30 MB at most.
    assert long - short < 60
