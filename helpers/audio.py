"""A sound: its samples, checks and facts, and what changes them."""

import mmap
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from numbers import Integral
from typing import BinaryIO, NamedTuple

import numpy as np
import soxr
from scipy.ndimage import binary_opening

IN_MEMORY = 2**24  # values (64 MiB of float32); anything longer lives on disk
BLOCK = 2**20  # values handled at a time
MOST_CHANNELS = 64
HIGHEST_RATE = 768_000  # Hz


class AudioError(ValueError):
    """Something that cannot work: one sentence with its name and the remedy."""

    def _render_traceback_(self) -> list[str]:
        # What IPython shows instead of the code that the error came through.
        return [f"{type(self).__name__}: {self}"]


class AudioWarning(UserWarning):
    """A sound that was read or written, but of which something is missing."""


class Stretch(NamedTuple):
    """Where a part of a sound comes from, all in seconds.

    Stretches that were cross-faded overlap; those that were joined do not.
    """

    start: float
    stop: float
    file: str
    file_start: float  # what of the file is heard at `start`
    semitones: float = 0.0  # how far it is transposed, on average


@dataclass(frozen=True, eq=False)
class Sound:
    """Samples float32 (n_samples, n_channels), nominally in [-1, 1], at `rate` Hz.

    Long ones are memory-mapped (`numpy.memmap`): they look the same, but lie on disk.
    Where its parts come from is known of a sound that was read, or made of such.
    """

    samples: np.ndarray
    rate: int
    stretches: tuple[Stretch, ...] = ()

    @property
    def n_samples(self) -> int:
        """Number of samples of each channel."""
        return self.samples.shape[0]

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self.samples.shape[1]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.rate


def allocate(n_samples: int, n_channels: int) -> np.ndarray:
    """Make room for the samples of a sound.

    Returns
    -------
    ndarray of shape (n_samples, n_channels)
        Float32 zeros; if there are over `IN_MEMORY`, in an unnamed temporary file that
        goes away with the array.

    Raises
    ------
    AudioError
        When the disk is full.
    """
    if n_samples * n_channels <= IN_MEMORY:
        return np.zeros((n_samples, n_channels), np.float32)
    with temporary_file() as file:
        for _ in range(0, 4 * n_samples * n_channels, BLOCK):
            file.write(bytes(BLOCK))
        file.flush()
        return np.memmap(file, np.float32, "r+", shape=(n_samples, n_channels))


@contextmanager
def temporary_file() -> Iterator[BinaryIO]:
    """Open a file without a name, which goes away when nothing uses it any more.

    Raises
    ------
    AudioError
        When the disk is full.
    """
    try:
        with tempfile.TemporaryFile() as file:
            yield file
    except OSError:
        folder = tempfile.tempdir or "The folder for temporary files"
        raise AudioError(f"{folder} is full: free some space in it.") from None


