"""B's gesture: its loudness and its articulation, put onto another sound."""

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from scipy.signal import ShortTimeFFT, lfilter

from helpers.audio import Sound, allocate, spans
from helpers.spectrum import (
    analyse,
    cut_frames,
    frame_blocks,
    make_stft,
    mel_bands,
    n_frames,
)

LOUDNESS_WINDOW, LOUDNESS_HOP = 1536, 256  # samples: 35 and 6 ms at 44.1 kHz


def loudness_db(sound: Sound, *, stft: ShortTimeFFT) -> np.ndarray:
    """Measure the power of every frame.

    Returns
    -------
    ndarray of shape (n_channels, n_frames)
        The mean power under the squared window, in dB; silence is at -200 dB.
    """
    power = []
    n_rows = n_frames(sound.n_samples, stft=stft)
    for rows in frame_blocks(n_rows, n_channels=sound.n_channels):
        frames = cut_frames(sound.samples, stft=stft, rows=rows)
        power.append((frames**2).sum(axis=2) / (stft.win**2).sum())
    return 10 * np.log10(np.concatenate(power, axis=1) + 1e-20)


def apply_gain(sound: Sound, gains_db: np.ndarray, *, stft: ShortTimeFFT) -> Sound:
    """Turn channels up and down along curves.

    Between its points a curve is cubic: a gain with corners would put sidebands where A
    has silence.

    Parameters
    ----------
    sound : Sound
    gains_db : ndarray of shape (n_channels or 1, n_frames)
        A point for every frame, in dB.
    stft : ShortTimeFFT
        Says where the frames lie.
    """
    points = (np.arange(gains_db.shape[1]) + stft.p_min) * stft.hop
    curve = CubicSpline(points, gains_db.T * (np.log(10) / 20))
    output = allocate(sound.n_samples, sound.n_channels)
    for rows in spans(sound.samples, output):
        block = sound.samples[rows]
        places = rows.start + np.arange(len(block))
        output[rows] = block * np.exp(curve(places)).astype(np.float32)
    return Sound(output, sound.rate)


def impose_loudness(sound: Sound, b: Sound, *, range_db: float = 60) -> Sound:
    """Give a sound B's loudness from moment to moment, channel by channel.

    The difference of the two loudness curves is smoothed over some 10 ms: a gain that
    ripples puts sidebands where A has silence. What lies further than `range_db` under
    B's loudest moment is taken for silence and not lifted.
    """
    stft = make_stft(b.rate, LOUDNESS_WINDOW, LOUDNESS_HOP)
    own, wanted = loudness_db(sound, stft=stft), loudness_db(b, stft=stft)
    top = wanted.max(axis=1, keepdims=True)
    gains_db = np.maximum(wanted, top - 110) - np.maximum(own, top - range_db)
    return apply_gain(sound, gaussian_filter1d(gains_db, 1.5, axis=1), stft=stft)


def bands_db(sound: Sound, *, stft: ShortTimeFFT) -> np.ndarray:
    """Measure forty mel bands in dB, the mean of the channels, ``(n_frames, 40)``."""
    weights = mel_bands(stft.f, 40)
    bands = []
    n_rows = n_frames(sound.n_samples, stft=stft)
    for rows in frame_blocks(n_rows, n_channels=sound.n_channels):
        spectrum = analyse(sound.samples, stft=stft, rows=rows)
        power = (np.abs(spectrum) ** 2).mean(axis=0)
        bands.append(10 * np.log10(power @ weights + 1e-9))
    return np.concatenate(bands)


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
    stft: ShortTimeFFT,
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
    bands = bands_db(sound, stft=stft)
    flux = spectral_flux(bands)
    wanted = spectral_flux(bands_db(b, stft=stft))
    span = round(6 * b.rate / stft.hop)
    # A running sum can end up just under zero.
    size = uniform_filter1d(flux**2, span).clip(0)
    size_b = uniform_filter1d(wanted**2, span).clip(0)
    wanted = wanted * np.sqrt(size / (size_b + 1e-3))
    gain_db = np.zeros_like(wanted)
    for _ in range(n_rounds):
        flux = spectral_flux(bands + gain_db[:, None])
        gain_db += lfilter([step], [1, -leak], wanted - flux)
        gain_db = np.clip(gain_db, -limit_db, limit_db)
    return apply_gain(sound, gain_db[None], stft=stft)
