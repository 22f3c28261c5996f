"""What the notebook shows: pictures on the axes that they are given, and players."""

import html
import io
import os
from base64 import b64encode
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import soundfile
from IPython.display import HTML
from joblib import Parallel, delayed
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from scipy.fft import rfft

from helpers.audio import Sound, describe, release, resample
from helpers.files import shown
from helpers.spectrum import make_stft, n_frames, pick_frames, seconds_of

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
COLOURS = {"A": "#0072B2", "B": "#D55E00", "result": "#009E73", "other": "#999999"}
RANGE_DB = 90  # depth of a spectrogram
LOSSLESS_SECONDS = 10  # players of longer sounds are compressed, and harder
EMBEDDED_SECONDS = 600  # of still longer ones only the beginning is in the page
LINKED_SECONDS = 60  # what has a file and is longer is a link to it


def draw_waveform(ax: Axes, sound: Sound, *, name: str, title: str) -> Axes:
    """Draw the range of the samples, all channels together, over seconds.

    Parameters
    ----------
    ax : Axes
        To draw on.
    sound : Sound
    name : {"A", "B", "result", "other"}
        Gives the colour.
    title : str
    """
    n_columns = min(1500, sound.n_samples)
    edges = np.linspace(0, sound.n_samples, n_columns + 1).astype(int)
    lowest, highest = np.empty((2, n_columns))
    for column, (start, stop) in enumerate(pairwise(edges)):
        piece = sound.samples[start:stop]
        lowest[column], highest[column] = piece.min(), piece.max()
        release(sound.samples)
    seconds = edges[:-1] / sound.rate
    ax.fill_between(seconds, lowest, highest, color=COLOURS[name], linewidth=0.8)
    for full_scale in (-1, 1):
        ax.axhline(full_scale, color="black", linestyle=":", linewidth=0.8)
    reach = 1.05 * max(1, highest.max(), -lowest.min())
    ax.set(xlabel="time (s)", ylabel="amplitude", ylim=(-reach, reach))
    ax.set_title(title, parse_math=False)
    return ax


def level_db(sound: Sound, *, n_columns: int = 400) -> tuple[np.ndarray, ...]:
    """Measure a spectrogram, the mean power of the channels.

    A long sound is looked at in `n_columns` places.

    Returns
    -------
    levels_db : ndarray of shape (n_columns or fewer, n_bins)
        In dB under full scale: a sine at full scale reads 0.
    seconds : ndarray of shape (n_columns or fewer,)
    frequencies : ndarray of shape (n_bins,)
        In Hz.
    """
    stft = make_stft(sound.rate)
    last = n_frames(sound.n_samples, stft=stft) - 1
    numbers = np.unique(np.linspace(0, last, n_columns).astype(int))
    frames = pick_frames(sound.samples, numbers, stft=stft)
    power = (np.abs(rfft(frames, axis=2)) ** 2).mean(axis=0)
    full_scale = (stft.win.sum() / 2) ** 2
    levels_db = 10 * np.log10(power / full_scale + 1e-12)
    return levels_db, seconds_of(numbers, stft=stft), stft.f


def draw_spectrogram(ax: Axes, sound: Sound, *, title: str) -> Axes:
    """Draw a spectrogram: seconds, Hz on a log axis, dBFS.

    Its colours are those of ``ax.collections[0]``, for a colour bar.
    """
    levels_db, seconds, frequencies = level_db(sound)
    highest = min(16000, sound.rate / 2)
    hertz = np.geomspace(min(60, highest / 4), highest, 160)
    nearest = np.searchsorted(frequencies, hertz).clip(0, len(frequencies) - 1)
    ax.pcolormesh(
        seconds,
        hertz,
        levels_db[:, nearest].T,
        vmin=-RANGE_DB,
        vmax=0,
        cmap="magma",
        shading="nearest",
        rasterized=True,
    )
    ax.set_yscale("log")
    ticks = [tick for tick in (100, 300, 1000, 3000, 10000) if tick < highest]
    ax.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.minorticks_off()
    ax.set(xlabel="time (s)", ylabel="frequency (Hz)")
    ax.set_xlim(0, max(sound.duration, seconds[-1] / 2))
    ax.set_title(title, parse_math=False)
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
    for ax in flat[len(sounds) :]:
        ax.set_visible(False)
    colours = flat[0].collections[0]
    flat[0].figure.colorbar(colours, ax=flat, label="level (dBFS)")
    return axes