def spans(*arrays: np.ndarray, size: int | None = None) -> Iterator[slice]:
    """Yield slices over the rows of arrays of one length, a part at a time.

    ``for rows in spans(x, y): y[rows] = 2 * x[rows]`` works through sounds of any
    length: what was mapped from disk is let go of after each part.

    Parameters
    ----------
    *arrays : ndarray of shape (n_samples, n_channels)
    size : int, optional
        Values of one array in a part; by default `BLOCK`, about a million.
    """
    step = max(1, (size or BLOCK) // max(1, arrays[0].shape[1]))
    for start in range(0, len(arrays[0]), step):
        yield slice(start, min(start + step, len(arrays[0])))
        for array in arrays:
            release(array)


def blocks(sound: Sound) -> Iterator[np.ndarray]:
    """Yield the samples of a sound a part at a time, as `spans` does."""
    for rows in spans(sound.samples):
        yield sound.samples[rows]


def release(array: np.ndarray) -> None:
    """Let the memory of an array go that is mapped from disk; its values stay there."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def check(sound: Sound, *, name: str) -> None:
    """Raise `AudioError`, naming it `name`, if nothing can be made of a sound."""
    check_form(sound, name=name)
    if sound.n_samples < 2:
        raise AudioError(f"{name} holds under 2 samples: choose another.")
    peak = peak_of(sound)
    if not peak <= 1e6:  # nan is not, either
        raise AudioError(f"{name} holds NaN or is over +120 dBFS: export it again.")
    if peak < 1e-6:
        raise AudioError(f"{name} is silent (under -120 dBFS): choose another.")


def check_form(sound: Sound, *, name: str) -> None:
    """Raise `AudioError` for samples or a rate that cannot be those of a `Sound`."""
    samples = sound.samples
    if not isinstance(samples, np.ndarray) or samples.dtype.kind not in "fiu":
        raise AudioError(
            f"{name} has no array of real samples: make it one of float32."
        )
    if samples.ndim != 2 or not 1 <= sound.n_channels <= MOST_CHANNELS:
        raise AudioError(
            f"{name} has samples of shape {samples.shape}: give them the shape "
            "(n_samples, n_channels), with 1 to 64 channels."
        )
    if not isinstance(sound.rate, Integral) or not 1 <= sound.rate <= HIGHEST_RATE:
        raise AudioError(f"{name} is at {sound.rate!r} Hz: export it at 48000 Hz.")


def peak_of(sound: Sound) -> float:
    """Find the largest absolute value of all samples; nan if any is."""
    peaks = [np.abs(block).max() for block in blocks(sound)]
    return float(np.max(peaks, initial=0))


def rms_of(sound: Sound) -> float:
    """Find the root of the mean square of all samples."""
    squares = sum(np.square(block, dtype=float).sum() for block in blocks(sound))
    return float(np.sqrt(squares / sound.samples.size))


def means_of(sound: Sound) -> np.ndarray:
    """Find the mean of each channel, ``(n_channels,)``."""
    sums = sum(block.sum(axis=0, dtype=float) for block in blocks(sound))
    return sums / sound.n_samples


def ends_of(sound: Sound, *, threshold_db: float) -> tuple[int, int]:
    """Find the first and the last sample that are not silent.

    Parameters
    ----------
    sound : Sound
    threshold_db : float
        Silence is over this far under the peak.
    """
    limit = peak_of(sound) * 10 ** (threshold_db / 20)
    first, last = sound.n_samples, 0
    for rows in spans(sound.samples):
        loud = np.flatnonzero(np.abs(sound.samples[rows]).max(axis=1) >= limit)
        if len(loud):
            first = min(first, rows.start + loud[0])
            last = rows.start + loud[-1]
    return first, last


def describe(sound: Sound) -> dict[str, float]:
    """Measure the facts of a sound that `check` allows.

    Returns
    -------
    dict of float
        ``duration`` in seconds, ``rate`` in Hz, ``channels``; ``peak_db`` and
        ``rms_db`` in dB of full scale; ``dc_offset``, the mean of the worst channel;
        ``clipped``, the share of samples in flat tops, 3 or more in a row at a peak of
        .99 or over (within two 16-bit steps: +32767 and -32768 are both full scale);
        ``silence_before`` and ``silence_after``, the seconds at the ends that are over
        60 dB under the peak.
    """
    peak = peak_of(sound)
    first, last = ends_of(sound, threshold_db=-60)
    return {
        "duration": sound.duration,
        "rate": sound.rate,
        "channels": sound.n_channels,
        "peak_db": 20 * np.log10(peak),
        "rms_db": 20 * np.log10(rms_of(sound)),
        "dc_offset": float(max(means_of(sound), key=abs)),
        "clipped": _n_clipped(sound, top=max(0.99, peak - 2**-14)) / sound.samples.size,
        "silence_before": first / sound.rate,
        "silence_after": (sound.n_samples - 1 - last) / sound.rate,
    }


def _n_clipped(sound: Sound, *, top: float) -> int:
    count = 0
    for rows in spans(sound.samples):
        # Two samples more on either side show what is three in a row.
        first = max(0, rows.start - 2)
        wider = np.abs(sound.samples[first : rows.stop + 2]) >= top
        in_a_row = binary_opening(wider, np.ones((3, 1)))
        count += in_a_row[rows.start - first : rows.stop - first].sum()
    return count


def mono(sound: Sound) -> Sound:
    """Mix all channels to one: their mean, or the first if the mean cancels out."""
    if sound.n_channels == 1:
        return sound
    mean = replace(sound, samples=allocate(sound.n_samples, 1))
    for rows in spans(sound.samples, mean.samples):
        mean.samples[rows] = sound.samples[rows].mean(axis=1, keepdims=True)
    first = replace(sound, samples=sound.samples[:, :1])
    cancels_out = rms_of(mean) < 0.1 * rms_of(first)
    return first if cancels_out else mean


def resample(sound: Sound, *, rate: int) -> Sound:
    """Bring a sound to another rate, block by block, with soxr at its best quality.

    Parameters
    ----------
    sound : Sound
    rate : int
        1000 to 768000 Hz, a whole number.

    Returns
    -------
    Sound
        ``round(n_samples * rate / sound.rate)`` samples, in time with the original.

    Raises
    ------
    AudioError
        When the rate is out of range, and for what `check_form` refuses.
    """
    check_form(sound, name="The sound")
    if not isinstance(rate, Integral) or not 1000 <= rate <= HIGHEST_RATE:
        raise AudioError(f"A rate of {rate!r} Hz is out of range: use 1000 to 768000.")
    if rate == sound.rate:
        return sound
    output = allocate(round(sound.n_samples * rate / sound.rate), sound.n_channels)
    stream = soxr.ResampleStream(sound.rate, rate, sound.n_channels, quality="VHQ")
    written = 0
    for rows in spans(sound.samples):
        last = rows.stop == sound.n_samples
        block = np.asarray(sound.samples[rows], np.float32)
        block = stream.resample_chunk(block, last=last)
        block = block[: len(output) - written]
        output[written : written + len(block)] = block
        written += len(block)
        release(output)
    return Sound(output, rate, sound.stretches)


def cut(sound: Sound, *, start: int, stop: int) -> Sound:
    """Take the samples from `start` up to `stop`, and where they come from."""
    samples = sound.samples[start:stop]
    first, end = start / sound.rate, (start + len(samples)) / sound.rate
    inside = []
    for stretch in sound.stretches:
        if stretch.start < end and stretch.stop > first:
            missing = max(first - stretch.start, 0.0)
            inside.append(
                stretch._replace(
                    start=stretch.start + missing - first,
                    stop=min(stretch.stop, end) - first,
                    file_start=stretch.file_start + missing,
                )
            )
    return Sound(samples, sound.rate, tuple(inside))


def excerpt(
    sound: Sound,
    *,
    seconds: float | None,
    n_least: int = 0,
    each_file: bool = False,
) -> Sound:
    """Take the liveliest stretch of a sound: where its level rises most, in sum.

    Parameters
    ----------
    sound : Sound
    seconds : float or None
        How long; a shorter sound, and with None any sound, stays whole.
    n_least : int, default 0
        Samples that there must be: silence is added to a shorter sound.
    each_file : bool, default False
        Of a sound of several files take an equal share of each, half a second or more.

    Returns
    -------
    Sound

    Raises
    ------
    AudioError
        When `seconds` is no number of seconds from 1 on.
    """
    check_excerpt_seconds(seconds)
    if seconds is not None and sound.duration > seconds:
        parts = _files_of(sound) if each_file else [sound]
        share = max(seconds / len(parts), 0.5)
        sound = join([_liveliest(part, share) for part in parts])
    missing = n_least - sound.n_samples
    if missing <= 0:
        return sound
    return replace(sound, samples=np.pad(sound.samples, ((0, missing), (0, 0))))


def joints(sound: Sound) -> list[int]:
    """Find the samples at which a new file begins without a cross-fade."""
    pairs = pairwise(sound.stretches)
    starts = [later.start for sooner, later in pairs if sooner.stop <= later.start]
    return [round(start * sound.rate) for start in starts]


def _files_of(sound: Sound) -> list[Sound]:
    edges = [0, *joints(sound), sound.n_samples]
    return [cut(sound, start=start, stop=stop) for start, stop in pairwise(edges)]


def join(sounds: Sequence[Sound]) -> Sound:
    """Put sounds of one rate and number of channels one behind the other."""
    stretches, ahead = [], 0.0
    for sound in sounds:
        for stretch in sound.stretches:
            start, stop = ahead + stretch.start, ahead + stretch.stop
            stretches.append(stretch._replace(start=start, stop=stop))
        ahead += sound.duration
    samples = np.concatenate([sound.samples for sound in sounds])
    return Sound(samples, sounds[0].rate, tuple(stretches))


def check_excerpt_seconds(seconds: float | None) -> None:
    """Raise `AudioError` unless `seconds` is None or a number from 1 on."""
    if seconds is None or (type(seconds) in (int, float) and seconds >= 1):
        return
    raise AudioError(
        f"excerpt_seconds={seconds!r} does not work: use 1 or more, or None for all."
    )


def _liveliest(sound: Sound, seconds: float) -> Sound:
    # The stretch in which the level rises most, in steps of 50 ms.
    n_samples = round(seconds * sound.rate)
    if sound.n_samples <= n_samples:
        return sound
    step = max(1, sound.rate // 20)
    n_steps = sound.n_samples // step
    whole_steps = sound.samples[: n_steps * step]
    power = []
    for rows in spans(whole_steps, size=1000 * step * sound.n_channels):
        block = whole_steps[rows].reshape(-1, step * sound.n_channels)
        power.append(np.square(block).mean(axis=1))
    level_db = 10 * np.log10(np.concatenate(power) + 1e-12)
    level_db = np.maximum(level_db, level_db.max() - 40)  # noise is no life
    rises = np.maximum(np.diff(level_db, prepend=level_db[0]), 0)
    n_inside = min(n_samples // step, n_steps)
    in_sum = np.convolve(rises, np.ones(n_inside), "valid")
    start = int(in_sum.argmax()) * step
    return cut(sound, start=start, stop=start + n_samples)
