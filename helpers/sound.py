"""A sound: find and read it, check it, change it, write it."""

import difflib
import filecmp
import io
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from numbers import Integral
from pathlib import Path
from unicodedata import normalize
from urllib.parse import unquote

import av
import numpy as np
import soundfile
import soxr
from scipy.signal import lfilter

INPUT_FOLDER = Path("input_audio")  # where names are looked for too
GAP_SECONDS = 0.1  # silence between files: no frame holds two of them
BLOCK = 2**20  # samples that are filtered at a time
SUBTYPES = ("PCM_16", "PCM_24", "FLOAT")  # of the WAVs that are written

Source = str | Path | Sequence[str | Path]  # a file, a folder, or a list of them


class AudioError(ValueError):
    """Something that cannot work: one sentence with its name and the remedy."""

    def _render_traceback_(self) -> list[str]:
        # What IPython shows instead of the code that the error came through.
        return [f"{type(self).__name__}: {self}"]


class AudioWarning(UserWarning):
    """A sound that was read or written, but of which something is missing."""


@dataclass(frozen=True, eq=False)
class Sound:
    """Samples float32 (n_samples, n_channels), nominally in [-1, 1], at `rate` Hz.

    A sound that was read knows its `files`, ``(start, name)`` of each, in seconds; the
    start is below zero for a file of which the beginning was cut off.
    """

    samples: np.ndarray
    rate: int
    files: tuple[tuple[float, str], ...] = ()

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate


# Finding and reading ------------------------------------------------------------------


def load(source: Source, *, leave_out: Source = ()) -> Sound:
    """Read a sound of any format, or a folder or list of sounds as one.

    Parameters
    ----------
    source : str or Path, or a list of them
        What is not there is looked for in ``input_audio`` too. A folder stands for all
        sounds in it and below.
    leave_out : str or Path, or a list of them, optional
        What is not meant of a folder, such as sound B.

    Returns
    -------
    Sound
        What came before a decoder stumbled over damage is there, with an
        `AudioWarning`; so is a folder whose other files could not be read.

    Raises
    ------
    AudioError
        For what cannot be read, and for what `check` refuses.
    """
    sounds, errors = [], []
    for file in files_of(source, leave_out=leave_out):
        try:
            sounds.append(_read(file))
        except AudioError as error:
            errors.append(error)
    if not sounds:
        empty = AudioError(f"{shown(source)} holds no sound: put some into it.")
        raise errors[0] if len(errors) == 1 else empty
    for error in errors:
        warnings.warn(f"Left out: {error}", AudioWarning, stacklevel=2)
    return sounds[0] if len(sounds) == 1 else join(sounds)


def files_of(source: Source, *, leave_out: Source = ()) -> list[Path]:
    """List the files that a name, a folder or a list of them stands for.

    Raises
    ------
    AudioError
        As `find`.
    """
    if isinstance(source, list | tuple):
        return [file for one in source for file in files_of(one, leave_out=leave_out)]
    place = find(source)
    if place.is_file():
        return [place]
    left_out = [file.resolve() for file in files_of(leave_out)]
    files = sorted(place.rglob("[!.]*"))
    return [file for file in files if file.is_file() and file.resolve() not in left_out]


def name_of(source: Source) -> str:
    """Name a sound after its file or folder, or after the first of several."""
    if isinstance(source, str | Path):
        place = find(source).resolve()
        return place.stem if place.is_file() else place.name
    return "_and_".join(map(name_of, source[:2])) + ("_and_more" if source[2:] else "")


