"""Every picture and player: each draws on the `ax` that it is given."""

from itertools import pairwise

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from scipy.fft import rfft
from sklearn.decomposition import PCA

from helpers.audio import Sound
from helpers.spectrum import STFT

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
COLOURS = {"A": "#0072B2", "B": "#D55E00", "result": "#009E73", "other": "#999999"}
MARKS = {
    "bins": ("s", "#999999"),
    "frames": ("o", "#CC79A7"),
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


def canvas(
    n_rows: int = 1, n_columns: int = 1, *, height: float = 3.2, **options
) -> tuple[Figure, np.ndarray]:
    """Make a wide white figure whose text can be read from the back of a room.

    Parameters
    ----------
    n_rows, n_columns : int
        Of axes.
    height : float
        Of a row, in inches; the figure is 12 wide.
    **options
        For ``Figure.subplots``, such as ``sharex=True``.

    Returns
    -------
    figure : Figure
        To draw on, then to `show`.
    axes : ndarray of Axes
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(12, height * n_rows + 0.3), layout="constrained")
        axes = figure.subplots(n_rows, n_columns, squeeze=False, **options)
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
    top = 1.05 * max(1, max(high), -min(low))
    for full_scale in (-1, 1):
        ax.axhline(full_scale, color="black", ls=":", lw=0.8)
    ax.set(xlabel="time (s)", ylabel="amplitude", ylim=(-top, top), title=title)
    return ax


def level_db(
    sound: Sound, *, stft: STFT, n_columns: int = 400
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
    cuts = [stft.cut(sound.samples, range(i, i + 1)) for i in places]
    power = np.zeros((len(places), len(stft.frequencies)), np.float32)
    for channel in np.moveaxis(cuts, 2, 0):
        spectrum = rfft(channel * stft.window, axis=1)
        power += np.abs(spectrum) ** 2 / sound.n_channels
    full_scale = (stft.window.sum() / 2) ** 2
    return 10 * np.log10(power / full_scale + 1e-12), stft.times(n_frames)[places]


def draw_spectrogram(
    ax: Axes, sound: Sound, *, title: str, stft: STFT | None = None
) -> QuadMesh:
    """Draw a spectrogram: seconds, Hz on a log axis, dBFS."""
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
    figure.colorbar(mesh, ax=axes, label="level (dBFS)")
    return figure


def draw_frames(
    ax: Axes, below: Axes, samples: np.ndarray, *, stft: STFT, n_frames: int = 4
) -> Axes:
    """Draw some milliseconds of a channel with windows, and `below` the first frame."""
    n = stft.n_fft + (n_frames - 1) * stft.hop_length
    stretch = samples[:n] / max(np.abs(samples[:n]).max(), 1e-9)
    ms = np.arange(n) / stft.rate * 1e3
    ax.plot(ms[: len(stretch)], stretch, color=COLOURS["A"], lw=0.7)
    for i in range(n_frames):
        here = ms[i * stft.hop_length :][: stft.n_fft]
        ax.plot(here, stft.window, color="black", lw=3 if i == 0 else 1.5)
        ax.text(here[len(here) // 2], 1.05, f"frame {i}", ha="center")
    frame = stretch[: stft.n_fft] * stft.window[: len(stretch)]
    below.plot(ms[: len(frame)], frame, color=COLOURS["A"], lw=0.7)
    ax.set(ylabel="amplitude", ylim=(-1.1, 1.3), title="Four windows on A")
    below.set(xlabel="time (ms)", ylabel="amplitude", ylim=(-1.1, 1.1))
    below.set_title("Frame 0, faded in and out")
    return ax


def draw_borrowing(
    ax: Axes, seconds_a: np.ndarray, duration_a: float, *, stft: STFT
) -> Axes:
    """Draw the moment of A, in seconds, that each frame of B borrows."""
    times = stft.times(len(seconds_a))
    jump = np.abs(np.diff(seconds_a, prepend=seconds_a[0])) > 1.5 * times[1]
    line = np.where(jump, np.nan, seconds_a)
    ax.plot(times, line, color=COLOURS["A"], lw=2.5)
    ax.plot(times[jump], seconds_a[jump], ".", color=COLOURS["A"], ms=4)
    ax.set(xlabel="time in B (s)", ylabel="time in A (s)", ylim=(0, duration_a))
    return ax


def draw_truth(ax: Axes, true: pd.Series, predicted: np.ndarray, *, title: str) -> Axes:
    """Draw predicted against true values, with the line where they would be equal."""
    ax.plot(true, predicted, ".", color=COLOURS["A"], ms=7, alpha=0.4)
    reach = float(np.abs(true).max())
    ax.plot([-reach, reach], [-reach, reach], ":", color="black", lw=1.5)
    ax.set(xlabel="true (thousands)", ylabel="predicted (thousands)", title=title)
    return ax


def draw_clouds(
    ax: Axes, flat: PCA, rows_a: np.ndarray, rows_b: np.ndarray, *, title: str
) -> Axes:
    """Draw the descriptions of A and B as two clouds, in the plane `flat` of A's."""
    n = flat.n_features_in_
    for rows, name in ((rows_a, "A"), (rows_b, "B")):
        x, y = flat.transform(rows[:, :n]).T
        ax.plot(x, y, ".", color=COLOURS[name], ms=4, alpha=0.5, label=name)
    ax.set(xlabel="first direction (dB)", ylabel="second direction (dB)", title=title)
    ax.legend(markerscale=3)
    ax.label_outer()
    return ax


def draw_map(
    ax: Axes,
    board: pd.DataFrame,
    known: pd.DataFrame,
    curve: pd.DataFrame,
    *,
    swapped: pd.DataFrame | None = None,
) -> Axes:
    """Draw the map of models: structure kept from B against timbre taken from A.

    Parameters
    ----------
    board, known : DataFrame
        A row a render or sound to compare, with ``model``, ``timbre``, ``structure``
        and, in `board`, ``recipe``.
    curve : DataFrame
        The same scores for rising values of blend.
    swapped : DataFrame, optional
        A board of the other direction, drawn hollow and without names.
    """
    line = {"color": COLOURS["result"], "marker": "o", "ms": 4, "label": "blend"}
    ax.plot(curve["timbre"], curve["structure"], **line)
    rows = pd.concat([board, known.assign(recipe="for comparison")])
    for recipe, (marker, colour) in MARKS.items():
        some = rows[rows["recipe"] == recipe]
        style = {"marker": marker, "s": 70, "edgecolors": colour}
        label = {"facecolors": colour, "label": recipe}
        ax.scatter(some["timbre"], some["structure"], **style, **label)
        if swapped is not None:
            some = swapped[swapped["recipe"] == recipe]
            ax.scatter(some["timbre"], some["structure"], **style, facecolors="none")
    _spread_labels(ax, rows.dropna(subset=["timbre", "structure"]))
    ax.set_xlabel("timbre taken from A (0: as B itself, 1: as A itself)")
    ax.set_ylabel("structure kept from B (1: all)")
    ax.set_ylim(top=1.12)
    ax.set_title("The map of models")
    ax.legend(loc="lower left")
    return ax


def _spread_labels(ax: Axes, rows: pd.DataFrame) -> None:
    # Models at one place share a label; labels are pushed up until none covers another.
    places = rows[["timbre", "structure"]].round(2)
    merged = rows.groupby([places["timbre"], places["structure"]])["model"].agg(list)
    placed: list[tuple[float, float]] = []
    for (x, y), names in sorted(merged.items(), key=lambda item: item[0][1]):
        height = y
        while any(abs(x - u) < 0.3 and abs(height - v) < 0.034 for u, v in placed):
            height += 0.005
        placed.append((x, height))
        name = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        arrow = {"arrowstyle": "-", "color": COLOURS["other"], "lw": 0.6}
        ax.annotate(name, (x, y), (x + 0.02, height), fontsize=11, arrowprops=arrow)
