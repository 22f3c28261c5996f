"""The short-time Fourier transform in blocks: sound into frames, and back.

`scipy.signal.ShortTimeFFT` owns window, hop and rate. The functions here give its very
numbers, but a row for each frame, all channels in one batch, and for some of the frames
at a time: spectra of long sounds would fill the memory.
"""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import irfft, rfft
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from helpers.sound import AudioError, Sound

BLOCK_FRAMES = 256  # frames in work at a time: more do not fit into caches


def make_stft(rate: int, n_fft: int = 2048, hop_length: int = 512) -> ShortTimeFFT:
    """Make the short-time Fourier transform of the project.

    Its window is a periodic Hann window, its inverse the least-squares one (Griffin and
    Lim 1984), which is exact for a spectrum that nobody changed.

    Parameters
    ----------
    rate : int
        Samples per second, in Hz.
    n_fft : int, default 2048
        Length of a frame in samples: 46 ms at 44.1 kHz, long enough to tell the
        partials of a tone apart and short enough to follow its movement.
    hop_length : int, default 512
        Samples from one frame to the next, a half of `n_fft` at most: with less overlap
        a changed spectrum comes back with gaps.

    Returns
    -------
    ShortTimeFFT
        With ``phase_shift=None``: phases count from the start of each frame, as those
        of a plain `rfft` do.

    Raises
    ------
    AudioError
        When the lengths are no whole numbers, or do not fit each other.
    """
    whole = type(n_fft) is int and type(hop_length) is int
    if not whole or not 1 <= hop_length <= n_fft // 2 <= 2**15 or n_fft % hop_length:
        raise AudioError(
            f"n_fft={n_fft!r} and hop_length={hop_length!r} do not fit: choose an "
            "n_fft up to 65536 that is 2, 4 or 8 times hop_length, as 2048 is of 512."
        )
    return ShortTimeFFT(hann(n_fft, sym=False), hop_length, rate, phase_shift=None)


def n_frames(sound: Sound, *, stft: ShortTimeFFT) -> int:
    """Count the frames of a sound, those that hang over its ends too."""
    return stft.p_num(max(len(sound.samples), stft.m_num_mid))  # scipy asks for half


def seconds_of(numbers: np.ndarray, *, stft: ShortTimeFFT) -> np.ndarray:
    """Tell by their numbers when the middles of frames are, in seconds."""
    return (numbers + stft.p_min) * stft.delta_t


def starts_of(numbers: np.ndarray) -> np.ndarray:
    """Tell which of some frames do not follow the one before; the first never does."""
    return np.diff(numbers, prepend=-2) != 1


def blocks(n_rows: int) -> Iterator[np.ndarray]:
    """Yield the numbers of `n_rows` frames in order, some hundred at a time."""
    for first in range(0, n_rows, BLOCK_FRAMES):
        yield np.arange(first, min(first + BLOCK_FRAMES, n_rows))


def cut_frames(sound: Sound, numbers: np.ndarray, *, stft: ShortTimeFFT) -> np.ndarray:
    """Cut frames out of a sound, in any order, and fade each with the window.

    Parameters
    ----------
    sound : Sound
        Past its ends there is silence.
    numbers : ndarray of int, shape (n_rows,)
        Which frames; number 0 is scipy's slice ``stft.p_min``.
    stft : ShortTimeFFT

    Returns
    -------
    ndarray of shape (n_channels, n_rows, n_fft)
        Float32.
    """
    starts = (numbers + stft.p_min) * stft.hop - stft.m_num_mid
    first, stop = starts.min(), starts.max() + stft.m_num
    samples = sound.samples[max(first, 0) : max(stop, 0)]
    missing = max(-first, 0), max(stop - len(sound.samples), 0)
    samples = np.pad(samples, (missing, (0, 0)))  # some frames hang over the ends
    views = sliding_window_view(samples, stft.m_num, axis=0)
    frames = np.asarray(views[starts - first].transpose(1, 0, 2), np.float32)
    return frames * stft.win.astype(np.float32)


def spectrum_of(sound: Sound, numbers: np.ndarray, *, stft: ShortTimeFFT) -> np.ndarray:
    """Measure the spectra of some frames: ``stft.stft``, transposed to rows.

    Returns
    -------
    ndarray of shape (n_channels, n_rows, n_bins)
        Complex64.
    """
    return rfft(cut_frames(sound, numbers, stft=stft), axis=2)


def add_frames(
    output: np.ndarray, frames: np.ndarray, *, stft: ShortTimeFFT, first: int = 0
) -> None:
    """Fade frames with the dual window and add them to a sound where they belong.

    Blocks of frames may be added one after the other: their tails overlap as the
    frames within them do.

    Parameters
    ----------
    output : ndarray of shape (n_samples, n_channels)
        Changed in place.
    frames : ndarray of shape (n_channels, n_rows, n_fft)
        In time, such as the inverse FFT of spectra.
    stft : ShortTimeFFT
    first : int, default 0
        Number of the first of the frames.
    """
    n_channels, n_rows, n_fft = frames.shape
    frames = frames * stft.dual_win.astype(np.float32)
    n_overlapping = n_fft // stft.hop
    total = np.zeros((n_channels, n_rows + n_overlapping - 1, stft.hop), np.float32)
    for i, part in enumerate(np.split(frames, n_overlapping, axis=2)):
        total[:, i : i + n_rows] += part
    start = (first + stft.p_min) * stft.hop - stft.m_num_mid
    stretch = total.reshape(n_channels, -1).T[max(-start, 0) :]
    place = output[max(start, 0) :][: len(stretch)]
    place += stretch[: len(place)]


def add_spectrum(
    output: np.ndarray, spectrum: np.ndarray, *, stft: ShortTimeFFT, first: int = 0
) -> None:
    """Turn spectra back into frames and add them: ``stft.istft`` in blocks.

    Parameters
    ----------
    output, stft, first
        As in `add_frames`.
    spectrum : ndarray of shape (n_channels, n_rows, n_bins)
    """
    add_frames(output, irfft(spectrum, stft.m_num, axis=2), stft=stft, first=first)


def mel_bands(frequencies: np.ndarray, n_bands: int) -> np.ndarray:
    """Give triangular weights of bands that are equally wide on the mel scale.

    They go from 40 Hz to 16 kHz, or to half the rate where that is less. The scale,
    ``2595 log10(1 + f / 700)`` (O'Shaughnessy, *Speech Communication*, 1987), follows
    how we hear pitch.

    Parameters
    ----------
    frequencies : ndarray of shape (n_bins,)
        Of the bins, in Hz.
    n_bands : int

    Returns
    -------
    ndarray of shape (n_bins, n_bands)
        Float32, 1 at the middle of each band. Neighbours add up to 1: its transpose
        draws a line from band to band.
    """
    ends = 2595 * np.log10(1 + np.array([40, min(16000, frequencies[-1])]) / 700)
    edges = 700 * (10 ** (np.linspace(*ends, n_bands + 2) / 2595) - 1)
    triples = (edges[i : i + 3] for i in range(n_bands))
    bands = [np.interp(frequencies, triple, [0, 1, 0]) for triple in triples]
    return np.transpose(bands).astype(np.float32)
