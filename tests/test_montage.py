"""What was borrowed, as data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.audio import Sound, Stretch, join
from helpers.convolution import predictive_convolution
from helpers.finishing import Finishing, finish
from helpers.montage import montage, save_montage, stretches_of
from helpers.spectrum import make_stft

STFT = make_stft(44100)


def read(sound: Sound, name: str, *, file_start: float = 0.0) -> Sound:
    """Let a sound be one that was read."""
    stretch = Stretch(0.0, sound.duration, name, file_start)
    return replace(sound, stretches=(stretch,))


def test_what_was_borrowed_is_listed_in_stretches(tone):
    a = read(tone, "a.wav", file_start=30.0)
    borrowed = np.array([10, 11, 12, 40, 41, 42, 43, 7])
    first, second, third = stretches_of(borrowed, a, n_samples=9999, stft=STFT)
    # Frame 0 has its middle at sample (0 + p_min) * 512; a frame reaches 1024 samples
    # to either side of its middle; the sound begins at sample 0.
    second_start = (3 + STFT.p_min) * 512 - 1024
    assert second.start == pytest.approx(second_start / 44100)
    assert second.stop == pytest.approx((second_start + 3 * 512 + 2048) / 44100)
    in_a = (40 + STFT.p_min) * 512 - 1024
    assert second.file == "a.wav"
    assert second.file_start == pytest.approx(30 + in_a / 44100)
    assert first.start == 0
    assert third.stop == pytest.approx(min(9999, (7 + STFT.p_min) * 512 + 1024) / 44100)


def test_a_stretch_is_found_in_its_own_file_and_transposed_as_its_frames_are(tone):
    a = join([read(tone, "a.wav"), read(tone, "b.wav", file_start=5.0)])
    borrowed = np.r_[10:16, 150:152]
    ratios = 2 ** (np.array([0, 0, 0, 2, 2, 2, -3, -5]) / 12)
    stretches = stretches_of(borrowed, a, n_samples=9999, stft=STFT, ratios=ratios)
    assert [stretch.file for stretch in stretches] == ["a.wav", "b.wav"]
    in_a = ((150 + STFT.p_min) * 512 - 1024) / 44100
    assert stretches[1].file_start == pytest.approx(5 + in_a - tone.duration)
    assert [s.semitones for s in stretches] == pytest.approx([1, -4])


def test_a_result_tells_which_stretches_of_which_files_it_is_made_of(tone, bursts):
    mix = Sound(bursts.samples[:, :1], bursts.rate)
    a = join([read(tone, "tone.wav"), read(mix, "bursts.wav")])
    result = predictive_convolution(a, bursts)
    table = montage(result)
    assert list(table) == ["start", "length", "file", "file_start", "semitones"]
    assert set(table["file"]) <= {"tone.wav", "bursts.wav"}
    assert table["start"].is_monotonic_increasing
    assert (table["length"] > 0).all()
    assert (table["start"] + table["length"]).max() == pytest.approx(1, abs=1e-3)
    ends = table["file_start"] + table["length"]
    lengths = {"tone.wav": tone.duration, "bursts.wav": mix.duration}
    assert (ends <= table["file"].map(lengths) + 1e-3).all()


def test_a_montage_rebuilds_the_result_before_its_gesture(tone):
    # B is A itself: the longest stretch is A, from where it says on.
    table = montage(predictive_convolution(read(tone, "tone.wav"), tone))
    longest = table.loc[table["length"].idxmax()]
    assert longest["start"] == pytest.approx(longest["file_start"], abs=1e-3)


def test_a_trimmed_result_has_a_trimmed_montage(tone, bursts):
    late = Sound(np.pad(bursts.samples, ((11025, 0), (0, 0))), bursts.rate)
    result = predictive_convolution(read(tone, "tone.wav"), late)
    trimmed = finish(result, Finishing(trim=True))
    cut_off = result.n_samples - trimmed.n_samples
    assert cut_off > 5000
    before, after = montage(result), montage(trimmed)
    assert after["start"].iloc[0] == 0
    last = before["start"].iloc[-1] - after["start"].iloc[-1]
    # 10 ms stay at the beginning, and something of the end may go.
    assert 0.2 < last <= 0.25


def test_a_montage_is_written_as_table_and_labels(tone, bursts, tmp_path):
    result = predictive_convolution(read(tone, "in/tone.wav"), bursts)
    csv, labels = save_montage(tmp_path / "x.wav", result)
    pd.testing.assert_frame_equal(pd.read_csv(csv), montage(result))
    lines = [line.split("\t") for line in labels.read_text().splitlines()]
    assert len(lines) == len(montage(result))
    start, stop, text = lines[0]
    assert float(stop) > float(start)
    assert text.startswith("tone.wav ")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "x_montage.csv",
        "x_montage.txt",
    ]


def test_what_averages_has_no_montage_and_leaves_no_old_one(tone, bursts, tmp_path):
    save_montage(tmp_path / "x.wav", predictive_convolution(tone, bursts))
    averaged = predictive_convolution(tone, bursts, model="ridge")
    assert montage(averaged).empty
    assert save_montage(tmp_path / "x.wav", averaged) == []
    assert not list(tmp_path.iterdir())


def test_a_label_says_how_far_a_stretch_is_transposed(tmp_path):
    stretches = (Stretch(0.0, 0.5, "a.wav", 2.0), Stretch(0.5, 1.0, "b.wav", 3.0, -2.0))
    sound = Sound(np.ones((9, 1), np.float32), 8000, stretches)
    _, labels = save_montage(tmp_path / "r.wav", sound)
    assert labels.read_text(encoding="utf-8").splitlines() == [
        "0.0000\t0.5000\ta.wav 2.00 s",
        "0.5000\t1.0000\tb.wav 3.00 s -2.0 semitones",
    ]


def test_a_folder_of_the_name_of_an_old_montage_stays(tmp_path):
    (tmp_path / "r_montage.csv").mkdir()
    nothing = Sound(np.ones((9, 1), np.float32), 8000)
    assert save_montage(tmp_path / "r.wav", nothing) == []
    assert (tmp_path / "r_montage.csv").is_dir()


def test_a_sound_that_was_not_read_is_called_a(tone, bursts):
    assert set(montage(predictive_convolution(tone, bursts))["file"]) == {"A"}


def test_names_that_are_not_in_utf_8_are_written(tone, bursts, tmp_path):
    odd = read(tone, str(Path("caf\udce9.wav")))
    csv, _ = save_montage(tmp_path / "x.wav", predictive_convolution(odd, bursts))
    assert b"caf\xe9.wav" in csv.read_bytes()
