"""Any file in, a safe file out."""

import os
import struct
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from signals import RATE, noise, sine

from helpers import audio, files
from helpers.audio import AudioError, AudioWarning, Sound
from helpers.files import check_output, load, save, save_take


def names(folder) -> list[str]:
    """List what is in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def chunk(name, body, size=None):
    """Make one RIFF chunk, claiming `size` bytes if that is given."""
    return name + struct.pack("<I", len(body) if size is None else size) + body


def wav(
    *, channels=2, rate=RATE, align=4, size=None, riff=None, fmt=True, data=True
) -> bytes:
    """Make a 16-bit WAV of 2000 frames by hand, so that each field can be wrong."""
    payload = (noise() * 2**15).astype("<i2").tobytes()
    speed = rate * align % 2**32
    header = struct.pack("<HHIIHH", 1, channels, rate, speed, align, 16)
    body = b"WAVE"
    body += chunk(b"fmt ", header) if fmt else b""
    body += chunk(b"data", payload, size) if data else b""
    return chunk(b"RIFF", body, riff)


def encoded(path, format, subtype=None, *, samples=None, rate=RATE) -> bytes:
    """Let libsndfile write a file, and return its bytes."""
    samples = noise() if samples is None else samples
    soundfile.write(path, samples, rate, format=format, subtype=subtype)
    return path.read_bytes()


def flac_claiming(path, n_frames) -> bytes:
    """Make a FLAC of 2000 frames whose STREAMINFO claims another number (36 bits)."""
    data = bytearray(encoded(path, "FLAC"))
    data[21] = data[21] & 0xF0 | n_frames >> 32
    data[22:26] = struct.pack(">I", n_frames & 0xFFFFFFFF)
    return bytes(data)


def rf64_claiming(path, n_bytes) -> bytes:
    """Make an RF64 of 2000 frames whose ds64 chunk claims another size (64 bits)."""
    data = bytearray(encoded(path, "RF64"))
    at = data.index(b"ds64") + 8
    data[at : at + 24] = struct.pack("<QQQ", n_bytes, n_bytes, n_bytes // 4)
    return bytes(data)


# What is read -------------------------------------------------------------------------

# Half a step of the format, and a little for the float32 of the comparison itself.
STEPS = {"PCM_U8": 2**-8, "PCM_S8": 2**-8, "PCM_16": 2**-16, "PCM_24": 2**-24}
EXACT = [
    *(("WAV", kind) for kind in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32")),
    *(("WAV", kind) for kind in ("FLOAT", "DOUBLE")),
    *(("WAVEX", kind) for kind in ("PCM_16", "PCM_24", "FLOAT")),
    *(("RF64", kind) for kind in ("PCM_16", "PCM_24", "FLOAT")),
    *(("AIFF", kind) for kind in ("PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT")),
    *(("W64", kind) for kind in ("PCM_16", "PCM_24", "FLOAT")),
    *(("CAF", kind) for kind in ("PCM_16", "PCM_24", "FLOAT", "ALAC_16", "ALAC_24")),
    *(("FLAC", kind) for kind in ("PCM_S8", "PCM_16", "PCM_24")),
    *(("AU", kind) for kind in ("PCM_16", "FLOAT")),
]


@pytest.mark.parametrize(("format", "subtype"), EXACT)
def test_load_reads_lossless_formats_to_half_a_step(tmp_path, format, subtype):
    encoded(tmp_path / "a", format, subtype)
    sound = load(tmp_path / "a")
    step = 2 * STEPS.get(subtype.replace("ALAC", "PCM"), 0)  # libsndfile rounds down
    assert (sound.rate, sound.samples.dtype) == (RATE, np.float32)
    np.testing.assert_allclose(sound.samples, noise(), rtol=0, atol=step + 1e-7)


# Telephone and film codecs hold a sine at half level to well over 20 dB.
LOSSY = [
    *(("WAV", kind) for kind in ("ALAW", "ULAW", "IMA_ADPCM", "MS_ADPCM", "GSM610")),
    *(("WAV", kind) for kind in ("G721_32", "NMS_ADPCM_32")),
    *(("AIFF", kind) for kind in ("ALAW", "ULAW", "IMA_ADPCM")),
    *(("OGG", kind) for kind in ("VORBIS", "OPUS")),
    ("MP3", "MPEG_LAYER_III"),
]


@pytest.mark.parametrize(("format", "subtype"), LOSSY)
def test_load_reads_lossy_formats_close_to_the_original(tmp_path, format, subtype):
    encoded(tmp_path / "a", format, subtype, samples=sine())
    sound = load(tmp_path / "a")
    # Block codecs fill up their last block.
    assert 8000 <= sound.n_samples <= 8320
    # A codec may delay by a few samples: the best of the lags decides.
    inner = sine()[1000:7000, 0]
    errors = [
        np.std(sound.samples[1000 + lag : 7000 + lag, 0] - inner)
        for lag in range(-9, 9)
    ]
    assert min(errors) < 0.1 * np.std(inner)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 96000, 192000])
@pytest.mark.parametrize("n_channels", [1, 3, 64])
def test_load_reads_any_rate_and_number_of_channels(tmp_path, rate, n_channels):
    samples = noise(50, n_channels)
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    sound = load(tmp_path / "a.wav")
    assert sound.rate == rate
    np.testing.assert_array_equal(sound.samples, samples)


def test_load_reads_a_flac_that_is_named_wav(tmp_path):
    encoded(tmp_path / "a.wav", "FLAC")
    assert load(str(tmp_path / "a.wav")).samples.shape == (2000, 2)


def test_a_warning_points_to_the_line_that_loads_or_saves(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav()[:4000])
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    loud = Sound(noise(level=2), RATE)
    for work in (
        lambda: load(tmp_path / "a.wav"),
        lambda: save(tmp_path / "b.wav", loud),
        lambda: save_take(tmp_path / "c.wav", loud),
        lambda: load([tmp_path / "b.wav", tmp_path / "broken.wav"]),
    ):
        with pytest.warns(AudioWarning) as warned:
            work()
        assert [warning.filename for warning in warned] == [__file__]


def test_load_puts_a_long_sound_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "IN_MEMORY", 3000)
    monkeypatch.setattr(audio, "BLOCK", 1000)
    encoded(tmp_path / "a.wav", "WAV", "FLOAT")
    sound = load(tmp_path / "a.wav")
    assert isinstance(sound.samples, np.memmap)
    np.testing.assert_array_equal(sound.samples, noise())


# What is damaged ----------------------------------------------------------------------


def test_load_reads_what_is_there_of_a_file_cut_short(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav()[: 44 + 4001])  # 1000 frames and a byte
    with pytest.warns(AudioWarning, match=r"a\.wav .*claims 8000 bytes, 4001 are"):
        sound = load(tmp_path / "a.wav")
    np.testing.assert_allclose(sound.samples, noise()[:1000], atol=2**-15)


@pytest.mark.parametrize(
    "format", ["WAV", "WAVEX", "RF64", "AIFF", "W64", "AU", "FLAC", "OGG", "MP3"]
)
def test_load_says_that_a_file_was_cut_short(tmp_path, format):
    data = encoded(tmp_path / "a", format, samples=noise(60_000))
    (tmp_path / "a").write_bytes(data[: len(data) // 2])
    with pytest.warns(AudioWarning, match="is damaged"):
        sound = load(tmp_path / "a")
    # The first half, but for what a codec holds back: a page or a frame or two.
    assert 20_000 <= sound.n_samples <= 31_000


@pytest.mark.parametrize("riff", [0, 36, 8036, 0xFFFFFFFF])
@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_load_reads_a_wav_whose_header_was_never_completed(tmp_path, size, riff):
    (tmp_path / "a.wav").write_bytes(wav(size=size, riff=riff))
    with pytest.warns(AudioWarning, match="header"):
        sound = load(tmp_path / "a.wav")
    np.testing.assert_allclose(sound.samples, noise(), atol=2**-15)


@pytest.mark.parametrize("n_frames", [0, 2**36 - 1, 3000])
def test_load_reads_a_flac_that_claims_too_much_in_bounded_memory(tmp_path, n_frames):
    (tmp_path / "a.flac").write_bytes(flac_claiming(tmp_path / "b", n_frames))
    tracemalloc.start()
    with pytest.warns(AudioWarning, match="2000 are there"):
        sound = load(tmp_path / "a.flac")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(sound.samples, noise(), atol=2**-15)
    assert peak < 2**24  # a few blocks of 2**20 values


@pytest.mark.parametrize("n_bytes", [2**20, 2**62])
def test_load_reads_an_rf64_of_a_wrong_size(tmp_path, n_bytes):
    (tmp_path / "a.wav").write_bytes(rf64_claiming(tmp_path / "b", n_bytes))
    with pytest.warns(AudioWarning, match="header"):
        sound = load(tmp_path / "a.wav")
    np.testing.assert_allclose(sound.samples, noise(), atol=2**-15)


@pytest.mark.parametrize("align", [0, 1, 3, 65535])
def test_load_reads_a_wav_of_a_wrong_block_alignment(tmp_path, align):
    (tmp_path / "a.wav").write_bytes(wav(align=align))
    np.testing.assert_allclose(load(tmp_path / "a.wav").samples, noise(), atol=2**-15)


def test_load_completes_a_wav_on_disk_if_it_is_long(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "IN_MEMORY", 1000)  # 4 kB, and the file has 8
    (tmp_path / "a.wav").write_bytes(wav(size=0, riff=0))
    with pytest.warns(AudioWarning, match="claims no samples"):
        sound = load(tmp_path / "a.wav")
    assert isinstance(sound.samples, np.memmap)
    np.testing.assert_allclose(sound.samples, noise(), atol=2**-15)


UNREADABLE = {
    "empty": b"",
    "four_bytes": b"RIFF",
    "header_cut_at_20": wav()[:20],
    "header_cut_at_40": wav()[:40],
    "header_only": wav()[:44],
    "one_sample": wav()[:48],
    "no_channels": wav(channels=0),
    "channels_65": wav(channels=65),
    "channels_65535": wav(channels=65535),
    "rate_0": wav(rate=0),
    "rate_over": wav(rate=800_000),
    "no_fmt": wav(fmt=False),
    "no_data": wav(data=False),
    "only_a_list_chunk": wav(data=False)
    + chunk(b"data", b"")
    + chunk(b"LIST", b"x" * 200),
    "text": b"These are words, not sounds.\n" * 100,
    "zeros": bytes(5000),
}


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.filterwarnings("ignore::helpers.audio.AudioWarning")
def test_load_refuses_in_one_sentence_with_name_and_remedy(tmp_path, name):
    path = tmp_path / f"{name}.wav"
    path.write_bytes(UNREADABLE[name])
    with pytest.raises(AudioError, match=rf"{name}\.wav [^.]+: [a-z][^.]+\.$"):
        load(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_load_refuses_samples_that_are_no_numbers(tmp_path, value):
    samples = noise()
    samples[1234, 1] = value
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav .*: export it"):
        load(tmp_path / "a.wav")


@pytest.mark.parametrize("level", [0, 5e-7])
def test_load_refuses_silence(tmp_path, level):
    samples = noise(level=level)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav is silent .*: choose"):
        load(tmp_path / "a.wav")


def test_load_takes_a_very_quiet_sound(tmp_path):
    samples = noise(level=1e-5)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    np.testing.assert_array_equal(load(tmp_path / "a.wav").samples, samples)


NO_FILES = [
    *("missing.wav", "headerless.raw", "", "x" * 5000, "loop.wav"),
    *(
        "nul\0.wav",
        "new\nline.wav",
        "\udcff.wav",
        "~nobody-here/a.wav",
        "a/b/c.wav",
    ),
    *("C:\\Users\\me\\bell.wav", "100%$<b>.wav"),
]


@pytest.mark.parametrize("name", NO_FILES)
def test_load_refuses_what_is_no_file_in_one_sentence(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "headerless.raw").write_bytes(bytes(100))
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    with pytest.raises(AudioError, match=r"cannot be read .*: check the name") as error:
        load(name)
    text = str(error.value)
    assert text.endswith(".")
    assert text.isprintable()
    assert error.value.__cause__ is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("loop.wav", "it is a link that leads nowhere"),
        ("pipe.wav", "it is a device or a pipe, and no file"),
    ],
)
def test_load_says_why_it_reads_no_file(name, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("loop.wav").symlink_to("loop.wav")
    os.mkfifo("pipe.wav")
    with pytest.raises(AudioError, match=rf"cannot be read \({reason}\): check"):
        load(name)


def test_load_asks_for_a_download():
    with pytest.raises(AudioError, match=r"^https://[^:]+: download the file first\.$"):
        load("https://example.org/bell.wav")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such names")
def test_a_name_that_is_not_in_utf_8_is_read_and_written(tmp_path):
    path = tmp_path / "caf\udce9" / "caf\udce9.wav"
    save(path, Sound(noise(), RATE))
    assert load(path).n_samples == 2000


@pytest.mark.parametrize("path", [None, 3, b"a.wav", "", " ", 1.5, [3]])
def test_load_refuses_what_is_no_name(path):
    with pytest.raises(AudioError, match=r"is no name of a file\): check the name"):
        load(path)


def test_load_looks_for_a_name_in_input_audio_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "input_audio").mkdir()
    save("input_audio/bell.wav", Sound(noise(), RATE))
    for name in ("bell.wav", " 'bell.wav' ", "input_audio\\bell.wav"):
        assert load(name).n_samples == 2000


def test_load_looks_in_the_home_folder_for_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save(tmp_path / "bell.wav", Sound(noise(), RATE))
    assert load("~/bell.wav").n_samples == 2000


@pytest.mark.parametrize("name", ["bel.wav", "bell.WAVE", "input_audio/bel.wav"])
def test_load_names_what_is_like_a_name_that_is_not_there(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save("input_audio/bell.wav", Sound(noise(), RATE))
    with pytest.raises(AudioError, match=r"perhaps it is input_audio.bell\.wav"):
        load(name)


def test_a_mistake_is_shown_as_one_line_in_a_notebook():
    with pytest.raises(AudioError) as error:
        load("nothing.wav")
    # IPython shows what this returns, and nothing else.
    assert error.value._render_traceback_() == [f"AudioError: {error.value}"]


def test_nothing_but_audio_error_escapes_load(tmp_path):
    rng = np.random.default_rng(1)
    kinds = ["WAV", "WAVEX", "RF64", "AIFF", "W64", "CAF", "AU", "FLAC", "OGG", "MP3"]
    seeds = [encoded(tmp_path / "a", kind, samples=noise(400)) for kind in kinds]
    tracemalloc.start()
    for i in range(600):
        data = bytearray(seeds[i % len(seeds)])
        for place in rng.integers(0, min(len(data), 200), rng.integers(1, 6)):
            data[place] = rng.choice([0, 1, 127, 128, 255, rng.integers(256)])
        (tmp_path / "a").write_bytes(data[: rng.choice([len(data), rng.integers(400)])])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AudioWarning)
            try:
                sound = load(tmp_path / "a")
            except AudioError:
                continue
        assert np.isfinite(sound.samples).all()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A header may claim up to IN_MEMORY values, 4 bytes each; the rest are blocks.
    assert peak < 4 * audio.IN_MEMORY + 2**25


# Many files as one --------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Make a folder of two sounds that differ in rate and channels, and other files."""
    monkeypatch.chdir(tmp_path)
    Path("corpus/deep").mkdir(parents=True)
    save("corpus/one.wav", Sound(noise(4000, 1), RATE))
    save("corpus/deep/two.wav", Sound(noise(4000, 2), 2 * RATE))
    for name in ("notes.txt", ".hidden.wav", "deep/.DS_Store"):
        (Path("corpus") / name).write_bytes(b"no sound")
    return Path("corpus")


