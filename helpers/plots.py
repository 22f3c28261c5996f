"""Every picture and player: each draws on the `ax` that it is given."""

import html
import io
from base64 import b64encode
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import soundfile
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from helpers.audio import Sound
from helpers.spectrum import STFT

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
COLOURS = {"A": "#0072B2", "B": "#D55E00", "result": "#009E73", "other": "#999999"}
MARKS = {
    "bins": ("s", COLOURS["B"]),
    "frames": ("o", COLOURS["result"]),
    "for comparison": ("D", "black"),
}
STYLE = {
    "font.size": 13,
    "axes.titlesize": 14,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "legend.frameon": False,
}
RANGE_DB = 90
EMBED_SECONDS = 30  # a longer player would weigh megabytes in the page
FORMATS = {
    True: ("OGG", "VORBIS", "audio/ogg"),
    False: ("FLAC", "PCM_16", "audio/flac"),
}


def canvas(
    n_rows: int = 1, n_columns: int = 1, *, height: float = 3.2, **options
) -> tuple[Figure, np.ndarray]:
    """Make a wide white figure whose text can be read from the back of a room.

    Returns the figure and its axes, always an array; `options` go to
    ``matplotlib.pyplot.subplots``. The notebook's own settings stay untouched.
    """
    size = (12, height * n_rows + 0.3)
    options = {"figsize": size, "layout": "constrained", "squeeze": False} | options
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(n_rows, n_columns, **options)
    return figure, axes.ravel()


def draw_waveform(ax: Axes, sound: Sound, *, name: str, title: str) -> Axes:
    """Draw the range of the samples, all channels together, over seconds.

    `name` is "A", "B" or "result" and gives the colour.
    """
    edges = np.linspace(0, sound.n_samples, 1501).astype(int)
    spans = [(i, j) for i, j in pairwise(edges) if i < j]
    pieces = [sound.samples[i:j] for i, j in spans]
    low, high = [p.min() for p in pieces], [p.max() for p in pieces]
    seconds = np.array([i for i, _ in spans]) / sound.rate
    ax.fill_between(seconds, low, high, color=COLOURS[name], linewidth=0.8)
    ax.set(xlabel="time (s)", ylabel="amplitude", ylim=(-1.05, 1.05), title=title)
    return ax


def level_db(
    sound: Sound, *, stft: STFT, n_columns: int = 700
) -> tuple[np.ndarray, np.ndarray]:
    """Measure a spectrogram in dB under full scale, the mean power of the channels.

    A sine at full scale reads 0 dB. A long sound is looked at in `n_columns` places.

    Returns
    -------
    levels_db : ndarray of shape (n_columns or fewer, n_bins)
    seconds : ndarray of shape (n_columns or fewer,)
    """
    n_frames = stft.n_frames(sound.n_samples)
    places = np.unique(np.linspace(0, n_frames - 1, n_columns).astype(int))
    power = np.empty((len(places), len(stft.frequencies)), np.float32)
    for row, i in enumerate(places):
        cut = stft.cut(sound.samples, range(i, i + 1))
        power[row] = sum(np.abs(stft.transform(c)[0]) ** 2 for c in cut.T) / len(cut.T)
    full_scale = (stft.window.sum() / 2) ** 2
    return 10 * np.log10(power / full_scale + 1e-12), stft.times(n_frames)[places]


