"""What the notebook shows beside its pictures: players, cards and tables."""

import html
import io
import platform
from base64 import b64encode
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import matplotlib
import numpy as np
import pandas as pd
import soundfile
from IPython.display import HTML
from matplotlib.figure import Figure

from helpers.audio import Sound, describe, load, resample
from helpers.mastering import measure
from helpers.plots import STYLE, draw_spectrogram

EMBED_SECONDS = 30  # a longer player would weigh megabytes in the page
FORMATS = {
    True: ("OGG", "VORBIS", "audio/ogg"),
    False: ("FLAC", "PCM_16", "audio/flac"),
}


def show(figure: Figure) -> HTML:
    """Show a figure as a picture, with its titles for those who cannot see it."""
    titles = ", ".join(ax.get_title() for ax in figure.axes if ax.get_title())
    picture = _source(figure, 90)
    return HTML(f'<img style="max-width:100%" {picture} alt="{html.escape(titles)}">')


def _source(figure: Figure, dpi: int) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi, facecolor="white")
    return f'src="data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"'


def player(
    sound: Sound, *, label: str, path: str | Path | None = None, small: bool = False
) -> HTML:
    """Show a labelled player that keeps the level.

    Up to half a minute is embedded in the page, without loss as FLAC or, `small`, as
    Ogg Vorbis; a longer sound is linked by its `path`.
    """
    if sound.duration <= EMBED_SECONDS or path is None:
        first = Sound(sound.samples[: sound.rate * EMBED_SECONDS][:, :2], sound.rate)
        if not 8000 <= first.rate <= 96000:  # browsers and the encoders stumble
            first = resample(first, rate=48000)
        steps = np.rint(first.samples * 2**15).clip(-(2**15), 2**15 - 1)
        steps, shape = steps.astype(np.int16), (first.rate, first.n_channels)
        form, subtype, kind = FORMATS[small]
        buffer = io.BytesIO()
        with soundfile.SoundFile(buffer, "w", *shape, subtype, format=form) as file:
            for i in range(0, len(steps), 2**16):  # libvorbis crashes on millions
                file.write(steps[i : i + 2**16])
        source = f"data:{kind};base64,{b64encode(buffer.getvalue()).decode()}"
    else:
        source = quote(Path(path).as_posix())
    return HTML(
        '<figure style="display:inline-block;margin:4px 14px 4px 0">'
        f"<figcaption>{html.escape(label)}</figcaption>"
        f'<audio controls preload="metadata" src="{source}"></audio></figure>'
    )


def players(sounds: dict[str, Sound], *, small: bool = False) -> HTML:
    """Show players in a row, labelled by their keys; `small` as in `player`."""
    shown = (player(s, label=name, small=small).data for name, s in sounds.items())
    return HTML("".join(shown))


def card(sound: Sound, *, label: str, name: str, note: str = "") -> str:
    """Give the HTML of a spectrogram over its player and note; `name` is its anchor."""
    with matplotlib.rc_context(STYLE | {"font.size": 10, "axes.titlesize": 12}):
        figure = Figure(figsize=(4.3, 2.6))
        figure.subplots_adjust(left=0.18, right=0.93, bottom=0.2, top=0.88)
        mesh = draw_spectrogram(figure.subplots(), sound, title=label)
        figure.colorbar(mesh, label="dBFS")
        picture = _source(figure, 80)
    return (
        f'<div id="{html.escape(name)}" style="display:inline-block;'
        'vertical-align:top;width:345px;margin:5px">'
        f'<img {picture} alt="spectrogram of {html.escape(label)}"><br>'
        f"{player(sound, label=note or label, small=True).data}</div>"
    )


def cards(
    reference: dict[str, Sound],
    board: pd.DataFrame,
    *,
    folder: str | Path,
    notes: dict[str, str],
) -> HTML:
    """Show a reference sound and the renders of a board, by name, with their notes."""
    shown = [card(sound, label=label, name="") for label, sound in reference.items()]
    for row in board.dropna(subset="recipe").sort_values("model").itertuples():
        sound, note = load(Path(folder, row.file)), notes.get(row.model, "")
        shown.append(card(sound, label=row.model, name=row.file, note=note))
    return HTML("".join(shown))


def table(columns: dict, *, escape: str | None = "html") -> HTML:
    """Show columns as a table, numbers to two digits; `escape` None allows links."""
    style = pd.DataFrame(columns).style.hide(axis="index")
    style = style.set_properties(**{"text-align": "left"})
    style = style.format(precision=2, thousands=",", na_rep="", escape=escape)
    return HTML(style.to_html())


def facts(sounds: dict[str, Sound]) -> HTML:
    """Show length, format and level of sounds, and what is unusual about them."""
    rows = {}
    for name, sound in sounds.items():
        fact = describe(sound)
        remarks = [
            (fact["clipped"] > 0, "was clipped where it is loudest"),
            (abs(fact["dc_offset"]) > 1e-3, "has an offset"),
            (fact["peak_db"] < -40, "is very quiet"),
            (fact["silence_before"] + fact["silence_after"] > 1, "has silent ends"),
        ]
        rows[name] = {
            "sound": name,
            "length (s)": fact["duration"],
            "rate (Hz)": int(fact["rate"]),
            "channels": int(fact["channels"]),
            "peak (dBFS)": fact["peak_db"],
            "RMS (dBFS)": fact["rms_db"],
            "remarks": ", ".join(text for unusual, text in remarks if unusual)
            or "none",
        }
    return table(pd.DataFrame(rows).T.to_dict("list"))


def levels(sounds: Iterable[Sound]) -> dict[str, list[float]]:
    """Measure peaks, loudness and offset of sounds, as columns of a table."""
    measured = pd.DataFrame([measure(sound) for sound in sounds])
    names = {
        "peak_db": "peak (dBFS)",
        "true_peak_db": "true peak (dBFS)",
        "rms_db": "RMS (dBFS)",
        "loudness_lufs": "loudness (LUFS)",
        "dc": "offset",
    }
    return measured.rename(columns=names).to_dict("list")


def scoreboard(board: pd.DataFrame) -> HTML:
    """Show a scoreboard, each sound a link to its player on the same page."""
    shown = board.copy()
    link = '<a href="#{}">{}</a>'
    shown["file"] = [link.format(quote(f), html.escape(f)) for f in board["file"]]
    return table(shown.to_dict("list"), escape=None)


def versions(*packages: str) -> HTML:
    """Show the versions of Python and of `packages`."""
    names = ["Python", *packages]
    numbers = [platform.python_version(), *(version(name) for name in packages)]
    return table({"made with": names, "version": numbers})
