"""A sound: find and read it, check it, change it, write it."""

import difflib
import io
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from unicodedata import normalize
from urllib.request import url2pathname

import av
import numpy as np
import soundfile
import soxr
from scipy.signal import lfilter

INPUT_FOLDER = Path("input_audio")  # where names are looked for too
CHUNKED = ("wav", "w64", "aiff", "caf")  # behind their samples can be more
UNFRAMED = ("mp3", "aac", "ac3", "eac3", "dts", "mpeg", "mpegts")  # they end anywhere
CHANGE = "its rate or channels change"
BACKSLASH = "Python reads some backslashes as other signs, so write / instead"

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

    A sound that was read knows its `files`, ``(start, name)`` of each, in seconds.
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
        All that could be decoded. An `AudioWarning` names what is not whole, another
        what was left out of a folder or list.

    Raises
    ------
    AudioError
        When nothing can be read, or what `check` refuses.
    """
    files = files_of(source, leave_out=leave_out)
    if not files:
        raise AudioError(f"{shown(source)} holds no sound: put some into it.")
    sounds, errors = [], {}
    for file in files:
        try:
            sounds.append(_read(file))
        except AudioError as error:
            errors[shown(file)] = error
    if not sounds:
        raise next(iter(errors.values()))
    if errors:
        text = f"{len(errors)} left out that cannot be read: {', '.join(errors)}."
        warnings.warn(text, AudioWarning, stacklevel=2)
    return join(sounds) if len(sounds) > 1 else sounds[0]


def files_of(source: Source, *, leave_out: Source = ()) -> list[Path]:
    """List the files that a name, a folder or a list of them stands for.

    Returns
    -------
    list of Path
        Sorted within each folder.

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
    # What begins with a dot is hidden, and so is what lies in it.
    seen = set(place.rglob("[!.]*")) - set(place.rglob(".*/**/*"))
    files = sorted(filter(os.path.isfile, seen))  # False where nobody may look
    return [file for file in files if file.resolve() not in left_out]


def name_of(source: Source) -> str:
    """Name a sound after its file or folder, or after the first of several."""
    first, *others = source if isinstance(source, list | tuple) else [source]
    place = find(first).resolve()
    name = place.stem if place.is_file() else place.name
    return f"{name}_and_more" if others else name


def find(path: str | Path) -> Path:
    """Find the file or folder that a person means, however its name is spelled.

    Returns
    -------
    Path
        As the disk spells it.

    Raises
    ------
    AudioError
        When there is none, with a name that is like it.
    """
    text = str(path).strip(" \t\n\"'“”‘’«»`")
    if text.startswith("file:"):
        text = url2pathname(text.removeprefix("file:").removeprefix("//localhost"))
    if not isinstance(path, str | Path) or not text:
        raise AudioError(f'{path!r} is no name of a file: write one, as in "bell.wav".')
    meant = Path(text.replace("\\", "/"))
    known = []
    for place in (Path(path), meant, INPUT_FOLDER / meant):
        with suppress(OSError, ValueError, RuntimeError):  # no file has such a name
            place = place if place.exists() else _on_disk(place.expanduser())
            if place.is_file() or place.is_dir():
                return place
            known += [file.name for file in place.parent.glob("*")]
    like = difflib.get_close_matches(meant.name, known, 1)
    hint = f"perhaps it is {shown(like[0])}" if like else "check the name"
    hint = BACKSLASH if any(sign < " " for sign in text) else hint
    raise AudioError(f"{shown(path)} is not there, nor in {INPUT_FOLDER}: {hint}.")


def _on_disk(path):
    # A path as the disk spells it, folder by folder: an accent can be one character or
    # two, a space of several kinds, a letter of either case.
    if path.exists() or path == path.parent:
        return path
    folder = _on_disk(path.parent)
    looks = {normalize("NFKC", file.name).lower(): file for file in folder.glob("*")}
    return looks.get(normalize("NFKC", path.name).lower(), folder / path.name)


