"""A sound, its facts, and what changes it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from signals import RATE, noise, sine

from helpers import audio
from helpers.audio import (
    AudioError,
    Sound,
    Stretch,
    allocate,
    check,
    cut,
    describe,
    excerpt,
    join,
    joints,
    mono,
    resample,
    spans,
)


def on_disk(samples, monkeypatch) -> Sound:
    """Make a sound that lies on disk."""
    monkeypatch.setattr(audio, "IN_MEMORY", 1000)
    room = allocate(*samples.shape)
    room[:] = samples
    assert isinstance(room, np.memmap)
    return Sound(room, RATE)


# What is said about a sound -----------------------------------------------------------


@pytest.mark.parametrize("n_samples", [0, 1])
def test_check_names_the_sound(n_samples):
    with pytest.raises(AudioError, match=r"^sound A holds under 2 samples: "):
        check(Sound(np.ones((n_samples, 2), np.float32), RATE), name="sound A")


@pytest.mark.parametrize("shape", [(9,), (9, 0), (9, 65), (9, 1, 1)])
def test_check_refuses_a_wrong_shape(shape):
    with pytest.raises(AudioError, match=r"^sound A has samples of shape .*: give"):
        check(Sound(np.ones(shape, np.float32), RATE), name="sound A")


@pytest.mark.parametrize("rate", [0, 10**6, 8000.5, "8000", None, np.nan])
def test_check_refuses_a_wrong_rate(rate):
    with pytest.raises(AudioError, match=r"^sound A is at .* Hz: export it"):
        check(Sound(noise(), rate), name="sound A")


@pytest.mark.parametrize(
    "samples", [[[0.1], [0.2]], None, np.ones((9, 1), complex), np.full((9, 1), "a")]
)
def test_check_refuses_samples_that_are_no_array_of_numbers(samples):
    with pytest.raises(AudioError, match=r"^sound A has no array .*: make it one of"):
        check(Sound(samples, RATE), name="sound A")


def test_check_passes_a_good_sound():
    for rate in (1, RATE, 768_000):
        check(Sound(noise(2), rate), name="sound A")


@pytest.mark.parametrize(
    ("just_in", "just_out", "what"),
    [(1.01e-6, 0.99e-6, "silent"), (0.99e6, 1.01e6, "over")],
)
def test_check_passes_what_lies_between_minus_and_plus_120_dbfs(
    just_in, just_out, what
):
    check(Sound(np.float32([[0], [just_in]]), RATE), name="sound A")
    with pytest.raises(AudioError, match=rf"{what} .*120 dBFS"):
        check(Sound(np.float32([[0], [just_out]]), RATE), name="sound A")


def test_describe_measures_levels_and_offset():
    facts = describe(Sound(sine(level=0.5) + np.float32(0.125), RATE))
    assert facts["duration"] == 1
    assert (facts["rate"], facts["channels"]) == (RATE, 1)
    # The sine takes its mean square of level**2 / 2 over whole periods.
    assert facts["dc_offset"] == pytest.approx(0.125, abs=1e-6)
    assert facts["rms_db"] == pytest.approx(10 * np.log10(0.125 + 0.125**2), abs=1e-4)
    assert facts["peak_db"] == pytest.approx(20 * np.log10(0.625), abs=1e-2)
    assert facts["clipped"] == 0


def test_describe_counts_clipped_samples():
    samples = noise(1000, 1)
    samples[100:105] = 1.0  # a flat top of 5
    samples[200:203] = -1.0  # and of 3
    samples[300:302] = 1.0  # two in a row may be chance
    facts = describe(Sound(samples, RATE))
    assert facts["clipped"] == pytest.approx(8 / 1000)


@pytest.mark.parametrize("block", [1, 3, 102])
def test_describe_counts_a_flat_top_that_blocks_cut_in_pieces(block, monkeypatch):
    samples = noise(1000, 1)
    samples[100:105] = 1.0
    samples[201:203] = 1.0  # two in a row may be chance
    monkeypatch.setattr(audio, "BLOCK", block)
    assert describe(Sound(samples, RATE))["clipped"] == 5 / 1000


def test_describe_takes_either_end_of_16_bits_for_full_scale():
    samples = noise(1000, 1)
    samples[100:104] = 1 - 2**-15  # +32767
    samples[200:203] = -1.0  # -32768
    assert describe(Sound(samples, RATE))["clipped"] == pytest.approx(7 / 1000)
    # Three alike at a lower peak are no clipping.
    samples = np.clip(noise(1000, 1), -0.05, 0.05)
    assert describe(Sound(samples, RATE))["clipped"] == 0


@pytest.mark.parametrize(
    ("level", "is_clipped"),
    [(0.99, True), (0.989, False), (1 - 2**-14, True), (1 - 3 * 2**-15, False)],
)
def test_a_flat_top_is_at_99_percent_and_within_two_steps_of_the_peak(
    level, is_clipped
):
    samples = np.zeros((1000, 1))
    samples[100:103] = level
    if level > 0.99:
        samples[500] = 1.0
    assert describe(Sound(samples, RATE))["clipped"] == (0.003 if is_clipped else 0)


def test_the_offset_is_that_of_the_worst_channel():
    samples = np.tile(np.float32([0.1, -0.3, 0.2]), (1000, 1))
    assert describe(Sound(samples, RATE))["dc_offset"] == pytest.approx(-0.3)


def test_the_mean_of_many_samples_is_exact():
    sound = Sound(np.full((200_000, 2), 0.1, np.float32), RATE)
    # Summed in float32 it would be off by more than a thousandth.
    np.testing.assert_allclose(audio.means_of(sound), np.float32(0.1), rtol=1e-6)


def test_levels_of_whole_numbers_do_not_overflow():
    sound = Sound(np.full((1000, 1), 20_000, np.int16), RATE)
    assert audio.rms_of(sound) == 20_000
    assert audio.means_of(sound) == 20_000


def test_describe_finds_silence_at_both_ends():
    samples = np.zeros((1000, 2), np.float32)
    samples[100:900, 1] = 0.5
    facts = describe(Sound(samples, 1000))
    assert (facts["silence_before"], facts["silence_after"]) == (0.1, 0.1)


@pytest.mark.parametrize(("level_db", "silent"), [(-60.1, True), (-59.9, False)])
def test_what_is_60_db_under_the_peak_is_silence(level_db, silent):
    samples = np.full((1000, 1), 0.5 * 10 ** (level_db / 20), np.float32)
    samples[300:600] = 0.5
    facts = describe(Sound(samples, 1000))
    found = (facts["silence_before"], facts["silence_after"])
    assert found == ((0.3, 0.4) if silent else (0, 0))


def test_describe_is_the_same_on_disk(monkeypatch):
    monkeypatch.setattr(audio, "BLOCK", 700)
    samples = np.pad(noise(), ((1000, 500), (0, 0)))
    there = describe(on_disk(samples, monkeypatch))
    monkeypatch.setattr(audio, "BLOCK", 10**6)
    assert there == pytest.approx(describe(Sound(samples, RATE)))


# Sounds in memory and on disk ---------------------------------------------------------


def test_sound_knows_its_size():
    sound = Sound(noise(), RATE)
    assert (sound.n_samples, sound.n_channels, sound.duration) == (2000, 2, 0.25)


@pytest.mark.parametrize(("limit", "kind"), [(4000, np.ndarray), (3999, np.memmap)])
def test_room_is_made_in_memory_or_on_disk_by_length(limit, kind, monkeypatch):
    monkeypatch.setattr(audio, "IN_MEMORY", limit)
    samples = allocate(2000, 2)
    assert type(samples) is kind
    assert (samples.shape, samples.dtype) == ((2000, 2), np.float32)
    assert not samples.any()
    samples[:] = noise()
    np.testing.assert_array_equal(samples, noise())


def test_spans_cover_all_rows_once():
    rows = list(spans(noise(), size=300))
    assert {span.stop - span.start for span in rows} == {150, 50}
    np.testing.assert_array_equal(np.concatenate([noise()[r] for r in rows]), noise())


def test_a_part_is_a_row_at_least():
    assert list(spans(noise(2, 3), size=2)) == [slice(0, 1), slice(1, 2)]


def test_what_was_written_to_disk_survives_that_memory_is_let_go(monkeypatch):
    monkeypatch.setattr(audio, "IN_MEMORY", 1000)
    samples = allocate(2000, 2)
    for rows in spans(samples, size=300):
        samples[rows] = noise()[rows]
    np.testing.assert_array_equal(samples, noise())


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for memory in use")
def test_memory_stays_bounded_while_a_long_sound_is_worked_through():
    code = r"""
