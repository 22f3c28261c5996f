"""The frame recipe: a coarse description of B goes in, frames of A come out."""

import numpy as np
from scipy.linalg import orthogonal_procrustes
from scipy.ndimage import maximum_filter1d
from scipy.signal import ShortTimeFFT

from helpers.path import FramePath
from helpers.sound import Sound
from helpers.spectrum import blocks, mel_bands, n_frames, spectrum_of

N_BANDS = 24
ACTIVE_DB = 45  # frames further under the loudest hardly matter
RANGE_DB = 64  # levels further under it are not heard
LOUDNESS, RISE, STROKE = -3, -2, -1  # columns, behind those of bands and steps
STEP_WEIGHT, RISE_WEIGHT = 1.5, 33  # a dB of them counts as so many dB of level
MOST_RISE, MOST_SHIFT = 8, 20  # dB; what is over them counts no more
N_STUDY, N_ROUNDS = 384, 2  # frames of B to learn the rotation from, and how often
STRETCH = 64  # frames of a long sound that stay together
HALF_DB = 15  # so far below the loudest band, one gets half of the gain
FULLER = 0.7  # of the difference: more has more of B's shape, less is more like A


def describe(sound: Sound, *, stft: ShortTimeFFT, n_bands: int = N_BANDS) -> np.ndarray:
    """Describe every frame of a sound coarsely.

    Parameters
    ----------
    sound : Sound
    stft : ShortTimeFFT
    n_bands : int, default 24
        Enough to tell timbres apart, too few to tell B's pitch.

    Returns
    -------
    ndarray of shape (n_frames, 2 * n_bands + 3)
        Float32, in dB. *Bands*: how much of the frame's power is in each mel band:
        colour without loudness. *Steps*: how far the level of each (its band and the
        loudness, added) moved since the frame before. *Loudness*: the frame's power,
        under the loudest. *Rise*: how far the levels rose, on average. Last, 1 for a
        *stroke*, 0 for any other frame.
    """
    weights = mel_bands(stft.f, n_bands) ** 2  # narrower, so better told apart
    bands, total = [], []
    for numbers in blocks(n_frames(sound, stft=stft)):
        spectra = spectrum_of(sound, numbers, stft=stft)
        power = (spectra.real**2 + spectra.imag**2).sum(axis=0)  # of all channels
        total.append(power.sum(axis=1, keepdims=True) + 1e-12)
        bands.append(power @ weights)
    total = np.concatenate(total)
    bands_db = 10 * np.log10(np.concatenate(bands) / total + 1e-9)
    loudness_db = 10 * np.log10(total / total.max())
    steps_db = steps_of(np.maximum(bands_db + loudness_db, -RANGE_DB))
    rise_db = np.maximum(steps_db, 0).mean(axis=1, keepdims=True)
    described = np.hstack([bands_db, steps_db, loudness_db, rise_db, 0 * rise_db])
    described[:, STROKE] = is_stroke(described)
    return described.astype(np.float32)