def test_a_folder_is_read_as_one_sound(folder):
    sound = load(folder)
    # Of the rate of the highest and with the channels of the one with the most.
    assert (sound.rate, sound.n_channels) == (2 * RATE, 2)
    assert sound.n_samples == 4000 + 2 * 4000
    two, one = sound.stretches  # in the order of their paths
    assert (two.file, one.file) == (
        str(Path("corpus/deep/two.wav")),
        str(Path("corpus/one.wav")),
    )
    assert (one.start, one.stop) == (4000 / sound.rate, 12000 / sound.rate)
    np.testing.assert_allclose(sound.samples[:4000], noise(4000, 2), atol=2**-23)
    left, right = sound.samples[4000:].T
    np.testing.assert_array_equal(left, right)


def test_a_folder_stands_for_its_sounds_by_their_endings(tmp_path):
    sounds = ["a.wav", "b.AIFF", "c.flac", "d.mp3", "e.ogg", "f.opus"]
    for name in [*sounds, "g.txt", "h.pdf", "i", ".j.wav"]:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "k.wav").mkdir()
    assert [file.name for file in files.files_of(tmp_path)] == sounds


def test_a_folder_may_hold_the_most_channels_at_the_highest_rate(tmp_path):
    for n_channels in (1, 64):
        save(tmp_path / f"{n_channels}.wav", Sound(noise(50, n_channels), 768_000))
    sound = load(tmp_path)
    assert (sound.rate, sound.samples.shape) == (768_000, (100, 64))


