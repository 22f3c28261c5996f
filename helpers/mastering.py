"""Finish a sound: no offset, no silence, less noise, no clicks, the right level."""

from collections import deque
from collections.abc import Callable, Iterator
from numbers import Real

import numpy as np
import soxr
from scipy.ndimage import percentile_filter, uniform_filter
from scipy.signal import sosfilt

from helpers.audio import AudioError, Sound, gather
from helpers.spectrum import STFT, by_blocks

K_WEIGHTING = [  # ITU-R BS.1770-4, tables 1 and 2, for 48 kHz
    [1.5351248596, -2.6916961894, 1.1983928109, 1, -1.6906592932, 0.7324807742],
    [1, -2, 1, 1, -1.99004745483398, 0.99007225036621],
]


def _allow(low: float, high: float, **settings: float) -> None:
    for name, value in settings.items():
        if not (isinstance(value, Real) and low <= value <= high):
            raise AudioError(f"{name}={value} is out of range: use {low} to {high}.")


def check_settings(
    *,
    trim: bool = False,
    noise_reduction_db: float = 0.0,
    fade_seconds: float = 0.005,
    peak_db: float = -1.0,
    loudness_lufs: float | None = None,
) -> None:
    """Raise `AudioError` for settings of `finish` that cannot work."""
    _allow(0, 1, trim=trim)
    _allow(0, 60, noise_reduction_db=noise_reduction_db)
    _allow(0, 3600, fade_seconds=fade_seconds)
    _allow(-70, 0, peak_db=peak_db, loudness_lufs=loudness_lufs or 0.0)


def _blocks(sound: Sound) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    at = 0
    for block in sound.blocks():
        yield np.arange(at, at := at + len(block)), block


def _map(sound: Sound, change: Callable, n_samples: int = 0) -> Sound:
    size = {"n_samples": n_samples or sound.n_samples, "n_channels": sound.n_channels}
    return Sound(gather((change(*pair) for pair in _blocks(sound)), **size), sound.rate)


def _peak(sound: Sound) -> float:
    return float(max(np.abs(block).max() for block in sound.blocks()))


