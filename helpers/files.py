"""Files of sound: find and read any, write safely."""

import difflib
import filecmp
import os
import platform
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import numpy as np
import pandas as pd
import soundfile
from soundfile import LibsndfileError

from helpers import audio
from helpers.audio import (
    HIGHEST_RATE,
    MOST_CHANNELS,
    AudioError,
    AudioWarning,
    Sound,
    Stretch,
    blocks,
    check,
    check_form,
    excerpt,
    peak_of,
    resample,
    temporary_file,
)

CORPUS_SECONDS = 1200  # of many sounds that are read as one; 20 minutes
SUFFIXES = {".wav", ".w64", ".rf64", ".aif", ".aiff", ".aifc", ".caf", ".au", ".snd"}
SUFFIXES |= {".flac", ".ogg", ".oga", ".opus", ".mp3"}  # what counts in a folder
RIFF_LIMIT = 2**32 - 2**20  # bytes that a WAV can count in its 32 bits
BITS = {"PCM_16": 16, "PCM_24": 24, "FLOAT": 32}
SUBTYPES = {".wav": ["PCM_16", "PCM_24", "FLOAT"], ".flac": ["PCM_16", "PCM_24"]}
INPUT_FOLDER = Path("input_audio")  # where names are looked for too
PART = f".predictive_convolution-{platform.node()}-"  # how unfinished files begin


# Reading ------------------------------------------------------------------------------


def load(
    path: str | Path | Sequence[str | Path], *, leave_out: str | Path | None = None
) -> Sound:
    """Read a sound of any format, rate and length, or many as one, in bounded memory.

    Parameters
    ----------
    path : str or Path, or a list of them
        What is not there is looked for in ``input_audio`` too. A folder stands for all
        sounds in it and below. Several files are put one behind the other, at the
        highest of their rates and with as many channels as the one with the most. If
        they are longer than `CORPUS_SECONDS` together, the liveliest stretch of each is
        taken, so that all have the same share.
    leave_out : str or Path, optional
        A file of the folder that is not meant, such as sound B.

    Returns
    -------
    Sound
        What was cut short, or never completed by its recorder, gives what is there and
        an `AudioWarning`, and so does a file in a folder that cannot be read.

    Raises
    ------
    AudioError
        For anything else that cannot be read, and for what `check` refuses.
    """
    files = files_of(path, leave_out=leave_out)
    if not is_corpus(path):
        return _load_file(files[0])
    sound = _gather(files)
    check(sound, name=shown(path))
    return sound


def is_corpus(path: str | Path | Sequence[str | Path]) -> bool:
    """Tell a folder or a list of files from a single file."""
    return isinstance(path, list | tuple) or find(path).is_dir()


def name_of(path: str | Path | Sequence[str | Path]) -> str:
    """Name a sound after its file or folder, or after the first of several."""
    if isinstance(path, list | tuple):
        if not path:
            raise AudioError(f"{path!r} names no sounds: put some into the brackets.")
        others = f"_and_{len(path) - 1}_more" if len(path) > 1 else ""
        return f"{name_of(path[0])}{others}"
    return find(path).resolve().stem


def files_of(
    path: str | Path | Sequence[str | Path], *, leave_out: str | Path | None = None
) -> list[Path]:
    """List the files that a name, a folder or a list of them stands for.

    Raises
    ------
    AudioError
        As `find`, and for a folder without sounds.
    """
    if isinstance(path, list | tuple):
        return [file for one in path for file in files_of(one, leave_out=leave_out)]
    if not is_corpus(path):
        return [find(path)]
    files = [file for file in sorted(find(path).rglob("*")) if _is_sound(file)]
    if leave_out is not None:
        files = [file for file in files if not _is_same(file, leave_out)]
    if not files:
        raise AudioError(
            f"{shown(path)} holds no sounds: put some into it or choose another."
        )
    return files


def _is_sound(file: Path) -> bool:
    hidden = file.name.startswith(".")
    return file.suffix.lower() in SUFFIXES and file.is_file() and not hidden


