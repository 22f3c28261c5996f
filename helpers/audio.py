"""Sounds: read any file, check it, describe it, resample it, write it safely."""

import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy.ndimage import binary_opening
from soundfile import LibsndfileError

IN_MEMORY = 2**26  # values (256 MiB of float32); anything longer lives on disk
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
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 it closes with the spool

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


def gather(
    blocks: Iterable[np.ndarray], *, n_samples: int, n_channels: int
) -> np.ndarray | Spool:
    """Join blocks (n, n_channels); over 2**26 values they live on disk, in a Spool.

    `n_samples` is the length to expect; if fewer come, the result is shorter.
    """
    if n_samples * n_channels <= IN_MEMORY:
        rows, filled = np.empty((n_samples, n_channels), np.float32), 0
        for block in blocks:
            rows[filled : filled + len(block)] = block
            filled += len(block)
        return rows if filled == n_samples else rows[:filled].copy()
    spool = Spool(n_channels)
    for block in blocks:
        spool.append(block)
    return spool if len(spool) * n_channels > IN_MEMORY else spool[:]


class _Reader(soundfile.SoundFile):
    def seekable(self) -> bool:
        return False  # soundfile seeks after each read: fatal where a FLAC is cut short

    def rows(self) -> Iterator[np.ndarray]:
        block = np.full((BLOCK // self.channels, self.channels), np.nan, np.float32)
        try:
            while len(read := self.read(out=block)):
                yield read
                block.fill(np.nan)  # shows what a decoder that gives up did not reach
        except LibsndfileError:
            yield block[: np.count_nonzero(~np.isnan(block[:, 0]))]

    def fault(self, n_samples: int) -> str:
        # libsndfile mends sizes without a word, but it notes them in its log.
        log = self.extra_info.partition("\n")[2]  # its first line is the file's name
        size = r"(?:data|SSND|Size|riff|size|Frames) *: (\d+) \([Ss]hould .*be (\d+)"
        for said, real in [(self.frames, n_samples), *re.findall(size, log)]:
            if int(said) == 0 or int(said) > 2**60:
                return "its header was never completed"
            if int(said) > int(real):
                return f"it ends after {int(real) / int(said):.1%} of its length"
        cut = re.search("truncated|end-of-stream bit|Junk after the last page", log)
        return "its end is missing" if cut else ""


def _read(path: Path) -> tuple[Sound, str]:
    with _Reader(path) as file:
        size = {"n_samples": file.frames, "n_channels": file.channels}
        sound = Sound(gather(file.rows(), **size), file.samplerate)
        return sound, file.fault(sound.n_samples)


def _mended(path: Path) -> tuple[Sound, str]:
    # A recorder that was cut off leaves no size in the header: a copy gets one.
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copyfile(path, Path(folder, "copy"))
        with copy.open("r+b") as file:
            head = file.read(2**16)
            at = head.find(b"data") + 4
            if head[:4] == b"caff":
                size = max(0, path.stat().st_size - at - 8).to_bytes(8, "big")
            else:  # "all that follows"; RF64 puts its own size elsewhere
                head, size = b"RIFF", b"\xff" * 4
            file.seek(0)
            file.write(head[:4])
            file.seek(at)
            file.write(size)
        return _read(copy)[0], "its header was never completed"


def load(path: str | Path) -> Sound:
    """Read a sound of any format, rate and length, in bounded memory.

    What was cut short, or never completed by its recorder, gives what is there and an
    `AudioWarning`; anything else, and what `check` refuses, raises `AudioError`.
    """
    path, sound, fault = Path(path), None, ""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not there"
        raise AudioError(f"{path} {what}: give the name of a sound file.")
    try:
        sound, fault = _read(path)
    except (LibsndfileError, OSError, TypeError) as error:
        reason = str(error).split(": ")[-1].strip(".")
    if not (sound and sound.n_samples):
        with suppress(LibsndfileError, OSError):
            with path.open("rb") as file:
                head = file.read(12)
            empty = int.from_bytes(head[4:8], "little") + 8 == path.stat().st_size
            if head[8:] == b"WAVE" and not empty or head[:4] == b"caff":
                sound, fault = _mended(path)
    if sound is None:
        raise AudioError(f"{path} cannot be read ({reason}): export it as WAV or FLAC.")
    check(sound, name=str(path))
    if fault:
        text = f"{path} is damaged ({fault}): what is there was read; export it again."
        warnings.warn(text, AudioWarning, stacklevel=2)
    return sound


def check(sound: Sound, *, name: str) -> None:
    """Raise `AudioError`, with `name` in it, for a sound that nothing can be made of.

    So: a rate over 768 kHz, over 64 channels, under 2 samples, NaN or infinity, and a
    peak under -120 dBFS (silence) or over +120 dBFS (no sound; its square overflows).
    """
    peak = np.max([np.abs(block).max() for block in sound.blocks()], initial=0.0)
    if sound.n_samples < 2:
        fault = f"holds {sound.n_samples} samples: choose a sound of at least 2"
    elif not (1 <= sound.rate <= 768_000 and sound.n_channels <= 64):
        fault = "is over 768 kHz or 64 channels: export it with less"
    elif not np.isfinite(peak):
        fault = "holds NaN or infinite samples: export it again"
    elif not 1e-6 <= peak <= 1e6:
        what = "is silent" if peak < 1 else "is far beyond full scale"
        fault = f"{what}: choose a sound that can be heard, or export it again"
    else:
        return
    raise AudioError(f"{name} {fault}.")


def describe(sound: Sound) -> dict[str, float]:
    """Return the facts of a sound that `check` allows, over all of its channels.

    Seconds, Hz, dB of full scale; `dc_offset` is the mean of the worst channel and
    `clipped` the share of samples in flat tops (3 or more in a row at a peak of .99 or
    more); silence is what stays under -80 dBFS at either end.
    """
    n, start, peak, clipped, sums, heard = sound.n_samples, 0, 0.0, 0, 0.0, []
    for block in sound.blocks():
        level = np.abs(block)
        top = float(level.max())
        if top >= 0.99:  # two 16-bit steps: +32767 and -32768 are both full scale
            clipped += np.sum(binary_opening(level > top - 2**-14, np.ones((3, 1))))
        sums = sums + np.stack([block, block**2]).sum(axis=1, dtype=np.float64)
        heard += [*(start + np.flatnonzero(level.max(axis=1) > 1e-4))][:: n - 1]
        start, peak = start + len(block), max(peak, top)
    mean, power = sums / n
    first, last = (heard[0], heard[-1]) if heard else (n, n - 1)
    return {
        "duration": sound.duration,
        "rate": sound.rate,
        "channels": sound.n_channels,
        "peak_db": 20 * np.log10(peak),
        "rms_db": 10 * np.log10(power.mean()),
        "dc_offset": max(mean, key=abs),
        "clipped": clipped / (n * sound.n_channels),
        "silence_before": first / sound.rate,
        "silence_after": (n - 1 - last) / sound.rate,
    }


def resample(sound: Sound, *, rate: int) -> Sound:
    """Bring a sound to `rate` (1000 to 768000 Hz), in time, with soxr at VHQ.

    The length is `round(n_samples * rate / sound.rate)`.
    """
    if not 1000 <= rate <= 768_000:
        raise AudioError(f"A rate of {rate} Hz is out of range: use 1000 to 768000.")
    if rate == sound.rate:
        return sound
    stream = soxr.ResampleStream(sound.rate, rate, sound.n_channels, quality="VHQ")
    end = np.empty((0, sound.n_channels), np.float32)
    blocks = (
        stream.resample_chunk(block, last=block is end)
        for block in chain(sound.blocks(), [end])
    )
    n_samples = round(sound.n_samples * rate / sound.rate)
    return Sound(gather(blocks, n_samples=n_samples, n_channels=sound.n_channels), rate)


def _steps(block: np.ndarray, subtype: str, rng: np.random.Generator) -> np.ndarray:
    if subtype == "FLOAT":
        return block
    # libsndfile rounds floats down, half a step of DC: hand it integers instead.
    full = 2.0 ** (15 if subtype == "PCM_16" else 23)
    steps = block * full
    if subtype == "PCM_16":  # triangular dither: the error is noise, not distortion
        steps += rng.random(block.shape, "f4") - rng.random(block.shape, "f4")
    steps = np.rint(steps).clip(-full, full - 1).astype(np.int32)
    return steps * np.int32(2**31 / full)  # left-justified


def save(
    path: str | Path,
    sound: Sound,
    *,
    subtype: str = "PCM_24",
    inputs: Iterable[str | Path] = (),
) -> Path:
    """Write a .wav (PCM_16, PCM_24, FLOAT) or .flac (no FLOAT) and return its path.

    It appears whole or not at all, and the same sound gives the same bytes. 24 bits by
    default: they play everywhere and their noise cannot be heard. `AudioError` for NaN,
    a full disk, a name among the `inputs` by whatever link, or another kind of file.
    """
    path = Path(path)
    form = {".wav": "WAV", ".flac": "FLAC"}.get(path.suffix.lower(), "")
    if form not in {"PCM_16": "WAV FLAC", "PCM_24": "WAV FLAC", "FLOAT": "WAV"}.get(
        subtype, ""
    ):
        raise AudioError
    if path.exists() and any(Path(p).exists() and path.samefile(p) for p in inputs):
        raise AudioError(f"{path} is a sound to read: give the result another name.")
    if form == "WAV" and sound.n_samples * sound.n_channels * 4 > RIFF_LIMIT:
        form = "RF64"
    part, rng = path.with_name(f".{path.name}.{os.getpid()}"), np.random.default_rng(0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (sound.rate, sound.n_channels, subtype)
        with soundfile.SoundFile(part, "w", *shape, format=form) as file:
            for block in sound.blocks():
                if not np.isfinite(block).all():
                    raise AudioError(f"{path} would hold NaN: render it again.")
                file.write(_steps(block, subtype, rng))
        if soundfile.info(part).frames != sound.n_samples:  # FLAC tells of no full disk
            raise OSError("the disk is full")
        with part.open("r+b") as file:  # the PEAK chunk has the time of day in it
            at = file.read(200).find(b"PEAK") + 12
            file.seek(at)
            file.write(bytes(4) if at > 12 else b"")
        part.replace(path)
    except (LibsndfileError, OSError) as error:
        raise AudioError(
            f"{path} cannot be written ({error}): free some space."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return path
