"""Sounds: read any file, check it, describe it, resample it, write it safely."""

import difflib
import filecmp
import glob
import mmap
import os
import platform
import re
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path
from uuid import uuid4

import numpy as np
import soundfile
import soxr
from scipy.ndimage import binary_opening
from soundfile import LibsndfileError

IN_MEMORY = 2**24  # values (64 MiB of float32); anything longer lives on disk
BLOCK = 2**20  # values handled at a time
RIFF_LIMIT = 2**32 - 2**20  # bytes that a WAV can count in its 32 bits
BITS = {"PCM_16": 16, "PCM_24": 24, "FLOAT": 32}
INPUT_FOLDER = Path("input_audio")  # where a name without a folder is looked for


class AudioError(ValueError):
    """Something that cannot work: one sentence with its name and the remedy."""

    def _render_traceback_(self) -> list[str]:
        # What IPython shows instead of the code that the error came through.
        return [f"{type(self).__name__}: {self}"]


class AudioWarning(UserWarning):
    """A sound that was read or written, but of which something is missing."""


# Sounds in memory and on disk ---------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Sound:
    """Samples float32 (n_samples, n_channels), nominally in [-1, 1], at `rate` Hz.

    Long ones are memory-mapped (`numpy.memmap`): they look the same, but lie on disk.
    """

    samples: np.ndarray
    rate: int

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
    n_bytes = 4 * n_samples * n_channels
    with tempfile.TemporaryFile() as file:
        try:
            for start in range(0, n_bytes, BLOCK):
                file.write(bytes(min(BLOCK, n_bytes - start)))
            file.flush()
        except OSError:
            raise _temporary_folder_is_full() from None
        return np.memmap(file, np.float32, "r+", shape=(n_samples, n_channels))


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