def draw_spectrogram(
    ax: Axes, sound: Sound, *, title: str, stft: STFT | None = None
) -> QuadMesh:
    """Draw a spectrogram: seconds, Hz on a log axis, dB under full scale."""
    stft = stft or STFT(sound.rate)
    levels_db, seconds = level_db(sound, stft=stft)
    top = min(16000, sound.rate / 2)
    hertz = np.geomspace(min(60, top / 4), top, 160)
    nearest = np.searchsorted(stft.frequencies, hertz).clip(0, levels_db.shape[1] - 1)
    mesh = ax.pcolormesh(
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
    ticks = [hz for hz in (100, 300, 1000, 3000, 10000) if hz < top]
    ax.set_yticks(ticks, [f"{hz:,}" for hz in ticks])
    ax.minorticks_off()
    ax.set(xlabel="time (s)", ylabel="frequency (Hz)", title=title)
    return mesh


def draw_spectrograms(sounds: dict[str, Sound], *, height: float = 3.6) -> Figure:
    """Draw spectrograms side by side under one colour bar, titled by their keys."""
    figure, axes = canvas(1, len(sounds), height=height, sharey=True)
    for ax, (title, sound) in zip(axes, sounds.items(), strict=True):
        mesh = draw_spectrogram(ax, sound, title=title)
        ax.label_outer()
    figure.colorbar(mesh, ax=axes, label="dB under full scale")
    return figure


def draw_frames(
    ax: Axes, samples: np.ndarray, *, stft: STFT, n_frames: int = 4
) -> Axes:
    """Draw a few milliseconds of sound with the windows that cut it into frames."""
    n = stft.n_fft + (n_frames - 1) * stft.hop_length
    stretch = samples[:n] / max(np.abs(samples[:n]).max(), 1e-9)
    ax.plot(
        np.arange(len(stretch)) / stft.rate * 1e3, stretch, color=COLOURS["A"], lw=0.7
    )
    for i in range(n_frames):
        start = i * stft.hop_length
        ms = (start + np.arange(stft.n_fft)) / stft.rate * 1e3
        ax.plot(ms, stft.window, color="black", alpha=0.3 + 0.7 * (i == 0), lw=2)
        ax.text(ms[len(ms) // 2], 1.05, f"frame {i}", ha="center")
    ax.set(xlabel="time (ms)", ylabel="amplitude and window", ylim=(-1.1, 1.25))
    return ax


def draw_borrowing(ax: Axes, seconds_a: np.ndarray, *, stft: STFT) -> Axes:
    """Draw from which moment of A each frame of B borrows, ``(n_frames,)`` in seconds."""
    times = stft.times(len(seconds_a))
    jump = np.abs(np.diff(seconds_a, prepend=seconds_a[0])) > 1.5 * times[1]
    line = np.where(jump, np.nan, seconds_a)
    ax.plot(times, line, color=COLOURS["A"], lw=2.5)
    ax.plot(times[jump], seconds_a[jump], ".", color=COLOURS["A"], ms=4)
    ax.set(xlabel="time in B (s)", ylabel="time in A (s)")
    return ax


def draw_map(ax: Axes, board: pd.DataFrame, curve: pd.DataFrame) -> Axes:
    """Draw the map of models: structure kept from B against timbre taken from A.

    Parameters
    ----------
    board : DataFrame
        One row a render, with ``name``, ``timbre``, ``structure`` and ``recipe``.
    curve : DataFrame
        The same scores for rising values of blend.
    """
    ax.plot(
        curve["timbre"], curve["structure"], "-", color=COLOURS["result"], alpha=0.6
    )
    for recipe, (marker, colour) in MARKS.items():
        rows = board[board["recipe"] == recipe]
        ax.scatter(
            rows["timbre"],
            rows["structure"],
            c=colour,
            marker=marker,
            s=70,
            label=recipe,
        )
    _spread_labels(ax, board)
    ax.set(
        xlabel="timbre taken from A (0: B itself, 1: A itself)",
        ylabel="structure kept from B (1: B itself)",
    )
    ax.legend(loc="lower left")
    return ax


def _spread_labels(ax: Axes, rows: pd.DataFrame) -> None:
    # Names are pushed up until none covers another.
    placed: list[tuple[float, float]] = []
    ordered = rows.sort_values("structure")
    for name, x, y in zip(
        ordered["name"], ordered["timbre"], ordered["structure"], strict=True
    ):
        height = y
        while any(abs(x - u) < 0.3 and abs(height - v) < 0.034 for u, v in placed):
            height += 0.005
        placed.append((x, height))
        arrow = {"arrowstyle": "-", "color": COLOURS["other"], "lw": 0.6}
        ax.annotate(name, (x, y), (x + 0.02, height), fontsize=10, arrowprops=arrow)


def player(
    sound: Sound, *, label: str, path: str | Path | None = None, small: bool = False
) -> HTML:
    """Show a labelled player that keeps the level.

    Up to half a minute is embedded in the page, without loss as FLAC or, `small`, as
    Ogg Vorbis; a longer sound is linked by its `path`.
    """
    if sound.duration <= EMBED_SECONDS or path is None:
        samples = np.asarray(sound.samples[: round(sound.rate * EMBED_SECONDS), :2])
        steps = np.clip(np.rint(samples * 2**15), -(2**15), 2**15 - 1).astype(np.int16)
        form, subtype, kind = FORMATS[small]
        buffer = io.BytesIO()
        soundfile.write(buffer, steps, sound.rate, format=form, subtype=subtype)
        source = f"data:{kind};base64,{b64encode(buffer.getvalue()).decode()}"
    else:
        source = html.escape(Path(path).as_posix())
    return HTML(
        '<figure style="display:inline-block;margin:4px 14px 4px 0">'
        f"<figcaption>{html.escape(label)}</figcaption>"
        f'<audio controls preload="metadata" src="{source}"></audio></figure>'
    )


def players(sounds: dict[str, Sound]) -> HTML:
    """Show players in a row, labelled by their keys."""
    return HTML("".join(player(s, label=label).data for label, s in sounds.items()))


def card(sound: Sound, *, label: str, name: str) -> str:
    """Give the HTML of a spectrogram with its player under it; `name` is its anchor."""
    with plt.rc_context(STYLE | {"font.size": 9, "axes.titlesize": 10}):
        figure = Figure(figsize=(4.4, 2.5), layout="constrained")
        mesh = draw_spectrogram(figure.add_subplot(), sound, title=label)
        figure.colorbar(mesh, label="dB")
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=80)
    image = b64encode(buffer.getvalue()).decode()
    return (
        f'<div id="{html.escape(name)}" style="display:inline-block;margin:6px">'
        f'<img alt="{html.escape(label)}" src="data:image/png;base64,{image}"><br>'
        f"{player(sound, label=label, small=True).data}</div>"
    )
