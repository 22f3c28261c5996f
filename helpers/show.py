"""What the notebook shows: pictures on the axes that they are given, and players."""

import html
import io
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import soundfile
from IPython.display import HTML
from matplotlib.axes import Axes
from scipy.signal import ShortTimeFFT

from helpers.sound import Sound, peak_of, resample, shown, write
from helpers.spectrum import make_stft, n_frames, seconds_of, spectrum_of, starts_of

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
COLOURS = {"A": "#0072B2", "B": "#D55E00", "result": "#009E73", "other": "#999999"}
N_COLUMNS = 400  # of a spectrogram; a long sound is looked at in so many places
PLAYED_SECONDS = 600  # of longer sounds only the beginning is in the page


def draw_spectrogram(ax: Axes, sound: Sound, *, title: str) -> None:
    """Draw a spectrogram: seconds, Hz on a log axis, dBFS; channels are averaged.

    A sine at full scale reads 0 dBFS. The colours are those of ``ax.collections[0]``,
    for a colour bar.
    """
    stft = make_stft(sound.rate)
    last = n_frames(sound, stft=stft) - 1
    numbers = np.unique(np.linspace(0, last, N_COLUMNS).astype(int))
    power = (np.abs(spectrum_of(sound, numbers, stft=stft)) ** 2).mean(axis=0)
    levels_db = 10 * np.log10(power / (stft.win.sum() / 2) ** 2 + 1e-12)
    hertz = np.geomspace(60, min(16000, sound.rate / 2), 160)
    lowest = hertz * (hertz[0] / hertz[1]) ** 0.5  # of each row: half a step lower
    bins = np.rint(lowest / stft.delta_f).astype(int).clip(0, len(stft.f) - 1)
    # The loudest bin in a row.
    rows_db = np.maximum.reduceat(levels_db[:, stft.f < 1.02 * hertz[-1]], bins, axis=1)
    look = {"vmin": -90, "vmax": 0, "cmap": "magma", "rasterized": True}
    ax.pcolormesh(seconds_of(numbers, stft=stft), hertz, rows_db.T, **look)
    ax.set(xlabel="time (s)", ylabel="frequency (Hz)", yscale="log", ylim=(60, 16000))
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.set_title(title, parse_math=False)


def draw_spectrograms(axes: np.ndarray, sounds: Mapping[str, Sound]) -> None:
    """Draw spectrograms, titled by their keys, under one colour bar.

    Parameters
    ----------
    axes : ndarray of Axes
        At least as many as there are sounds; those that are left over are hidden.
    sounds : dict of Sound
    """
    flat = np.ravel(axes)
    for ax, (title, sound) in zip(flat, sounds.items(), strict=False):
        draw_spectrogram(ax, sound, title=title)
        ax.label_outer()
        ax.tick_params(labelbottom=True)  # sounds are of different lengths
    for ax in flat[len(sounds) :]:
        ax.set_visible(False)
    flat[0].figure.colorbar(flat[0].collections[0], ax=flat, label="level (dBFS)")