def test_a_list_of_files_is_read_in_its_order(folder):
    sound = load(["corpus/one.wav", "corpus/deep"])
    assert [Path(s.file).name for s in sound.stretches] == ["one.wav", "two.wav"]


@pytest.mark.parametrize("listed", [False, True])
def test_one_file_of_a_folder_can_be_left_out(listed, folder):
    path = [folder] if listed else folder
    sound = load(path, leave_out=Path("corpus/deep/../one.wav"))
    assert [Path(s.file).name for s in sound.stretches] == ["two.wav"]


def test_a_broken_file_in_a_folder_is_left_out_with_a_warning_that_names_it(folder):
    (folder / "broken.wav").write_bytes(b"RIFF")
    with pytest.warns(AudioWarning, match=r"broken\.wav cannot be read .*left out\.$"):
        sound = load(folder)
    assert len(sound.stretches) == 2


def test_a_folder_of_nothing_but_broken_files_is_refused(tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    with (
        pytest.warns(AudioWarning, match="left out"),
        pytest.raises(AudioError, match=r"holds under 2 samples: choose another\.$"),
    ):
        load(tmp_path)


def test_a_folder_without_sounds_is_refused(tmp_path):
    with pytest.raises(AudioError, match=r"holds no sounds: put some into it or .*\.$"):
        load(tmp_path)


def test_of_many_long_files_all_have_the_same_share(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "CORPUS_SECONDS", 6)
    for i in range(4):
        save(tmp_path / f"{i}.wav", Sound(noise((i + 1) * RATE, 1, seed=i), RATE))
    sound = load(tmp_path)
    # Ten seconds are more than six: a second and a half of each, or what it has.
    lengths = [stretch.stop - stretch.start for stretch in sound.stretches]
    assert lengths == [1, 1.5, 1.5, 1.5]


def test_a_corpus_is_read_in_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "IN_MEMORY", 5000)
    for i in range(3):
        save(tmp_path / f"{i}.wav", Sound(noise(2000, 1, seed=i), RATE))
    sound = load(tmp_path)
    assert isinstance(sound.samples, np.memmap)
    np.testing.assert_allclose(
        sound.samples[2000:4000], noise(2000, 1, seed=1), atol=1e-6
    )