def find(path: str | Path) -> Path:
    """Find the file or folder that a person means.

    Raises
    ------
    AudioError
        When there is none, with names that are like it.
    """
    text = unquote(str(path)) if str(path).startswith("file://") else str(path)
    text = text.removeprefix("file://").strip(" \n\"'")
    if not isinstance(path, str | Path) or not text:
        raise AudioError(f'{path!r} is no name of a file: write one, as in "bell.wav".')
    wanted = Path(text.replace("\\", "/"))
    for place in (Path(path), Path(text), wanted, INPUT_FOLDER / wanted):
        with suppress(OSError, ValueError, RuntimeError):  # no file has such a name
            if (place := place.expanduser()).is_file() or place.is_dir():
                return place
    known = {}
    for folder in (INPUT_FOLDER, wanted.parent):
        with suppress(OSError, ValueError):
            # Accents can be one character or two; systems differ in which they write.
            known |= {normalize("NFC", file.name): file for file in folder.iterdir()}
    if (name := normalize("NFC", wanted.name)) in known:
        return known[name]
    like = difflib.get_close_matches(name, known, 1)
    hint = f": perhaps it is {like[0]}" if like else ": check the name"
    raise AudioError(f"{shown(path)} is not there, nor in {INPUT_FOLDER}{hint}.")