def _gather(files: list[Path]) -> Sound:
    # One sound of many files, written to disk one after the other.
    rate, n_channels, seconds = _common_form(files)
    share = None if seconds <= CORPUS_SECONDS else max(1, CORPUS_SECONDS / len(files))
    n_samples, stretches = 0, []
    with temporary_file() as spool:
        for file in files:
            try:
                sound = excerpt(_load_file(file), seconds=share)
            except AudioError as error:
                text = f"{str(error).rstrip('.')}; it was left out."
                warnings.warn(text, AudioWarning, stacklevel=3)
                continue
            sound = resample(sound, rate=rate)
            counted_round = np.arange(n_channels) % sound.n_channels
            for block in blocks(sound):
                block[:, counted_round].tofile(spool)
            start, n_samples = n_samples / rate, n_samples + sound.n_samples
            (stretch,) = sound.stretches
            stretches.append(stretch._replace(start=start, stop=n_samples / rate))
        samples = _from_disk(spool, (n_samples, n_channels))
    return Sound(samples, rate, tuple(stretches))


def _common_form(files: list[Path]) -> tuple[int, int, float]:
    # The highest rate, the most channels, and the seconds of all together.
    rates, channels, seconds = [1000], [1], 0
    for file in files:
        with suppress(LibsndfileError, OSError, TypeError):  # `_load_file` will say it
            facts = soundfile.info(_encoded(file))
            if facts.samplerate <= HIGHEST_RATE and facts.channels <= MOST_CHANNELS:
                rates.append(facts.samplerate)
                channels.append(facts.channels)
                seconds += facts.duration
    return max(rates), max(channels), seconds


def _load_file(path: Path) -> Sound:
    name = shown(path)
    try:
        sound, fault = _read(_encoded(path))
        if sound.n_samples == 0:
            sound = _read_to_the_end(path)
            fault = "its header claims no samples"
    except (LibsndfileError, OSError, TypeError) as error:
        raise AudioError(
            f"{name} cannot be read ({_reason(error)}): check the name or export it as "
            "WAV."
        ) from None
    check(sound, name=name)
    if fault:
        text = f"{name} is damaged ({fault}): what is there was read; export it again."
        warnings.warn(text, AudioWarning, stacklevel=3)
    return replace(sound, stretches=(Stretch(0.0, sound.duration, name, 0.0),))


def _reason(error: Exception) -> str:
    # What the system or libsndfile says, without the name of the file.
    text = getattr(error, "strerror", None) or str(error).split(": ")[-1]
    return text.strip(".").replace(". ", ", ")


def find(path: str | Path) -> Path:
    """Find the file or folder that a person means.

    Raises
    ------
    AudioError
        When there is none, with names that are like it.
    """
    if not isinstance(path, str | Path) or not str(path).strip():
        raise AudioError(
            f"{path!r} cannot be read (it is no name of a file): check the name, "
            'which is written in quotes, as in "input_audio/bell.wav".'
        )
    if "://" in str(path):
        raise AudioError(f"{shown(path)} is on the web: download the file first.")
    # As it is, then without what a name brings along that was copied from elsewhere.
    wanted = Path(str(path).strip().strip("\"'").replace("\\", "/"))
    reason = f"it is not there, nor in {INPUT_FOLDER}"
    with suppress(OSError, ValueError, RuntimeError):  # a name that no file can have
        names = [Path(path), wanted.expanduser()]
        for place in [*names, *(INPUT_FOLDER / name for name in names)]:
            if place.is_file() or place.is_dir():
                return place
            if place.exists():
                reason = "it is a device or a pipe, and no file"
            elif place.is_symlink():
                reason = "it is a link that leads nowhere"
    like = _names_like(wanted)
    hint = f", perhaps it is {like}" if like else f" or put it into {INPUT_FOLDER}"
    raise AudioError(f"{shown(path)} cannot be read ({reason}): check the name{hint}.")


def _names_like(wanted: Path) -> str:
    known = {}
    for folder in (wanted.parent, INPUT_FOLDER):
        with suppress(OSError, ValueError):
            files = [file for file in folder.iterdir() if file.is_file()]
            known |= {file.stem.lower(): shown(file) for file in files}
    like = difflib.get_close_matches(wanted.stem.lower(), known)
    return " or ".join(known[stem] for stem in like)


