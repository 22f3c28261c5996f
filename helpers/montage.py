"""The montage of a result, as data: which stretch of which file sounds when."""

from bisect import bisect_right
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import ShortTimeFFT

from helpers.audio import Sound, Stretch
from helpers.files import replacing, write_table
from helpers.spectrum import seconds_of


def stretches_of(
    borrowed: np.ndarray,
    a: Sound,
    *,
    n_samples: int,
    stft: ShortTimeFFT,
    ratios: np.ndarray | None = None,
) -> tuple[Stretch, ...]:
    """List what was borrowed: where frames go on in A they are one stretch.

    Parameters
    ----------
    borrowed : ndarray of shape (n_frames,)
        Number of a frame of A for each frame of the result.
    a : Sound
    n_samples : int
        Of the result.
    stft : ShortTimeFFT
    ratios : ndarray of shape (n_frames,), optional
        By which frequencies are transposed.

    Returns
    -------
    tuple of Stretch
        From the start of their first frame to the end of their last one, so that they
        overlap as frames do.
    """
    semitones = np.zeros(len(borrowed)) if ratios is None else 12 * np.log2(ratios)
    half = stft.m_num_mid * stft.T  # from the start of a frame to its middle
    jumps = np.flatnonzero(np.diff(borrowed) != 1) + 1
    stretches = []
    for first, after in pairwise([0, *jumps, len(borrowed)]):
        start = seconds_of(first, stft=stft) - half
        stop = seconds_of(after - 1, stft=stft) + half
        start_in_a = seconds_of(borrowed[first], stft=stft) - half
        missing = max(0.0, -start, -start_in_a)  # what hangs over a beginning
        start += missing
        stop = min(stop, n_samples * stft.T)
        if start < stop:
            file, file_start = _place_in_file(a, start_in_a + missing)
            transposed = semitones[first:after].mean()
            stretches.append(Stretch(start, stop, file, file_start, transposed))
    return tuple(stretches)


def _place_in_file(a: Sound, seconds: float) -> tuple[str, float]:
    # Which file of A sounds at a moment, and where in that file the moment is.
    files = a.stretches or (Stretch(0.0, a.duration, "A", 0.0),)
    number = bisect_right([file.start for file in files], seconds) - 1
    return files[number].file, files[number].file_start + seconds - files[number].start


def montage(sound: Sound) -> pd.DataFrame:
    """List the stretches that a result was borrowed in.

    Parameters
    ----------
    sound : Sound
        As from `helpers.convolution.predictive_convolution`, finished or not. Models
        that average borrow nothing: then the table is empty.

    Returns
    -------
    DataFrame
        A row a stretch: ``start`` and ``length`` in the result, ``file``, and
        ``file_start`` in it, in seconds; ``semitones``, how far it is transposed on
        average. Each begins while the one before it still sounds, for frames overlap.
    """
    table = pd.DataFrame(sound.stretches, columns=Stretch._fields)
    table.insert(1, "length", table["stop"] - table["start"])
    return table.drop(columns="stop").round(4)


def save_montage(path: str | Path, sound: Sound) -> list[Path]:
    """Write the montage beside a result, to be rebuilt or edited in any editor.

    Parameters
    ----------
    path : str or Path
        Of the result: ``bell_to_bird.wav`` gets a table ``bell_to_bird_montage.csv``
        and labels for Audacity (*File > Import > Labels*) ``bell_to_bird_montage.txt``.
    sound : Sound

    Returns
    -------
    list of Path
        What was written; nothing, and what an earlier result left under these names
        is deleted, where nothing was borrowed.

    Raises
    ------
    AudioError
        When the disk or the folder does not take it.
    """
    table = montage(sound)
    montage_path = Path(path).with_stem(f"{Path(path).stem}_montage")
    csv, labels = montage_path.with_suffix(".csv"), montage_path.with_suffix(".txt")
    if table.empty:
        for left in (csv, labels):
            with suppress(OSError):  # it is not there, or is a folder
                left.unlink()
        return []
    write_table(csv, table)
    with replacing(labels) as part:
        text = "".join(_label(*row) for row in table.itertuples(index=False))
        part.write_text(text, encoding="utf-8", errors="surrogateescape")
    return [csv, labels]


def _label(
    start: float, length: float, file: str, file_start: float, semitones: float
) -> str:
    # A line of Audacity's: start, stop, text, with tabs between.
    text = f"{Path(file).name} {file_start:.2f} s"
    if semitones:
        text += f" {semitones:+.1f} semitones"
    return f"{start:.4f}\t{start + length:.4f}\t{text}\n"