def montage(
    borrowed: np.ndarray | None, a: Sound, *, stft: ShortTimeFFT
) -> pd.DataFrame:
    """List the stretches of A that a result is made of.

    Parameters
    ----------
    borrowed : ndarray of shape (n_frames_b,) or None
        Numbers of frames of A, as from `helpers.convolution.render`. Models that
        average borrow nothing: with None the table is empty.
    a : Sound
        That the frames were cut from.
    stft : ShortTimeFFT
        That they were cut with.

    Returns
    -------
    DataFrame
        A row a stretch: ``start`` and ``length`` in the result, ``file``, and
        ``file_start`` in it, in seconds. One begins where the one before it ends, at
        the middle of a frame; heard they overlap, for frames do. How far they are
        transposed, led by `melody`, is not told.
    """
    borrowed = np.zeros(0, int) if borrowed is None else borrowed
    first = np.flatnonzero(starts_of(borrowed))
    start, in_a = (seconds_of(x, stft=stft) for x in (first, borrowed[first]))
    # The middle of a frame may lie before both sounds begin.
    early = np.maximum(0, -np.minimum(start, in_a))
    begins, names = zip(*(a.files or [(0.0, "A")]), strict=True)
    file = np.maximum(np.searchsorted(begins, in_a, "right") - 1, 0)
    # The last frames begin within the result, and their middles lie behind it.
    end = seconds_of(len(borrowed) - 1 - stft.m_num_mid // stft.hop, stft=stft)
    table = pd.DataFrame({"start": np.minimum(start + early, end)})
    table["length"] = np.diff(table["start"], append=end)
    table["file"] = np.array(names)[file]
    table["file_start"] = in_a + early - np.array(begins)[file]
    return table[table["length"] > 0].reset_index(drop=True).round(4)


def save_montage(path: str | Path, table: pd.DataFrame) -> None:
    """Write a montage beside a result, to be rebuilt or edited in any editor.

    Parameters
    ----------
    path : str or Path
        Of the result: ``bell_to_bird.wav`` gets a table ``bell_to_bird_montage.csv``
        and labels for Audacity (*File > Import > Labels*) ``bell_to_bird_montage.txt``.
    table : DataFrame
        As from `montage`.

    Raises
    ------
    AudioError
        When the disk or the folder does not take it.
    """
    stop = (table["start"] + table["length"]).round(4)
    labels = table[["start"]].assign(stop=stop)
    labels["text"] = table["file"] + " " + table["file_start"].astype(str) + " s"
    beside = str(Path(path).with_suffix("")) + "_montage"
    write(Path(f"{beside}.csv"), table.to_csv(index=False))
    write(Path(f"{beside}.txt"), labels.to_csv(sep="\t", header=False, index=False))


def players(sounds: Mapping[str, Sound], *, path: str | Path | None = None) -> HTML:
    """Show players in a row, labelled by their keys; the last one is at `path`."""
    paths = dict.fromkeys(sounds) | {list(sounds)[-1]: path}
    row = (player(one, label=name, path=paths[name]) for name, one in sounds.items())
    return HTML("".join(each.data for each in row))


def player(sound: Sound, *, label: str, path: str | Path | None = None) -> HTML:
    """Show a labelled player that keeps the level, and says its length.

    The sound is in the page, as Ogg Vorbis. Over full scale, which no player can play,
    it is turned down, and of over ten minutes only the first ten are there: the label
    says so.

    Parameters
    ----------
    sound : Sound
        Of more than two channels, the first two are played.
    label : str
    path : str or Path, optional
        Where the sound is, as seen from the notebook; shown as a link.
    """
    label += f" ({sound.duration:.1f} s)"
    if sound.duration > PLAYED_SECONDS:
        label += ", its first ten minutes"
    if (peak := peak_of(sound)) > 1:
        label += f", turned down by {20 * np.log10(peak):.1f} dB"
    samples = sound.samples[: PLAYED_SECONDS * sound.rate, :2] / max(1, peak)
    # At other rates some browsers stumble, and some encoders.
    rate = 44100 if sound.rate == 44100 else 48000
    samples = resample(Sound(samples, sound.rate), rate=rate).samples
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate, samples.shape[1], format="OGG") as file:
        for first in range(0, len(samples), 2**16):  # it crashes on millions
            file.write(samples[first : first + 2**16])
    source = f"data:audio/ogg;base64,{b64encode(buffer.getvalue()).decode()}"
    caption = html.escape(label)
    if path is not None:
        address = quote(Path(path).as_posix(), errors="surrogateescape")
        caption += f': <a href="{address}" download>{html.escape(shown(path))}</a>'
    return HTML(
        '<figure style="display:inline-block;margin:4px 14px 4px 0">'
        f'<figcaption>{caption}</figcaption><audio controls preload="metadata" '
        f'style="width:200px;height:40px" src="{source}"></audio></figure>'
    )
