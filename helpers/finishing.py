"""Finish a sound: no offset, less noise, no clicks, the right level."""

from dataclasses import replace

import numpy as np
import pyloudnorm
import soxr
from scipy.ndimage import uniform_filter

from helpers.sound import AudioError, Sound, block_offset, fade, mono, peak_of, resample
from helpers.spectrum import add_spectrum, blocks, make_stft, n_frames, spectrum_of

RANGES = {
    "peak_db": (-60, 0),
    "loudness_lufs": (-70, 0),
    "noise_reduction_db": (0, 60),
    "fade_seconds": (0, 10),
}


def finish(
    sound: Sound,
    *,
    peak_db: float = -1.0,
    loudness_lufs: float | None = None,
    noise_reduction_db: float = 0.0,
    fade_seconds: float = 0.005,
) -> Sound:
    """Make a sound ready to use: its offset, noise, ends and level, in this order.

    Parameters
    ----------
    sound : Sound
    peak_db : float, default -1
        Level of the loudest sample, -60 to 0 dBFS. One decibel leaves room for what
        lies between the samples.
    loudness_lufs : float or None, default None
        Loudness to aim at instead, -70 to 0 LUFS; `peak_db` is then the ceiling.
    noise_reduction_db : float, default 0
        How far to turn steady noise down, 0 (not at all) to 60 dB.
    fade_seconds : float, default 0.005
        Length of the fades at both ends, 0 to 10 s. Five milliseconds cannot be heard,
        and no click can either.

    Returns
    -------
    Sound
        As long as it was.

    Raises
    ------
    AudioError
        For a setting of the wrong type or out of range.
    """
    check_finishing(peak_db=peak_db, loudness_lufs=loudness_lufs)
    check_finishing(noise_reduction_db=noise_reduction_db, fade_seconds=fade_seconds)
    sound = block_offset(sound)  # which costs headroom, and clicks
    if noise_reduction_db > 0:
        sound = reduce_noise(sound, strength_db=noise_reduction_db)
    sound = fade(sound, seconds=fade_seconds)
    return set_level(sound, peak_db=peak_db, loudness_lufs=loudness_lufs)


def check_finishing(**settings: float | None) -> None:
    """Raise the `AudioError` that `finish` would for some of its settings."""
    for name, value in settings.items():
        if name not in RANGES:
            raise AudioError(f"Nothing is finished by {name}: use {', '.join(RANGES)}.")
        low, high = RANGES[name]
        unset = name == "loudness_lufs" and value is None
        if not unset and not (type(value) in (int, float) and low <= value <= high):
            raise AudioError(f"{name}={value!r} does not work: use {low} to {high}.")


def reduce_noise(sound: Sound, *, strength_db: float) -> Sound:
    """Turn steady noise down where it can be told apart from the sound.

    What sounds in the quietest tenth of the frames, all channels together, is taken for
    the noise of each channel, if that is 8 dB under its mean. Bins are turned down by
    how much of their power is noise, counted twice (after Boll 1979 and Berouti et al.
    1979); the power of 5 x 3 bins at a time, which keeps "musical noise" away.

    Parameters
    ----------
    sound : Sound
        Of under half a second nothing can be told: it comes back as it is.
    strength_db : float
        By how much at most, 0 to 60 dB. Twelve leave the air of a room.

    Returns
    -------
    Sound
        As long as it was.
    """
    n_fft = max(64, 2 ** round(np.log2(0.046 * sound.rate)))  # 2048 at 44.1 kHz
    stft = make_stft(sound.rate, n_fft, n_fft // 4)
    n_rows = n_frames(sound, stft=stft)
    if n_rows < 50:
        return sound
    some = np.arange(4, n_rows - 4, 1 + n_rows // 1000)  # none hangs over an end
    power = np.abs(spectrum_of(sound, some, stft=stft)) ** 2
    total = power.sum(axis=(0, 2))
    heard = total >= 1e-10 * total.max()  # digital silence is no noise
    quiet = power[:, heard & (total <= np.quantile(total[heard], 0.1))] + 1e-30
    # The mean of logs, 0.577 low for noise, passes over what sounds now and then.
    noise = np.exp(np.log(quiet).mean(axis=1, keepdims=True) + np.euler_gamma)
    ratio = power[:, heard].mean(axis=(1, 2)) / quiet.mean(axis=(1, 2))
    # Two for each decibel that the mean is more than 8 dB over the noise.
    told_apart_db = np.clip(20 * np.log10(ratio + 1e-30) - 16, 0, strength_db)
    least = 10 ** (-told_apart_db[:, np.newaxis, np.newaxis] / 20)
    output = np.zeros_like(sound.samples)
    for rows in blocks(n_rows):
        # Two more on either side, to average over; at the ends the last counts again.
        numbers = np.arange(rows[0] - 2, rows[-1] + 3).clip(0, n_rows - 1)
        spectra = spectrum_of(sound, numbers, stft=stft)
        power = uniform_filter(np.abs(spectra) ** 2, (0, 5, 3), mode="nearest")
        gain = np.maximum(1 - 2 * noise / np.maximum(power, noise), least)
        reduced = (spectra * gain.astype(np.float32))[:, 2:-2]
        add_spectrum(output, reduced, stft=stft, first=rows[0])
    return replace(sound, samples=output)


def set_level(sound: Sound, *, peak_db: float, loudness_lufs: float | None) -> Sound:
    """Set the peak or, as far as a true peak of `peak_db` allows, the loudness.

    Parameters
    ----------
    sound : Sound
    peak_db : float
        -60 to 0 dBFS.
    loudness_lufs : float or None
        -70 to 0 LUFS. Where the `loudness` of the result is lower, the ceiling held it
        back.

    Returns
    -------
    Sound
        As long as it was.
    """
    peak = max(peak_of(sound), 1e-6)  # under -120 dBFS there is nothing to bring up
    samples = sound.samples * np.float32(10 ** (peak_db / 20) / peak)
    levelled = replace(sound, samples=samples)
    if loudness_lufs is not None:
        room_db = peak_db - true_peak_db(levelled)
        gain_db = min(loudness_lufs - loudness(levelled), room_db)
        samples *= np.float32(10 ** (gain_db / 20))
    return levelled


def in_db(amplitude: float) -> float:
    """Give an amplitude in dB under 1."""
    return float(20 * np.log10(amplitude + 1e-10))


def true_peak_db(sound: Sound) -> float:
    """Find the peak of the curve through the samples, at 4 times the rate, in dBFS.

    The samples themselves count too.
    """
    between = soxr.resample(sound.samples, sound.rate, 4 * sound.rate)
    return in_db(max(peak_of(sound), np.abs(between).max()))


def loudness(sound: Sound) -> float:
    """Measure the integrated loudness in LUFS (ITU-R BS.1770-4), by pyloudnorm.

    The standard knows 400 ms and more, five channels, and frequencies over 1.5 kHz: a
    shorter sound counts as if repeated, more channels as their mix, and a rate under
    8000 Hz is brought up to that.
    """
    if sound.samples.shape[1] > 5:
        sound = mono(sound)
    sound = resample(sound, rate=max(8000, sound.rate))
    n_samples, n_channels = sound.samples.shape
    samples = np.resize(sound.samples, (max(n_samples, sound.rate // 2), n_channels))
    lufs = pyloudnorm.Meter(sound.rate).integrated_loudness(samples.astype(float))
    return max(float(lufs), in_db(0))