def test_a_file_of_a_corpus_is_never_overwritten(folder):
    for inputs in ([folder], [["corpus/one.wav", "corpus/deep"]]):
        with pytest.raises(AudioError, match="is a sound to read"):
            save("corpus/deep/two.wav", Sound(noise(), RATE), inputs=inputs)


# What is written ----------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_save_comes_back_to_half_a_step(tmp_path, suffix, subtype):
    path = tmp_path / f"a{suffix}"
    if (suffix, subtype) == (".flac", "FLOAT"):
        with pytest.raises(AudioError, match="cannot hold FLOAT"):
            save(path, Sound(noise(), RATE), subtype=subtype)
        return
    assert save(path, Sound(noise(), RATE), subtype=subtype) == path
    assert soundfile.info(path).subtype == subtype
    # Dither adds up to a whole step to the half step of rounding.
    step = {"PCM_16": 1.5 * 2**-15, "PCM_24": 0.5 * 2**-23, "FLOAT": 0}[subtype]
    np.testing.assert_allclose(load(path).samples, noise(), rtol=0, atol=step)


def test_at_16_bits_what_is_under_a_step_becomes_noise_around_it(tmp_path):
    quarter = np.full((100_000, 1), 0.25 / 2**15, np.float32)
    path = save(tmp_path / "a.wav", Sound(quarter, RATE), subtype="PCM_16")
    steps = soundfile.read(path, dtype="int16")[0]
    # Triangular dither leaves an error of half a step (rms): 5 sigma of 100,000.
    assert steps.mean() == pytest.approx(0.25, abs=5 * 0.5 / np.sqrt(100_000))
    assert steps.std() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_save_adds_no_dc(tmp_path, subtype):
    samples = noise(100_000, 1)
    save(tmp_path / "a.wav", Sound(samples, RATE), subtype=subtype)
    error = load(tmp_path / "a.wav").samples.astype(float) - samples
    step = {"PCM_16": 2**-15, "PCM_24": 2**-23}[subtype]
    # The mean of 100,000 errors of under .5 step (rms) is within 5 sigma: .01 step.
    assert abs(error.mean()) < 0.01 * step