def bands_of(described: np.ndarray) -> np.ndarray:
    """Give the bands of a description, to be read or changed."""
    return described[:, : described.shape[1] // 2 - 1]


def levels_of(described: np.ndarray) -> np.ndarray:
    """Bring the bands of a description to their loudness, floored where inaudible."""
    return np.maximum(bands_of(described) + described[:, [LOUDNESS]], -RANGE_DB)


def steps_of(levels_db: np.ndarray) -> np.ndarray:
    """Measure how far each band moved since the frame before; the first did not."""
    return np.diff(levels_db, axis=0, prepend=levels_db[:1])


def rise_of(levels_db: np.ndarray) -> np.ndarray:
    """Measure the mean rise of the bands since the frame before (spectral flux)."""
    return np.maximum(steps_of(levels_db), 0).mean(axis=1)


def brightness_of(levels_db: np.ndarray) -> np.ndarray:
    """Measure the mean power of each band, ``(n_bands,)``, in dB under that of all."""
    power = (10 ** (levels_db / 10)).mean(axis=0)
    return 10 * np.log10(power / power.sum())


def is_active(described: np.ndarray) -> np.ndarray:
    """Tell which frames are loud enough to matter, ``(n_frames,)``."""
    return described[:, LOUDNESS] > -ACTIVE_DB


def is_stroke(described: np.ndarray) -> np.ndarray:
    """Tell which frames are strokes, ``(n_frames,)``.

    They rise as much as any within four frames, and more than three times as far as is
    usual in the sound.
    """
    rise, active = described[:, RISE], is_active(described)
    enough = 3 * np.median(rise[active]) + 0.5
    return active & (rise == maximum_filter1d(rise, 9)) & (rise >= enough)


def spread_evenly(numbers: np.ndarray, most: int) -> np.ndarray:
    """Take all numbers or, if there are over `most`, stretches spread evenly."""
    if len(numbers) <= most:
        return numbers
    starts = np.linspace(0, len(numbers) - STRETCH, most // STRETCH).astype(int)
    return numbers[(starts[:, np.newaxis] + np.arange(STRETCH)).ravel()]


def weigh(described: np.ndarray) -> np.ndarray:
    """Weigh the columns of descriptions by what they count where frames are compared.

    Before that, all is floored at -64 dB, where nothing is heard. Rises count up to
    8 dB: a stroke is a stroke.
    """
    weighed = np.maximum(described, -RANGE_DB)
    weighed[:, bands_of(described).shape[1] : LOUDNESS] *= STEP_WEIGHT
    weighed[:, RISE] = RISE_WEIGHT * np.minimum(described[:, RISE], MOST_RISE)
    return weighed


def align(
    described_b: np.ndarray, known: np.ndarray, model: FramePath, *, turn: bool = True
) -> np.ndarray:
    """Bring B's descriptions to where A lives, so that all of A is in reach.

    B's levels are rotated as a whole onto A's and stretched to A's spread: how its
    moments lie to each other stays as it was. The first guess only replaces B's mean
    colour by A's; then `model` finds a frame of A for each frame of B, and the rotation
    that fits these pairs best is taken (orthogonal Procrustes, Schönemann 1966), in
    turns, as in the iterative closest point method (Besl and McKay 1992). On top, what
    those frames of A have too little, or too much, of each band to be as bright as all
    of A is asked for, up to 20 dB.

    Parameters
    ----------
    described_b : ndarray of shape (n_frames, n_columns)
        All frames of B.
    known : ndarray of shape (n_known, n_columns)
        The frames of A to learn from.
    model : FramePath
        Fitted to them, weighed.
    turn : bool, default True
        Whether to go beyond the first guess.

    Returns
    -------
    ndarray of shape (n_frames, n_columns)
        Descriptions of what B's frames should be in A's world: B's bands where A's are;
        loudness, rises and steps are B's. Strokes are, too, but asked for a frame early
        and late as well: there one will do.
    """
    # Bands are measured from a frame's power, levels from that of the loudest frame.
    study = spread_evenly(np.flatnonzero(is_active(described_b)), N_STUDY)
    levels, loudness = levels_of(described_b), described_b[:, [LOUDNESS]]
    middle_b = levels[study].mean(axis=0)
    bands_b = np.maximum(bands_of(described_b), -RANGE_DB)
    bands_a = np.maximum(bands_of(known), -RANGE_DB)
    aligned = described_b.copy()
    aligned[:, STROKE] = maximum_filter1d(described_b[:, STROKE], 3)
    bands_of(aligned)[:] = bands_b + bands_a.mean(axis=0) - bands_b[study].mean(axis=0)
    for _ in range(N_ROUNDS if turn else 0):
        rows = model.path(weigh(aligned[study]))
        partners = np.maximum(bands_of(known)[rows] + loudness[study], -RANGE_DB)
        middle_a = partners.mean(axis=0)
        x, y = levels[study] - middle_b, partners - middle_a
        rotation, _ = orthogonal_procrustes(x, y)
        stretch = np.sqrt((y**2).sum() / ((x**2).sum() + 1e-9))
        turned = stretch * (levels - middle_b) @ rotation + middle_a
        missing = brightness_of(levels_of(known)) - brightness_of(partners)
        bands_of(aligned)[:] = turned + missing.clip(-MOST_SHIFT, MOST_SHIFT) - loudness
    return aligned


def fill_out(described: np.ndarray, aligned: np.ndarray) -> np.ndarray:
    """Find the gains that make frames of A nearly as full, or bare, as was asked for.

    A frame is full where its quiet bands are not far below its loudest one. They are
    raised or lowered, the more the quieter they are.

    Parameters
    ----------
    described, aligned : ndarray of shape (n_rows, n_columns)
        Descriptions of the frames of A that are borrowed, and of what was asked for.

    Returns
    -------
    ndarray of shape (n_rows, n_bands)
        In dB.
    """
    bands, loudness = bands_of(described), aligned[:, [LOUDNESS]]
    heard = np.maximum(bands + loudness, -RANGE_DB).mean(axis=1, keepdims=True)
    wanted = levels_of(aligned).mean(axis=1, keepdims=True)
    below = bands.max(axis=1, keepdims=True) - bands
    return FULLER * (wanted - heard) * below / (below + HALF_DB)


def borrow(picked: np.ndarray, size_b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Scale frames of A, chosen for those of B, to the loudness of B's.

    Each channel of B borrows from the channel of A of the same number (counted round
    where A has fewer) and as much from A's mix: some of A's width, in B's stereo image.

    Parameters
    ----------
    picked : ndarray of shape (n_channels_a, n_rows, n_bins)
        The frame of A for each frame of B.
    size_b : ndarray of shape (n_channels, n_rows)
        How large the spectra of B's frames are: the roots of their power.
    share : ndarray of shape (n_rows,)
        How far the loudness is B's: at 0 each frame keeps its own.

    Returns
    -------
    ndarray of shape (n_channels, n_rows, n_bins)
        Complex64, if `share` is float32.
    """
    spectra = picked[np.arange(len(size_b)) % len(picked)]
    if len(picked) > 1:
        spectra = 0.5 * (spectra + picked.mean(axis=0))
    size = np.linalg.norm(spectra, axis=2, keepdims=True)
    share = share[:, np.newaxis]
    wanted = size_b[:, :, np.newaxis] ** share * size ** (1 - share)
    # Of next to nothing no sound can be made: it is not lifted by more than 120 dB.
    return spectra * (wanted / (size + 1e-6 * wanted + 1e-12))
