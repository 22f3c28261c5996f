"""What the notebook shows: pictures on the axes that they are given, and players."""

import html
import io
import os
from base64 import b64encode
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import soundfile
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findfont, get_font
from scipy.signal import ShortTimeFFT

from helpers.sound import Sound, beside, facts, resample, shown
from helpers.spectrum import make_stft, n_frames, seconds_of, spectrum_of

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
COLOURS = {"A": "#0072B2", "B": "#D55E00", "result": "#009E73", "other": "#999999"}
MARKS = [("o", "#CC79A7"), ("s", "#999999"), ("D", "black"), ("^", "#56B4E9")]
RANGE_DB = 90  # depth of a spectrogram
N_COLUMNS = 400  # of a spectrogram; a long sound is looked at in so many places
SMALL = {"fontsize": "small", "parse_math": False}  # names may hold dollar signs
PLAYED_SECONDS = 600  # of longer sounds only the beginning is in the page


# Pictures -----------------------------------------------------------------------------


def draw_waveform(
    ax: Axes, sound: Sound, *, name: str, title: str | None = None
) -> Axes:
    """Draw the range of the samples, all channels together, over seconds.

    Parameters
    ----------
    ax : Axes
        To draw on.
    sound : Sound
    name : {"A", "B", "result", "other"}
        Gives the colour.
    title : str, optional
        By default, the name.
    """
    edges = np.unique(np.linspace(0, len(sound.samples), 1501).astype(int)[:-1])
    lowest = np.minimum.reduceat(sound.samples, edges).min(axis=1)
    highest = np.maximum.reduceat(sound.samples, edges).max(axis=1)
    seconds = edges / sound.rate
    ax.fill_between(seconds, lowest, highest, color=COLOURS[name], linewidth=0.8)
    for full_scale in (-1, 1):
        ax.axhline(full_scale, color="black", linestyle=":", linewidth=0.8)
    reach = 1.05 * max(1, highest.max(), -lowest.min())
    ax.set(xlabel="time (s)", ylabel="amplitude", ylim=(-reach, reach))
    ax.set_title(_drawable(name if title is None else title), parse_math=False)
    return ax


def draw_spectrogram(ax: Axes, sound: Sound, *, title: str) -> Axes:
    """Draw a spectrogram: seconds, Hz on a log axis, dBFS; channels are averaged.

    A sine at full scale reads 0 dBFS. The colours are those of ``ax.collections[0]``,
    for a colour bar.
    """
    stft = make_stft(sound.rate)
    last = n_frames(sound, stft=stft) - 1
    numbers = np.unique(np.linspace(0, last, N_COLUMNS).astype(int))
    power = (np.abs(spectrum_of(sound, numbers, stft=stft)) ** 2).mean(axis=0)
    levels_db = 10 * np.log10(power / (stft.win.sum() / 2) ** 2 + 1e-12)
    highest = min(16000, sound.rate / 2)
    hertz = np.geomspace(min(60, highest / 4), highest, 160)
    nearest = np.rint(hertz / stft.delta_f).astype(int).clip(0, len(stft.f) - 1)
    seconds = seconds_of(numbers, stft=stft)
    colours = {"vmin": -RANGE_DB, "vmax": 0, "cmap": "magma", "shading": "nearest"}
    ax.pcolormesh(seconds, hertz, levels_db[:, nearest].T, rasterized=True, **colours)
    ax.set_yscale("log")
    ticks = [tick for tick in (100, 300, 1000, 3000, 10000) if tick < highest]
    ax.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.minorticks_off()
    ax.set(xlabel="time (s)", ylabel="frequency (Hz)")
    ax.set_xlim(0, max(sound.duration, seconds[-1] / 2))
    ax.set_title(_drawable(title), parse_math=False)
    return ax


def draw_spectrograms(axes: np.ndarray, sounds: Mapping[str, Sound]) -> np.ndarray:
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
    colours = flat[0].collections[0]
    flat[0].figure.colorbar(colours, ax=flat, label="level (dBFS)")
    return axes