def test_save_clips_at_full_scale(tmp_path):
    samples = np.array([[1.5], [1.0], [-1.0], [-1.5], [0.0]], np.float32)
    with pytest.warns(AudioWarning, match=r"a\.wav is clipped .*\+3\.5 dBFS.*: finish"):
        save(tmp_path / "a.wav", Sound(samples, RATE))
    top = 1 - 2**-23
    expected = [[top], [top], [-1], [-1], [0]]
    np.testing.assert_array_equal(load(tmp_path / "a.wav").samples, expected)


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [(".wav", "PCM_16"), (".wav", "PCM_24"), (".wav", "FLOAT"), (".flac", "PCM_16")],
)
def test_save_writes_the_same_bytes_every_time(tmp_path, suffix, subtype):
    first, second = (
        save(tmp_path / f"{i}{suffix}", Sound(noise(), RATE), subtype=subtype)
        for i in range(2)
    )
    assert first.read_bytes() == second.read_bytes()
    # The PEAK chunk of float files would hold the time of day.
    at = first.read_bytes().find(b"PEAK") + 12
    assert at == 11 or first.read_bytes()[at : at + 4] == bytes(4)


def test_save_makes_the_folder_and_leaves_nothing_else_in_it(tmp_path):
    path = save(str(tmp_path / "new" / "folder" / "a.wav"), Sound(noise(), RATE))
    assert names(path.parent) == ["a.wav"]


