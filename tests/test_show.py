"""Pictures land on the axes they are given, with units; players keep the level."""

import io
import re
from base64 import b64decode
from itertools import combinations, pairwise
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import soundfile
from matplotlib.colors import same_color
from matplotlib.text import Text

from helpers import show
from helpers.audio import Sound, Stretch


@pytest.fixture(autouse=True, scope="module")
def _no_screen():
    before = mpl.get_backend()
    plt.switch_backend("agg")
    yield
    plt.switch_backend(before)


@pytest.fixture
def ax():
    """Make axes to draw on, and other axes that are current."""
    figure, axes = plt.subplots(1, 2)
    plt.sca(axes[1])
    yield axes[0]
    assert not axes[1].has_data()  # nothing was drawn where nobody asked
    plt.close(figure)


@pytest.fixture(autouse=True)
def _settings_stay():
    before = mpl.rcParams.copy()
    yield
    assert mpl.rcParams == before
    plt.close("all")


def labels(ax) -> tuple[str, str]:
    """Read what the axes say."""
    return ax.get_xlabel(), ax.get_ylabel()


@pytest.mark.parametrize("n_samples", [2, 100, 44100])
def test_a_waveform_spans_its_samples_and_seconds(ax, bursts, n_samples):
    sound = Sound(bursts.samples[:n_samples], bursts.rate)
    assert show.draw_waveform(ax, sound, name="B", title="bursts") is ax
    assert labels(ax) == ("time (s)", "amplitude")
    assert ax.get_title() == "bursts"
    (filled,) = ax.collections
    points = filled.get_paths()[0].vertices
    assert points[:, 1].min() == pytest.approx(sound.samples.min())
    assert points[:, 1].max() == pytest.approx(sound.samples.max())
    assert points[:, 0].max() <= sound.duration
    assert same_color(filled.get_facecolor()[0], show.COLOURS["B"])


def test_a_sine_at_full_scale_reads_0_db():
    hertz = 44100 / 2048 * 50  # just in the middle of a bin
    sine = np.sin(2 * np.pi * hertz * np.arange(44100) / 44100)
    sound = Sound(np.stack([sine, sine], axis=1).astype(np.float32), 44100)
    levels_db, seconds, frequencies = show.level_db(sound, n_columns=20)
    assert levels_db.shape == (20, 1025)
    assert frequencies[levels_db[10].argmax()] == pytest.approx(hertz)
    assert levels_db[10].max() == pytest.approx(0, abs=0.01)
    assert seconds[0] == pytest.approx(-512 / 44100)
    assert seconds[-1] == pytest.approx(1, abs=1024 / 44100)


@pytest.mark.parametrize("rate", [1000, 8000, 44100])
def test_a_spectrogram_has_seconds_hertz_and_decibels(ax, bursts, rate):
    sound = Sound(bursts.samples, rate)
    assert show.draw_spectrogram(ax, sound, title="bursts") is ax
    assert labels(ax) == ("time (s)", "frequency (Hz)")
    assert ax.get_title() == "bursts"
    assert ax.get_yscale() == "log"
    assert ax.collections[0].get_clim() == (-show.RANGE_DB, 0)
    assert ax.get_ylim()[1] < rate


@pytest.mark.parametrize("n_samples", [2, 700])
def test_a_spectrogram_of_a_moment_can_be_drawn(ax, bursts, n_samples):
    sound = Sound(bursts.samples[:n_samples], bursts.rate)
    show.draw_spectrogram(ax, sound, title="short")
    assert ax.has_data()


def test_spectrograms_share_one_colour_bar_and_hide_what_is_left_over(tone, bursts):
    figure, axes = plt.subplots(2, 2)
    show.draw_spectrograms(axes, {"A": tone, "B": bursts, "$a": tone})
    *pictures, bar = figure.axes
    assert [ax.get_title() for ax in pictures[:3]] == ["A", "B", "$a"]
    assert [ax.get_visible() for ax in pictures] == [True, True, True, False]
    assert bar.get_ylabel() == "level (dBFS)"
    figure.canvas.draw()  # a dollar sign in a name starts no formula


