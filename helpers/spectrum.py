"""The short-time Fourier transform and its inverse: sound into frames, and back."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.fft import irfft, rfft
from scipy.signal import get_window

from helpers.audio import AudioError, Sound

BLOCK_FRAMES = 1024  # in work at a time: 12 s at the default settings


@dataclass(frozen=True)
class STFT:
    """A short-time Fourier transform that owns its window, hop and rate.

    Frame ``i`` looks at ``n_fft`` samples around sample ``i * hop_length``, fades them
    in and out with a periodic Hann window, and measures ``n_fft // 2 + 1`` frequencies
    from 0 Hz to half the rate. The inverse fades once more and adds the frames up,
    divided by the sum of the squared windows: the least-squares inverse of Griffin and
    Lim (1984), exact for a spectrum that nobody changed.

    All frames are cut as views and transformed in one batch of single precision. For
    18 s of sound that is some eight times as fast as ``scipy.signal.ShortTimeFFT``. It
    is left to one thread: with more, the last bit would depend on how they share rows.

    Parameters
    ----------
    rate : int
        Samples per second, in Hz.
    n_fft : int, default 2048
        Length of a frame in samples: 46 ms at 44.1 kHz, long enough to tell the
        partials of a tone apart and short enough to follow its movement. Even, and a
        multiple of `hop_length`.
    hop_length : int, default 512
        Samples from one frame to the next. At most half of `n_fft`: with less overlap
        than that, a changed spectrum comes back with gaps.

    Raises
    ------
    AudioError
        When the lengths do not fit each other.
    """

    rate: int
    n_fft: int = 2048
    hop_length: int = 512

    def __post_init__(self) -> None:  # noqa: D105
        n_fft, hop_length = self.n_fft, self.hop_length
        if not 0 < 2 * hop_length <= n_fft or n_fft % hop_length or n_fft % 2:
            raise AudioError(
                f"n_fft={n_fft} and hop_length={hop_length} do not fit: choose an even "
                "n_fft that is 2, 4 or 8 times hop_length, such as 2048 and 512."
            )

    @cached_property
    def window(self) -> np.ndarray:
        """The fade of a frame, float32 ``(n_fft,)``."""
        return get_window("hann", self.n_fft).astype(np.float32)

    @cached_property
    def frequencies(self) -> np.ndarray:
        """Frequency of each bin in Hz, ``(n_bins,)``."""
        return np.arange(self.n_fft // 2 + 1) * self.rate / self.n_fft

    def n_frames(self, n_samples: int) -> int:
        """Count the frames that `n_samples` are cut into."""
        return -(-n_samples // self.hop_length) + 1

    def times(self, n_frames: int) -> np.ndarray:
        """Give the centre of each frame in seconds, ``(n_frames,)``."""
        return np.arange(n_frames) * self.hop_length / self.rate

    def cut(self, samples: np.ndarray, frames: range) -> np.ndarray:
        """Cut out the samples under consecutive `frames`, with silence past the ends.

        `samples` is ``(n_samples,)`` or ``(n_samples, n_channels)``; so is the result,
        ``(len(frames) - 1) * hop_length + n_fft`` samples long.
        """
        start = frames[0] * self.hop_length - self.n_fft // 2
        stop = frames[-1] * self.hop_length + self.n_fft // 2
        inside = samples[max(start, 0) : max(stop, 0)]
        before = min(max(-start, 0), stop - start)
        after = stop - start - before - len(inside)
        width = [(before, after)] + [(0, 0)] * (inside.ndim - 1)
        return np.pad(inside, width)

    def pad(self, samples: np.ndarray) -> np.ndarray:
        """Add the silence at both ends that lets the first and last frame look out."""
        return self.cut(samples, range(self.n_frames(len(samples))))

    def frames(self, padded: np.ndarray) -> np.ndarray:
        """Cut windowed frames, ``(n_frames, n_fft)``, from samples padded before."""
        cut = np.lib.stride_tricks.sliding_window_view(padded, self.n_fft)
        return cut[:: self.hop_length] * self.window

    def overlap_add(self, frames: np.ndarray) -> np.ndarray:
        """Fade and add up frames ``(n_frames, n_fft)``: padded samples, float32."""
        per_frame = self.n_fft // self.hop_length
        shape = (len(frames) + per_frame - 1, self.hop_length)
        total, weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        hops = self.window.reshape(per_frame, self.hop_length)
        for i in range(per_frame):
            columns = slice(i * self.hop_length, (i + 1) * self.hop_length)
            total[i : i + len(frames)] += frames[:, columns] * hops[i]
            weight[i : i + len(frames)] += hops[i] ** 2
        # The first sample of a periodic Hann window is zero, and so is its weight.
        return (total / np.maximum(weight, 1e-8)).ravel()

    def transform(self, padded: np.ndarray) -> np.ndarray:
        """Transform samples padded before: complex64 ``(n_frames, n_bins)``."""
        return rfft(self.frames(padded), axis=1)

    def inverse(self, spectrum: np.ndarray) -> np.ndarray:
        """Turn ``(n_frames, n_bins)`` into samples that are still padded."""
        return self.overlap_add(irfft(spectrum, self.n_fft, axis=1))

    def unpad(self, padded: np.ndarray, n_samples: int) -> np.ndarray:
        """Take the silence of `pad` off again."""
        return padded[self.n_fft // 2 : self.n_fft // 2 + n_samples]

    def analyse(self, samples: np.ndarray) -> np.ndarray:
        """Measure the spectrum of one channel.

        Parameters
        ----------
        samples : ndarray of shape (n_samples,)
            At least one sample, float32.

        Returns
        -------
        ndarray of shape (n_frames, n_bins)
            Complex64; ``n_frames = ceil(n_samples / hop_length) + 1``.
        """
        return self.transform(self.pad(np.asarray(samples, np.float32)))

    def synthesise(self, spectrum: np.ndarray, *, n_samples: int) -> np.ndarray:
        """Turn a spectrum back into `n_samples` samples, float32 ``(n_samples,)``."""
        return self.unpad(self.inverse(spectrum), n_samples)


def mel_bands(frequencies: np.ndarray, n_bands: int, *, low: float = 40, high=16000):
    """Give triangular weights, equally wide on the mel scale, ``(n_bins, n_bands)``.

    From `low` to `high` in Hz, or to half the rate where that is less. The mel scale,
    ``2595 log10(1 + f / 700)`` (O'Shaughnessy 1987), follows how we hear pitch.
    """
    ends = 2595 * np.log10(1 + np.array([low, min(high, frequencies[-1])]) / 700)
    edges = 700 * (10 ** (np.linspace(*ends, n_bands + 2) / 2595) - 1)
    low_edge, centre, high_edge = edges[:-2], edges[1:-1], edges[2:]
    hertz = frequencies[:, None]
    rising = (hertz - low_edge) / (centre - low_edge)
    falling = (high_edge - hertz) / (high_edge - centre)
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def power_by_blocks(
    sound: Sound, *, stft: STFT, block_frames: int = BLOCK_FRAMES
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield which frames, and their power summed over channels, ``(n, n_bins)``."""
    n_frames = stft.n_frames(sound.n_samples)
    for first in range(0, n_frames, block_frames):
        frames = range(first, min(first + block_frames, n_frames))
        cut = stft.cut(sound.samples, frames)
        power = sum(np.abs(stft.transform(channel)) ** 2 for channel in cut.T)
        yield slice(frames[0], frames[-1] + 1), power


def by_blocks(
    sound: Sound,
    process: Callable[[np.ndarray, range], np.ndarray],
    *,
    stft: STFT,
    context: int,
    block_frames: int = BLOCK_FRAMES,
) -> Sound:
    """Put a sound through a short-time process, a block of frames at a time.

    Memory stays bounded however long the sound is. Neighbouring blocks share
    `context` frames on both sides; where a process looks no further than that, the
    blocks join without a seam.

    Parameters
    ----------
    sound : Sound
    process : callable
        Takes the padded samples ``(n, n_channels)`` under a range of frames, and that
        range; returns as many samples.
    stft : STFT
        Says where the frames lie.
    context : int
        Frames that a block sees beyond its own on either side.
    block_frames : int
        Frames a block calls its own.
    """
    n_frames, half = stft.n_frames(sound.n_samples), stft.n_fft // 2

    def blocks() -> Iterator[np.ndarray]:
        for first in range(0, n_frames, block_frames):
            last = min(first + block_frames, n_frames)
            frames = range(max(first - context, 0), min(last + context, n_frames))
            output = process(stft.cut(sound.samples, frames), frames)
            start = half + (first - frames[0]) * stft.hop_length
            stop = half + (last - frames[0]) * stft.hop_length
            end = half + sound.n_samples - frames[0] * stft.hop_length
            yield output[start : min(stop, end)]

    return sound.like(blocks())