@pytest.mark.parametrize(
    ("name", "subtype", "limit", "format"),
    [
        ("a.wav", "FLOAT", 16_000, "WAV"),  # 2000 x 2 samples of 4 bytes
        ("a.wav", "FLOAT", 15_999, "RF64"),
        ("a.flac", "PCM_24", 0, "FLAC"),  # which knows no such limit
    ],
)
def test_save_turns_to_rf64_beyond_the_limit_of_wav(
    name, subtype, limit, format, tmp_path, monkeypatch
):
    monkeypatch.setattr(files, "RIFF_LIMIT", limit)
    path = save(tmp_path / name, Sound(noise(), RATE), subtype=subtype)
    assert soundfile.info(path).format == format
    np.testing.assert_allclose(load(path).samples, noise(), rtol=0, atol=2**-24)


@pytest.mark.parametrize("name", ["a.mp3", "a", "a.aiff"])
def test_save_refuses_other_formats(tmp_path, name):
    with pytest.raises(AudioError, match=r"use \.wav"):
        save(tmp_path / name, Sound(noise(), RATE))
    assert not names(tmp_path)


def test_save_refuses_what_a_format_cannot_hold(tmp_path):
    with pytest.raises(AudioError, match=r"a\.flac cannot hold over 8 channels"):
        save(tmp_path / "a.flac", Sound(noise(100, 9), RATE))
    assert not names(tmp_path)