def shown(path: Source) -> str:
    """Spell a path in one line, whatever it is made of."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def _read(path):
    name = shown(path)
    try:
        samples, rate, fault = _decode(path)
    except (av.FFmpegError, OSError, ValueError, IndexError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or "no sound of a known kind is in it"
        raise AudioError(f"{name} cannot be read ({reason}): save it as WAV.") from None
    if not len(samples):
        raise AudioError(f"{name} is empty or was never finished: record it again.")
    if fault:
        text = f"{name} could be read only in part ({fault})."
        warnings.warn(text, AudioWarning, stacklevel=3)
    return check(Sound(samples, rate, ((0.0, name),)), name=name)


def _decode(path, **options):
    # The samples of the first sound in a file, their rate, and what went wrong, or "".
    av.logging.set_level(av.logging.PANIC)  # what matters is said in our words
    with av.open(f"file:{path}", metadata_errors="replace", options=options) as file:
        stream, kind = file.streams.audio[0], file.format.name
        samples, rate, faults, end = _decode_stream(stream, file)
        told = float((stream.duration or 0) * stream.time_base)
        if len(file.streams) == 1:  # or it may be the length of a picture
            told = max(told, (file.duration or 0) / av.time_base)
        if kind in UNFRAMED:
            if faults or not stream.start_time or end < file.size:
                told = 0.0  # it was guessed from the number of bytes
            # What is ahead of the sound, or behind it, is tags.
            faults = [x for x in faults if 0 < x[0] < samples.nbytes or CHANGE in x]
        rounding = 0.01 if stream.codec_context.codec.lossless else 0.2
    fault = faults[0][1] if faults else ""
    if len(samples) < (told - rounding) * rate:
        fault = f"{len(samples) / rate:.2f} of {told:.2f} s"
    if kind in CHUNKED:
        fault = fault or _size_fault(path, end)
    if fault and kind == "wav" and not options:  # perhaps what its header says is wrong
        return _decode(path, ignore_length="1")
    return samples, rate, fault


def _decode_stream(stream, file):
    # All samples and their rate; faults, each with the number of bytes decoded before;
    # where in the file the last packet ends.
    buffer, faults, end = io.BytesIO(), [], 0
    packets, to_float = file.demux(stream), av.AudioResampler(format="flt")

    def attempt(step, *args):
        try:
            return step(*args)
        except (av.FFmpegError, ValueError) as error:  # what comes after may be sound
            reason = getattr(error, "strerror", CHANGE)
            faults.append((buffer.tell(), reason))

    while (packet := attempt(next, packets, None)) is not None:
        end = max(end, (packet.pos or 0) + packet.size)
        for frame in attempt(packet.decode) or ():
            for part in attempt(to_float.resample, frame) or ():
                buffer.write(part.to_ndarray())
    # Of the first frame; the stream's own numbers are those of the last.
    shape = -1, getattr(to_float.layout, "nb_channels", 1)
    samples = np.frombuffer(buffer.getbuffer(), np.float32).reshape(shape)
    return samples, to_float.rate or stream.rate, faults, end


def _size_fault(path, end):
    # Whether samples end elsewhere than their file says; what may follow them begins
    # with a name, and a file that was streamed says that it is as long as can be.
    with path.open("rb") as file:
        kind, size = file.read(4), int.from_bytes(file.read(4), "little")
        n_bytes = file.seek(0, 2)
        file.seek(end)
        behind = file.read(2**16).lstrip(b"\0")
    if len(behind) > 3 and not re.match(rb"ID3|TAG|[ -~]{4}", behind):
        return "there is more than it says"
    is_cut = n_bytes + 24 < size < 2**32 - 2**16 and abs(size - 2**31) > 2**16
    return "its end is missing" if kind == b"RIFF" and is_cut else ""


def check(sound: Sound, *, name: str) -> Sound:
    """Return a sound that something can be made of.

    Returns
    -------
    Sound
        The same.

    Raises
    ------
    AudioError
        Naming it `name`, for any other.
    """
    samples, rate = getattr(sound, "samples", None), getattr(sound, "rate", None)
    kind = f"{getattr(samples, 'dtype', type(samples).__name__)}"
    shape = getattr(samples, "shape", ())
    if kind not in ("float32", "float64"):
        raise AudioError(f"{name} has {kind} samples: make them float32, -1 to 1.")
    if len(shape) != 2 or shape[0] < 2 or not 1 <= shape[1] <= 64:
        text = "2 samples or more of 1 to 64 channels, (n_samples, n_channels)"
        raise AudioError(f"{name} has samples of shape {shape}: use {text}.")
    if not isinstance(rate, int | np.integer) or not 1000 <= rate <= 768_000:
        raise AudioError(f"{name} is at {rate!r} Hz: use 1000 to 768000 Hz.")
    if not (peak := peak_of(sound)) <= 1e6:  # nan is not, either
        raise AudioError(f"{name} holds NaN or is over +120 dBFS: choose another.")
    if peak < 1e-6:
        raise AudioError(f"{name} is silent (under -120 dBFS): choose another.")
    return sound


def peak_of(sound: Sound) -> float:
    """Find the largest absolute value of all samples; nan if any is."""
    return float(np.maximum(sound.samples.max(), -sound.samples.min()))


# Changing -----------------------------------------------------------------------------


def mono(sound: Sound) -> Sound:
    """Mix all channels to one: their mean."""
    return replace(sound, samples=sound.samples.mean(axis=1, keepdims=True))


def resample(sound: Sound, *, rate: int) -> Sound:
    """Bring a sound to another rate, in Hz, with soxr at its best quality."""
    if rate == sound.rate:
        return sound
    samples = soxr.resample(sound.samples, sound.rate, rate, quality="VHQ")
    return replace(sound, samples=samples, rate=rate)


def block_offset(sound: Sound) -> Sound:
    """Take off each channel what stands still, or moves more slowly than can be heard.

    An offset of A becomes thumps where its frames are moved about, and one of B fills
    B's silences. The mean does not tell it: of a voice that leans to one side it is off
    zero, though there is nothing in the pauses.

    A first-order high-pass at 10 Hz, an octave under what is heard.
    """
    pole = np.exp(-2 * np.pi * 10 / sound.rate)
    # As if the first tenth of a second had always been.
    state = -sound.samples[: sound.rate // 10].mean(axis=0, keepdims=True, dtype=float)
    samples = np.empty(sound.samples.shape, np.float32)
    for i, channel in enumerate(sound.samples.T):  # one at a time, for the memory
        samples[:, i], _ = lfilter([1, -1], [1, -pole], channel, zi=state[:, i])
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
    gap = np.zeros((rate // 10, n_channels), np.float32)  # no frame holds two sounds
    parts, files, n_ahead = [], [], 0
    for sound in sounds:
        samples = fade(resample(sound, rate=rate)).samples
        counted_round = np.arange(n_channels) % samples.shape[1]
        files += [(n_ahead / rate + start, name) for start, name in sound.files]
        parts += [samples[:, counted_round], gap]
        n_ahead += len(samples) + len(gap)
    return Sound(np.concatenate(parts[:-1]), rate, tuple(files))


def excerpt(sound: Sound, *, seconds: float | None) -> Sound:
    """Take the beginning of a sound.

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
        raise AudioError(f"A stretch of {seconds!r} s does not work: use more than 0.")
    n_samples = max(2, round(min(seconds, sound.duration) * sound.rate))
    files = tuple(file for file in sound.files if file[0] < seconds)
    return Sound(sound.samples[:n_samples], sound.rate, files)


