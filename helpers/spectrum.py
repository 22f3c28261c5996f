"""The short-time Fourier transform in blocks: sound into frames, and back.

`scipy.signal.ShortTimeFFT` owns window, hop and rate; the functions here give its very
numbers, but in one batch, a row for each frame, and for a part of a sound at a time.
"""

from collections.abc import Iterator

import numpy as np
from scipy.fft import irfft, rfft
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from helpers.audio import AudioError, release

BLOCK_FRAMES = 512  # frames in work at a time: 6 s at the default settings


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
        Samples from one frame to the next. At most half of `n_fft`: with less overlap
        than that, a changed spectrum comes back with gaps.

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
    whole = all(type(length) is int for length in (n_fft, hop_length))
    if not whole or not 1 <= hop_length <= n_fft // 2 or n_fft > 2**16:
        fits = False
    else:
        fits = n_fft % hop_length == 0 and n_fft % 2 == 0
    if not fits:
        raise AudioError(
            f"n_fft={n_fft!r} and hop_length={hop_length!r} do not fit: choose an even "
            "n_fft up to 65536 that is 2, 4 or 8 times hop_length, as 2048 is of 512."
        )
    window = hann(n_fft, sym=False)
    return ShortTimeFFT(window, hop=hop_length, fs=rate, phase_shift=None)


def n_frames(n_samples: int, *, stft: ShortTimeFFT) -> int:
    """Count the frames of a sound, those that hang over its ends too."""
    return stft.p_num(max(n_samples, stft.m_num_mid))  # scipy asks for half a window


def seconds_of(numbers: np.ndarray | int, *, stft: ShortTimeFFT) -> np.ndarray | float:
    """Tell by their numbers when the middles of frames are, in seconds."""
    return (numbers + stft.p_min) * stft.delta_t