def test_a_flac_holds_eight_channels(tmp_path):
    save(tmp_path / "a.flac", Sound(noise(100, 8), RATE))
    np.testing.assert_allclose(
        load(tmp_path / "a.flac").samples, noise(100, 8), atol=2**-24
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_save_refuses_nan_and_keeps_the_old_file(tmp_path, value):
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")
    samples = noise()
    samples[-1, 0] = value
    with pytest.raises(AudioError, match="NaN"):
        save(path, Sound(samples, RATE))
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.wav"]


@pytest.mark.parametrize("spelling", ["same", "dots", "symlink", "hardlink"])
def test_save_refuses_to_overwrite_an_input(tmp_path, spelling):
    source = tmp_path / "a.wav"
    source.write_bytes(wav())
    path = {
        "same": source,
        "dots": tmp_path / "x" / ".." / "a.wav",
        "symlink": tmp_path / "soft.wav",
        "hardlink": tmp_path / "hard.wav",
    }[spelling]
    (tmp_path / "x").mkdir()
    if spelling == "symlink":
        path.symlink_to(source)
    if spelling == "hardlink":
        path.hardlink_to(source)
    with pytest.raises(AudioError, match="another name"):
        save(path, Sound(noise(), RATE), inputs=["missing.wav", str(source)])
    assert source.read_bytes() == wav()


def test_save_interrupted_keeps_the_old_file(tmp_path, monkeypatch):
    def interrupt(block, bits, rng):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "_steps", interrupt)
    (tmp_path / "a.wav").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "a.wav", Sound(noise(), RATE))
    assert (tmp_path / "a.wav").read_bytes() == b"old"
    assert names(tmp_path) == ["a.wav"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGKILL")
def test_what_a_killed_save_left_is_cleared_by_the_next_and_nothing_else(tmp_path):
    code = f"""
import os, signal
import numpy as np
from helpers import audio, files
files._clear_time_of_day = lambda part: os.kill(os.getpid(), signal.SIGKILL)
files.save({str(tmp_path / "a.wav")!r}, audio.Sound(np.ones((9, 1), np.float32), 8000))
"""
    root = Path(audio.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True)
    (left,) = names(tmp_path)
    assert left.endswith(".part")
    others = [".a.wav.bak", left.replace(str(os.getpid()), "x") + "~", "b.part"]
    others += [f"{files.PART}{os.getpid()}-of-another-thread.part"]
    for other in others:
        (tmp_path / other).write_bytes(b"mine")
    save(tmp_path / "a.wav", Sound(noise(), RATE))
    assert names(tmp_path) == sorted([*others, "a.wav"])


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_save_on_a_full_disk_keeps_the_old_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"old")
    code = f"""
import resource, signal, sys
import numpy as np
from helpers.audio import AudioError, Sound
from helpers.files import save
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
noise = np.random.default_rng(0).uniform(-1, 1, (8000, 1)).astype(np.float32)
try:
    save({str(tmp_path / name)!r}, Sound(noise, 8000))
except AudioError as error:
    sys.exit(str(error))
"""
    root = Path(audio.__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True
    )
    assert f"{name} cannot be written" in run.stderr
    assert "Traceback" not in run.stderr
    assert (tmp_path / name).read_bytes() == b"old"
    assert names(tmp_path) == [name]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows clears nothing")
def test_a_part_of_a_process_that_cannot_be_is_cleared(tmp_path):
    (tmp_path / f"{files.PART}{'9' * 30}-1.part").write_bytes(b"")
    save(tmp_path / "a.wav", Sound(noise(), RATE))
    assert names(tmp_path) == ["a.wav"]


BAD_PLACES = {
    "a file": lambda folder: folder.write_bytes(b"") or folder / "a.wav",
    "a folder": lambda folder: folder.mkdir() or folder,
    "nul": lambda folder: f"{folder}/a\0b.wav",
    "lone surrogate": lambda folder: folder.with_name("a\ud800.wav"),
    "long": lambda folder: folder / f"{'x' * 252}.wav",
    "long folder": lambda folder: folder / ("x" * 300) / "a.wav",
    "long path": lambda folder: folder / ("x/" * 3000) / "a.wav",
    "none": lambda folder: None,
}


@pytest.mark.parametrize("place", BAD_PLACES)
def test_save_refuses_a_bad_place_in_one_sentence(place, tmp_path):
    path = BAD_PLACES[place](tmp_path / "out.wav")
    before = names(tmp_path)
    with pytest.raises(AudioError, match=r"^[^\n]+: [a-z][^\n]+\.$"):
        check_output(path)
    assert names(tmp_path) == before