def release(array: np.ndarray) -> None:
    """Let the memory of an array go that is mapped from disk; its values stay there."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _temporary_folder_is_full() -> AudioError:
    return AudioError(f"{tempfile.gettempdir()} is full: free some space in it.")


# Reading ------------------------------------------------------------------------------


def load(path: str | Path) -> Sound:
    """Read a sound of any format, rate and length, in bounded memory.

    Parameters
    ----------
    path : str or Path
        A name without a folder is looked for in ``input_audio`` too.

    Returns
    -------
    Sound
        What was cut short, or never completed by its recorder, gives what is there and
        an `AudioWarning`.

    Raises
    ------
    AudioError
        For anything else that cannot be read, and for what `check` refuses.
    """
    found = find(path)
    name = shown(found)
    try:
        sound, fault = _read(found)
        if not sound.n_samples and found.stat().st_size < 4 * IN_MEMORY:
            data = _with_open_end(found.read_bytes())
            if data:
                sound, fault = _read(BytesIO(data))
                fault = "its header claims no samples"
    except (LibsndfileError, OSError, TypeError) as error:
        reason = str(error).split(": ")[-1].strip(".").replace(". ", ", ")
        raise AudioError(
            f"{name} cannot be read ({reason}): check the name or export it as WAV."
        ) from None
    check(sound, name=name)
    if fault:
        text = f"{name} is damaged ({fault}): what is there was read; export it again."
        warnings.warn(text, AudioWarning, stacklevel=2)
    return sound


def find(path: str | Path) -> Path:
    """Find the file that a person means.

    Raises
    ------
    AudioError
        When there is none, with names that are like it.
    """
    text = _as_text(path)
    name = shown(text)
    if re.match(r"\w+://", text):
        raise AudioError(
            f"{name} cannot be read (it is on the web): check the name, "
            "or download the file and give its place on this computer."
        )
    if re.match(r"[A-Za-z]:\\", text) and os.name != "nt":
        raise AudioError(
            f"{name} cannot be read (it is a place on a Windows computer): check the "
            "name, or copy the file into input_audio and give its name."
        )
    if os.name != "nt":
        text = text.replace("\\", "/")
    with suppress(RuntimeError):  # a user that is not known here
        text = str(Path(text).expanduser())
    wanted = Path(text)
    places = [wanted]
    if wanted.parent == Path():
        places.append(INPUT_FOLDER / wanted)
    for place in places:
        with suppress(OSError, ValueError):
            if place.is_file():
                return place
    raise AudioError(_not_found(wanted, name))


def _as_text(path: str | Path) -> str:
    if not isinstance(path, str | Path):
        raise AudioError(
            f"{path!r} cannot be read (it is no name of a file): check the name, "
            'which is written in quotes, as in "input_audio/bell.wav".'
        )
    return str(path).strip().strip("\"'")


def _not_found(wanted: Path, name: str) -> str:
    folders = {wanted.parent, INPUT_FOLDER}
    there = set()
    for folder in folders:
        with suppress(OSError, ValueError):
            there |= {shown(other) for other in folder.iterdir()}
    reason = "it is not there"
    with suppress(OSError, ValueError):
        if wanted.is_dir():
            reason = "it is a folder"
    if wanted.parent == Path():
        reason += f", nor in {INPUT_FOLDER}"
    text = f"{name} cannot be read ({reason}): check the name"
    like = difflib.get_close_matches(str(wanted), there, n=3, cutoff=0.5)
    like += difflib.get_close_matches(str(INPUT_FOLDER / wanted), there, n=3)
    if like:
        return f"{text}, perhaps it is {' or '.join(dict.fromkeys(like))}."
    return f"{text} or put the file into {INPUT_FOLDER}."


def shown(path: str | Path) -> str:
    """Spell a path in one line, whatever it is made of."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def _read(source: Path | BytesIO) -> tuple[Sound, str]:
    # A sound, and what is wrong with its file if anything is.
    with soundfile.SoundFile(source) as file:
        file.seekable = lambda: False  # its seek after each read fails on a short FLAC
        sound = Sound(_collect(file), file.samplerate)
        claimed = file.frames
        log = file.extra_info.partition("\n")[2]  # its first line is the file's name
    if claimed > sound.n_samples or claimed == 0:
        return sound, _claim(claimed, sound.n_samples, "samples")
    # libsndfile mends wrong sizes without a word, except in its log.
    sizes = r"(?:data|SSND|Size|size|riff) *: (\d+) \(should be (\d+)"
    for size, real in re.findall(sizes, log):
        if int(size) > int(real) or size == "0":
            return sound, _claim(size, real, "bytes")
    if re.search("a truncated|end-of-stream bit|Junk after the last page", log):
        return sound, "its end is missing"
    return sound, ""


def _claim(claimed: int | str, real: int | str, unit: str) -> str:
    return f"its header claims {claimed} {unit}, {real} are there"


def _collect(file: soundfile.SoundFile) -> np.ndarray:
    # All samples, whatever the header claims: a FLAC can claim terabytes.
    n_samples = 0
    with tempfile.TemporaryFile() as spool:
        try:
            with suppress(LibsndfileError):  # a decoder that gave up: keep what came
                while len(block := file.read(4096, "float32", always_2d=True)):
                    block.tofile(spool)
                    n_samples += len(block)
            spool.flush()
        except OSError:
            raise _temporary_folder_is_full() from None
        shape = (n_samples, file.channels)
        if n_samples * file.channels > IN_MEMORY:
            return np.memmap(spool, np.float32, "r+", shape=shape)
        spool.seek(0)
        return np.fromfile(spool, np.float32).reshape(shape)


def _with_open_end(data: bytes) -> bytes:
    # A WAV whose recorder was cut off says that it has no samples: let it say that they
    # go on to the end of the file. Empty for anything else.
    at = data.find(b"data") + 4
    size = data[at : at + 4]
    after = data[at + 4 : at + 8].strip()
    if data[8:12] != b"WAVE" or at < 4 or after.isalnum():
        return b""
    return data[:at] + b"\xff" * len(size) + data[at + 4 :]