def shown(path: str | Path) -> str:
    """Spell a path in one line, whatever it is made of."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def _encoded(path: Path) -> str | bytes:
    # As bytes, a name need not be in UTF-8; on Windows there are no others.
    return str(path) if os.name == "nt" else os.fsencode(path)


def _read(source: str | bytes | BinaryIO) -> tuple[Sound, str]:
    # A sound, and what is wrong with its file if anything is.
    with soundfile.SoundFile(source) as file:
        file.seekable = lambda: False  # its seek after each read fails on a short FLAC
        sound = Sound(_collect(file), file.samplerate)
        return sound, _fault(file, sound.n_samples)


def _fault(file: soundfile.SoundFile, n_samples: int) -> str:
    if file.frames > n_samples or file.frames == 0:
        return f"its header claims {file.frames} samples, {n_samples} are there"
    # libsndfile mends wrong sizes without a word, except in its log.
    log = file.extra_info.partition("\n")[2]  # its first line is the file's name
    sizes = r"(?:data|SSND|Size|size|riff) *: (\d+) \(should be (\d+)"
    for size, real in re.findall(sizes, log):
        if int(size) > int(real) or size == "0":
            return f"its header claims {size} bytes, {real} are there"
    if re.search("a truncated|end-of-stream bit|Junk after the last page", log):
        return "its end is missing"
    return ""


def _collect(file: soundfile.SoundFile) -> np.ndarray:
    # All samples, whatever the header claims: a FLAC can claim terabytes.
    n_samples = 0
    with temporary_file() as spool:
        with suppress(LibsndfileError):  # a decoder that gave up: keep what came
            while len(block := file.read(4096, "float32", always_2d=True)):
                block.tofile(spool)
                n_samples += len(block)
        return _from_disk(spool, (n_samples, file.channels))


def _from_disk(spool: BinaryIO, shape: tuple[int, int]) -> np.ndarray:
    # The samples in a file: in memory if they are few, and otherwise mapped.
    spool.flush()
    if shape[0] * shape[1] > audio.IN_MEMORY:
        return np.memmap(spool, np.float32, "r+", shape=shape)
    spool.seek(0)
    return np.fromfile(spool, np.float32).reshape(shape)


def _read_to_the_end(path: Path) -> Sound:
    # A WAV whose recorder was cut off says that it has no samples: read a copy that
    # says that they go on to the end of the file.
    with path.open("rb") as file, temporary_file() as copy:
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        before, found, after = copy.read(2**16).partition(b"data\0\0\0\0")
        another_chunk_follows = after[:4].strip().isalnum()
        if found and not another_chunk_follows:
            copy.seek(len(before))
            copy.write(b"data\xff\xff\xff\xff")
        copy.seek(0)
        return _read(copy)[0]


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
    path = check_output(path, subtype=subtype, inputs=inputs)
    _check_sound(path, sound, subtype=subtype)
    with replacing(path) as part:
        _write(part, sound, kind=path.suffix[1:].upper(), subtype=subtype)
    return path


def check_output(
    path: str | Path, *, subtype: str = "PCM_24", inputs: Iterable = ()
) -> Path:
    """Raise the `AudioError` that `save` would, before any work is done.

    Parameters
    ----------
    path, subtype, inputs
        As in `save`.

    Returns
    -------
    Path
        The same, with the home folder for a ``~``.
    """
    path = place_of(path)
    name = shown(path)
    if subtype not in SUBTYPES.get(path.suffix.lower(), []):
        raise AudioError(
            f"{name} cannot hold {subtype}: use .wav, or .flac if PCM, and use PCM_16, "
            "PCM_24 or FLOAT."
        )
    if fault := _fault_of_place(path):
        raise AudioError(
            f"{name} cannot be written ({fault}): give the result another name or "
            "folder."
        )
    if any(_is_read(path, other) for other in inputs):
        raise AudioError(f"{name} is a sound to read: give the result another name.")
    return path


def place_of(path: str | Path) -> Path:
    """Read the name of a file or folder to write, with the home folder for a ``~``.

    Raises
    ------
    AudioError
        For what is no name.
    """
    if not isinstance(path, str | Path) or "\0" in str(path):
        raise AudioError(
            f"{path!r} cannot be written (it is no name): give another, in quotes."
        )
    with suppress(RuntimeError):  # a user that is not known here
        return Path(path).expanduser()
    return Path(path)


def _fault_of_place(path: Path) -> str:
    try:
        if any(len(os.fsencode(part)) > 255 for part in path.parts):
            return "its name is too long"
        if path.is_dir():
            return "it is a folder"
        folder = next((p for p in path.parents if p.exists()), path.parent)
        if not folder.is_dir():
            return f"{shown(folder)} is no folder"
        if not os.access(folder, os.W_OK):
            return f"nothing can be written into {shown(folder)}"
    except (OSError, ValueError) as error:
        return _reason(error)
    return ""


def _is_read(path: Path, source: str | Path | Sequence[str | Path]) -> bool:
    with suppress(AudioError):  # what is not there cannot be overwritten
        return any(_is_same(path, file) for file in files_of(source))
    return False


def _is_same(path: Path, other: str | Path) -> bool:
    with suppress(OSError, AudioError):
        return path.samefile(find(other))
    return False


def _check_sound(path: Path, sound: Sound, *, subtype: str) -> None:
    check_form(sound, name=f"What {shown(path)} would hold")
    flac = path.suffix.lower() == ".flac"
    if flac and (sound.n_channels > 8 or sound.rate > 655_350):
        raise AudioError(
            f"{shown(path)} cannot hold over 8 channels or 655350 Hz: use .wav."
        )
    peak = peak_of(sound)
    if not np.isfinite(peak):
        raise AudioError(f"{shown(path)} would hold NaN: render it again.")
    if peak > 1 and subtype != "FLOAT":
        text = (
            f"{shown(path)} is clipped (its peak is {20 * np.log10(peak):+.1f} dBFS): "
            "finish the sound first, or use FLOAT."
        )
        warnings.warn(text, AudioWarning, stacklevel=3)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Name a file to write; then, if nothing went wrong, rename it to `path`.

    Raises
    ------
    AudioError
        When the disk or the folder does not take it.
    """
    with _beside(path) as part:
        yield part
        part.replace(path)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    # A name for a file, which goes away unless it is renamed.
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = new_part(path.parent)
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)
    except (LibsndfileError, OSError) as error:
        raise AudioError(
            f"{shown(path)} cannot be written ({_reason(error)}): free some space or "
            "choose another folder."
        ) from None