def measure(sound: Sound) -> dict[str, float]:
    """Return peak, true peak, RMS (dBFS), loudness (LUFS) and the largest offset.

    True peak at 4 times the rate, loudness of ITU-R BS.1770-4; silence is at -200 dB.
    """
    rates = 4 * sound.rate, 48000
    finer, other = (soxr.ResampleStream(sound.rate, r, sound.n_channels) for r in rates)
    peak, state, sums, at = _peak(sound), np.zeros((2, 2, sound.n_channels)), 0, 0
    true_peak, steps = peak, np.zeros(sound.n_samples * 10 // sound.rate + 2)  # 100 ms
    for rows, block in _blocks(sound):
        sums = sums + np.sum([block, block**2], axis=1, dtype=float)
        last = bool(rows[-1] == sound.n_samples - 1)
        between = np.abs(finer.resample_chunk(block, last)).max(initial=0)
        true_peak, heard = max(true_peak, between), other.resample_chunk(block, last)
        if len(heard):
            heard, state = sosfilt(K_WEIGHTING, heard, axis=0, zi=state)
        step = np.arange(at, at := at + len(heard)) // 4800
        steps += np.bincount(step, np.sum(heard**2, axis=1), len(steps))
    power = np.array([steps.sum() / max(1, at)])
    if at >= 19200:
        power = np.convolve(steps[: at // 4800], np.full(4, 1 / 19200), "valid")
        power = power[power > 10**-6.9309]  # -70 LUFS
        power = power[power > 0.1 * power.sum() / max(1, len(power))]
    loudness = 10**-0.0691 * power.sum() / max(1, len(power))
    mean, square = sums / sound.n_samples
    powers = np.array([peak**2, true_peak**2, square.mean(), loudness])
    facts = [*10 * np.log10(powers + 1e-20), max(mean, key=abs)]
    names = "peak_db", "true_peak_db", "rms_db", "loudness_lufs", "dc"
    return dict(zip(names, map(float, facts), strict=True))


def remove_dc(sound: Sound) -> Sound:
    """Subtract the mean of each channel: an offset costs headroom and clicks."""
    sums = sum(block.sum(axis=0, dtype=float) for block in sound.blocks())
    mean = (sums / sound.n_samples).astype(np.float32)
    return _map(sound, lambda _, block: block - mean)


def trim_silence(sound: Sound, *, threshold_db: float = -60) -> Sound:
    """Cut off both ends where they are `threshold_db` under the peak, but for 10 ms."""
    _allow(-120, -1, threshold_db=threshold_db)
    limit, keep = _peak(sound) * 10 ** (threshold_db / 20), round(0.01 * sound.rate)
    loud = np.concatenate([np.abs(b).max(axis=1) >= limit for b in sound.blocks()])
    start = max(0, loud.argmax() - keep)
    stop = len(loud) - max(0, loud[::-1].argmax() - keep)
    return _map(sound, lambda i, b: b[(start <= i) & (i < stop)], stop - start)


def reduce_noise(sound: Sound, *, strength_db: float = 12) -> Sound:
    """Turn steady noise down by up to `strength_db` (0 to 60), where it is told apart.

    The quietest tenth shows it, if 8 dB under the mean. Subtraction (Boll 1979, Berouti
    et al. 1979) from the power of 5 x 3 bins at a time keeps "musical noise" away.
    """
    _allow(0, 60, strength_db=strength_db)
    n_fft = max(64, 2 ** round(np.log2(sound.rate * 0.046)))  # 2048 at 44.1 kHz
    stft, profiles = STFT(sound.rate, n_fft=n_fft, hop_length=n_fft // 4), []
    if (n_frames := stft.n_frames(sound.n_samples)) < 50:
        return sound
    some = range(2, n_frames - 2, 1 + n_frames // 1000)  # none hangs over an end
    for c in range(sound.n_channels):
        cuts = (stft.cut(sound.samples, range(i, i + 1))[:, c] for i in some)
        power = np.abs(np.concatenate([stft.transform(cut) for cut in cuts])) ** 2
        power = power[np.argsort(power.sum(axis=1), kind="stable")] + 1e-30
        power = power[power.sum(axis=1) >= 1e-10 * power[-1].sum()]  # not silent
        quiet, k = power[: max(1, len(power) // 10)], np.arange(1, power.shape[1] + 1)
        # Mean log (noise: 0.577 low) and quartile of bins (levelled) pass over notes.
        noise = np.exp(np.log(quiet).mean(axis=0) + np.euler_gamma)
        noise = np.minimum(noise, percentile_filter(noise * k, 25, 31) / k)
        under_db = 10 * np.log10(power.mean() / quiet.mean())
        floor = 10 ** (-np.clip(2 * (under_db - 8), 0, strength_db) / 20)
        profiles.append((noise.astype(np.float32), np.float32(floor)))

    def process(padded: np.ndarray, _: range) -> np.ndarray:
        for c, (noise, floor) in enumerate(profiles):
            spectrum = stft.transform(padded[:, c])
            power = uniform_filter(np.abs(spectrum) ** 2, (5, 3), mode="nearest")
            gain = 1 - 2 * noise / np.maximum(power, noise)
            padded[:, c] = stft.inverse(spectrum * np.maximum(gain, floor))
        return padded

    return by_blocks(sound, process, stft=stft, context=4)  # 2 to average, 2 to overlap


def fade(sound: Sound, *, seconds: float = 0.005) -> Sound:
    """Fade in and out along half a cosine, from and to zero, too short to be heard."""
    _allow(0, 3600, seconds=seconds)
    n = min(round(seconds * sound.rate), (end := sound.n_samples - 1) // 2)
    ramp = np.append(0.5 - 0.5 * np.cos(np.pi * np.arange(n) / max(1, n)), 1)[:, None]
    return _map(sound, lambda i, b: b * ramp[np.minimum(i, end - i).clip(max=n)])


def set_level(
    sound: Sound, *, peak_db: float = -1.0, loudness_lufs: float | None = None
) -> Sound:
    """Set the peak or, as far as a true peak of `peak_db` allows, the loudness."""
    _allow(-70, 0, peak_db=peak_db, loudness_lufs=loudness_lufs or 0.0)
    peak = max(_peak(sound), 1e-6)  # under -120 dBFS there is nothing to bring up
    sound = _map(sound, lambda _, b: b * np.float64(10 ** (peak_db / 20) / peak))
    if loudness_lufs is not None:
        now = measure(sound)
        gain = min(loudness_lufs - now["loudness_lufs"], peak_db - now["true_peak_db"])
        sound = _map(sound, lambda _, b: b * np.float64(10 ** (gain / 20)))
    return sound


def stages(sound: Sound, **settings: float | None) -> Iterator[tuple[str, Sound]]:
    """Yield the name and the result of each stage of `finish`, in their order."""
    check_settings(**settings)
    yield "offset removed", (sound := remove_dc(sound))
    if settings.get("trim"):
        yield "silence trimmed", (sound := trim_silence(sound))
    if strength_db := settings.get("noise_reduction_db"):
        yield "noise reduced", (sound := reduce_noise(sound, strength_db=strength_db))
    yield (
        "ends faded",
        (sound := fade(sound, seconds=settings.get("fade_seconds", 0.005))),
    )
    level = {k: settings[k] for k in ("peak_db", "loudness_lufs") if k in settings}
    yield "level set", set_level(sound, **level)


def finish(sound: Sound, **settings: float | None) -> Sound:
    """Make a sound ready to use, with the settings of `check_settings`.

    By default: no offset, no clicks at the ends, a peak of -1 dBFS.
    """
    return deque(stages(sound, **settings), maxlen=1)[0][1]