def shown(path: Source) -> str:
    """Spell a path in one line, whatever it is made of."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def _read(path: Path) -> Sound:
    name, fault = shown(path), ""
    try:
        samples, rate, fault = _decode(path)
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        reason = getattr(error, "strerror", None) or "it has no sound in it"
        try:  # libsndfile knows some relics that ffmpeg's libraries refuse
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, OSError, ValueError, TypeError):
            text = f"{name} cannot be read ({reason}): export it as WAV."
            raise AudioError(text) from None
    if not len(samples):
        raise AudioError(f"{name} is empty or was never finished: record it again.")
    if fault:
        text = f"{name} is damaged ({fault}): what came before that was read."
        warnings.warn(text, AudioWarning, stacklevel=3)
    return check(Sound(samples, rate, ((0.0, name),)), name=name)


def _decode(path: Path) -> tuple[np.ndarray, int, str]:
    # The samples of the first sound in a file, its rate, and what broke it off.
    av.logging.set_level(av.logging.PANIC)  # what matters is said in our words
    samples, fault, to_float = io.BytesIO(), "", av.AudioResampler(format="flt")
    with av.open(f"file:{path}", metadata_errors="replace") as container:
        stream = container.streams.audio[0]
        try:
            for frame in container.decode(stream):
                for part in to_float.resample(frame):
                    samples.write(part.to_ndarray())
        except (av.FFmpegError, ValueError) as error:
            fault = getattr(error, "strerror", None) or "its form changes"
            if not samples.tell():
                raise
        values = np.frombuffer(samples.getbuffer(), np.float32)
        return values.reshape(-1, stream.channels), stream.rate, fault


def check(sound: Sound, *, name: str) -> Sound:
    """Return a sound that something can be made of.

    Raises
    ------
    AudioError
        Naming it `name`, for any other.
    """
    samples, rate = getattr(sound, "samples", None), getattr(sound, "rate", None)
    kind = f"{getattr(samples, 'dtype', type(samples).__name__)}"
    shape = getattr(samples, "shape", ())
    if kind not in ("float32", "float64"):
        raise AudioError(f"{name} has samples of type {kind}: make them float32.")
    if len(shape) != 2 or shape[0] < 2 or not 1 <= shape[1] <= 64:
        text = "2 samples or more of 1 to 64 channels, (n_samples, n_channels)"
        raise AudioError(f"{name} has samples of shape {shape}: use {text}.")
    if not isinstance(rate, Integral) or not 1000 <= rate <= 768_000:
        raise AudioError(f"{name} is at {rate!r} Hz: use 1000 to 768000 Hz.")
    if not (peak := peak_of(sound)) <= 1e6:  # nan is not, either
        raise AudioError(f"{name} holds NaN or is over +120 dBFS: make it again.")
    if peak < 1e-6:
        raise AudioError(f"{name} is silent (under -120 dBFS): choose another.")
    return sound


def peak_of(sound: Sound) -> float:
    """Find the largest absolute value of all samples; nan if any is."""
    return float(np.maximum(sound.samples.max(), -sound.samples.min()))


# Changing -----------------------------------------------------------------------------


def mono(sound: Sound) -> Sound:
    """Mix all channels to one: their mean, or the first if the mean cancels out."""
    mean = sound.samples.mean(axis=1, keepdims=True)
    first = sound.samples[:, :1]
    cancels_out = np.vdot(mean, mean) < 0.01 * np.vdot(first, first)
    return replace(sound, samples=first if cancels_out else mean)


def resample(sound: Sound, *, rate: int) -> Sound:
    """Bring a sound to another rate, in Hz, with soxr at its best quality."""
    if rate == sound.rate:
        return sound
    samples = np.asarray(sound.samples, np.float32)
    samples = soxr.resample(samples, sound.rate, rate, quality="VHQ")
    return replace(sound, samples=samples, rate=rate)


def block_offset(sound: Sound, *, hertz: float = 10.0) -> Sound:
    """Take off each channel what stands still, or moves more slowly than can be heard.

    An offset of A becomes thumps where its frames are moved about, and one of B fills
    B's silences. The mean does not tell it: of a voice that leans to one side it is off
    zero, though there is nothing in the pauses.

    Parameters
    ----------
    sound : Sound
    hertz : float, default 10
        Where a first-order high-pass begins to let pass: an octave under what is heard.
    """
    pole = np.exp(-2 * np.pi * hertz / sound.rate)
    # As if the first tenth of a second had always been.
    state = -sound.samples[: sound.rate // 10].mean(axis=0, keepdims=True, dtype=float)
    samples = np.empty(sound.samples.shape, np.float32)
    for first in range(0, len(samples), BLOCK):
        rows = slice(first, first + BLOCK)
        block = sound.samples[rows]
        samples[rows], state = lfilter([1, -1], [1, -pole], block, axis=0, zi=state)
    return replace(sound, samples=samples)


def fade(sound: Sound, *, seconds: float = 0.005) -> Sound:
    """Fade in and out along half a cosine, from and to zero.

    Parameters
    ----------
    sound : Sound
    seconds : float, default 0.005
        Of each fade, under half of the sound: by default too short to be heard, and
        long enough against clicks.
    """
    n_faded = min(round(seconds * sound.rate), (len(sound.samples) - 1) // 2)
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(n_faded) / max(1, n_faded))
    samples = sound.samples.copy()
    for ends in (samples, samples[::-1]):
        ends[:n_faded] *= ramp[:, np.newaxis].astype(np.float32)
    return replace(sound, samples=samples)


def join(sounds: Sequence[Sound]) -> Sound:
    """Put sounds one behind the other, each faded at its ends, silence between.

    They get the highest of their rates, and as many channels as the one with the most;
    channels of one with fewer are counted round.
    """
    rate = max(sound.rate for sound in sounds)
    n_channels = max(sound.samples.shape[1] for sound in sounds)
    gap = np.zeros((round(GAP_SECONDS * rate), n_channels), np.float32)
    parts, files, n_ahead = [], [], 0
    for sound in sounds:
        samples = fade(resample(sound, rate=rate)).samples
        counted_round = np.arange(n_channels) % samples.shape[1]
        files += [(n_ahead / rate + start, name) for start, name in sound.files]
        parts += [samples[:, counted_round], gap]
        n_ahead += len(samples) + len(gap)
    return Sound(np.concatenate(parts[:-1]), rate, tuple(files))


def excerpt(sound: Sound, *, seconds: float | None) -> Sound:
    """Take the liveliest stretch of a sound: where its level rises most, in sum.

    Parameters
    ----------
    sound : Sound
    seconds : float or None
        How long; a shorter sound, and with None any sound, stays whole.

    Raises
    ------
    AudioError
        When `seconds` is no number over 0.
    """
    seconds = sound.duration if seconds is None else seconds
    if type(seconds) not in (int, float) or not seconds > 0:
        raise AudioError(f"A stretch of {seconds!r} s does not work: use seconds.")
    n_samples = max(2, round(min(seconds, sound.duration) * sound.rate))
    if n_samples >= len(sound.samples):
        return sound
    step = min(sound.rate // 20, n_samples)  # 50 ms
    steps = sound.samples[: len(sound.samples) // step * step]
    power = np.square(np.linalg.norm(steps.reshape(-1, step * steps.shape[1]), axis=1))
    level_db = 10 * np.log10(power / (power.max() + 1e-20) + 1e-4)  # noise is no life
    rises = np.maximum(np.diff(level_db, prepend=level_db[0]), 0)
    inside = np.ones(n_samples // step)
    start = int(np.convolve(rises, inside, "valid").argmax()) * step
    start = min(start, len(sound.samples) - n_samples)
    moved = ((begin - start / sound.rate, name) for begin, name in sound.files)
    files = tuple(file for file in moved if file[0] < seconds)
    return Sound(sound.samples[start : start + n_samples], sound.rate, files)


# Writing ------------------------------------------------------------------------------


def check_output(
    path: str | Path, *, subtype: str = "PCM_24", inputs: Iterable[Source] = ()
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
    name, path = shown(path), at_home(path)
    if path.suffix.lower() != ".wav" or "\0" in str(path) or subtype not in SUBTYPES:
        subtypes = ", ".join(SUBTYPES)
        raise AudioError(
            f"{name} cannot be written: use a .wav, and one of {subtypes}."
        )
    files = [file for source in inputs for file in files_of(source)]
    if path.resolve() in [file.resolve() for file in files]:
        raise AudioError(f"{name} is a sound to read: give the result another name.")
    return path


def at_home(path: str | Path) -> Path:
    """Read a name to write, with the home folder for a ``~``."""
    text = str(path)
    return Path(text).expanduser() if text.startswith("~/") else Path(text)


def save(
    path: str | Path,
    sound: Sound,
    *,
    subtype: str = "PCM_24",
    inputs: Iterable[Source] = (),
) -> Path:
    """Write a sound as WAV: whole or not at all, and never over another.

    The first take has the given name, the next that differs has ``_2`` behind it, and
    so on; one that is there already, byte for byte, keeps its name.

    Parameters
    ----------
    path : str or Path
        Ends in .wav; its folder is made if need be.
    sound : Sound
    subtype : {"PCM_24", "PCM_16", "FLOAT"}
        24 bits by default: they play everywhere and their noise cannot be heard.
    inputs : iterable of sources
        Sounds that were read.

    Returns
    -------
    Path
        Where it is. Over full scale, integers are clipped.

    Raises
    ------
    AudioError
        For what `check_output` and `check` refuse, a full disk and the like.
    """
    path = check_output(path, subtype=subtype, inputs=inputs)
    check(sound, name=f"The sound for {shown(path)}")
    filecmp.clear_cache()  # it trusts times, which takes of one moment share
    with beside(path) as part:
        soundfile.write(part, sound.samples, sound.rate, subtype, format="WAV")
        if soundfile.info(part).frames != len(sound.samples):
            raise OSError("the disk is full")
        for number in count(1):
            take = path.with_stem(f"{path.stem}_{number}") if number > 1 else path
            if not take.exists() or filecmp.cmp(part, take, shallow=False):
                return part.replace(take)


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Name a file beside `path`, to be written and then renamed.

    What was not renamed, since something went wrong, goes away.

    Raises
    ------
    AudioError
        When the disk or the folder does not take it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{os.getpid()}-{path.name[-60:]}")
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)
    except (soundfile.LibsndfileError, OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "the disk is full"
        text = f"{shown(path)} cannot be written ({reason}): free space or move it."
        raise AudioError(text) from None


def write(path: Path, text: str) -> None:
    """Write a text, such as a table, whole or not at all."""
    with beside(path) as part:
        part.write_text(text, encoding="utf-8", errors="surrogateescape")
        part.replace(path)