def test_a_folder_that_is_not_ours_is_refused_before_any_work(tmp_path, monkeypatch):
    # Root may write everywhere, so ask for a system that says no.
    monkeypatch.setattr(files.os, "access", lambda folder, mode: False)
    with pytest.raises(AudioError, match=r"nothing can be written into .*: give"):
        check_output(tmp_path / "new" / "a.wav")


def test_save_writes_into_the_home_folder_for_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert save("~/a.wav", Sound(noise(), RATE)) == tmp_path / "a.wav"
    assert save_take("~/a.wav", Sound(noise(), RATE)) == tmp_path / "a.wav"


@pytest.mark.parametrize("length", [230, 240, 251])
def test_a_long_name_that_the_disk_takes_is_taken(length, tmp_path):
    save(tmp_path / f"{'x' * length}.wav", Sound(noise(), RATE))
    assert names(tmp_path) == [f"{'x' * length}.wav"]


@pytest.mark.parametrize("subtype", ["PCM_8", "", None, [], 24])
def test_a_wrong_precision_is_refused(subtype, tmp_path):
    with pytest.raises(AudioError, match="use PCM_16, PCM_24 or FLOAT"):
        check_output(tmp_path / "a.wav", subtype=subtype)


def test_an_output_is_checked_without_being_written(tmp_path):
    source = save(tmp_path / "a.wav", Sound(noise(), RATE))
    with pytest.raises(AudioError, match="is a sound to read"):
        check_output(source, inputs=[source])
    check_output(tmp_path / "b.wav", inputs=[source, "missing.wav"])
    assert names(tmp_path) == ["a.wav"]


def test_an_input_is_known_by_its_name_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save("input_audio/bell.wav", Sound(noise(), RATE))
    for write in (save, save_take):
        with pytest.raises(AudioError, match="is a sound to read"):
            write("input_audio/bell.wav", Sound(noise(), RATE), inputs=["bell.wav"])


def test_a_take_may_have_a_long_name(tmp_path):
    for seed in range(2):
        save_take(tmp_path / f"{'x' * 249}.wav", Sound(noise(seed=seed), RATE))
    assert names(tmp_path) == [f"{'x' * 249}.wav", f"{'x' * 249}_2.wav"]


def test_a_clipped_take_is_warned_of_by_its_own_name(tmp_path):
    with pytest.warns(AudioWarning, match=r"[\\/]a\.wav is clipped"):
        save_take(tmp_path / "a.wav", Sound(noise(level=2), RATE))
    assert names(tmp_path) == ["a.wav"]


def test_takes_that_differ_are_numbered_and_the_same_keeps_its_name(tmp_path):
    takes = [
        save_take(tmp_path / "a.wav", Sound(noise(seed=seed), RATE))
        for seed in (0, 1, 0, 2, 1)
    ]
    assert [take.name for take in takes] == [
        *("a.wav", "a_2.wav", "a.wav", "a_3.wav", "a_2.wav")
    ]
    assert names(tmp_path) == ["a.wav", "a_2.wav", "a_3.wav"]
    for take, seed in zip(takes[:2], (0, 1), strict=True):
        # Half a step of 24 bits.
        np.testing.assert_allclose(load(take).samples, noise(seed=seed), atol=2**-24)


def test_takes_are_numbered_where_a_disk_knows_no_second_names(tmp_path, monkeypatch):
    def refuse(source, target):
        raise OSError("no links here")

    monkeypatch.setattr(files.os, "link", refuse)
    takes = [
        save_take(tmp_path / "a.wav", Sound(noise(seed=seed), RATE))
        for seed in (0, 1, 0)
    ]
    assert [take.name for take in takes] == ["a.wav", "a_2.wav", "a.wav"]
    assert names(tmp_path) == ["a.wav", "a_2.wav"]


def test_a_table_may_hold_names_of_any_bytes(tmp_path):
    files.write_table(tmp_path / "a.csv", pd.DataFrame({"file": ["caf\udce9.wav"]}))
    assert (tmp_path / "a.csv").read_bytes().split() == [b"file", b"caf\xe9.wav"]
