"""The montage of a result, as data: which stretch of which file sounds when."""

from contextlib import suppress
from pathlib import Path

import pandas as pd

from helpers.audio import Sound, Stretch
from helpers.files import replacing


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
    with replacing(csv) as part:
        table.to_csv(part, index=False, errors="surrogateescape")
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
