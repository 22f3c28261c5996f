"""Pictures land on the axes they are given, with units; players keep the level."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color
from sklearn.decomposition import PCA

from helpers import plots
from helpers.audio import Sound
from helpers.spectrum import STFT

STFT_44 = STFT(44100)


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


def test_a_canvas_is_white_and_wide_and_gives_an_array_of_axes():
    figure, axes = plots.canvas(2, 3)
    assert axes.shape == (6,)
    assert same_color(figure.get_facecolor(), "white")
    assert figure.get_size_inches()[0] == 12
    assert plots.canvas()[1].shape == (1,)


@pytest.mark.parametrize("n_samples", [2, 100, 44100])
def test_a_waveform_spans_its_samples_and_seconds(ax, bursts, n_samples):
    sound = Sound(bursts.samples[:n_samples], bursts.rate)
    assert plots.draw_waveform(ax, sound, name="B", title="bursts") is ax
    assert labels(ax) == ("time (s)", "amplitude")
    assert ax.get_title() == "bursts"
    (filled,) = ax.collections
    points = filled.get_paths()[0].vertices
    assert points[:, 1].min() == pytest.approx(sound.samples.min())
    assert points[:, 1].max() == pytest.approx(sound.samples.max())
    assert points[:, 0].max() <= sound.duration
    assert same_color(filled.get_facecolor()[0], plots.COLOURS["B"])


def test_a_sine_at_full_scale_reads_0_db():
    hertz = 44100 / 2048 * 50  # just in the middle of a bin
    sine = np.sin(2 * np.pi * hertz * np.arange(44100) / 44100)
    sound = Sound(np.stack([sine, sine], axis=1).astype(np.float32), 44100)
    levels_db, seconds = plots.level_db(sound, stft=STFT_44, n_columns=20)
    assert levels_db.shape == (20, 1025)
    assert levels_db[10].argmax() == 50
    assert levels_db[10].max() == pytest.approx(0, abs=0.01)
    assert seconds[0] == 0
    assert seconds[-1] == pytest.approx(1, abs=512 / 44100)


@pytest.mark.parametrize("rate", [1000, 8000, 44100])
def test_a_spectrogram_has_seconds_hertz_and_decibels(ax, bursts, rate):
    mesh = plots.draw_spectrogram(ax, Sound(bursts.samples, rate), title="bursts")
    assert mesh.axes is ax
    assert labels(ax) == ("time (s)", "frequency (Hz)")
    assert ax.get_title() == "bursts"
    assert ax.get_yscale() == "log"
    assert mesh.get_clim() == (-plots.RANGE_DB, 0)
    assert ax.get_ylim()[1] < rate


def test_spectrograms_share_one_colour_bar(tone, bursts):
    figure = plots.draw_spectrograms({"A": tone, "B": bursts})
    *pictures, bar = figure.axes
    assert [picture.get_title() for picture in pictures] == ["A", "B"]
    assert bar.get_ylabel() == "level (dBFS)"


def test_frames_are_drawn_over_milliseconds(ax, tone):
    below = ax.figure.add_subplot()
    assert plots.draw_frames(ax, below, tone.samples[:, 0], stft=STFT_44) is ax
    assert labels(below) == ("time (ms)", "amplitude")
    assert [text.get_text() for text in ax.texts] == [f"frame {i}" for i in range(4)]
    window = ax.lines[2].get_xydata()  # of frame 1
    assert window[0, 0] == pytest.approx(512 / 44.1)
    faded = below.lines[0].get_ydata()
    assert len(faded) == 2048
    assert faded[0] == 0


def test_borrowing_breaks_the_line_at_jumps(ax):
    moments = STFT_44.times(20)
    moments[10:] += 0.7
    assert plots.draw_borrowing(ax, moments, 2.0, stft=STFT_44) is ax
    assert labels(ax) == ("time in B (s)", "time in A (s)")
    assert np.flatnonzero(np.isnan(ax.lines[0].get_ydata())).tolist() == [10]
    assert ax.get_ylim() == (0, 2)  # all of A, the part that is not used too


def test_truth_has_a_line_where_both_are_equal(ax):
    true = pd.Series([-3.0, 1.0, 2.0])
    assert plots.draw_truth(ax, true, true * 0.5, title="half") is ax
    assert all(labels(ax))
    np.testing.assert_array_equal(ax.lines[1].get_xydata(), [[-3, -3], [3, 3]])


def test_clouds_are_two_and_named(ax):
    rows = np.random.default_rng(0).normal(size=(2, 30, 5))
    flat = PCA(2).fit(rows[0])
    assert plots.draw_clouds(ax, flat, *rows, title="clouds") is ax
    assert [line.get_label() for line in ax.lines] == ["A", "B"]
    assert all("(dB)" in label for label in labels(ax))


def test_the_map_names_every_place_once_and_covers_no_name(ax, board):
    known = pd.DataFrame(
        {"model": ["A itself"], "timbre": [1.0], "structure": [np.nan]}
    )
    curve = board[["timbre", "structure"]]
    assert plots.draw_map(ax, board, known, curve) is ax
    texts = {text.get_text().strip(): text.get_position() for text in ax.texts}
    assert set(texts) == {"ridge and 1 more", "linear_regression"}
    assert len(set(texts.values())) == len(texts)
    assert "timbre" in labels(ax)[0]
    assert "structure" in labels(ax)[1]