def draw_borrowing(ax: Axes, borrowed: np.ndarray, *, seconds: float, a: Sound) -> Axes:
    """Draw which moment of A each frame of B borrows, and from which file.

    Parameters
    ----------
    ax : Axes
    borrowed : ndarray of shape (n_frames,)
        Number of a frame of A.
    seconds : float
        From one frame to the next.
    a : Sound
    """
    times = np.arange(len(borrowed)) * seconds
    moments = borrowed * seconds
    jumps = np.diff(borrowed, prepend=borrowed[0] - 1) != 1
    line = np.where(jumps, np.nan, moments)
    ax.plot(times, line, color=COLOURS["A"], linewidth=2.5)
    ax.plot(times[jumps], moments[jumps], ".", color=COLOURS["A"], markersize=4)
    ax.set(xlabel="time in B (s)", ylabel="time in A (s)", ylim=(0, a.duration))
    ax.set_xlim(0, times[-1] * 1.001)
    if len(a.stretches) > 1:
        _name_files(ax, a)
    return ax


def _name_files(ax: Axes, sound: Sound) -> None:
    # At the right edge, where each begins; of very short ones, not all.
    free = -1.0
    for stretch in sound.stretches:
        ax.axhline(stretch.start, color=COLOURS["other"], linewidth=0.5)
        if stretch.start >= free:
            place = (1.01, stretch.start)
            ax.annotate(
                _drawable(Path(stretch.file).stem[:24]),
                place,
                xycoords=ax.get_yaxis_transform(),
                fontsize="small",
                verticalalignment="bottom",
                annotation_clip=False,
                parse_math=False,
            )
            free = stretch.start + sound.duration / 16


def _drawable(text: str) -> str:
    # Of a script that the font of the pictures has not, matplotlib warns at length.
    letters = get_font(findfont(FontProperties())).get_charmap()
    return "".join(
        letter if ord(letter) in letters else "\N{WHITE SQUARE}" for letter in text
    )


def draw_map(ax: Axes, board: pd.DataFrame, *, lowest: float = -0.5) -> Axes:
    """Draw the map of models: structure kept from B against timbre taken from A.

    Parameters
    ----------
    ax : Axes
    board : DataFrame
        A row a sound, with ``model``, ``timbre``, ``structure`` and ``kind``: "frames",
        "bins", "turned bins" or "for comparison", each with its own mark.
    lowest : float
        What has less timbre stands at the left edge, with an arrow.
    """
    marks = {"frames": "o", "bins": "s", "turned bins": "^", "for comparison": "D"}
    colours = {"frames": "#CC79A7", "for comparison": "black"}
    board = board.dropna(subset=["timbre", "structure"])
    for kind, rows in board.groupby("kind", sort=False):
        ax.plot(
            rows["timbre"].clip(lower=lowest),
            rows["structure"],
            linestyle="none",
            marker=marks[kind],
            color=colours.get(kind, COLOURS["other"]),
            label=kind,
        )
    ax.margins(x=0.2, y=0.12)
    ax.set_xlabel("timbre taken from A (0: as B itself, 1: as A itself)")
    ax.set_ylabel("structure kept from B (1: all)")
    ax.set_title("The map of models")
    if len(board):
        ax.legend(loc="best")
    _label_places(ax, board, lowest=lowest)
    return ax


def _label_places(ax: Axes, board: pd.DataFrame, *, lowest: float) -> None:
    # Models at one place share a label. Each goes where it covers neither a mark nor
    # another label, as near to its mark as can be.
    board = board.assign(x=board["timbre"].clip(lower=lowest), y=board["structure"])
    ax.figure.draw_without_rendering()  # so that places in pixels are known
    renderer = ax.figure.canvas.get_renderer()
    marks = ax.transData.transform(board[["x", "y"]])
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in marks]
    for _, rows in board.groupby([board["x"].round(2), board["y"].round(2)]):
        place = tuple(rows[["x", "y"]].iloc[0])
        names = list(rows["model"])
        name = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        if rows["timbre"].max() < lowest:
            name = f"← {name} ({rows['timbre'].max():.1f})"
        label = ax.annotate(
            name,
            place,
            (8, 0),
            textcoords="offset points",
            arrowprops={"arrowstyle": "-", "color": COLOURS["other"], "linewidth": 0.6},
            parse_math=False,
        )
        for step in sorted(range(-30, 31), key=abs):
            label.set_position((8, 6 * step - 4))
            label.update_positions(renderer)
            box = Text.get_window_extent(label, renderer)
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)