def check(sound: Sound, *, name: str) -> None:
    """Raise `AudioError`, naming it `name`, if nothing can be made of a sound."""
    if sound.n_samples < 2:
        raise AudioError(
            f"{name} holds under 2 samples: choose another or export it again."
        )
    if sound.n_channels > 64:
        raise AudioError(f"{name} has over 64 channels: export it with fewer.")
    if not 1 <= sound.rate <= 768_000:
        raise AudioError(f"{name} is over 768 kHz: export it at 48 kHz.")
    peak = peak_of(sound)
    if not np.isfinite(peak):
        raise AudioError(f"{name} holds NaN or infinite samples: export it again.")
    if peak < 1e-6:
        raise AudioError(
            f"{name} is silent (under -120 dBFS): choose a sound to be heard."
        )
    if peak > 1e6:
        raise AudioError(f"{name} is over +120 dBFS: export it within full scale.")


def peak_of(sound: Sound) -> float:
    """Find the largest absolute value of all samples; nan if any is."""
    peak = 0.0
    for rows in spans(sound.samples):
        peak = np.maximum(peak, np.abs(sound.samples[rows]).max())
    return float(peak)


def describe(sound: Sound) -> dict[str, float]:
    """Measure the facts of a sound that `check` allows.

    Returns
    -------
    dict of float
        ``duration`` in seconds, ``rate`` in Hz, ``channels``; ``peak_db`` and
        ``rms_db`` in dB of full scale; ``dc_offset``, the mean of the worst channel;
        ``clipped``, the share of samples in flat tops, 3 or more in a row at a peak of
        .99 or over (within two 16-bit steps: +32767 and -32768 are both full scale);
        ``silence_before`` and ``silence_after``, the seconds at the ends that are 60 dB
        or more under the peak.
    """
    peak = peak_of(sound)
    top = max(0.99, peak - 2**-14)
    sums = np.zeros(sound.n_channels)
    squares = flat = 0.0
    heard = []
    for rows in spans(sound.samples):
        block = sound.samples[rows]
        sums += block.sum(axis=0, dtype=float)
        squares += np.square(block, dtype=float).sum()
        flat += binary_opening(np.abs(block) >= top, np.ones((3, 1))).sum()
        moments = np.flatnonzero((np.abs(block) > peak / 1000).any(axis=1))
        heard.extend(rows.start + moments[[0, -1]] if len(moments) else [])
    size = sound.n_samples * sound.n_channels
    means = sums / sound.n_samples
    return {
        "duration": sound.duration,
        "rate": sound.rate,
        "channels": sound.n_channels,
        "peak_db": 20 * np.log10(peak),
        "rms_db": 10 * np.log10(squares / size),
        "dc_offset": float(max(means, key=abs)),
        "clipped": flat / size,
        "silence_before": min(heard) / sound.rate,
        "silence_after": (sound.n_samples - 1 - max(heard)) / sound.rate,
    }


# Changing -----------------------------------------------------------------------------


def mono(sound: Sound) -> Sound:
    """Mix all channels to one: their mean, or the first if the mean cancels out."""
    if sound.n_channels == 1:
        return sound
    of_mean = of_first = 0.0
    for rows in spans(sound.samples):
        block = sound.samples[rows]
        of_mean += np.square(block.mean(axis=1)).sum()
        of_first += np.square(block[:, 0]).sum()
    cancels = of_mean < 0.01 * of_first
    output = allocate(sound.n_samples, 1)
    for rows in spans(sound.samples, output):
        block = sound.samples[rows]
        output[rows, 0] = block[:, 0] if cancels else block.mean(axis=1)
    return Sound(output, sound.rate)


def resample(sound: Sound, *, rate: int) -> Sound:
    """Bring a sound to another rate, block by block, with soxr at its best quality.

    Parameters
    ----------
    sound : Sound
    rate : int
        1000 to 768000 Hz.

    Returns
    -------
    Sound
        ``round(n_samples * rate / sound.rate)`` samples, in time with the original.

    Raises
    ------
    AudioError
        When the rate is out of range.
    """
    if not 1000 <= rate <= 768_000:
        raise AudioError(f"A rate of {rate} Hz is out of range: use 1000 to 768000.")
    if rate == sound.rate:
        return sound
    output = allocate(round(sound.n_samples * rate / sound.rate), sound.n_channels)
    stream = soxr.ResampleStream(sound.rate, rate, sound.n_channels, quality="VHQ")
    written = 0
    for rows in spans(sound.samples):
        last = rows.stop == sound.n_samples
        block = stream.resample_chunk(np.asarray(sound.samples[rows]), last=last)
        block = block[: len(output) - written]
        output[written : written + len(block)] = block
        written += len(block)
        release(output)
    return Sound(output, rate)


