"""B's gesture: its loudness and its articulation, put onto another sound."""

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from scipy.signal import lfilter
from scipy.signal.windows import hann

from helpers.audio import Sound
from helpers.spectrum import STFT, mel_bands, power_by_blocks

WINDOW, HOP = 1024, 256  # of the loudness curve: 23 and 6 ms at 44.1 kHz
BLOCK = 2**18  # samples in work at a time


def loudness_db(sound: Sound, channel: int) -> np.ndarray:
    """Measure the power under a Hann window every `HOP` samples, in dB."""
    window = hann(WINDOW, sym=False)
    power = []
    curve = STFT(sound.rate, WINDOW, HOP)
    n_frames = curve.n_frames(sound.n_samples)
    step = BLOCK // HOP
    for first in range(0, n_frames, step):
        frames = range(first, min(first + step, n_frames))
        cut = curve.cut(sound.samples, frames)[:, channel] ** 2
        views = np.lib.stride_tricks.sliding_window_view(cut, WINDOW)[::HOP]
        power.append(views @ (window / window.sum()).astype(np.float32))
    return 10 * np.log10(np.concatenate(power) + 1e-20)


def apply_gain(sound: Sound, gains_db: np.ndarray, *, hop_length: int) -> Sound:
    """Turn channels up and down along curves in dB, ``(n_channels or 1, n_points)``.

    There is a point every `hop_length` samples and a cubic curve between them: a gain
    with corners would put sidebands where A has silence.
    """
    points = np.arange(gains_db.shape[1]) * hop_length
    curve = CubicSpline(points, gains_db.T * (np.log(10) / 20))

    def blocks():
        for start in range(0, sound.n_samples, BLOCK):
            block = sound.samples[start : start + BLOCK]
            gain = np.exp(curve(start + np.arange(len(block)))).astype(np.float32)
            yield block * gain

    return sound.like(blocks())


def impose_loudness(sound: Sound, b: Sound, *, range_db: float = 60) -> Sound:
    """Give a sound B's loudness from moment to moment, channel by channel.

    The difference of the two loudness curves is smoothed over some 10 ms: a gain that
    ripples puts sidebands where A has silence. What lies further than `range_db` under
    B's loudest moment is taken for silence and not lifted.
    """
    gains_db = []
    for channel in range(sound.n_channels):
        own, wanted = (loudness_db(s, channel) for s in (sound, b))
        top = wanted.max()
        gain_db = np.maximum(wanted, top - 110) - np.maximum(own, top - range_db)
        gains_db.append(gaussian_filter1d(gain_db, 1.5))
    return apply_gain(sound, np.array(gains_db), hop_length=HOP)


def bands_db(sound: Sound, *, stft: STFT) -> np.ndarray:
    """Measure forty mel bands in dB, the mean of the channels, ``(n_frames, 40)``."""
    weights = mel_bands(stft.frequencies, 40)
    bands = np.empty((stft.n_frames(sound.n_samples), 40), np.float32)
    step = max(1, BLOCK // stft.hop_length)
    for rows, power in power_by_blocks(sound, stft=stft, block_frames=step):
        bands[rows] = 10 * np.log10(power @ weights / sound.n_channels + 1e-9)
    return bands


def spectral_flux(bands: np.ndarray) -> np.ndarray:
    """Measure how much bands, 60 dB deep, rise since the frame before, ``(n_frames,)``.

    The mean over the bands, in dB.
    """
    bands = np.maximum(bands, bands.max() - 60)
    return np.maximum(np.diff(bands, axis=0, prepend=bands[:1]), 0).mean(axis=1)


def articulate(
    sound: Sound,
    b: Sound,
    *,
    stft: STFT,
    n_rounds: int = 4,
    step: float = 0.5,
    leak: float = 0.7,
    limit_db: float = 8,
) -> Sound:
    """Lean into B's onsets and duck those that only A has.

    Where B's spectral flux exceeds the sound's own, a gain rises and falls back at once
    (it keeps `leak` of itself from frame to frame); where the sound moves and B does
    not, it dips; by `limit_db` at most, and for all channels alike. B's flux counts in
    proportion to the sound's, over six seconds. Each round adds `step` of what the last
    one left to do.
    """
    bands, wanted = bands_db(sound, stft=stft), spectral_flux(bands_db(b, stft=stft))
    span = round(6 * stft.rate / stft.hop_length)
    # A running sum can end up just under zero.
    size, size_b = (
        uniform_filter1d(x**2, span).clip(0) for x in (spectral_flux(bands), wanted)
    )
    wanted *= np.sqrt(size / (size_b + 1e-3))
    gain_db = np.zeros_like(wanted)
    for _ in range(n_rounds):
        flux = spectral_flux(bands + gain_db[:, None])
        gain_db += lfilter([step], [1, -leak], wanted - flux)
        gain_db = np.clip(gain_db, -limit_db, limit_db)
    return apply_gain(sound, gain_db[None], hop_length=stft.hop_length)
