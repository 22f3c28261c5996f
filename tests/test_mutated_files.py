"""Damaged files, odd names, odd places, full disks: a sound, or one sentence."""

import os
import re
import struct
import subprocess
import sys
import tracemalloc
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from copies import copy_project
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from helpers import audio, gallery, show
from helpers.audio import AudioError, AudioWarning, Sound, Stretch, check
from helpers.files import check_output, load, save, save_take
from helpers.montage import montage, save_montage

RATE = 8000
FORMATS = [("WAV", kind) for kind in ("PCM_16", "PCM_24", "FLOAT", "ULAW", "MS_ADPCM")]
FORMATS += [("WAVEX", "PCM_16"), ("RF64", "PCM_24"), ("W64", "FLOAT"), ("AU", "ALAW")]
FORMATS += [("AIFF", "PCM_16"), ("AIFF", "IMA_ADPCM"), ("CAF", "ALAC_16")]
FORMATS += [("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS")]
FORMATS += [("MP3", "MPEG_LAYER_III")]
SIZES = [0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1]  # what programs write amiss


def noise(n_samples=1000, n_channels=1, *, seed=0) -> Sound:
    samples = np.random.default_rng(seed).uniform(-0.1, 0.1, (n_samples, n_channels))
    return Sound(samples.astype(np.float32), RATE)


SAMPLES = noise().samples


def assert_helps(text, name):
    """Hold a message to one line and one sentence, with the name and the remedy."""
    assert text.isprintable()
    assert name in text
    words = text.replace(name, "it")
    assert re.fullmatch(r"[^:]+: [a-z].+[\w)]\.", words), text
    assert ". " not in words


