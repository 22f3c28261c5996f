"""Pictures land on the axes they are given, with units; players keep the level."""

import io
import re
from base64 import b64decode

import numpy as np
import pandas as pd
import pytest
import soundfile
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from signals import noise, sine

from helpers import show
from helpers.sound import Sound, join
from helpers.spectrum import make_stft, n_frames

# Spectrograms -------------------------------------------------------------------------


@pytest.mark.parametrize("hertz", [440, 1000, 7000, 15_000])
def test_a_sine_at_full_scale_is_seen_at_0_dbfs_at_its_frequency(hertz):
    canvas = FigureCanvasAgg(Figure())
    ax, wave = canvas.figure.subplots(), sine(44100, hertz=hertz, level=1, rate=44100)
    show.draw_spectrogram(ax, Sound(wave, 44100), title="sine")
    canvas.draw()
    _, green, blue, _ = np.array(canvas.buffer_rgba())[::-1].transpose(2, 0, 1)
    # Over -3 dB it is a light yellow; between two bins a Hann window is 1.42 dB down.
    rows, columns = np.nonzero((green > 235) & (blue < 195))
    seen = ax.transData.inverted().transform(np.transpose([columns, rows]))[:, 1]
    # Two bins of 21.5 Hz to either side are as loud, and rows are some percent high.
    assert abs(np.median(seen) - hertz) < 43 + 0.04 * hertz


@pytest.mark.parametrize("rate", [1000, 8000, 192_000])
@pytest.mark.parametrize("n_samples", [2, 5000])
def test_a_spectrogram_has_seconds_hertz_and_decibels(n_samples, rate):
    ax = Figure().subplots()
    show.draw_spectrogram(ax, Sound(noise(n_samples), rate), title="noise")
    said = ax.get_title(), ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()
    assert said == ("noise", "time (s)", "frequency (Hz)", "log")
    assert ax.collections[0].get_clim() == (-90, 0)


def test_spectrograms_share_one_colour_bar_and_hide_what_is_left_over(tone, bursts):
    axes = Figure().subplots(2, 2)
    show.draw_spectrograms(axes, {"A": tone, "B": bursts, "$a_1": tone})
    *pictures, bar = axes[0, 0].figure.axes
    assert [ax.get_title() for ax in pictures] == ["A", "B", "$a_1", ""]
    assert [ax.get_visible() for ax in pictures] == [True, True, True, False]
    assert bar.get_ylabel() == "level (dBFS)"
    bar.figure.canvas.draw()  # a dollar sign in a name starts no formula


# The montage --------------------------------------------------------------------------

STFT = make_stft(1000, 64, 16)  # frame i has its middle at sample 16 (i - 1)


@pytest.fixture(scope="module")
def many() -> Sound:
    """Join a second of a file, from its fifth on, and all of another, at 1.1 s."""
    files = ((-5.0, "a.wav"),), ((0.0, "b.wav"),)
    return join([Sound(noise(1000, 1), 1000, one) for one in files])


def test_a_montage_has_a_row_a_stretch(many):
    borrowed = np.r_[10:20, 40:43, 90:95, 12:17]
    table = show.montage(borrowed, many, stft=STFT)
    assert list(table) == ["start", "length", "file", "file_start"]
    assert list(table["file"]) == ["a.wav", "a.wav", "b.wav", "a.wav"]
    # At the middles of frames; the first one lies 16 samples before the sound begins.
    starts, in_a = [0, 144, 192, 272], [160, 624, 1424, 176]
    expected = np.transpose([starts, in_a]) / 1000 - [[0, k] for k in (-5, -5, 1.1, -5)]
    # Times are rounded to .1 ms.
    np.testing.assert_allclose(table[["start", "file_start"]], expected, atol=1e-4)
    lengths = np.diff(table["start"], append=0.304)  # each up to the next
    np.testing.assert_allclose(table["length"], lengths, atol=1e-4)


