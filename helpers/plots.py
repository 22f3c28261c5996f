"""Every picture and player: each draws on the `ax` that it is given."""

import html
import io
from base64 import b64encode
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import soundfile
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from helpers.audio import Sound
from helpers.spectrum import STFT

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
COLOURS = {"A": "#0072B2", "B": "#D55E00", "result": "#009E73", "other": "#999999"}
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


def _columns(samples: np.ndarray, n_columns: int) -> list[np.ndarray]:
    edges = np.linspace(0, len(samples), n_columns + 1).astype(int)
    return [samples[i:j] for i, j in zip(edges[:-1], edges[1:], strict=True) if i < j]


def draw_waveform(ax: Axes, sound: Sound, *, name: str, title: str = "") -> Axes:
    """Draw the range of the samples, all channels together, over seconds."""
    stretches = _columns(sound.samples, 1500)
    low, high = [s.min() for s in stretches], [s.max() for s in stretches]
    seconds = np.linspace(0, sound.duration, len(stretches))
    ax.fill_between(seconds, low, high, color=COLOURS[name], linewidth=0.8)
    ax.set(xlabel="time (s)", ylabel="amplitude", xlim=(0, sound.duration))
    ax.set_title(title or name)
    return ax


def level_db(sound: Sound, *, stft: STFT | None = None, n_columns: int = 800):
    """Measure a spectrogram in dB under full scale, mean power of the channels.

    A sine at full scale reads 0 dB. Long sounds are looked at in `n_columns` places.

    Returns
    -------
    levels_db : ndarray of shape (n_columns or fewer, n_bins)
    seconds : ndarray of shape (n_columns or fewer,)
    """
    stft = stft or STFT(sound.rate)
    n_frames = stft.n_frames(sound.n_samples)
    places = np.unique(np.linspace(0, n_frames - 1, n_columns).astype(int))
    power = [
        np.mean([np.abs(stft.transform(channel)[0]) ** 2 for channel in cut.T], axis=0)
        for cut in (stft.cut(sound.samples, range(i, i + 1)) for i in places)
    ]
    full_scale = (stft.window.sum() / 2) ** 2
    return 10 * np.log10(np.array(power) / full_scale + 1e-12), stft.times(n_frames)[
        places
    ]


def draw_spectrogram(
    ax: Axes, sound: Sound, *, title: str = "", stft: STFT | None = None
) -> AxesImage:
    """Draw a spectrogram: seconds, Hz on a log axis, dB under full scale."""
    stft = stft or STFT(sound.rate)
    levels_db, seconds = level_db(sound, stft=stft)
    top = min(16000, sound.rate / 2)
    rows = np.geomspace(60, top, 200)
    nearest = np.searchsorted(stft.frequencies, rows).clip(0, levels_db.shape[1] - 1)
    image = ax.pcolormesh(
        seconds,
        rows,
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
    return image


def draw_spectrograms(sounds: dict[str, Sound], *, height: float = 3.4) -> Figure:
    """Draw spectrograms side by side under one colour bar."""
    figure, axes = canvas(1, len(sounds), height=height, sharey=True)
    for ax, (title, sound) in zip(axes, sounds.items(), strict=True):
        image = draw_spectrogram(ax, sound, title=title)
    for ax in axes[1:]:
        ax.set_ylabel("")
    figure.colorbar(image, ax=axes, label="dB under full scale")
    return figure


def player(sound: Sound, *, label: str, path: str | Path | None = None) -> HTML:
    """Show a labelled player that keeps the level.

    Up to half a minute is embedded in the page, without loss, as FLAC; a longer sound
    is linked by its `path`.
    """
    if sound.duration <= EMBED_SECONDS or path is None:
        buffer = io.BytesIO()
        samples = np.asarray(sound.samples[: sound.rate * EMBED_SECONDS])
        steps = np.clip(np.rint(samples[:, :2] * 2**15), -(2**15), 2**15 - 1)
        soundfile.write(
            buffer, steps.astype(np.int16), sound.rate, format="FLAC", subtype="PCM_16"
        )
        source = "data:audio/flac;base64," + b64encode(buffer.getvalue()).decode()
    else:
        source = Path(path).as_posix()
    return HTML(
        f'<figure style="display:inline-block;margin:4px 16px 4px 0">'
        f"<figcaption>{html.escape(label)}</figcaption>"
        f'<audio controls preload="metadata" src="{source}"></audio></figure>'
    )


def players(sounds: dict[str, Sound]) -> HTML:
    """Show several players in a row."""
    return HTML("".join(player(s, label=label).data for label, s in sounds.items()))