def load_or_complain(path, name) -> Sound | None:
    """Read what can be read; hold all that is said to what helps."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            sound = load(path)
        except AudioError as error:
            sound = None
            assert_helps(str(error), name)
    for warning in told:
        assert warning.category is AudioWarning
        assert_helps(str(warning.message), name)
    return sound


# Mutated files ------------------------------------------------------------------------


def flipped(data, rng, others):
    # A few bytes of the header, which most formats have in the first 200.
    places = rng.integers(0, min(len(data), 200), rng.integers(1, 6))
    for place in places:
        data[place] = rng.choice([0, 1, 127, 128, 255, rng.integers(256)])
    return data


def flipped_behind(data, rng, others):
    for place in rng.integers(min(len(data) - 1, 200), len(data), 20):
        data[place] = rng.integers(256)
    return data


def missized(data, rng, others):
    # A number of four bytes says something else, in either order of bytes.
    place = 2 * rng.integers(0, min(len(data) - 4, 100) // 2)
    data[place : place + 4] = struct.pack(rng.choice(["<I", ">I"]), rng.choice(SIZES))
    return data


def cut(data, rng, others):
    return data[: rng.integers(len(data))]


def inserted(data, rng, others):
    place = rng.integers(len(data))
    return data[:place] + rng.bytes(rng.integers(1, 50)) + data[place:]


def removed(data, rng, others):
    place = rng.integers(len(data))
    return data[:place] + data[place + rng.integers(1, 50) :]


def spliced(data, rng, others):
    # The beginning of one format, the end of another.
    other = others[rng.integers(len(others))]
    return data[: rng.integers(len(data))] + other[rng.integers(len(other)) :]


def repeated(data, rng, others):
    return data + data


MUTATIONS = [flipped, flipped, flipped_behind, missized, missized]
MUTATIONS += [cut, inserted, removed, spliced, repeated]


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> list[bytes]:
    """Let libsndfile write a file of each format."""
    path = tmp_path_factory.mktemp("originals") / "a"
    files = []
    for format, subtype in FORMATS:
        soundfile.write(path, noise().samples, RATE, subtype, format=format)
        files.append(path.read_bytes())
    return files


@pytest.mark.parametrize("seed", range(40))
def test_a_mutated_file_is_a_finite_sound_or_one_sentence(seed, originals, tmp_path):
    rng = np.random.default_rng(seed)
    tracemalloc.start()
    for i, mutate in enumerate(MUTATIONS):
        data = originals[(seed + 3 * i) % len(originals)]
        path = tmp_path / f"{mutate.__name__}.wav"
        path.write_bytes(mutate(bytearray(data), rng, originals))
        sound = load_or_complain(path, path.name)
        if sound:
            check(sound, name="what was read")  # finite, and of a size that works
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A header may claim up to IN_MEMORY values, 4 bytes each; the rest are blocks.
    assert peak < 4 * audio.IN_MEMORY + 2**25


def test_a_mutated_file_in_a_folder_harms_no_other(originals, tmp_path):
    rng = np.random.default_rng(0)
    save(tmp_path / "good.wav", noise(seed=1))
    for i in range(60):
        data = originals[i % len(originals)]
        mutate = MUTATIONS[rng.integers(len(MUTATIONS))]
        (tmp_path / "bad.wav").write_bytes(mutate(bytearray(data), rng, originals))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AudioWarning)
            sound = load(tmp_path)
        assert sound.stretches[-1].file == str(tmp_path / "good.wav")
        check(sound, name="what was read")


@pytest.mark.parametrize(("n_channels", "rate"), [(1, 2 * 10**9), (65, 768_000)])
def test_what_is_left_out_of_a_folder_does_not_shape_the_rest(
    n_channels, rate, tmp_path
):
    save(tmp_path / "good.wav", noise())
    soundfile.write(tmp_path / "bad.wav", np.ones((50, n_channels)), rate)
    with pytest.warns(AudioWarning, match=r"bad\.wav .*; it was left out\.$"):
        sound = load(tmp_path)
    assert (sound.rate, sound.samples.shape) == (RATE, (1000, 1))


def test_a_folder_of_very_slow_sounds_is_read(tmp_path):
    for rate in (500, 700):
        save(tmp_path / f"{rate}.wav", Sound(noise().samples, rate))
    assert load(tmp_path).duration == pytest.approx(1000 / 500 + 1000 / 700, abs=0.01)


# Odd names ----------------------------------------------------------------------------

ODD = {
    "not UTF-8": "caf\udce9.wav",
    "line break": "a\nb\r.wav",
    "terminal": "a\x1b[31m\t.wav",
    "right to left": "a\u202egnp.wav",
    "quotes": "'a\" `b`.wav",
    "markup": "<b>&amp;.wav",
    "formula": "$x_1$ 100%s {0} \\alpha.wav",
    "glob": "*[a]?.wav",
    "spaces before": "  a.wav",
    "backslash": "a\\b.wav",
    "quoted": '"a".wav',
    "option": "-rf.wav",
    "hidden": ".a.wav",
    "dots": "a..b. c.wav",
    "colon": "a: b|c.wav",
    "longest": "x" * 251 + ".wav",
    "longest of two bytes": "é" * 125 + ".wav",
}
linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux allows such names"
)


@linux_only
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("write", [save, save_take])
def test_what_was_written_under_an_odd_name_is_read_under_it(
    write, kind, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write(ODD[kind], noise())
    assert os.listdir() == [ODD[kind]]  # noqa: PTH208 as it is, not as a Path
    assert load(ODD[kind]).n_samples == 1000
    assert load(Path(ODD[kind])).n_samples == 1000


@linux_only
@pytest.mark.parametrize("kind", ODD)
def test_of_a_broken_file_of_an_odd_name_one_line_is_said(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = ODD[kind]
    Path(name).write_bytes(b"These are words, not sounds.")
    shown = name if name.isprintable() else ascii(name)
    for path in (name, Path(name)):
        with pytest.raises(AudioError) as error:
            load(path)
        assert_helps(str(error.value), shown)


@linux_only
@pytest.mark.parametrize("kind", ODD)
def test_a_folder_may_have_an_odd_name(kind, tmp_path):
    folder = tmp_path / ODD[kind]
    save(folder / "a.wav", noise())
    assert load(folder).n_samples == 1000
    assert os.listdir(folder) == ["a.wav"]  # noqa: PTH208


# Odd places ---------------------------------------------------------------------------


def test_a_link_and_a_link_to_a_link_lead_to_the_sound(tmp_path):
    save(tmp_path / "a.wav", noise())
    (tmp_path / "b.wav").symlink_to("a.wav")
    (tmp_path / "c.wav").symlink_to("b.wav")
    assert load(tmp_path / "c.wav").n_samples == 1000


def test_links_that_go_round_in_a_folder_are_passed_over(tmp_path):
    save(tmp_path / "a.wav", noise())
    (tmp_path / "b.wav").symlink_to("b.wav")
    (tmp_path / "again").symlink_to(tmp_path)
    assert load(tmp_path).n_samples == 1000


DEVICES = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/proc/self/mem"]


@linux_only
@pytest.mark.parametrize("device", DEVICES)
def test_a_device_is_no_sound(device, tmp_path):
    # The memory of this process counts as a file, but its first byte cannot be read.
    (tmp_path / "a.wav").symlink_to(device)
    for path in (device, tmp_path / "a.wav"):
        with pytest.raises(AudioError) as error:
            load(path)
        assert_helps(str(error.value), str(path))


@linux_only
def test_a_take_is_written_over_no_pipe_device_or_link(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    (tmp_path / "a_2.wav").symlink_to("/dev/null")
    (tmp_path / "a_3.wav").mkdir()
    assert save_take(tmp_path / "a.wav", noise()) == tmp_path / "a_4.wav"
    assert (tmp_path / "a.wav").is_fifo()
    assert (tmp_path / "a_2.wav").is_symlink()


@pytest.mark.parametrize("write", [save, save_take])
def test_a_folder_that_denies_writing_is_told_and_stays_as_it_is(
    write, tmp_path, monkeypatch
):
    # Root may write everywhere, so ask for a system that says no.
    monkeypatch.setattr(os, "access", lambda folder, mode: False)
    with pytest.raises(AudioError) as error:
        write(tmp_path / "new" / "a.wav", noise())
    assert_helps(str(error.value), str(tmp_path / "new" / "a.wav"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["<b>.txt", "a\nb", "$x$.mp3", "\udce9.ogg"])
def test_a_name_that_cannot_be_written_is_told_in_one_line(name, tmp_path):
    with pytest.raises(AudioError) as error:
        check_output(tmp_path / name)
    assert_helps(str(error.value), ascii(name)[1:-1])


# Full disks ---------------------------------------------------------------------------


@contextmanager
def full_disk(n_bytes):
    """Let no file grow beyond some bytes."""
    resource = pytest.importorskip("resource", reason="needs a limit on file sizes")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
@pytest.mark.parametrize("write", [save, save_take])
def test_a_sound_that_finds_no_room_leaves_what_was_there(write, name, tmp_path):
    (tmp_path / name).write_bytes(b"old")
    with full_disk(20_000), pytest.raises(AudioError) as error:
        write(tmp_path / name, noise(8000))
    assert_helps(str(error.value), str(tmp_path / name))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def write_scoreboard(path):
    gallery.write_table(path, pd.DataFrame({"file": ["a.wav"] * 20_000}))


def write_montage(path):
    stretches = (Stretch(0.0, 1.0, "a.wav", 0.0),) * 2000
    save_montage(path.with_name("a.wav"), Sound(SAMPLES, RATE, stretches))


@pytest.mark.parametrize(
    ("name", "write"),
    [("scoreboard.csv", write_scoreboard), ("a_montage.csv", write_montage)],
)
def test_a_table_that_finds_no_room_leaves_the_old_one(name, write, tmp_path):
    (tmp_path / name).write_bytes(b"old")
    with full_disk(20_000), pytest.raises(AudioError) as error:
        write(tmp_path / name)
    assert_helps(str(error.value), str(tmp_path / name))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_sound_that_finds_no_room_to_be_unpacked_is_told(tmp_path):
    path = save(tmp_path / "a.flac", noise(8000))
    with full_disk(10_000), pytest.raises(AudioError) as error:
        load(path)
    assert re.fullmatch(r".+ is full: free some space in it\.", str(error.value))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_page_that_finds_no_room_leaves_the_old_one(tmp_path):
    folder = copy_project(tmp_path / "copy")
    page = Path("output_audio", "predictive_convolution.html")
    (folder / page).write_bytes(b"old")
    command = [sys.executable, "-m", "nbconvert", "--config", ".nbconvert.py"]
    command += ["--ExecutePreprocessor.enabled=False"]
    with full_disk(20_000):
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert run.returncode != 0
    assert_helps(run.stderr.splitlines()[-1], str(page))
    assert "Traceback" not in run.stderr
    assert [path.read_bytes() for path in (folder / page).parent.iterdir()] == [b"old"]


# What is shown ------------------------------------------------------------------------

MARKUP = "<b>&\"'$x$"
ESCAPED = "&lt;b&gt;&amp;"


@pytest.mark.parametrize("name", [MARKUP, "$x$", "$\\frac{", "100% a_b^c {0} \\n"])
def test_pictures_show_any_name_as_it_is(name):
    figure = FigureCanvasAgg(Figure()).figure
    axes = figure.subplots(4)
    show.draw_waveform(axes[0], noise(), name="A", title=name)
    show.draw_spectrograms(axes[1:2], {name: noise()})
    place = {"timbre": 0.5, "structure": 0.5, "kind": "frames"}
    show.draw_map(axes[2], pd.DataFrame([{"model": name, **place}]))
    two_files = tuple(Stretch(0.06 * i, 0.06 * i + 0.06, name, 0.0) for i in range(2))
    a = Sound(SAMPLES, RATE, two_files)
    show.draw_borrowing(axes[3], np.arange(4), seconds=0.01, a=a)
    figure.canvas.draw()  # a name that were a formula would fail here
    texts = [*(ax.title for ax in axes[:2]), axes[2].texts[0], axes[3].texts[0]]
    assert [text.get_text() for text in texts] == [name] * 4
    assert not any(text.get_parse_math() for text in texts)


PAGES = {
    "a player": lambda: show.player(noise(), label=MARKUP, path=f"{MARKUP}.wav").data,
    "players": lambda: show.players({MARKUP: noise()}).data,
    "folded players": lambda: show.folded_players({MARKUP: {MARKUP: noise()}}).data,
    "facts": lambda: show.facts({MARKUP: noise()})._repr_html_(),
    "a montage": lambda: montage(
        Sound(SAMPLES, RATE, (Stretch(0.0, 1.0, MARKUP, 0.0),))
    )._repr_html_(),
    "a scoreboard": lambda: gallery.rank(
        [{"model": MARKUP, "file": MARKUP, "error": MARKUP}]
    )._repr_html_(),
}


@pytest.mark.parametrize("kind", PAGES)
def test_pages_show_any_name_as_text(kind):
    page = PAGES[kind]()
    assert ESCAPED in page
    assert "<b>" not in page
    assert not re.search(r"""=["'][^"'<>]*<b""", page)  # in no attribute, either


# No sounds ----------------------------------------------------------------------------

NO_SOUNDS = {
    "one-dimensional": Sound(SAMPLES[:, 0], RATE),
    "three-dimensional": Sound(SAMPLES[:, :, None], RATE),
    "a list": Sound(SAMPLES.tolist(), RATE),
    "complex": Sound(SAMPLES * 1j, RATE),
    "of no channel": Sound(SAMPLES[:, :0], RATE),
    "of too many channels": Sound(SAMPLES.repeat(65, axis=1), RATE),
    "at half a hertz": Sound(SAMPLES, 8000.5),
    "at a word": Sound(SAMPLES, "8000"),
    "at 0 Hz": Sound(SAMPLES, 0),
    "not a number": Sound(SAMPLES * np.nan, RATE),
}


@pytest.mark.parametrize("kind", NO_SOUNDS)
@pytest.mark.parametrize("write", [save, save_take])
def test_what_is_no_sound_is_not_written(write, kind, tmp_path):
    path = tmp_path / "a.wav"
    with pytest.raises(AudioError) as error:
        write(path, NO_SOUNDS[kind])
    assert_helps(str(error.value), str(path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("n_channels", "rate"), [(9, 8000), (1, 655_351)])
def test_what_a_flac_cannot_hold_is_told_to_be_a_wav(n_channels, rate, tmp_path):
    sound = Sound(SAMPLES.repeat(n_channels, axis=1), rate)
    with pytest.raises(AudioError, match=r"a\.flac cannot hold .*: use \.wav\.$"):
        save(tmp_path / "a.flac", sound)
    assert list(tmp_path.iterdir()) == []
    save(tmp_path / "a.wav", sound)