def frame_blocks(n_rows: int, *, n_channels: int = 1) -> Iterator[slice]:
    """Yield slices over `n_rows` frames, as many at a time as memory is meant for."""
    step = max(1, BLOCK_FRAMES // n_channels)
    for first in range(0, n_rows, step):
        yield slice(first, min(first + step, n_rows))


def cut_frames(
    samples: np.ndarray, *, stft: ShortTimeFFT, rows: slice | None = None
) -> np.ndarray:
    """Cut a sound into frames and fade each with the window.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, n_channels)
        Past its ends there is silence.
    stft : ShortTimeFFT
        Owns the window and says where frames lie: row 0 is its slice ``p_min``.
    rows : slice, optional
        Which frames, ``slice(first, stop)``; by default all.

    Returns
    -------
    ndarray of shape (n_channels, n_rows, n_fft)
        As precise as the samples.
    """
    if rows is None:
        rows = slice(0, n_frames(len(samples), stft=stft))
    start, stop = _span(rows, stft)
    inside = samples[max(start, 0) : max(stop, 0)]
    before = max(-start, 0)
    stretch = np.zeros((samples.shape[1], stop - start), samples.dtype)
    stretch[:, before : before + len(inside)] = inside.T
    release(samples)
    views = np.lib.stride_tricks.sliding_window_view(stretch, stft.m_num, axis=1)
    return views[:, :: stft.hop] * stft.win.astype(samples.dtype)


def pick_frames(
    samples: np.ndarray, numbers: np.ndarray, *, stft: ShortTimeFFT
) -> np.ndarray:
    """Cut single frames out of a sound by their numbers, in any order.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, n_channels)
    numbers : ndarray of shape (n_rows,)
        Which frames: rows as in `cut_frames`.
    stft : ShortTimeFFT

    Returns
    -------
    ndarray of shape (n_channels, n_rows, n_fft)
        Float32, windowed.
    """
    n_fft = stft.m_num
    starts = (numbers + stft.p_min) * stft.hop - stft.m_num_mid
    whole = (starts >= 0) & (starts + n_fft <= len(samples))
    frames = np.empty((samples.shape[1], len(numbers), n_fft), np.float32)
    if whole.any():
        views = np.lib.stride_tricks.sliding_window_view(samples, n_fft, axis=0)
        picked = views[starts[whole]].transpose(1, 0, 2)
        frames[:, whole] = picked * stft.win.astype(np.float32)
        release(samples)
    for row in np.flatnonzero(~whole):  # it hangs over an end
        only = slice(numbers[row], numbers[row] + 1)
        frames[:, row] = cut_frames(samples, stft=stft, rows=only)[:, 0]
    return frames


def analyse(
    samples: np.ndarray, *, stft: ShortTimeFFT, rows: slice | None = None
) -> np.ndarray:
    """Measure a spectrum: ``stft.stft`` of every channel, transposed to rows.

    Several times as fast as `ShortTimeFFT.stft` itself, as precise as the samples, and
    for some of the frames if need be.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, n_channels)
    stft : ShortTimeFFT
    rows : slice, optional
        Which frames, as in `cut_frames`.

    Returns
    -------
    ndarray of shape (n_channels, n_rows, n_bins)
        Complex64 for samples in float32.
    """
    return rfft(cut_frames(samples, stft=stft, rows=rows), axis=2)


def overlap_add(
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
        In time, such as the inverse FFT of a block of rows.
    stft : ShortTimeFFT
    first : int
        Row of the first of the frames.
    """
    n_channels, n_rows, n_fft = frames.shape
    hop_length = stft.hop
    dual = stft.dual_win.astype(np.float32)
    steps = n_fft // hop_length
    total = np.zeros((n_channels, n_rows + steps - 1, hop_length), np.float32)
    for i in range(steps):
        columns = slice(i * hop_length, (i + 1) * hop_length)
        total[:, i : i + n_rows] += frames[:, :, columns] * dual[columns]
    start, stop = _span(slice(first, first + n_rows), stft)
    inside = slice(max(start, 0), min(stop, len(output)))
    if inside.start < inside.stop:
        stretch = total.reshape(n_channels, -1).T
        output[inside] += stretch[inside.start - start : inside.stop - start]
        release(output)


def synthesise(
    output: np.ndarray, spectrum: np.ndarray, *, stft: ShortTimeFFT, first: int = 0
) -> None:
    """Add a spectrum, turned back into sound, to `output`: ``stft.istft`` in blocks.

    Parameters
    ----------
    output : ndarray of shape (n_samples, n_channels)
        Changed in place; with all frames added to zeros it is the whole sound.
    spectrum : ndarray of shape (n_channels, n_rows, n_bins)
    stft : ShortTimeFFT
    first : int
        Row of the first of the frames.
    """
    frames = irfft(spectrum, stft.m_num, axis=2)
    overlap_add(output, frames, stft=stft, first=first)


def _span(rows: slice, stft: ShortTimeFFT) -> tuple[int, int]:
    # The first sample under the first of some frames, and the one after their last.
    start = (stft.p_min + rows.start) * stft.hop - stft.m_num_mid
    return start, start + (rows.stop - rows.start - 1) * stft.hop + stft.m_num


def power_of(spectrum: np.ndarray) -> np.ndarray:
    """Add the power of all channels up: from ``(n_channels, ...)`` to ``(...)``."""
    return (np.abs(spectrum) ** 2).sum(axis=0)


def mel_bands(
    frequencies: np.ndarray, n_bands: int, *, low: float = 40, high: float = 16000
) -> np.ndarray:
    """Give triangular weights of bands that are equally wide on the mel scale.

    The mel scale, ``2595 log10(1 + f / 700)`` (O'Shaughnessy, *Speech Communication*,
    1987), follows how we hear pitch.

    Parameters
    ----------
    frequencies : ndarray of shape (n_bins,)
        Of the bins, in Hz.
    n_bands : int
    low, high : float
        Where the first band begins and the last one ends, in Hz; it ends at half the
        rate where that is less.

    Returns
    -------
    ndarray of shape (n_bins, n_bands)
        Float32, 1 at the middle of each band.
    """
    ends = 2595 * np.log10(1 + np.array([low, min(high, frequencies[-1])]) / 700)
    edges = 700 * (10 ** (np.linspace(*ends, n_bands + 2) / 2595) - 1)
    low_edge, centre, high_edge = edges[:-2], edges[1:-1], edges[2:]
    hertz = frequencies[:, None]
    rising = (hertz - low_edge) / (centre - low_edge)
    falling = (high_edge - hertz) / (high_edge - centre)
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