import re
from pathlib import Path
from helpers import audio
audio.IN_MEMORY = 2**20
def peak_mb():
    # Not ru_maxrss, which starts from that of the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
before = peak_mb()
first, second = audio.allocate(2**25, 1), audio.allocate(2**25, 1)  # 128 MB each
for rows in audio.spans(first, second):
    second[rows] = first[rows] + 1
print(peak_mb() - before)
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(audio.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    # A million values of each array, their sum, and what the interpreter needs itself.
    assert float(run.stdout) < 64


def test_a_notebook_shows_the_sentence_of_an_error_alone():
    # IPython calls this hook in place of its traceback.
    assert AudioError("Choose another.")._render_traceback_() == [
        "AudioError: Choose another."
    ]


def test_the_disk_being_full_is_one_sentence(monkeypatch):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def write(self, _):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(audio, "IN_MEMORY", 10)
    monkeypatch.setattr(audio.tempfile, "TemporaryFile", Full)
    with pytest.raises(AudioError, match=r"is full: free some space in it\.$"):
        allocate(2000, 2)


def test_mono_is_the_mean_of_the_channels():
    samples = noise(2000, 3)
    mixed = mono(Sound(samples, RATE)).samples
    np.testing.assert_allclose(mixed[:, 0], samples.mean(axis=1), atol=1e-7)
    one = Sound(noise(2000, 1), RATE)
    assert mono(one) is one


def test_mono_of_channels_that_cancel_out_is_the_first():
    first = noise(2000, 1)
    mixed = mono(Sound(np.hstack([first, -first]), RATE))
    np.testing.assert_array_equal(mixed.samples, first)


@pytest.mark.parametrize(("second", "cancels_out"), [(-0.81, True), (-0.79, False)])
def test_channels_cancel_out_that_lose_20_db_in_the_mix(second, cancels_out):
    first = noise(2000, 1)
    mixed = mono(Sound(np.hstack([first, np.float32(second) * first]), RATE)).samples
    # A mean of .095 or .105 of the first.
    expected = first if cancels_out else (1 + second) / 2 * first
    np.testing.assert_allclose(mixed, expected, rtol=1e-5)


def test_an_excerpt_is_the_liveliest_stretch():
    samples = np.full((10 * RATE, 1), 0.1, np.float32)
    clicks = np.arange(6 * RATE, 8 * RATE, RATE // 4)
    samples[clicks] = 1.0
    some = excerpt(Sound(samples, RATE), seconds=2)
    assert some.n_samples == 2 * RATE
    assert np.sum(some.samples == 1) == len(clicks)


@pytest.mark.parametrize(
    ("rustle_db", "swell_db", "in_rustle"), [(-37, 2.5, True), (-42, 1, False)]
)
def test_what_is_40_db_under_the_loudest_is_not_lively(rustle_db, swell_db, in_rustle):
    # A rustle that comes and goes every 100 ms, of which 3 dB count or none; a swell.
    is_loud = np.arange(4 * RATE) // (RATE // 20) % 2
    levels_db = [np.where(is_loud, rustle_db, -80), np.where(is_loud, 0, -swell_db)]
    samples = 10 ** (np.concatenate(levels_db) / 20)
    some = excerpt(Sound(samples.astype(np.float32)[:, None], RATE), seconds=2)
    assert (np.median(some.samples) < 0.1) == in_rustle


def test_of_equally_lively_stretches_the_earliest_is_taken():
    samples = np.full((10 * RATE + 123, 2), 0.1, np.float32)
    samples[6 * RATE :] = 0.5  # the first two seconds with the leap begin at 4.05
    expected = samples[6 * RATE - 39 * RATE // 20 :][: 2 * RATE]
    some = excerpt(Sound(samples, RATE), seconds=2)
    np.testing.assert_array_equal(some.samples, expected)


def test_an_excerpt_is_the_same_in_small_blocks(monkeypatch):
    sound = Sound(noise(10 * RATE, level=0.5), RATE)
    whole = excerpt(sound, seconds=2).samples
    monkeypatch.setattr(audio, "BLOCK", 777)
    np.testing.assert_array_equal(excerpt(sound, seconds=2).samples, whole)


@pytest.mark.parametrize("seconds", [None, 60, 0.25 * 4])
def test_a_sound_that_is_short_enough_stays_whole(seconds):
    sound = Sound(noise(), RATE)
    assert excerpt(sound, seconds=seconds) is sound


@pytest.mark.parametrize("n_least", [2001, 3000])
def test_an_excerpt_of_a_very_short_sound_is_filled_up_with_silence(n_least):
    some = excerpt(Sound(noise(), RATE), seconds=20, n_least=n_least).samples
    np.testing.assert_array_equal(some[:2000], noise())
    assert some.shape == (n_least, 2)
    assert not some[2000:].any()


@pytest.mark.parametrize("seconds", [0, -1, 0.5, "20", True, np.nan])
def test_an_excerpt_of_no_length_is_refused(seconds):
    with pytest.raises(AudioError, match=r"excerpt_seconds=.*: use 1 or more"):
        excerpt(Sound(noise(), RATE), seconds=seconds)


@pytest.mark.parametrize("rate", [4000, 11025, 16000, 44100])
def test_resample_keeps_length_and_waveform(rate):
    sound = resample(Sound(sine(), RATE), rate=rate)
    assert (sound.rate, sound.n_samples) == (rate, rate)
    expected = 0.5 * np.sin(2 * np.pi * 220 * np.arange(rate) / rate)
    inner = slice(rate // 10, -rate // 10)  # the filter rings where the sine is cut off
    np.testing.assert_allclose(sound.samples[inner, 0], expected[inner], atol=1e-5)


@pytest.mark.parametrize(
    ("n_samples", "old", "new"),
    [(50, 768_000, 192_000), (7, 8000, 1000), (3, 1, 1000), (7, 96_000, 768_000)],
)
def test_resample_rounds_the_length(n_samples, old, new, monkeypatch):
    monkeypatch.setattr(audio, "BLOCK", 10)  # five samples of two channels at a time
    sound = resample(Sound(noise(n_samples), old), rate=new)
    assert sound.samples.shape == (round(n_samples * new / old), 2)


def test_resample_takes_samples_in_double_precision():
    samples = noise()
    expected = resample(Sound(samples, RATE), rate=11025).samples
    double = resample(Sound(samples.astype(float), RATE), rate=11025).samples
    np.testing.assert_array_equal(double, expected)
    assert double.dtype == np.float32


@pytest.mark.parametrize("shape", [(9,), (9, 1, 1)])
def test_resample_refuses_samples_of_a_wrong_shape(shape):
    with pytest.raises(AudioError, match=r"samples of shape .*: give them"):
        resample(Sound(np.ones(shape, np.float32), RATE), rate=11025)


def test_resample_returns_the_sound_itself_at_its_own_rate():
    sound = Sound(noise(), RATE)
    assert resample(sound, rate=RATE) is sound


def test_resample_on_disk_gives_the_same_samples(monkeypatch):
    expected = resample(Sound(noise(), RATE), rate=11025).samples
    monkeypatch.setattr(audio, "IN_MEMORY", 3000)
    monkeypatch.setattr(audio, "BLOCK", 700)
    samples = resample(on_disk(noise(), monkeypatch), rate=11025).samples
    assert isinstance(samples, np.memmap)
    np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize("rate", [0, -1, 10, 10**6, "8000", None, 8000.5, np.nan])
def test_resample_refuses_rates_that_are_none(rate):
    with pytest.raises(AudioError, match="out of range"):
        resample(Sound(noise(), RATE), rate=rate)


def of_files(*names, n_samples=8000) -> Sound:
    """Make a sound that was read from several files, a second of noise each."""
    parts = [
        Sound(noise(n_samples, seed=i), RATE, (Stretch(0, n_samples / RATE, name, 0),))
        for i, name in enumerate(names)
    ]
    return join(parts)


def test_sounds_are_joined_with_their_origins():
    both = of_files("a.wav", "b.wav")
    np.testing.assert_array_equal(both.samples[8000:], noise(8000, seed=1))
    assert both.stretches == (Stretch(0, 1, "a.wav", 0), Stretch(1, 2, "b.wav", 0))
    assert joints(both) == [8000]


def test_where_stretches_are_cross_faded_there_is_no_joint():
    faded = (Stretch(0, 1.1, "a.wav", 0), Stretch(1, 2, "b.wav", 0))
    assert joints(Sound(noise(16000), RATE, faded)) == []


def test_a_cut_knows_where_it_comes_from():
    both = of_files("a.wav", "b.wav")
    middle = cut(both, start=6000, stop=10_000)
    np.testing.assert_array_equal(middle.samples, both.samples[6000:10_000])
    expected = (Stretch(0, 0.25, "a.wav", 0.75), Stretch(0.25, 0.5, "b.wav", 0))
    assert middle.stretches == expected
    assert cut(both, start=9000, stop=99_999).stretches[0].stop == 7000 / RATE


def test_of_a_file_that_only_touches_a_cut_nothing_is_in_it():
    both = of_files("a.wav", "b.wav")
    assert [s.file for s in cut(both, start=0, stop=8000).stretches] == ["a.wav"]
    assert [s.file for s in cut(both, start=8000, stop=9000).stretches] == ["b.wav"]


def test_an_excerpt_of_each_file_is_a_fair_share():
    both = of_files("a.wav", "b.wav", n_samples=16_000)
    part = excerpt(both, seconds=2, each_file=True)
    assert [(s.start, s.stop, s.file) for s in part.stretches] == [
        (0, 1, "a.wav"),
        (1, 2, "b.wav"),
    ]
    assert part.n_samples == 16_000
    many = of_files(*"abcdefgh")
    assert excerpt(many, seconds=1, each_file=True).duration == 8 * 0.5


def test_where_it_comes_from_outlives_a_change_of_form():
    both = of_files("a.wav", "b.wav")
    assert resample(mono(both), rate=11025).stretches == both.stretches
