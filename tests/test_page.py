"""Players keep the level; cards and tables say what they show."""

import io
import re
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers import page
from helpers.audio import Sound, save


def audio(page: str, form: str) -> tuple[np.ndarray, int]:
    """Decode the sound that is embedded in a page."""
    data = re.search(rf'src="data:audio/{form};base64,([^"]+)"', page)[1]
    return soundfile.read(io.BytesIO(b64decode(data)), always_2d=True)


def test_a_player_has_its_label_and_the_very_level(bursts):
    quiet = Sound(bursts.samples * np.float32(0.01), bursts.rate)
    shown = page.player(quiet, label="B, <quiet>").data
    assert "B, &lt;quiet&gt;" in shown
    assert "<audio controls" in shown
    samples, rate = audio(shown, "flac")
    assert rate == 44100
    # Rounded to 16 bits: half a step.
    np.testing.assert_allclose(samples, quiet.samples, atol=0.51 / 2**15)


def test_a_player_clips_what_is_over_full_scale(bursts):
    shown = page.player(Sound(bursts.samples * 10, bursts.rate), label="loud").data
    expected = np.clip(bursts.samples * 10, -1, 1 - 2**-15)
    np.testing.assert_allclose(audio(shown, "flac")[0], expected, atol=0.51 / 2**15)


def test_a_player_of_many_channels_plays_two():
    sound = Sound(np.zeros((100, 5), np.float32), 44100)
    assert audio(page.player(sound, label="five").data, "flac")[0].shape == (100, 2)


def test_a_small_player_keeps_the_level_too(tone):
    samples, _ = audio(page.player(tone, label="A", small=True).data, "ogg")
    # Lossy: the waveform bends, its power stays within half a decibel.
    level_db = 10 * np.log10(np.mean(samples**2) / np.mean(tone.samples**2))
    assert abs(level_db) < 0.5


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("rate", [1000, 8000, 96000, 192000, 768000])
def test_a_player_works_at_any_rate(rate, small):
    # Rates and lengths beyond some make libvorbis crash the whole kernel.
    sine = 0.5 * np.sin(2 * np.pi * 100 * np.arange(5 * rate) / rate)
    sound = Sound(sine.astype(np.float32)[:, None], rate)
    shown = page.player(sound, label="sine", small=small).data
    samples, new_rate = audio(shown, "ogg" if small else "flac")
    assert len(samples) / new_rate == pytest.approx(5, abs=0.1)
    assert np.mean(samples**2) == pytest.approx(0.125, rel=0.05)


def test_a_long_sound_is_linked_by_its_path():
    long = Sound(np.zeros((31 * 8000, 1), np.float32), 8000)
    path = Path("output_audio") / 'a #1 & "b" 100%.wav'
    shown = page.player(long, label="long", path=path).data
    assert 'src="output_audio/a%20%231%20%26%20%22b%22%20100%25.wav"' in shown


def test_a_long_sound_without_a_path_plays_its_beginning():
    long = Sound(np.zeros((31 * 8000, 1), np.float32), 8000)
    samples, _ = audio(page.player(long, label="long").data, "flac")
    assert len(samples) == 30 * 8000


def test_players_stand_in_a_row(tone, bursts):
    shown = page.players({"A": tone, "B": bursts}).data
    assert shown.count("<audio") == 2
    assert shown.index(">A<") < shown.index(">B<")


def test_a_card_shows_a_spectrogram_over_its_player(tone):
    shown = page.card(tone, label="ridge", name="x & y.wav")
    assert 'id="x &amp; y.wav"' in shown
    image = b64decode(re.search(r'src="data:image/png;base64,([^"]+)"', shown)[1])
    assert image.startswith(b"\x89PNG")
    assert shown.index("<img") < shown.index("<audio")


def test_cards_show_the_reference_and_every_render(tone, board, tmp_path):
    for file in board["file"][:2]:
        save(tmp_path / file, tone)
    board.loc[2, "recipe"] = None  # it failed: there is no sound
    notes = {"ridge": "smooth"}
    shown = page.cards({"B": tone}, board, folder=tmp_path, notes=notes).data
    assert shown.count("<audio") == 3
    assert "smooth" in shown
    assert "linear_regression" not in shown


def test_a_scoreboard_links_to_the_cards(board):
    shown = page.scoreboard(board).data
    assert '<a href="#one%20%26%20two.wav">one &amp; two.wav</a>' in shown
    assert board["file"][0] == "one & two.wav"  # not changed


def test_facts_tell_what_is_unusual(tone):
    odd = Sound(tone.samples.clip(-0.05, 0.05) * 20 + np.float32(0.01), tone.rate)
    shown = page.facts({"A": tone, "odd": odd}).data
    assert "length (s)" in shown
    assert "none" in shown
    assert "clipped" in shown
    assert "offset" in shown


def test_levels_are_columns_with_units(tone, bursts):
    columns = page.levels([tone, bursts])
    assert {len(values) for values in columns.values()} == {2}
    peak = 20 * np.log10(np.abs(bursts.samples).max())
    assert columns["peak (dBFS)"][1] == pytest.approx(peak, abs=0.01)


def test_versions_are_those_installed():
    shown = page.versions("numpy").data
    assert "Python" in shown
    assert np.__version__ in shown
