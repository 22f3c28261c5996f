"""Sounds: read any file, check it, describe it, resample it, write it safely."""

import os
import re
import tempfile
import threading
import warnings
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy.ndimage import binary_opening
from soundfile import LibsndfileError

IN_MEMORY = 2**24  # values (64 MiB of float32); anything longer lives on disk
BLOCK = 2**20  # values handled at a time
RIFF_LIMIT = 2**32 - 2**20  # bytes that a WAV can count in its 32 bits


class AudioError(ValueError):
    """A sound that cannot be used: one sentence with its name and the remedy."""


class AudioWarning(UserWarning):
    """A sound that was read, but of which something is missing."""


class Spool:
    """Float32 rows in an unnamed temporary file, for sounds too long for memory."""

    def __init__(self, n_channels: int) -> None:
        self.shape = (0, n_channels)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 closed on the next line
        weakref.finalize(self, self._file.close)

    def append(self, block: np.ndarray) -> None:
        """Add rows (n, n_channels) at the end; `AudioError` when the disk is full."""
        try:
            np.asarray(block, np.float32).tofile(self._file)
        except OSError as error:
            place = tempfile.gettempdir()
            raise AudioError(f"{place} is full: free some space in it.") from error
        self.shape = (len(self) + len(block), self.shape[1])

    def __len__(self) -> int:  # noqa: D105
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Return a copy of the rows; mapped anew each time, so threads can share it."""
        if not len(self):
            return np.empty(self.shape, np.float32)
        return np.array(np.memmap(self._file, np.float32, "r", shape=self.shape)[rows])

    def __array__(self, dtype=None, copy=None) -> np.ndarray:  # noqa: D105
        return self[:].astype(dtype or np.float32, copy=False)


@dataclass(frozen=True, eq=False)
class Sound:
    """Samples float32 (n_samples, n_channels), nominally in [-1, 1], at `rate` Hz."""

    samples: np.ndarray | Spool
    rate: int
    n_samples = property(lambda self: self.samples.shape[0])
    n_channels = property(lambda self: self.samples.shape[1])
    duration = property(lambda self: self.n_samples / self.rate, doc="In seconds.")

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the samples in order, about a million values at a time."""
        step = max(1, BLOCK // self.n_channels)
        return (self.samples[i : i + step] for i in range(0, self.n_samples, step))

    def like(self, blocks: Iterable[np.ndarray]) -> "Sound":
        """Make a sound of this length, rate and number of channels from `blocks`."""
        size = {"n_samples": self.n_samples, "n_channels": self.n_channels}
        return Sound(gather(blocks, **size), self.rate)


def gather(
    blocks: Iterable[np.ndarray], *, n_samples: int, n_channels: int
) -> np.ndarray | Spool:
    """Join blocks (n, n_channels), cut after `n_samples`; long ones on disk."""
    if n_samples * n_channels > IN_MEMORY:
        spool = Spool(n_channels)
        for block in blocks:
            spool.append(block[: n_samples - len(spool)])
        return spool if len(spool) * n_channels > IN_MEMORY else spool[:]
    rows, end = np.empty((n_samples, n_channels), np.float32), 0
    for block in blocks:
        start, end = end, min(end + len(block), n_samples)
        rows[start:end] = block[: end - start]
    return rows if end == n_samples else rows[:end].copy()


def _rows(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    with suppress(LibsndfileError):  # a decoder that gave up: keep what it had reached
        while len(rows := file.read(4096, "float32", always_2d=True)):
            yield rows


def _read(source: Path | BytesIO) -> tuple[Sound, str]:
    with soundfile.SoundFile(source) as file:
        file.seekable = lambda: False  # its seek after each read fails on a short FLAC
        size = {"n_samples": file.frames, "n_channels": file.channels}
        sound = Sound(gather(_rows(file), **size), file.samplerate)
        claims = [(file.frames, sound.n_samples, "samples")]
        log = file.extra_info.partition("\n")[2]  # its first line is the file's name
    # libsndfile mends wrong sizes without a word, except in its log.
    sizes = r"(?:data|SSND|Size|size|riff) *: (\d+) \(should be (\d+)"
    claims += [(*pair, "bytes") for pair in re.findall(sizes, log)]
    for claimed, real, unit in claims:
        if int(claimed) > int(real) or claimed == "0":
            return sound, f"its header claims {claimed} {unit}, {real} are there"
    cut = re.search("a truncated|end-of-stream bit|Junk after the last page", log)
    return sound, "its end is missing" if cut else ""


def load(path: str | Path) -> Sound:
    """Read a sound of any format, rate and length, in bounded memory.

    What was cut short, or never completed by its recorder, gives what is there and an
    `AudioWarning`; anything else, and what `check` refuses, raises `AudioError`.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise OSError("it is a folder" if path.is_dir() else "it is not there")
        sound, fault = _read(path)
        if not sound.n_samples and path.stat().st_size < IN_MEMORY * 4:
            data = bytearray(path.read_bytes())
            at = data.find(b"data") + 4  # a WAV has its size here, and then its samples
            if data[8:12] == b"WAVE" and not data[at + 4 : at + 8].strip().isalnum():
                data[at : at + 4] = b"\xff" * 4  # its recorder was cut off: "the rest"
                sound, fault = _read(BytesIO(data))[0], "its header claims no samples"
    except (LibsndfileError, OSError, TypeError) as error:
        what = str(error).split(": ")[-1].strip(".").replace(". ", ", ")
        text = f"{path} cannot be read ({what}): check the name or export it as WAV."
        raise AudioError(text) from error
    check(sound, name=str(path))
    if fault:
        text = f"{path} is damaged ({fault}): what is there was read; export it again."
        warnings.warn(text, AudioWarning, stacklevel=2)
    return sound


def check(sound: Sound, *, name: str) -> None:
    """Raise `AudioError`, naming it `name`, if nothing can be made of a sound."""
    peak = np.max([np.abs(block).max() for block in sound.blocks()], initial=0.0)
    faults = {
        "holds under 2 samples: choose another or export it again": sound.n_samples < 2,
        "has over 64 channels: export it with fewer": sound.n_channels > 64,
        "is over 768 kHz: export it at 48 kHz": not 1 <= sound.rate <= 768_000,
        "holds NaN or infinite samples: export it again": not np.isfinite(peak),
        "is silent (under -120 dBFS): choose a sound to be heard": peak < 1e-6,
        "is over +120 dBFS: export it within full scale": peak > 1e6,
    }
    for fault in (fault for fault, found in faults.items() if found):
        raise AudioError(f"{name} {fault}.")


def describe(sound: Sound) -> dict[str, float]:
    """Return the facts of a sound that `check` allows: seconds, Hz, dB of full scale.

    `dc_offset` is the mean of the worst channel; `clipped` the share of samples in flat
    tops, 3 or more in a row at a peak of .99 or over (within two 16-bit steps: +32767
    and -32768 are both full scale); silence is 60 dB or more under the peak.
    """
    n, size = sound.n_samples, sound.n_samples * sound.n_channels
    peak = float(max(np.abs(block).max() for block in sound.blocks()))
    power = sum(np.square(block, dtype=float).sum() for block in sound.blocks()) / size
    means = sum(block.sum(axis=0, dtype=float) for block in sound.blocks()) / n
    top = max(0.99, peak - 2**-14)
    tops = (np.abs(block) >= top for block in sound.blocks())
    flat = sum(np.sum(binary_opening(rows, np.ones((3, 1)))) for rows in tops)
    loud = ((np.abs(block) > peak / 1000).any(axis=1) for block in sound.blocks())
    heard = np.concatenate(list(loud))
    ends = heard.argmax() / sound.rate, heard[::-1].argmax() / sound.rate
    facts = {"duration": sound.duration, "rate": sound.rate, "channels": len(means)}
    facts |= {"peak_db": 20 * np.log10(peak), "rms_db": 10 * np.log10(power)}
    facts |= {"dc_offset": max(means, key=abs), "clipped": flat / size}
    return facts | {"silence_before": ends[0], "silence_after": ends[1]}


def mono(sound: Sound) -> Sound:
    """Mix all channels to one: their mean, or the first if the mean cancels out."""
    if sound.n_channels == 1:
        return sound
    powers = sum(
        np.array([np.square(block.mean(axis=1)).sum(), np.square(block[:, 0]).sum()])
        for block in sound.blocks()
    )
    cancels = powers[0] < 0.01 * powers[1]
    mixed = (
        block[:, :1] if cancels else block.mean(axis=1, keepdims=True)
        for block in sound.blocks()
    )
    return Sound(gather(mixed, n_samples=sound.n_samples, n_channels=1), sound.rate)


def resample(sound: Sound, *, rate: int) -> Sound:
    """Bring a sound to `rate`, 1000 to 768000 Hz, block by block, with soxr at VHQ.

    It has `round(n_samples * rate / sound.rate)` samples, in time with the original.
    """
    if not 1000 <= rate <= 768_000:
        raise AudioError(f"A rate of {rate} Hz is out of range: use 1000 to 768000.")
    if rate == sound.rate:
        return sound
    n_samples, n_channels = round(sound.n_samples * rate / sound.rate), sound.n_channels
    stream = soxr.ResampleStream(sound.rate, rate, n_channels, quality="VHQ")
    end = np.empty((0, n_channels), np.float32)
    steps = chain(sound.blocks(), [end])
    blocks = (stream.resample_chunk(step, last=step is end) for step in steps)
    return Sound(gather(blocks, n_samples=n_samples, n_channels=n_channels), rate)


def save(
    path: str | Path, sound: Sound, *, subtype: str = "PCM_24", inputs: Iterable = ()
) -> Path:
    """Write a .wav (PCM_16, PCM_24, FLOAT) or .flac (no FLOAT) and return its path.

    It appears whole or not at all, and the same sound gives the same bytes. 24 bits by
    default: they play everywhere and their noise cannot be heard. `AudioError` for NaN,
    a full disk, a name among the `inputs` by whatever link, or another kind of file.
    """
    path = Path(path)
    bits = {"PCM_16": 16, "PCM_24": 24, "FLOAT": 32}.get(subtype, 0)
    kind = path.suffix.upper()[1:]
    if not bits or kind not in ("WAV", "FLAC") or (kind, bits) == ("FLAC", 32):
        raise AudioError(f"{path} cannot hold {subtype}: use .wav, or .flac if PCM.")
    if path.exists() and any(Path(p).exists() and path.samefile(p) for p in inputs):
        raise AudioError(f"{path} is a sound to read: give the result another name.")
    if kind == "WAV" and sound.n_samples * sound.n_channels * bits // 8 > RIFF_LIMIT:
        kind = "RF64"
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    rng = np.random.default_rng(0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (sound.rate, sound.n_channels, subtype)
        with soundfile.SoundFile(part, "w", *shape, format=kind) as file:
            for block in sound.blocks():
                if not np.isfinite(block).all():
                    raise AudioError(f"{path} would hold NaN: render it again.")
                if bits < 32:  # libsndfile rounds floats down, which is DC: round here
                    top, dither = 2 ** (bits - 1), np.zeros((2, 1))
                    if bits == 16:  # triangular: the error is noise, not distortion
                        dither = rng.random((2, *block.shape))
                    steps = np.rint(block * np.float64(top) + dither[0] - dither[1])
                    block = steps.clip(-top, top - 1).astype(np.int32) << (32 - bits)
                file.write(block)
        if soundfile.info(part).frames != sound.n_samples:  # FLAC hides a full disk
            raise OSError("the disk is full")
        with part.open("r+b") as file:  # the PEAK chunk has the time of day in it
            at = file.read(200).find(b"PEAK") + 12
            file.seek(at)
            file.write(bytes(4) if at > 12 else b"")
        part.replace(path)
    except (LibsndfileError, OSError) as error:
        what = str(error).strip(".")
        text = f"{path} cannot be written ({what}): free space or change its folder."
        raise AudioError(text) from error
    finally:
        part.unlink(missing_ok=True)
    return path