def excerpt(sound: Sound, *, seconds: float | None, n_least: int = 0) -> Sound:
    """Take the liveliest stretch of a sound: where its level rises most, in sum.

    Parameters
    ----------
    sound : Sound
    seconds : float or None
        How long; a shorter sound, and with None any sound, stays whole.
    n_least : int, default 0
        Samples that there must be: silence is added to a shorter sound.

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
        start = _liveliest(sound, seconds)
        stop = start + round(seconds * sound.rate)
        sound = Sound(np.array(sound.samples[start:stop]), sound.rate)
    missing = n_least - sound.n_samples
    if missing > 0:
        samples = np.pad(sound.samples, ((0, missing), (0, 0)))
        sound = Sound(samples, sound.rate)
    return sound


def check_excerpt_seconds(seconds: float | None) -> None:
    """Raise `AudioError` unless `seconds` is None or a number from 1 on."""
    if seconds is None or (type(seconds) in (int, float) and seconds >= 1):
        return
    raise AudioError(
        f"excerpt_seconds={seconds!r} does not work: use 1 or more, or None for all."
    )


def _liveliest(sound: Sound, seconds: float) -> int:
    # First sample of the stretch in which the level rises most, in steps of 50 ms.
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
    n_inside = min(round(seconds * sound.rate) // step, n_steps)
    in_sum = np.convolve(rises, np.ones(n_inside), "valid")
    return int(in_sum.argmax()) * step


# Writing ------------------------------------------------------------------------------


def save(
    path: str | Path, sound: Sound, *, subtype: str = "PCM_24", inputs: Iterable = ()
) -> Path:
    """Write a sound.

    It appears whole or not at all, and the same sound gives the same bytes.

    Parameters
    ----------
    path : str or Path
        A .wav or, for PCM, a .flac; its folder is made if need be.
    sound : Sound
    subtype : {"PCM_24", "PCM_16", "FLOAT"}
        24 bits by default: they play everywhere and their noise cannot be heard.
    inputs : iterable of paths
        Never to be overwritten, by whatever link.

    Returns
    -------
    Path
        Where it is. An `AudioWarning` tells of samples over full scale, which a PCM
        file clips.

    Raises
    ------
    AudioError
        For what `check_output` refuses, NaN, a full disk and the like.
    """
    check_output(path, subtype=subtype, inputs=inputs)
    path = Path(path)
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = new_part(path.parent)
        peak = _write(part, path, sound, subtype)
        part.replace(path)
    except (LibsndfileError, OSError) as error:
        reason = str(error).split(": ")[0].strip(".")
        raise AudioError(
            f"{shown(path)} cannot be written ({reason}): free space or change its "
            "folder."
        ) from None
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    if peak > 1 and subtype != "FLOAT":
        text = (
            f"{shown(path)} is clipped (its peak is {20 * np.log10(peak):+.1f} dBFS): "
            "finish the sound first, or use FLOAT."
        )
        warnings.warn(text, AudioWarning, stacklevel=2)
    return path


def check_output(
    path: str | Path, *, subtype: str = "PCM_24", inputs: Iterable = ()
) -> None:
    """Raise the `AudioError` that `save` would, before any work is done.

    Parameters
    ----------
    path, subtype, inputs
        As in `save`.
    """
    if not isinstance(path, str | Path) or "\0" in str(path):
        raise AudioError(f"{path!r} cannot be written: give the name of a file.")
    path = Path(path)
    name = shown(path)
    kind = path.suffix.lower()
    if not isinstance(subtype, str) or subtype not in BITS:
        raise AudioError(
            f"{name} cannot hold {subtype!r}: use PCM_16, PCM_24 or FLOAT."
        )
    if kind not in (".wav", ".flac") or (kind, subtype) == (".flac", "FLOAT"):
        raise AudioError(f"{name} cannot hold {subtype}: use .wav, or .flac if PCM.")
    if len(os.fsencode(path.name)) > 255:
        raise AudioError(f"{name} is too long a name: use under 200 letters.")
    with suppress(OSError):  # a place that cannot be looked at cannot be an input
        if path.is_dir():
            raise AudioError(f"{name} is a folder: give the result another name.")
        if path.exists() and any(_is_same(path, other) for other in inputs):
            raise AudioError(
                f"{name} is a sound to read: give the result another name."
            )


def _is_same(path: Path, other: str | Path) -> bool:
    with suppress(OSError, ValueError):
        return path.samefile(other)
    return False


PART = f".predictive_convolution-{platform.node()}-"  # how unfinished files begin


def new_part(folder: Path) -> Path:
    """Name a file that is to be written in `folder`, and renamed when it is complete.

    What a process that was killed left behind under such a name is cleared away.
    """
    for left in folder.glob(f"{glob.escape(PART)}*.part"):
        process = left.name.removeprefix(PART).partition("-")[0]
        if process.isdigit() and not _is_running(int(process)):
            left.unlink(missing_ok=True)
    return folder / f"{PART}{os.getpid()}-{uuid4().hex}.part"


def _is_running(process: int) -> bool:
    if os.name == "nt":  # there, asking would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _write(part: Path, path: Path, sound: Sound, subtype: str) -> float:
    # Writes the whole sound and returns its peak.
    bits = BITS[subtype]
    kind = path.suffix[1:].upper()
    if kind == "WAV" and sound.n_samples * sound.n_channels * bits // 8 > RIFF_LIMIT:
        kind = "RF64"
    peak = 0.0
    rng = np.random.default_rng(0)
    shape = (sound.rate, sound.n_channels, subtype)
    with soundfile.SoundFile(part, "w", *shape, format=kind) as file:
        for rows in spans(sound.samples):
            block = sound.samples[rows]
            peak = max(peak, float(np.abs(block).max()))
            if not np.isfinite(block).all():
                raise AudioError(f"{shown(path)} would hold NaN: render it again.")
            file.write(block if subtype == "FLOAT" else _steps(block, bits, rng))
    if soundfile.info(part).frames != sound.n_samples:  # FLAC hides a full disk
        raise OSError("the disk is full")
    _clear_time_of_day(part)
    return peak


def _steps(block: np.ndarray, bits: int, rng: np.random.Generator) -> np.ndarray:
    # libsndfile rounds floats down, which is DC: round here. At 16 bits two random
    # numbers go in first, so that the error is noise and not distortion.
    top = 2 ** (bits - 1)
    steps = block * np.float64(top)
    if bits == 16:
        dither = rng.random((2, *block.shape))
        steps += dither[0] - dither[1]
    return np.rint(steps).clip(-top, top - 1).astype(np.int32) << (32 - bits)


def _clear_time_of_day(part: Path) -> None:
    # The PEAK chunk of a float file has it; without it the same sound is the same file.
    with part.open("r+b") as file:
        at = file.read(200).find(b"PEAK")
        if at >= 0:
            file.seek(at + 12)
            file.write(bytes(4))


def save_take(
    path: str | Path, sound: Sound, *, subtype: str = "PCM_24", inputs: Iterable = ()
) -> Path:
    """Write a sound, but never over another that differs.

    The first take has the given name, the next that differs has ``_2`` behind it, and
    so on; one that is there already, byte for byte, keeps its name.

    Parameters
    ----------
    path, sound, subtype, inputs
        As in `save`.

    Returns
    -------
    Path
        Where the sound is.

    Raises
    ------
    AudioError
        As in `save`.
    """
    path = Path(path)
    written = save(path.with_stem(f".{path.stem}.take"), sound, subtype=subtype)
    try:
        for number in count(1):
            take = path if number == 1 else path.with_stem(f"{path.stem}_{number}")
            if not take.exists():
                written.replace(take)
                return take
            if filecmp.cmp(written, take, shallow=False):
                return take
    finally:
        written.unlink(missing_ok=True)