def draw_borrowing(
    ax: Axes, borrowed: np.ndarray, *, stft: ShortTimeFFT, a: Sound
) -> Axes:
    """Draw which moment of A each frame of B borrows, and from which file.

    Parameters
    ----------
    ax : Axes
    borrowed : ndarray of shape (n_frames_b,)
        Numbers of frames of A.
    stft : ShortTimeFFT
        That the frames were cut with.
    a : Sound
        Where it is of several files, their names are at the right edge.
    """
    times = seconds_of(np.arange(len(borrowed)), stft=stft)
    moments = seconds_of(borrowed, stft=stft)
    jumps = np.diff(borrowed, prepend=borrowed[0] - 1) != 1
    line = np.where(jumps, np.nan, moments)
    ax.plot(times, line, color=COLOURS["A"], linewidth=2.5)
    ax.plot(times[jumps], moments[jumps], ".", color=COLOURS["A"], markersize=4)
    ax.set(xlabel="time in B (s)", ylabel="time in A (s)", ylim=(0, a.duration))
    ax.set_xlim(0, max(times[-1], stft.delta_t))
    if len(a.files) > 1:
        _name_files(ax, a)
    return ax


def _name_files(ax: Axes, sound: Sound) -> None:
    # At the right edge, where each begins; of very short ones, not all.
    free = 0.0
    for start, file in sound.files:
        start = max(start, 0.0)
        ax.axhline(start, color=COLOURS["other"], linewidth=0.5)
        if start >= free:
            edge = {"x": 1.01, "y": start, "transform": ax.get_yaxis_transform()}
            ax.text(s=_drawable(Path(file).stem[:24]), **edge, **SMALL)
            free = start + sound.duration / 16


def _drawable(text: str) -> str:
    # Of a script that the font of the pictures has not, matplotlib warns at length.
    letters = get_font(findfont(FontProperties())).get_charmap()
    return "".join(
        letter if ord(letter) in letters or letter == "\n" else "\N{WHITE SQUARE}"
        for letter in text
    )


def draw_map(ax: Axes, board: pd.DataFrame) -> Axes:
    """Draw the map of models: structure kept from B against timbre taken from A.

    The best are in the upper right corner.

    Parameters
    ----------
    ax : Axes
    board : DataFrame
        A row a sound, with ``model``, ``timbre``, ``structure`` and ``kind``, such as
        "frames" or "bins"; each kind has a mark of its own. Models at nearly one place
        share a label.
    """
    board = board.dropna(subset=["timbre", "structure"])
    kinds = board.groupby("kind", sort=False)
    for (kind, rows), (mark, colour) in zip(kinds, cycle(MARKS), strict=False):
        ax.plot(rows["timbre"], rows["structure"], mark, color=colour, label=kind)
    for place, names in _places(board).items():
        beside_it = {"xytext": (5, 5), "textcoords": "offset points", "rotation": 30}
        ax.annotate(_drawable("\n".join(names)), place, **beside_it, **SMALL)
    ax.margins(0.15)
    ax.set_xlabel("timbre taken from A (0: as B itself, 1: as A itself)")
    ax.set_ylabel("structure kept from B (1: all)")
    ax.set_title("The map of models")
    if len(board):
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return ax


def _places(board: pd.DataFrame) -> dict[tuple[float, float], list[str]]:
    # The models at each place; what is nearer than 0.04 to another shares its place.
    places = {}
    for _, model, *place in board[["model", "timbre", "structure"]].itertuples():
        near = [
            other for other in places if np.hypot(*np.subtract(other, place)) < 0.04
        ]
        places.setdefault(near[0] if near else tuple(place), []).append(model)
    return places


# Tables -------------------------------------------------------------------------------


def facts_table(sounds: Mapping[str, Sound]) -> pd.DataFrame:
    """Make a table of the length, format and levels of sounds, a column for each."""
    forms = {"length (s)": ".2f", "rate (Hz)": ",.0f", "channels": ".0f"}
    forms |= {"offset": ".4f", "clipped (%)": ".2f"}
    columns = {}
    for name, sound in sounds.items():
        found = {fact: round(value, 4) + 0.0 for fact, value in facts(sound).items()}
        columns[name] = {
            fact: f"{found[fact]:{forms.get(fact, '.1f')}}" for fact in found
        }
    return pd.DataFrame(columns)