# Writing ------------------------------------------------------------------------------


def save(path: str | Path, sound: Sound) -> Path:
    """Write a sound as WAV: whole or not at all, and never over another.

    The first take has the given name, the next that differs has ``_2`` behind it, and
    so on; one that is there already, byte for byte, keeps its name.

    Parameters
    ----------
    path : str or Path
        Ends in .wav; its folder is made if need be.
    sound : Sound

    Returns
    -------
    Path
        Where it is, in 24 bits: they play everywhere, and their noise cannot be heard.
        What is over full scale is clipped.

    Raises
    ------
    AudioError
        For another ending, what `check` refuses, a full disk and the like.
    """
    name, path = shown(path), Path(os.path.expanduser(str(path)))  # noqa: PTH111
    if path.suffix.lower() != ".wav":
        raise AudioError(f"{name} is no WAV: let its name end in .wav.")
    check(sound, name=f"The sound for {name}")
    with beside(path) as part:
        soundfile.write(part, sound.samples, sound.rate, "PCM_24", format="WAV")
        take, number = path, 1
        while take.exists() and take.read_bytes() != part.read_bytes():
            number += 1
            take = path.with_stem(f"{path.stem}_{number}")
        part.replace(take)
    return take


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
        part = path.with_name(f".{os.getpid()}-{hash(path.name)}")
        try:
            part.touch()  # which tells better than libsndfile what is in its way
            yield part
        finally:
            part.unlink(missing_ok=True)
    except (soundfile.LibsndfileError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        text = f"{shown(path)} cannot be written ({reason}): free space or move it."
        raise AudioError(text) from None


def write(path: Path, text: str) -> None:
    """Write a text, such as a table, whole or not at all."""
    with beside(path) as part:
        part.write_text(text, encoding="utf-8", errors="surrogateescape")
        part.replace(path)
