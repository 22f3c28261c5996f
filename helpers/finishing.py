"""Finish a sound: no offset, no silence, less noise, no clicks, the right level."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np
import pyloudnorm
import soxr
from scipy.fft import rfft
from scipy.ndimage import percentile_filter, uniform_filter

from helpers.audio import (
    AudioError,
    Sound,
    allocate,
    cut,
    ends_of,
    means_of,
    mono,
    peak_of,
    release,
    resample,
    rms_of,
    spans,
)
from helpers.spectrum import (
    analyse,
    frame_blocks,
    make_stft,
    n_frames,
    pick_frames,
    synthesise,
)

SILENCE_DB = -200.0  # what is said of a level that has no logarithm
STRETCH = 2**22  # values in which loudness is measured at a time


@dataclass(frozen=True, kw_only=True)
class Finishing:
    """Settings of `finish`, checked when they are made.

    Parameters
    ----------
    trim : bool, default False
        Cut silence off both ends: not by default, for it belongs to B's timing.
    noise_reduction_db : float, default 0
        How far to turn steady noise down, 0 (not at all) to 60 dB.
    fade_seconds : float, default 0.005
        Length of the fades at both ends, 0 to 10 s. Five milliseconds cannot be heard,
        and no click can either.
    peak_db : float, default -1
        Level of the loudest sample, -60 to 0 dBFS. One decibel leaves room for what
        lies between the samples.
    loudness_lufs : float or None, default None
        Loudness to aim at instead, -70 to 0 LUFS; `peak_db` is then the ceiling.

    Raises
    ------
    AudioError
        For a setting of the wrong type or out of range.
    """

    trim: bool = False
    noise_reduction_db: float = 0.0
    fade_seconds: float = 0.005
    peak_db: float = -1.0
    loudness_lufs: float | None = None

    def __post_init__(self) -> None:  # noqa: D105
        if not isinstance(self.trim, bool):
            raise AudioError(f"trim={self.trim!r} does not work: use True or False.")
        _check("noise_reduction_db", self.noise_reduction_db, 0, 60)
        _check("fade_seconds", self.fade_seconds, 0, 10)
        _check("peak_db", self.peak_db, -60, 0)
        if self.loudness_lufs is not None:
            _check("loudness_lufs", self.loudness_lufs, -70, 0)


def _check(name: str, value: float, low: float, high: float) -> None:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not (is_number and low <= value <= high):
        raise AudioError(f"{name}={value!r} is out of range: use {low} to {high}.")


def finish(sound: Sound, settings: Finishing | None = None) -> Sound:
    """Make a sound ready to use.

    Parameters
    ----------
    sound : Sound
    settings : Finishing, optional
        By default: no offset, no clicks at the ends, a peak of -1 dBFS.
    """
    settings = settings or Finishing()
    sound = remove_dc(sound)
    if settings.trim:
        sound = trim_silence(sound)
    if settings.noise_reduction_db:
        sound = reduce_noise(sound, strength_db=settings.noise_reduction_db)
    sound = fade(sound, seconds=settings.fade_seconds)
    return set_level(
        sound, peak_db=settings.peak_db, loudness_lufs=settings.loudness_lufs
    )


def remove_dc(sound: Sound) -> Sound:
    """Subtract the mean of each channel: an offset costs headroom and clicks."""
    means = means_of(sound).astype(np.float32)
    return _in_blocks(sound, lambda block: block - means)


def _in_blocks(sound: Sound, change: Callable[[np.ndarray], np.ndarray]) -> Sound:
    # A new sound, made of an old one of any length a part at a time.
    output = allocate(sound.n_samples, sound.n_channels)
    for rows in spans(sound.samples, output):
        output[rows] = change(sound.samples[rows])
    return replace(sound, samples=output)


def trim_silence(sound: Sound, *, threshold_db: float = -60) -> Sound:
    """Cut off both ends where they are silent, but for 10 ms.

    Parameters
    ----------
    sound : Sound
    threshold_db : float, default -60
        Silence is this far under the peak, -120 to -1 dB.
    """
    _check("threshold_db", threshold_db, -120, -1)
    first, last = ends_of(sound, threshold_db=threshold_db)
    keep = round(0.01 * sound.rate)
    return cut(sound, start=max(0, first - keep), stop=last + 1 + keep)


def reduce_noise(sound: Sound, *, strength_db: float = 12) -> Sound:
    """Turn steady noise down where it can be told apart from the sound.

    What sounds in the quietest tenth of the frames is taken for noise, if that is 8 dB
    under the mean. It is subtracted from the power (Boll 1979, Berouti et al. 1979) of
    5 x 3 bins at a time, which keeps "musical noise" away.

    Parameters
    ----------
    sound : Sound
        Of under half a second nothing can be told: it comes back as it is.
    strength_db : float, default 12
        By how much at most, 0 to 60 dB. Twelve leave the air of a room.
    """
    _check("strength_db", strength_db, 0, 60)
    n_fft = max(64, 2 ** round(np.log2(sound.rate * 0.046)))  # 2048 at 44.1 kHz
    stft = make_stft(sound.rate, n_fft, n_fft // 4)
    n_rows = n_frames(sound.n_samples, stft=stft)
    if n_rows < 50:
        return sound
    output = allocate(sound.n_samples, sound.n_channels)
    for channel in range(sound.n_channels):
        one = slice(channel, channel + 1)
        samples = sound.samples[:, one]
        noise, floor = _noise_profile(samples, strength_db, stft=stft)
        for rows in frame_blocks(n_rows, n_channels=sound.n_channels):
            # Two frames more on either side, to average over.
            wider = slice(max(0, rows.start - 2), min(n_rows, rows.stop + 2))
            spectrum = analyse(samples, stft=stft, rows=wider)
            power = uniform_filter(np.abs(spectrum) ** 2, (0, 5, 3), mode="nearest")
            gain = np.maximum(1 - 2 * noise / np.maximum(power, noise), floor)
            kept = slice(rows.start - wider.start, rows.stop - wider.start)
            reduced = (spectrum * gain)[:, kept]
            synthesise(output[:, one], reduced, stft=stft, first=rows.start)
    return replace(sound, samples=output)


def _noise_profile(samples, strength_db, *, stft):
    # The power of the noise in each bin of one channel, and the gain to leave it with.
    n_rows = n_frames(len(samples), stft=stft)
    numbers = np.arange(4, n_rows - 4, 1 + n_rows // 1000)  # none hangs over an end
    parts = []
    for some in np.array_split(numbers, 20):
        frames = pick_frames(samples, some, stft=stft)[0]
        parts.append(np.abs(rfft(frames, axis=1)) ** 2)
    power = np.concatenate(parts)
    power = power[np.argsort(power.sum(axis=1), kind="stable")] + 1e-30
    power = power[power.sum(axis=1) >= 1e-10 * power[-1].sum()]  # not silent
    quiet = power[: max(1, len(power) // 10)]
    # The mean of logs (0.577 low for noise) and a low percentile over neighbouring bins
    # (levelled, for most noise falls with frequency) pass over notes.
    k = np.arange(1, power.shape[1] + 1)
    noise = np.exp(np.log(quiet).mean(axis=0) + np.euler_gamma)
    noise = np.minimum(noise, percentile_filter(noise * k, 25, 31) / k)
    under_db = 10 * np.log10(power.mean() / quiet.mean())
    told_apart_db = np.clip(2 * (under_db - 8), 0, strength_db)
    return noise.astype(np.float32), np.float32(10 ** (-told_apart_db / 20))


def fade(sound: Sound, *, seconds: float = 0.005) -> Sound:
    """Fade in and out along half a cosine, from and to zero.

    Parameters
    ----------
    sound : Sound
    seconds : float, default 0.005
        0 to 10 s: by default too short to be heard, and long enough against clicks.
    """
    _check("fade_seconds", seconds, 0, 10)
    n_faded = min(round(seconds * sound.rate), (sound.n_samples - 1) // 2)
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(n_faded) / max(1, n_faded))
    faded = _in_blocks(sound, np.copy)
    for samples in (faded.samples, faded.samples[::-1]):  # from either end
        samples[:n_faded] *= ramp[:, np.newaxis]
    return faded


def set_level(
    sound: Sound, *, peak_db: float = -1.0, loudness_lufs: float | None = None
) -> Sound:
    """Set the peak or, as far as a true peak of `peak_db` allows, the loudness.

    Parameters
    ----------
    sound : Sound
    peak_db : float, default -1
        -60 to 0 dBFS.
    loudness_lufs : float, optional
        -70 to 0 LUFS. Where `loudness_lufs` of the result is lower, the ceiling held it
        back.
    """
    Finishing(peak_db=peak_db, loudness_lufs=loudness_lufs)  # are they in range?
    peak = max(peak_of(sound), 1e-6)  # under -120 dBFS there is nothing to bring up
    sound = _turn(sound, 10 ** (peak_db / 20) / peak)
    if loudness_lufs is not None:
        now = measure(sound)
        to_aim_db = loudness_lufs - now["loudness_lufs"]
        to_ceiling_db = peak_db - now["true_peak_db"]
        sound = _turn(sound, 10 ** (min(to_aim_db, to_ceiling_db) / 20))
    return sound


def _turn(sound: Sound, gain: float) -> Sound:
    return _in_blocks(sound, lambda block: block * np.float64(gain))


def measure(sound: Sound) -> dict[str, float]:
    """Measure levels; silence is at -200 dB.

    Returns
    -------
    dict of float
        ``peak_db``; ``true_peak_db``, of the curve between the samples too, at 4 times
        the rate; ``rms_db`` (all dBFS); ``loudness_lufs`` (ITU-R BS.1770-4); and
        ``dc_offset``, the mean of the worst channel.
    """
    peak = true_peak = peak_of(sound)
    finer = soxr.ResampleStream(sound.rate, 4 * sound.rate, sound.n_channels)
    for rows in spans(sound.samples):
        last = rows.stop == sound.n_samples
        between = finer.resample_chunk(np.asarray(sound.samples[rows]), last=last)
        true_peak = max(true_peak, float(np.abs(between).max(initial=0)))
    return {
        "peak_db": _db(peak),
        "true_peak_db": _db(true_peak),
        "rms_db": _db(rms_of(sound)),
        "loudness_lufs": loudness(sound),
        "dc_offset": float(max(means_of(sound), key=abs)),
    }


def _db(amplitude: float) -> float:
    return float(20 * np.log10(amplitude)) if amplitude > 1e-10 else SILENCE_DB


def loudness(sound: Sound) -> float:
    """Measure the integrated loudness in LUFS (ITU-R BS.1770-4).

    The standard knows 400 ms and more, five channels, and frequencies over 1.5 kHz: a
    shorter sound counts as if repeated, more channels as their mix, and a rate under
    8000 Hz is brought up to that.
    """
    if sound.n_channels > 5:
        sound = mono(sound)
    if sound.rate < 8000:
        sound = resample(sound, rate=8000)
    least = int(0.4 * sound.rate) + 1
    if sound.n_samples < least:  # repeat it
        sound = Sound(np.resize(sound.samples, (least, sound.n_channels)), sound.rate)
    power = 10 ** (_loudness_of_blocks(sound) / 10)
    power = power[power > 1e-7]  # the absolute gate, at -70 LUFS
    if len(power) == 0:
        return SILENCE_DB
    power = power[power > 0.1 * power.mean()]  # the relative gate, 10 LU lower
    return float(10 * np.log10(power.mean()))


def _loudness_of_blocks(sound: Sound) -> np.ndarray:
    # Of 400 ms each, every 100 ms, by pyloudnorm: a stretch of the sound at a time,
    # with a second before it, in which the filters settle, and 300 ms after it.
    meter = pyloudnorm.Meter(sound.rate)
    step = sound.rate // 10
    n_steps = max(20, STRETCH // (step * sound.n_channels))
    levels = []
    for first in range(0, sound.n_samples, n_steps * step):
        before = min(10, first // step)
        stretch = sound.samples[first - before * step : first + (n_steps + 3) * step]
        meter.integrated_loudness(np.asarray(stretch, dtype=float))
        levels.extend(meter.blockwise_loudness[before:])
        release(sound.samples)
    return np.array(levels)