def montage(
    borrowed: np.ndarray | None,
    a: Sound,
    *,
    stft: ShortTimeFFT,
    duration: float | None = None,
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
    duration : float, optional
        Of the result, in seconds: what hangs over its end is cut off.

    Returns
    -------
    DataFrame
        A row a stretch: ``start`` and ``length`` in the result, ``file``, and
        ``file_start`` in it, in seconds. Each begins while the one before it still
        sounds, for frames overlap.
    """
    if borrowed is None:
        return pd.DataFrame(columns=["start", "length", "file", "file_start"])
    first = np.flatnonzero(np.diff(borrowed, prepend=borrowed[0]) != 1)
    last = np.append(first[1:], len(borrowed)) - 1
    half = stft.m_num_mid * stft.T  # from the start of a frame to its middle
    middle = seconds_of(borrowed[first], stft=stft)
    begins, names = zip(*(a.files or ((0.0, "A"),)), strict=True)
    number = np.maximum(np.searchsorted(begins, middle, "right") - 1, 0)
    start = seconds_of(first, stft=stft) - half
    stop = seconds_of(last, stft=stft) + half
    file_start = middle - half - np.array(begins)[number]
    missing = np.maximum(
        0, np.maximum(-start, -file_start)
    )  # it hangs over a beginning
    table = pd.DataFrame({"start": start + missing})
    table["length"] = np.minimum(stop, duration or np.inf) - table["start"]
    table["file"] = [names[i] for i in number]
    table["file_start"] = file_start + missing
    return table[table["length"] > 0].reset_index(drop=True).round(4)


def save_montage(path: str | Path, table: pd.DataFrame) -> list[Path]:
    """Write a montage beside a result, to be rebuilt or edited in any editor.

    Parameters
    ----------
    path : str or Path
        Of the result: ``bell_to_bird.wav`` gets a table ``bell_to_bird_montage.csv``
        and labels for Audacity (*File > Import > Labels*) ``bell_to_bird_montage.txt``.
    table : DataFrame
        As from `montage`.

    Returns
    -------
    list of Path
        What was written; of an empty table nothing, and what an earlier result left
        under these names is deleted.

    Raises
    ------
    AudioError
        When the disk or the folder does not take it.
    """
    path = Path(path).expanduser()
    csv, labels = (
        path.with_name(f"{path.stem}_montage.{end}") for end in ("csv", "txt")
    )
    if table.empty:
        csv.unlink(missing_ok=True)
        labels.unlink(missing_ok=True)
        return []
    text = "".join(
        f"{start:.4f}\t{start + length:.4f}\t{Path(file).name} {file_start:.2f} s\n"
        for start, length, file, file_start in table.itertuples(index=False)
    )
    for place, content in {csv: table.to_csv(index=False), labels: text}.items():
        with beside(place) as part:
            part.write_text(content, encoding="utf-8", errors="surrogateescape")
            part.replace(place)
    return [csv, labels]


# Players ------------------------------------------------------------------------------


def players(sounds: Mapping[str, Sound]) -> HTML:
    """Show players in a row, labelled by their keys."""
    return HTML("".join(player(one, label=name).data for name, one in sounds.items()))


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
    caption = f"{label} ({_length(sound.duration)})"
    if sound.duration > PLAYED_SECONDS:
        caption += f", the first {_length(PLAYED_SECONDS)} of it"
    played = Sound(sound.samples[: PLAYED_SECONDS * sound.rate, :2], sound.rate)
    peak = max(played.samples.max(), -played.samples.min())
    if peak > 1:
        caption += f", turned down by {20 * np.log10(peak):.1f} dB"
        played = Sound(played.samples / peak, played.rate)
    caption = html.escape(caption)
    if path is not None:  # as bytes, for a name need not be in UTF-8
        address = quote(os.fsencode(Path(path).as_posix()))
        caption += f': <a href="{address}">{html.escape(shown(path))}</a>'
    return HTML(
        '<figure style="display:inline-block;margin:4px 14px 4px 0">'
        f"<figcaption>{caption}</figcaption>"
        f'<audio controls preload="metadata" src="{_embed(played)}"></audio></figure>'
    )


def _length(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f} min"


def _embed(sound: Sound) -> str:
    # The sound as a URL that holds all of it.
    if not 8000 <= sound.rate <= 96000:  # browsers and the encoder stumble
        sound = resample(sound, rate=48000)
    buffer, n_channels = io.BytesIO(), sound.samples.shape[1]
    form = {"format": "OGG", "subtype": "VORBIS", "compression_level": 0.6}
    with soundfile.SoundFile(buffer, "w", sound.rate, n_channels, **form) as file:
        for first in range(0, len(sound.samples), 2**16):  # it crashes on millions
            file.write(sound.samples[first : first + 2**16])
    return f"data:audio/ogg;base64,{b64encode(buffer.getvalue()).decode()}"