@pytest.mark.parametrize("n_samples", [150, 160, 161, 175])
def test_a_montage_stays_within_the_result_and_the_files(many, n_samples):
    borrowed = np.r_[0:3, 70:75, 1:5, 61:69]  # b begins at frame 69.75, a at 1
    borrowed = borrowed[: n_frames(Sound(noise(n_samples), 1000), stft=STFT)]
    table = show.montage(borrowed, many, stft=STFT)
    assert table["start"].min() == 0
    assert (table["length"] > 0).all()
    end = 1000 * (table["start"] + table["length"]).max()
    assert n_samples - 2 * STFT.hop < round(end) <= n_samples
    assert (table["file_start"] >= table["file"].map({"a.wav": 5, "b.wav": 0})).all()


def test_what_averages_borrows_nothing(tone):
    assert show.montage(None, tone, stft=STFT).empty


def test_a_montage_is_saved_as_table_and_labels(many, tmp_path):
    path = tmp_path / "x.wav"
    table = show.montage(np.r_[10:20, 90:95], many, stft=STFT)
    show.save_montage(path, table)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "x_montage.csv"), table)
    labels = pd.read_csv(tmp_path / "x_montage.txt", sep="\t", header=None)
    np.testing.assert_allclose(labels[0], table["start"])
    np.testing.assert_allclose(labels[1] - labels[0], table["length"])
    assert list(labels[2].str.split().str[0]) == ["a.wav", "b.wav"]
    show.save_montage(path, table[:0])  # an old one is not left
    assert not (tmp_path / "x_montage.txt").read_text()


# Players ------------------------------------------------------------------------------


def played(page) -> tuple[np.ndarray, int]:
    """Decode the sound that is embedded in a page."""
    data = re.search(r'src="data:audio/ogg;base64,([^"]+)"', page.data)[1]
    return soundfile.read(io.BytesIO(b64decode(data)), always_2d=True)


@pytest.mark.parametrize("rate", [1000, 8000, 44100, 96_000, 192_000])
@pytest.mark.parametrize("level", [0.5, 0.01])
def test_a_player_keeps_level_and_length_at_any_rate(rate, level):
    wave = sine(rate, rate=rate, level=level)
    samples, new_rate = played(show.player(Sound(wave, rate), label="sine"))
    assert len(samples) / new_rate == pytest.approx(1, abs=0.001)
    # Lossy: the waveform bends, its power stays within half a decibel.
    assert abs(20 * np.log10(np.std(samples) / np.std(wave))) < 0.5


LINKS = {"output_audio/a #1 100%.wav": "output_audio/a%20%231%20100%25.wav"}
LINKS["caf\udce9.wav"] = "caf%E9.wav"  # which is not in UTF-8


@pytest.mark.parametrize(("path", "address"), LINKS.items())
def test_a_player_says_what_it_plays_how_long_it_is_and_where(bursts, path, address):
    page = show.player(bursts, label="B", path=path).data
    assert f'<figcaption>B (1.0 s): <a href="{address}" download>' in page
    page.encode()  # as a page must be


def test_over_full_scale_it_is_turned_down_and_says_so(tone):
    loud = Sound(2 * tone.samples / abs(tone.samples).max(), tone.rate)
    page = show.player(loud, label="loud")
    assert "loud (1.2 s), turned down by 6.0 dB" in page.data
    samples = played(page)[0]
    assert abs(20 * np.log10(np.std(samples) / np.std(loud.samples)) + 6.02) < 0.5


def test_of_a_long_sound_the_beginning_is_played(monkeypatch):
    monkeypatch.setattr(show, "PLAYED_SECONDS", 2)
    page = show.player(Sound(noise(20_000, 5), 8000), label="long")
    assert "long (2.5 s), its first ten minutes" in page.data
    assert played(page)[0].shape == (96_000, 2)  # of five channels


def test_no_name_is_part_of_the_page(bursts):
    evil = 'a"><script>alert(1)</script>'
    page = show.player(bursts, label=evil, path=evil).data
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 2


def test_players_stand_in_a_row(tone, bursts):
    page = show.players({"A": tone, "B": bursts}).data
    assert re.findall(r"<figcaption>(\w)", page) == ["A", "B"]