def test_borrowing_breaks_the_line_at_jumps(ax):
    borrowed = np.r_[np.arange(20, 30), np.arange(70, 80)]
    a = Sound(np.ones((2000, 1), np.float32), 1000)
    assert show.draw_borrowing(ax, borrowed, seconds=0.01, a=a) is ax
    assert labels(ax) == ("time in B (s)", "time in A (s)")
    assert np.flatnonzero(np.isnan(ax.lines[0].get_ydata())).tolist() == [10]
    assert ax.get_ylim() == (0, 2)  # all of A, the part that is not used too


def test_borrowing_names_the_files_of_a_corpus(ax):
    edges = [*np.linspace(0, 1, 101), 2.0]  # a hundred short files and a long one
    stretches = tuple(
        Stretch(start, stop, f"in/$file{i}.wav", 0)
        for i, (start, stop) in enumerate(pairwise(edges))
    )
    a = Sound(np.ones((2000, 1), np.float32), 1000, stretches)
    show.draw_borrowing(ax, np.arange(20, 30), seconds=0.01, a=a)
    names = [text.get_text() for text in ax.texts]
    assert names[0] == "$file0"
    assert len(names) <= 16  # no more than there is room for
    ax.figure.canvas.draw()


def test_what_the_font_cannot_write_is_a_box_and_no_warning(ax):
    names = ("né.wav", "\N{CJK UNIFIED IDEOGRAPH-9CE5} 2.wav")
    stretches = tuple(Stretch(i, i + 1.0, name, 0) for i, name in enumerate(names))
    a = Sound(np.ones((2000, 1), np.float32), 1000, stretches)
    show.draw_borrowing(ax, np.arange(20, 30), seconds=0.01, a=a)
    assert [text.get_text() for text in ax.texts] == ["né", "\N{WHITE SQUARE} 2"]
    ax.figure.canvas.draw()


@pytest.fixture
def board() -> pd.DataFrame:
    """Make a scoreboard of renders, two of them at one place, one far away."""
    return pd.DataFrame(
        {
            "model": ["ridge", "nearest_path", "$linear", "pls", "A itself"],
            "kind": ["frames", "frames", "bins", "frames", "for comparison"],
            "timbre": [0.5, 0.5, 0.1, -3.0, 1.0],
            "structure": [0.8, 0.8, 0.9, 0.7, np.nan],
        }
    )


def test_the_map_names_every_place_once_and_covers_no_name(ax, board):
    assert show.draw_map(ax, board) is ax
    names = {text.get_text() for text in ax.texts}
    assert names == {"ridge and 1 more", "$linear", "← pls (-3.0)"}
    assert "timbre" in labels(ax)[0]
    assert "structure" in labels(ax)[1]
    assert min(min(line.get_xdata()) for line in ax.lines) == -0.5
    ax.figure.canvas.draw()


def test_no_label_of_the_map_covers_a_mark_or_another_label(ax):
    rng = np.random.default_rng(0)
    crowd = pd.DataFrame(
        {
            "model": [f"a_rather_long_name_{i}" for i in range(8)],
            "kind": "frames",
            "timbre": rng.uniform(0.5, 0.6, 8),
            "structure": rng.uniform(0.7, 0.75, 8),
        }
    )
    show.draw_map(ax, crowd)
    ax.figure.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in ax.texts]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    marks = ax.transData.transform(crowd[["timbre", "structure"]])
    assert not any(box.contains(*mark) for box in boxes for mark in marks)


def test_a_map_of_sounds_that_are_too_short_to_score_is_empty(ax):
    row = {"model": "ridge", "kind": "frames", "timbre": np.nan, "structure": np.nan}
    show.draw_map(ax, pd.DataFrame([row]))
    assert not ax.has_data()


def test_facts_have_a_column_for_each_sound_and_units(tone, bursts):
    odd = Sound(tone.samples.clip(-0.05, 0.05) * 20 + np.float32(0.01), tone.rate)
    table = show.facts({"B": bursts, "odd": odd})
    assert list(table.columns) == ["B", "odd"]
    assert table.loc["length (s)", "B"] == "1.00"
    assert table.loc["rate (Hz)", "B"] == "44,100"
    assert table.loc["clipped samples", "B"] == "0.00%"
    assert table.loc["clipped samples", "odd"] != "0.00%"


# Players ------------------------------------------------------------------------------


def audio(page: str, form: str) -> tuple[np.ndarray, int]:
    """Decode the sound that is embedded in a page."""
    data = re.search(rf'src="data:audio/{form};base64,([^"]+)"', page)[1]
    return soundfile.read(io.BytesIO(b64decode(data)), always_2d=True)