def new_part(folder: Path) -> Path:
    """Name a file that is to be written in `folder`, and renamed when it is complete.

    What a process that was killed left behind under such a name is cleared away.
    """
    for left in folder.glob(f"{PART}*.part"):
        process = left.name.removeprefix(PART).partition("-")[0]
        if process.isdecimal() and not _is_running(int(process)):
            left.unlink(missing_ok=True)
    return folder / f"{PART}{os.getpid()}-{uuid4().hex}.part"


def _is_running(process: int) -> bool:
    if os.name == "nt":  # there, asking would end it
        return True
    try:
        os.kill(process, 0)
    except (OSError, OverflowError) as error:
        return isinstance(error, PermissionError)  # it runs, but is somebody else's
    return True


def _write(part: Path, sound: Sound, *, kind: str, subtype: str) -> None:
    bits = BITS[subtype]
    if kind == "WAV" and sound.samples.size * bits // 8 > RIFF_LIMIT:
        kind = "RF64"
    shape = (sound.rate, sound.n_channels, subtype)
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(_encoded(part), "w", *shape, format=kind) as file:
        for block in blocks(sound):
            file.write(block if subtype == "FLOAT" else _steps(block, bits, rng))
    # FLAC hides a full disk.
    if soundfile.info(_encoded(part)).frames != sound.n_samples:
        raise OSError("the disk is full")
    _clear_time_of_day(part)


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
    path = check_output(path, subtype=subtype, inputs=inputs)
    _check_sound(path, sound, subtype=subtype)
    with _beside(path) as part:
        _write(part, sound, kind=path.suffix[1:].upper(), subtype=subtype)
        for number in count(1):
            take = path.with_stem(f"{path.stem}_{number}") if number > 1 else path
            if _is_taken_by(part, take):
                return take


def _is_taken_by(part: Path, take: Path) -> bool:
    # Gives a file a second name, unless that is another file's already: in one step,
    # for another process may be about to save a take too.
    try:
        os.link(part, take)
        return True
    except FileExistsError:
        pass
    except OSError:  # a disk that knows no second names
        if not os.path.lexists(take):
            part.replace(take)
            return True
    with suppress(OSError):  # a link that leads nowhere is equal to nothing
        return filecmp.cmp(part, take, shallow=False)
    return False


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV that is there whole or not at all, even if we are killed."""
    with replacing(path) as part:
        table.to_csv(part, index=False, errors="surrogateescape")
