"""Finish a sound: no offset, no silence, less noise, no clicks, the right level."""

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import soxr
from scipy.ndimage import percentile_filter, uniform_filter
from scipy.signal import sosfilt

from helpers.audio import AudioError, Sound, gather
from helpers.spectrum import STFT

BLOCK = 2**20  # values handled at a time
K_WEIGHTING = [  # ITU-R BS.1770-4, tables 1 and 2, for 48 kHz
    [1.5351248596, -2.6916961894, 1.1983928109, 1, -1.6906592932, 0.7324807742],
    [1, -2, 1, 1, -1.99004745483398, 0.99007225036621],
]


def _allow(low: float, high: float, **settings: float) -> None:
    for name, value in settings.items():
        if isinstance(value, str) or not low <= value <= high:
            raise AudioError(f"{name}={value} is out of range: use {low} to {high}.")


def _blocks(sound: Sound) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    step, n = max(1, BLOCK // sound.n_channels), sound.n_samples
    for at in range(0, n, step):
        yield np.arange(at, min(at + step, n)), sound.samples[at : at + step]


def _map(sound: Sound, change: Callable, n_samples: int = 0) -> Sound:
    size = {"n_samples": n_samples or sound.n_samples, "n_channels": sound.n_channels}
    return Sound(gather((change(*pair) for pair in _blocks(sound)), **size), sound.rate)


def _peak(sound: Sound) -> float:
    return float(max(np.abs(block).max() for _, block in _blocks(sound)))


def _mean(sound: Sound, power: int = 1) -> np.ndarray:
    sums = (np.sum(block.astype(float) ** power, axis=0) for _, block in _blocks(sound))
    return sum(sums) / sound.n_samples


def _decibels(power: float) -> float:
    return float(10 * np.log10(power + 1e-20))


def measure(sound: Sound) -> dict[str, float]:
    """Return peak, true peak, RMS (dBFS), loudness (LUFS) and the worst channel's mean.

    The true peak is the one between the samples, at four times the rate. Loudness is
    that of ITU-R BS.1770-4, integrated, all channels of equal weight; a sound under
    0.4 s counts as one block. Silence is at -200 dB.
    """
    rates = 4 * sound.rate, 48000
    finer, other = (soxr.ResampleStream(sound.rate, r, sound.n_channels) for r in rates)
    state, at, true_peak = np.zeros((2, 2, sound.n_channels)), 0, _peak(sound)
    steps = np.zeros(sound.n_samples * 10 // sound.rate + 2)  # of 100 ms each
    for rows, block in _blocks(sound):
        last = bool(rows[-1] == sound.n_samples - 1)
        true_peak = max(
            true_peak, np.abs(finer.resample_chunk(block, last)).max(initial=0)
        )
        heard = other.resample_chunk(block, last)
        heard, state = sosfilt(K_WEIGHTING, heard, axis=0, zi=state)
        step = np.arange(at, at := at + len(heard)) // 4800
        steps += np.bincount(step, np.sum(heard**2, axis=1), len(steps))
    power = np.array([steps.sum() / max(1, at)])
    if at >= 19200:
        power = np.convolve(steps[: at // 4800], np.full(4, 1 / 19200), "valid")
    power = power[power > 10 ** ((0.691 - 70) / 10)]
    power = power[power > 0.1 * power.sum() / max(1, len(power))]
    return {
        "peak_db": _decibels(_peak(sound) ** 2),
        "true_peak_db": _decibels(true_peak**2),
        "rms_db": _decibels(_mean(sound, 2).mean()),
        "loudness_lufs": _decibels(power.sum() / max(1, len(power))) - 0.691,
        "dc": float(max(_mean(sound), key=abs)),
    }


def remove_dc(sound: Sound) -> Sound:
    """Subtract the mean of each channel: an offset costs headroom and clicks."""
    mean = _mean(sound).astype(np.float32)
    return _map(sound, lambda _, block: block - mean)


def trim_silence(sound: Sound, *, threshold_db: float = -60) -> Sound:
    """Cut off both ends where they are `threshold_db` under the peak, but for 10 ms."""
    _allow(-120, -1, threshold_db=threshold_db)
    limit, keep = _peak(sound) * 10 ** (threshold_db / 20), round(0.01 * sound.rate)
    loud = (rows[np.abs(block).max(axis=1) >= limit] for rows, block in _blocks(sound))
    heard = [row for rows in loud for row in (*rows[:1], *rows[-1:])]
    start, stop = max(0, heard[0] - keep), min(sound.n_samples, heard[-1] + keep + 1)
    return _map(
        sound, lambda i, b: b[(start <= i) & (i < stop)], n_samples=stop - start
    )


def _noise(stft: STFT, samples: np.ndarray, channel: int) -> tuple[np.ndarray, float]:
    # The power of the noise in each bin, and how far (dB) it is under the sound.
    n_frames = stft.n_frames(len(samples))
    some = range(2, n_frames - 2, 1 + n_frames // 1000)  # none hangs over an end
    cuts = [stft.cut(samples, range(i, i + 1))[:, channel] for i in some]
    power = np.abs(np.concatenate([stft.transform(cut) for cut in cuts])) ** 2 + 1e-30
    power = power[np.argsort(power.sum(axis=1), kind="stable")]
    energy = power.sum(axis=1, dtype=float)
    silent = np.count_nonzero(energy < 1e-10 * energy[-1])
    quiet = slice(silent, silent + max(1, (len(energy) - silent) // 10))
    # The mean log passes over what is left of notes (for noise it is 0.577 under the
    # log of the mean), the lower quartile of 31 bins, levelled, over their partials.
    noise = np.exp(np.log(power[quiet]).mean(axis=0) + np.euler_gamma)
    bins = np.arange(1, len(noise) + 1)
    noise = np.minimum(noise, percentile_filter(noise * bins, 25, 31) / bins)
    under_db = _decibels(energy[silent:].mean() / energy[quiet].mean())
    return noise.astype(np.float32), under_db


def reduce_noise(sound: Sound, *, strength_db: float = 12) -> Sound:
    """Turn steady noise, as in the quietest tenth, down by up to `strength_db` (0 to 60).

    Where the mean power of 5 frames and 3 bins is near that of the noise, a bin is
    turned down: subtraction with a floor (Boll 1979; Berouti et al. 1979); the mean keeps
    "musical noise" away. Without moments 8 dB under the average, and under half a
    second, noise cannot be told from sound, and nothing is changed.
    """
    _allow(0, 60, strength_db=strength_db)
    n_fft = max(64, 2 ** round(np.log2(sound.rate * 0.046)))  # 2048 at 44.1 kHz
    stft = STFT(sound.rate, n_fft=n_fft, hop_length=n_fft // 4)
    hop, n_frames = stft.hop_length, stft.n_frames(sound.n_samples)
    if n_frames < 50:
        return sound
    profiles = [_noise(stft, sound.samples, c) for c in range(sound.n_channels)]

    def change(rows: np.ndarray, block: np.ndarray) -> np.ndarray:
        # Four frames more at each end: two for the mean, two for the overlap.
        first, stop = max(0, rows[0] // hop - 4), min(n_frames, rows[-1] // hop + 6)
        cut, out = stft.cut(sound.samples, range(first, stop)).T, []
        for channel, (noise, under_db) in zip(cut, profiles, strict=True):
            spectrum = stft.transform(channel)
            power = uniform_filter(np.abs(spectrum) ** 2, (5, 3), mode="nearest")
            gain = 1 - 2 * noise / np.maximum(power, noise)
            floor = 10 ** (-np.clip(2 * (under_db - 8), 0, strength_db) / 20)
            out.append(stft.inverse(spectrum * np.maximum(gain, np.float32(floor))))
        return np.stack(out, axis=1)[rows - first * hop + n_fft // 2]

    return _map(sound, change)


def fade(sound: Sound, *, seconds: float = 0.005) -> Sound:
    """Fade in and out along half a cosine, from and to zero, too short to be heard."""
    _allow(0, 3600, seconds=seconds)
    end = sound.n_samples - 1
    n = min(round(seconds * sound.rate), end // 2)
    ramp = np.append(0.5 - 0.5 * np.cos(np.pi * np.arange(n) / max(1, n)), 1)[:, None]
    return _map(sound, lambda i, b: b * ramp[np.minimum(i, end - i).clip(max=n)])


def set_level(
    sound: Sound, *, peak_db: float = -1.0, loudness_lufs: float | None = None
) -> Sound:
    """Bring the peak to `peak_db` (-60 to 0 dBFS), or the loudness to `loudness_lufs`.

    One gain for the whole sound, no limiter: towards a loudness (-70 to 0) it goes only
    as far as the true peak stays within `peak_db`. Under -120 dBFS nothing is changed.
    """
    _allow(-60, 0, peak_db=peak_db)
    _allow(-70, 0, loudness_lufs=loudness_lufs or 0.0)
    if (peak := _peak(sound)) < 1e-6:
        return sound
    sound = _map(sound, lambda _, b: b * np.float64(10 ** (peak_db / 20) / peak))
    if loudness_lufs is None:
        return sound
    facts = measure(sound)
    gain_db = min(
        loudness_lufs - facts["loudness_lufs"], peak_db - facts["true_peak_db"]
    )
    return _map(sound, lambda _, b: b * np.float64(10 ** (gain_db / 20)))


def stages(
    sound: Sound,
    *,
    trim: bool = False,
    noise_reduction_db: float = 0.0,
    fade_seconds: float = 0.005,
    peak_db: float = -1.0,
    loudness_lufs: float | None = None,
) -> Iterator[tuple[str, Sound]]:
    """Yield the name and the result of each stage of `finish`, in their order."""
    _allow(-60, 0, peak_db=peak_db)  # before the work, not after it
    _allow(-70, 0, loudness_lufs=loudness_lufs or 0.0)
    yield "offset removed", (sound := remove_dc(sound))
    if trim:
        yield "silence trimmed", (sound := trim_silence(sound))
    if noise_reduction_db != 0:
        sound = reduce_noise(sound, strength_db=noise_reduction_db)
        yield "noise reduced", sound
    yield "ends faded", (sound := fade(sound, seconds=fade_seconds))
    yield "level set", set_level(sound, peak_db=peak_db, loudness_lufs=loudness_lufs)


def finish(sound: Sound, **settings: float | None) -> Sound:
    """Make a sound ready to use: the last of its `stages`, which has the settings."""
    return deque(stages(sound, **settings), maxlen=1)[0][1]