def test_a_player_has_its_label_its_length_and_the_very_level(bursts):
    quiet = Sound(bursts.samples * np.float32(0.01), bursts.rate)
    shown = show.player(quiet, label="B, <quiet>").data
    assert "B, &lt;quiet&gt; (1.0 s)" in shown
    assert "<audio controls" in shown
    samples, rate = audio(shown, "flac")
    assert rate == 44100
    # Rounded to 16 bits: half a step.
    np.testing.assert_allclose(samples, quiet.samples, atol=0.51 / 2**15)


def test_a_player_clips_what_is_over_full_scale(bursts):
    shown = show.player(Sound(bursts.samples * 10, bursts.rate), label="loud").data
    expected = np.clip(bursts.samples * 10, -1, 1 - 2**-15)
    np.testing.assert_allclose(audio(shown, "flac")[0], expected, atol=0.51 / 2**15)


def test_a_player_of_many_channels_plays_two():
    sound = Sound(np.zeros((100, 5), np.float32), 44100)
    assert audio(show.player(sound, label="five").data, "flac")[0].shape == (100, 2)


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("rate", [1000, 8000, 96000, 192000, 768000])
def test_a_player_works_at_any_rate(rate, lossless):
    # Rates and lengths beyond some make libvorbis crash the whole kernel.
    sine = 0.5 * np.sin(2 * np.pi * 100 * np.arange(5 * rate) / rate)
    sound = Sound(sine.astype(np.float32)[:, None], rate)
    shown = show.player(sound, label="sine", lossless=lossless).data
    samples, new_rate = audio(shown, "flac" if lossless else "ogg")
    assert len(samples) / new_rate == pytest.approx(5, abs=0.1)
    assert np.mean(samples**2) == pytest.approx(0.125, rel=0.05)


def test_a_sound_of_over_a_minute_is_embedded_whole():
    long = Sound(np.zeros((91 * 8000, 1), np.float32), 8000)
    shown = show.player(long, label="long").data
    assert "long (1:31 min)" in shown
    assert len(audio(shown, "ogg")[0]) == long.n_samples


def test_a_long_sound_that_has_a_file_is_linked_by_its_path():
    long = Sound(np.zeros((61 * 8000, 1), np.float32), 8000)
    path = Path("output_audio") / 'a #1 & "b" 100%.wav'
    shown = show.player(long, label="long", path=path).data
    assert 'src="output_audio/a%20%231%20%26%20%22b%22%20100%25.wav"' in shown


def test_a_player_links_to_its_file(tone):
    shown = show.player(tone, label="A", path='output_audio/"<a>.wav').data
    assert '<a href="output_audio/%22%3Ca%3E.wav">' in shown
    assert "output_audio/&quot;&lt;a&gt;.wav</a>" in shown


def test_a_player_links_to_a_file_whose_name_is_not_in_utf_8(tone):
    shown = show.player(tone, label="A", path="output_audio/caf\udce9.wav").data
    assert '<a href="output_audio/caf%E9.wav">' in shown
    shown.encode()  # as a page must be


def test_a_very_long_sound_without_a_path_says_that_it_plays_its_beginning(monkeypatch):
    monkeypatch.setattr(show, "EMBEDDED_SECONDS", 40)
    long = Sound(np.zeros((41 * 8000, 1), np.float32), 8000)
    shown = show.player(long, label="long").data
    assert "long (41.0 s), the first 40.0 s of it" in shown
    assert len(audio(shown, "ogg")[0]) == 40 * 8000


def test_players_in_a_row_keep_the_level(tone):
    samples, _ = audio(show.players({"A": tone}).data, "ogg")
    # Lossy: the waveform bends, its power stays within half a decibel.
    level_db = 10 * np.log10(np.mean(samples**2) / np.mean(tone.samples**2))
    assert abs(level_db) < 0.5


def test_players_stand_in_a_row(tone, bursts):
    shown = show.players({"A": tone, "B": bursts}).data
    assert shown.count("<audio") == 2
    assert shown.index(">A (") < shown.index(">B (")


def test_players_are_folded_under_their_headings(bursts):
    folds = show.folded_players({"<alike>": {"one": bursts, "two": bursts}, "no": {}})
    assert folds.data.count("<details>") == 1
    assert "<summary>&lt;alike&gt;</summary>" in folds.data
    assert folds.data.count("<audio") == 2
