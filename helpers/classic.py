"""Classic convolution, the yardstick that the idea was first compared with."""

import numpy as np
from scipy.signal import get_window, oaconvolve

from helpers.audio import AudioError, Sound, check, resample


def classic_convolution(
    a: Sound,
    b: Sound,
    *,
    window: str = "none",
    brighten: bool = False,
    ring: bool = False,
    moving_seconds: float | None = None,
) -> Sound:
    """Convolve B with A, the sound that the idea was first compared with.

    The options are those that users of Tom Erbe's SoundHack know. The result has B's
    length and rate, a peak of 1, and each channel of B meets the channel of A of the
    same number (the last, where A has fewer).

    Parameters
    ----------
    a, b : Sound
        The impulse and the input.
    window : str, default "none"
        Fade of the impulse: "none", or a name that `scipy.signal.get_window` knows.
    brighten : bool, default False
        Tilt by +6 dB per octave, against the dullness that convolution adds.
    ring : bool, default False
        Multiply the two sounds moment by moment instead: ring modulation.
    moving_seconds : float, optional
        Length of a stretch of A that moves through A while B goes by.
    """
    check(a, name="Sound A")
    check(b, name="Sound B")
    a = resample(a, rate=b.rate)
    check(a, name="Sound A, at the rate of sound B,")
    impulse, source = np.asarray(a.samples), np.asarray(b.samples)
    impulse = impulse[:, np.minimum(np.arange(b.n_channels), a.n_channels - 1)]
    if window != "none":
        try:
            impulse = impulse * get_window(window, len(impulse))[:, None]
        except ValueError as error:
            text = f"There is no window {window!r}: use none, hann, hamming or boxcar."
            raise AudioError(text) from error
    if ring:
        output = source * np.resize(impulse, source.shape)
    elif moving_seconds:
        output = _moving(impulse, source, round(moving_seconds * b.rate))
    else:
        output = oaconvolve(source, impulse, axes=0)[: len(source)]
    if brighten:
        output = np.diff(output, axis=0, prepend=0)
    peak = np.abs(output).max()
    return Sound((output / max(peak, 1e-12)).astype(np.float32), b.rate)


def _moving(impulse: np.ndarray, source: np.ndarray, length: int) -> np.ndarray:
    length = int(np.clip(length, 2, len(impulse)))
    output = np.zeros((len(source) + 2 * length, source.shape[1]))
    fade = get_window("hann", length)[:, None]
    hop = length // 2
    for start in range(-hop, len(source), hop):
        there = max(start, 0) / len(source) * (len(impulse) - length)
        piece = np.zeros((length, source.shape[1]))
        inside = source[max(start, 0) : start + length]
        piece[max(-start, 0) :][: len(inside)] = inside
        part = impulse[int(there) : int(there) + length]
        out = oaconvolve(piece * fade, part, axes=0)
        at = start + hop
        output[at : at + len(out)] += out[: len(output) - at]
    return output[hop : hop + len(source)]