def facts(sounds: Mapping[str, Sound]) -> pd.DataFrame:
    """Make a table of the length, format and level of sounds, a column for each."""
    columns = {}
    for name, sound in sounds.items():
        found = describe(sound)
        silence = found["silence_before"] + found["silence_after"]
        columns[name] = {
            "length (s)": f"{found['duration']:.2f}",
            "rate (Hz)": f"{found['rate']:,}",
            "channels": f"{found['channels']}",
            "peak (dBFS)": f"{found['peak_db']:.1f}",
            "RMS (dBFS)": f"{found['rms_db']:.1f}",
            "offset": f"{round(found['dc_offset'], 4) + 0.0:.4f}",  # no -0.0000
            "clipped samples": f"{found['clipped']:.2%}",
            "silence at the ends (s)": f"{silence:.2f}",
        }
    return pd.DataFrame(columns)


def player(
    sound: Sound,
    *,
    label: str,
    path: str | Path | None = None,
    lossless: bool = True,
) -> HTML:
    """Show a labelled player that keeps the level, and says its length.

    Up to ten seconds are embedded in the page without loss, up to ten minutes as Ogg
    Vorbis. Where a sound has a file, over a minute of it is a link to that instead;
    without one, of over ten minutes the first ten are played, and the label says so.

    Parameters
    ----------
    sound : Sound
        Of more than two channels, the first two are played.
    label : str
    path : path, optional
        Where the sound is, as seen from the notebook; shown as a link.
    lossless : bool, default True
        False makes short sounds Ogg Vorbis too: a tenth of the size.
    """
    label = f"{label} ({_length(sound.duration)})"
    # As bytes, a name need not be in UTF-8.
    address = "" if path is None else quote(os.fsencode(Path(path).as_posix()))
    if address and sound.duration > LINKED_SECONDS:
        source = address
    elif lossless and sound.duration <= LOSSLESS_SECONDS:
        source = _embed(sound, format="FLAC", subtype="PCM_16")
    elif sound.duration <= EMBEDDED_SECONDS:
        source = _embed(sound, format="OGG", subtype="VORBIS")
    else:
        label += f", the first {_length(EMBEDDED_SECONDS)} of it"
        first = Sound(sound.samples[: EMBEDDED_SECONDS * sound.rate], sound.rate)
        source = _embed(first, format="OGG", subtype="VORBIS")
    caption = html.escape(label)
    if address:
        caption += f': <a href="{address}">{html.escape(shown(path))}</a>'
    return HTML(
        '<figure style="display:inline-block;margin:4px 14px 4px 0">'
        f"<figcaption>{caption}</figcaption>"
        f'<audio controls preload="metadata" src="{source}"></audio></figure>'
    )


def players(sounds: Mapping[str, Sound]) -> HTML:
    """Show players in a row, labelled by their keys, as Ogg Vorbis."""
    encode = Parallel(n_jobs=-1, prefer="threads")  # which takes longest
    figures = encode(
        delayed(player)(sound, label=name, lossless=False)
        for name, sound in sounds.items()
    )
    return HTML("".join(one.data for one in figures))


def folded_players(sounds: Mapping[str, Mapping[str, Sound]]) -> HTML:
    """Show rows of players that open on a click, each under its own heading.

    Parameters
    ----------
    sounds : dict of dict of Sound
        By heading and by label; a heading without sounds is left out.
    """
    folds = [
        f"<details><summary>{html.escape(heading)}</summary>{players(row).data}</details>"
        for heading, row in sounds.items()
        if row
    ]
    return HTML("".join(folds))


def _length(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f} min"


def _embed(sound: Sound, *, format: str, subtype: str) -> str:
    # The sound as a URL that holds all of it.
    stereo = Sound(np.asarray(sound.samples[:, :2]), sound.rate)
    if not 8000 <= stereo.rate <= 96000:  # browsers and the encoders stumble
        stereo = resample(stereo, rate=48000)
    steps = np.rint(stereo.samples * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int16)
    shape = {"samplerate": stereo.rate, "channels": steps.shape[1]}
    compression = 0.6 if stereo.duration <= LOSSLESS_SECONDS else 0.9
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer,
        "w",
        **shape,
        subtype=subtype,
        format=format,
        compression_level=compression,
    ) as file:
        for start in range(0, len(steps), 2**16):  # libvorbis crashes on millions
            file.write(steps[start : start + 2**16])
    data = b64encode(buffer.getvalue()).decode()
    return f"data:audio/{format.lower()};base64,{data}"
