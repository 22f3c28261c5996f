"""Finish a sound: no offset, no silence, less noise, no clicks, the right level."""

from collections import deque
from collections.abc import Callable, Iterator

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
        if isinstance(value, str) or not low <= value <= high:
            raise AudioError(f"{name}={value} is out of range: use {low} to {high}.")


def _blocks(sound: Sound) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    at = 0
    for block in sound.blocks():
        yield np.arange(at, at := at + len(block)), block


def _map(sound: Sound, change: Callable, n_samples: int = 0) -> Sound:
    size = {"n_samples": n_samples or sound.n_samples, "n_channels": sound.n_channels}
    return Sound(gather((change(*pair) for pair in _blocks(sound)), **size), sound.rate)


def _peak(sound: Sound) -> float:
    return float(max(np.abs(block).max() for block in sound.blocks()))


def _mean(sound: Sound, power: int = 1) -> np.ndarray:
    sums = (np.sum(block.astype(float) ** power, axis=0) for block in sound.blocks())
    return sum(sums) / sound.n_samples


def measure(sound: Sound) -> dict[str, float]:
    """Return peak, true peak, RMS (dBFS), loudness (LUFS) and the largest offset.

    The true peak is the one between the samples, at four times the rate. Loudness is
    that of ITU-R BS.1770-4, all channels of equal weight; under 0.4 s without gates.
    Silence is at -200 dB.
    """
    rates = 4 * sound.rate, 48000
    finer, other = (soxr.ResampleStream(sound.rate, r, sound.n_channels) for r in rates)
    peak = true_peak = _peak(sound)
    state, at = np.zeros((2, 2, sound.n_channels)), 0
    steps = np.zeros(sound.n_samples * 10 // sound.rate + 2)  # of 100 ms each
    for rows, block in _blocks(sound):
        last = bool(rows[-1] == sound.n_samples - 1)
        between = np.abs(finer.resample_chunk(block, last)).max(initial=0)
        true_peak, heard = max(true_peak, between), other.resample_chunk(block, last)
        heard, state = sosfilt(K_WEIGHTING, heard, axis=0, zi=state)
        step = np.arange(at, at := at + len(heard)) // 4800
        steps += np.bincount(step, np.sum(heard**2, axis=1), len(steps))
    power = np.array([steps.sum() / max(1, at)])
    if at >= 19200:
        power = np.convolve(steps[: at // 4800], np.full(4, 1 / 19200), "valid")
        power = power[power > 10**-6.9309]  # -70 LUFS
        power = power[power > 0.1 * power.sum() / max(1, len(power))]
    loudness = 10**-0.0691 * power.sum() / max(1, len(power))
    powers = peak**2, true_peak**2, _mean(sound, 2).mean(), loudness
    levels = (10 * np.log10(np.array(powers) + 1e-20)).tolist()
    names = "peak_db", "true_peak_db", "rms_db", "loudness_lufs", "dc"
    return dict(zip(names, [*levels, float(max(_mean(sound), key=abs))], strict=True))


def remove_dc(sound: Sound) -> Sound:
    """Subtract the mean of each channel: an offset costs headroom and clicks."""
    mean = _mean(sound).astype(np.float32)
    return _map(sound, lambda _, block: block - mean)


def trim_silence(sound: Sound, *, threshold_db: float = -60) -> Sound:
    """Cut off both ends where they are `threshold_db` under the peak, but for 10 ms."""
    _allow(-120, -1, threshold_db=threshold_db)
    limit, keep = _peak(sound) * 10 ** (threshold_db / 20), round(0.01 * sound.rate)
    loud = np.concatenate([np.abs(b).max(axis=1) >= limit for b in sound.blocks()])
    start = max(0, loud.argmax() - keep)
    stop = len(loud) - max(0, loud[::-1].argmax() - keep)
    return _map(sound, lambda i, b: b[(start <= i) & (i < stop)], stop - start)


def _noise(stft: STFT, samples: np.ndarray, channel: int) -> tuple[np.ndarray, float]:
    # The power of the noise in each bin, and how far (dB) it is under the sound.
    n_frames = stft.n_frames(len(samples))
    some = range(2, n_frames - 2, 1 + n_frames // 1000)  # none hangs over an end
    cuts = [stft.cut(samples, range(i, i + 1))[:, channel] for i in some]
    power = np.abs(np.concatenate([stft.transform(cut) for cut in cuts])) ** 2 + 1e-30
    power = power[np.argsort(power.sum(axis=1), kind="stable")]
    power = power[power.sum(axis=1) >= 1e-10 * power[-1].sum()]  # not silent
    quiet = power[: max(1, len(power) // 10)]
    # The mean log passes over what is left of notes (for noise it is 0.577 under the
    # log of the mean), the lower quartile of 31 bins, levelled, over their partials.
    noise = np.exp(np.log(quiet).mean(axis=0) + np.euler_gamma)
    bins = np.arange(1, len(noise) + 1)
    noise = np.minimum(noise, percentile_filter(noise * bins, 25, 31) / bins)
    return noise.astype(np.float32), 10 * np.log10(power.mean() / quiet.mean())


def reduce_noise(sound: Sound, *, strength_db: float = 12) -> Sound:
    """Turn steady noise down by up to `strength_db` (0 to 60).

    The noise is what the quietest tenth holds. Where the mean power of 5 frames and 3
    bins is near it, a bin is turned down: subtraction with a floor (Boll 1979, Berouti
    et al. 1979); the mean keeps "musical noise" away. Without moments 8 dB under the
    average, or in half a second, noise is not told from sound, and nothing is changed.
    """
    _allow(0, 60, strength_db=strength_db)
    n_fft = max(64, 2 ** round(np.log2(sound.rate * 0.046)))  # 2048 at 44.1 kHz
    stft = STFT(sound.rate, n_fft=n_fft, hop_length=n_fft // 4)
    if stft.n_frames(sound.n_samples) < 50:
        return sound
    profiles = [_noise(stft, sound.samples, c) for c in range(sound.n_channels)]

    def process(padded: np.ndarray, _: range) -> np.ndarray:
        output = np.empty_like(padded)
        for c, (noise, under_db) in enumerate(profiles):
            spectrum = stft.transform(padded[:, c])
            power = uniform_filter(np.abs(spectrum) ** 2, (5, 3), mode="nearest")
            gain = 1 - 2 * noise / np.maximum(power, noise)
            floor = 10 ** (-np.clip(2 * (under_db - 8), 0, strength_db) / 20)
            output[:, c] = stft.inverse(spectrum * np.maximum(gain, np.float32(floor)))
        return output

    # Of 4 frames at either side, 2 are for the mean and 2 for the overlap.
    return by_blocks(sound, process, stft=stft, context=4)


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
    """Bring the peak to `peak_db` (dBFS), or the loudness to `loudness_lufs`.

    Both go from -70 to 0. One gain for the whole sound, no limiter: towards a loudness
    it goes as far as the true peak allows. Under -120 dBFS nothing is changed.
    """
    _allow(-70, 0, peak_db=peak_db, loudness_lufs=loudness_lufs or 0.0)
    if (peak := _peak(sound)) < 1e-6:
        return sound
    sound = _map(sound, lambda _, b: b * np.float64(10 ** (peak_db / 20) / peak))
    if loudness_lufs is None:
        return sound
    now = measure(sound)
    gain_db = min(loudness_lufs - now["loudness_lufs"], peak_db - now["true_peak_db"])
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
    # Before the work, not after it.
    _allow(-70, 0, peak_db=peak_db, loudness_lufs=loudness_lufs or 0.0)
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
