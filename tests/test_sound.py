"""A sound: found, read, checked, changed and written, or one sentence that says why."""

import os
import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from unicodedata import normalize

import av
import numpy as np
import pytest
import soundfile
from signals import RATE, is_one_sentence, noise, refused, sine

from helpers import sound
from helpers.sound import AudioError, AudioWarning, Sound, load, save

NOISE = Sound(noise(), RATE)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


def encoded(format, subtype=None, *, samples=NOISE.samples, rate=RATE) -> bytes:
    file = BytesIO()
    soundfile.write(file, samples, rate, format=format, subtype=subtype)
    return file.getvalue()


# What phones write.
def m4a(samples) -> bytes:
    file = BytesIO()
    with av.open(file, "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.T.copy(), "fltp", "mono")
        frame.sample_rate, frame.pts = RATE, 0
        for part in (frame, None):
            container.mux(stream.encode(part))
    return file.getvalue()


# 16 bits, by hand, so that the header can be wrong.
def wav(*, channels=2, size=8000) -> bytes:
    form = struct.pack("<IHHIIHH", 16, 1, channels, RATE, 4 * RATE, 2 * channels, 16)
    data = (NOISE.samples * 2**15).astype("<i2").tobytes()
    size = struct.pack("<I", size)
    return b"RIFF" + size + b"WAVEfmt " + form + b"data" + size + data


def read(data, name="a.wav") -> Sound:
    Path(name).write_bytes(data)
    return load(name)


def names(folder=".") -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


# Reading ------------------------------------------------------------------------------

LOSSLESS = [
    *(("WAV", kind) for kind in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32")),
    *(("WAV", kind) for kind in ("FLOAT", "DOUBLE")),
    *(("AIFF", kind) for kind in ("PCM_S8", "PCM_16", "PCM_24", "FLOAT")),
    *(("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("CAF", "ALAC_16"), ("CAF", "FLOAT")),
    *(("AU", "PCM_16"), ("W64", "PCM_24"), ("RF64", "PCM_24")),
]


@pytest.mark.parametrize(("format", "subtype"), LOSSLESS)
def test_lossless_formats_are_read_to_the_very_sample(format, subtype):
    steps = np.random.default_rng(0).integers(-128, 128, (500, 2))  # of 8 bits
    is_float = subtype in ("FLOAT", "DOUBLE")
    written = steps / 128 if is_float else (steps * 2**24).astype(np.int32)
    found = read(encoded(format, subtype, samples=written)).samples
    np.testing.assert_array_equal(found, (steps / 128).astype(np.float32), strict=True)


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW"])
def test_telephone_formats_are_read_to_half_a_step(subtype):
    samples = noise(level=0.9)
    off = read(encoded("WAV", subtype, samples=samples)).samples - samples
    # 16 steps an octave, so half of one is up to 1/32; under the last octave 2**-11.
    assert (abs(off) <= abs(samples) / 32 + 2**-11).all()


LOSSY = {kind: encoded(kind, samples=sine()) for kind in ("MP3", "OGG")}
LOSSY |= {"AAC": m4a(sine()), "ADPCM": encoded("WAV", "IMA_ADPCM", samples=sine())}


@pytest.mark.parametrize("codec", LOSSY)
def test_lossy_formats_are_read_close_to_the_original(codec):
    samples = read(LOSSY[codec]).samples
    assert abs(len(samples) - 8000) <= 1024  # what fills up the last block of a codec
    off = samples[1000:7000] - sine()[1000:7000]
    # They keep a sine to 26 dB; one sample late it is off by 2 pi 220 / 8000, .17.
    assert np.std(off) < 0.05 * np.std(sine())


FORMS = [("WAV", 2, 1000), ("FLAC", 6, 11025), ("WAV", 6, 44100)]
FORMS += [("FLAC", 8, 192_000), ("CAF", 16, 768_000)]


@pytest.mark.parametrize(("format", "n_channels", "rate"), FORMS)
def test_channels_keep_their_order_at_any_rate(format, n_channels, rate):
    samples = np.tile((1 + np.arange(n_channels)) / 32, (500, 1))
    found = read(encoded(format, "PCM_16", samples=samples, rate=rate))
    assert (found.rate, found.duration) == (rate, 500 / rate)
    np.testing.assert_allclose(found.samples, samples, atol=2**-15)  # a step


# The recorder died, the sizes were never filled in, a tag was put behind.
WHOLE = [wav(size=0), wav(size=2**32 - 1), encoded("FLAC") + b"TAG" + bytes(125)]


@pytest.mark.parametrize("data", WHOLE, ids=["size 0", "size -1", "tag"])
def test_a_file_is_read_whole_whatever_its_header_says(data):
    np.testing.assert_allclose(read(data).samples, noise(), atol=2**-15)


def test_an_mp3_without_its_header_is_read_whole():
    swelling = sine(5 * RATE) * np.linspace(0, 1, 5 * RATE)[:, np.newaxis]
    data = encoded("MP3", samples=swelling)  # of a variable bit rate
    bare = read(data[data.find(data[:2], 100) :])  # from its second frame on
    # Nobody knows now what a codec put before and behind: two frames of 1152.
    assert abs(len(bare.samples) - 5 * RATE) <= 2 * 1152


def test_of_a_flac_cut_short_what_came_before_is_read_with_one_warning():
    samples = noise(60_000)
    data = encoded("FLAC", samples=samples)
    with pytest.warns(AudioWarning, match=r"^a\.wav is damaged") as warned:
        begun = read(data[: len(data) // 2]).samples
    assert [is_one_sentence(warning.message) for warning in warned] == [True]
    assert 20_000 < len(begun) <= 30_000  # in blocks of 4096
    np.testing.assert_allclose(begun, samples[: len(begun)], atol=2**-15)


UNREADABLE = {
    "empty": b"",
    "text": b"These are words, not sounds.\n" * 100,
    "zeros": bytes(5000),
    "no samples": wav()[:44],
    "no channels": wav(channels=0),
    "too many channels": wav(channels=65),
    "silence": encoded("WAV", samples=0 * NOISE.samples),
}


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("file", ["a.wav", "\udce9a.wav"], ids=["plain", "latin 1"])
def test_what_cannot_be_read_is_refused_by_its_name(kind, file):
    with refused(r"a\.wav'? .*: \w+"):
        read(UNREADABLE[kind], file)


FORMATS = ("WAV", "FLAC", "MP3", "AIFF", "OGG")
ORIGINALS = [encoded(format, samples=noise(400)) for format in FORMATS]


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.filterwarnings("ignore::helpers.sound.AudioWarning")
def test_a_mutated_file_is_a_sound_or_an_audio_error(seed):
    rng = np.random.default_rng(seed)
    data, other = bytearray(ORIGINALS[seed % 5]), ORIGINALS[rng.integers(5)]
    if seed % 3:  # it ends early, or as another does
        tail = other[rng.integers(len(other)) :] * (seed % 3 - 1)
        data[rng.integers(len(data)) :] = tail
    else:  # bytes are others, one of them in its header
        data[rng.integers(100)] = rng.choice([0, 1, 127, 128, 255])
        data[rng.integers(len(data))] ^= 255
    with suppress(AudioError):
        assert np.isfinite(read(data).samples).all()


# Names --------------------------------------------------------------------------------

SPELLINGS = ["{path}", ' "{path}" ', "'{path}'", "{dos}", "{uri}", "~/{path}", "{name}"]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("composed", ["NFC", "NFD"])
@pytest.mark.parametrize("meant", ["NFC", "NFD"])
def test_a_file_is_found_however_its_name_is_spelled(spelling, composed, meant):
    path = save("input_audio/" + normalize(composed, "Glöckchen 1.wav"), NOISE)
    spelled = Path(normalize(meant, str(path)))
    forms = {"path": spelled, "name": spelled.name, "uri": spelled.absolute().as_uri()}
    forms["dos"] = str(spelled).replace("/", "\\")
    assert sound.find(spelling.format(**forms)).samefile(path)


ABSENT = [
    ("bel.wav", "perhaps it is .*bell.wav"),
    ("xyz.wav", "nor in input_audio: check the name"),
    *((name, "is not there") for name in ("nul\0", "a\nb", "x" * 5000, "~nobody/a")),
    *((name, "is no name of a file") for name in ("", " ", None, 3)),
    *((name, "holds no sound") for name in ([], "input_audio/empty")),
]


@pytest.mark.parametrize(("name", "said"), ABSENT)
def test_what_is_not_there_is_said(name, said):
    save("input_audio/bell.wav", NOISE)
    Path("input_audio/empty").mkdir()
    with refused(said):
        load(name)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", ["take:2.m4a", "\udce9.m4a", "a\nb.m4a", "%3d.m4a"])
def test_a_file_of_an_odd_name_is_read(name):
    assert read(LOSSY["AAC"], name).rate == RATE


def test_a_source_has_a_name():
    save("many/a.wav", NOISE)
    for source, name in (("many/a.wav", "a"), ("many", "many"), (["many"], "many")):
        assert sound.name_of(source) == name
    assert sound.name_of(["many", "many/a.wav"]) == "many_and_a"
    assert sound.name_of(["many", "many/a.wav", "many"]) == "many_and_a_and_more"


# Many files as one --------------------------------------------------------------------


@pytest.fixture
def folder() -> Path:
    save("many/one.wav", Sound(noise(4000, 1), RATE))
    save("many/deep/two.wav", Sound(noise(4000, 2), 2 * RATE))
    Path("many/.hidden.wav").write_bytes(b"no sound")
    return Path("many")


def files_in(source, **options) -> list[str]:
    return [Path(name).name for _, name in load(source, **options).files]


def test_a_folder_is_read_in_the_order_of_its_paths_at_its_best_format(folder):
    both = load(folder)
    assert both.rate == 2 * RATE
    # A quarter of a second of two.wav, the gap of a tenth, half a second of one.wav.
    assert both.samples.shape == (4000 + 1600 + 8000, 2)
    assert [start for start, _ in both.files] == pytest.approx([0, 0.35])
    assert files_in(folder) == ["two.wav", "one.wav"]


def test_a_list_is_read_in_its_own_order(folder):
    assert files_in([folder / "one.wav", "many/deep"]) == ["one.wav", "two.wav"]


def test_a_file_of_a_folder_can_be_left_out(folder):
    assert files_in(folder, leave_out="many/deep/../one.wav") == ["two.wav"]


def test_each_file_of_a_folder_that_is_unreadable_is_named_in_a_warning(folder):
    for name in ("notes.txt", "two\nlines.txt"):
        (folder / name).write_bytes(b"no sound")
    said = r"^Left out: .*(notes|lines)\.txt'? cannot be read"
    with pytest.warns(AudioWarning, match=said) as warned:
        assert len(load(folder).files) == 2
    assert [is_one_sentence(warning.message) for warning in warned] == [True, True]


def test_joined_sounds_are_faded_and_have_silence_between():
    steady = Sound(np.tile(np.float32([1, 0.5]), (800, 1)), RATE, ((0.0, "a"),))
    joined = sound.join([steady, Sound(noise(800, 3), RATE, ((0.0, "b"),))])
    assert joined.files == ((0, "a"), (0.2, "b"))
    assert not joined.samples[[0, *range(800, 1601), -1]].any()
    assert (joined.samples[40:760] == [1, 0.5, 1]).all()  # but for 5 ms


# Checking and changing ----------------------------------------------------------------

WRONG = [
    (Sound(noise(1), RATE), "2 samples or more"),
    (Sound(np.ones(9), RATE), r"shape \(9,\)"),
    (Sound(np.ones((9, 65)), RATE), "of 1 to 64 channels"),
    (Sound(np.ones((9, 1), np.int16), RATE), "type int16"),
    (Sound([[0.1], [0.2]], RATE), "type list"),
    (Sound(np.full((9, 1), np.nan), RATE), "NaN or is over"),
    (Sound(np.full((9, 1), 1.01e6), RATE), "NaN or is over"),
    (Sound(np.full((9, 1), 0.99e-6), RATE), "silent"),
    (Sound(noise(), 999), "at 999 Hz"),
    (Sound(noise(), "8000"), "at '8000' Hz"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG)
def test_a_sound_that_cannot_work_is_refused(wrong, said):
    with refused(f"^sound A .*{said}"):
        sound.check(wrong, name="sound A")


def test_mono_is_the_mean_or_the_first_channel_where_the_mean_cancels_out():
    first = noise(2000, 1)
    for factor, expected in ((0.5, 0.75), (-0.75, 0.125), (-0.9, 1)):
        mixed = sound.mono(Sound(np.hstack([first, factor * first]), RATE))
        np.testing.assert_allclose(mixed.samples, expected * first, rtol=1e-5)


@pytest.mark.parametrize("rate", [1000, 11025, 44100])
def test_resampling_keeps_time_and_length(rate):
    samples = sound.resample(Sound(sine(), RATE), rate=rate).samples
    assert len(samples) == rate
    off = samples - sine(rate, rate=rate)
    assert abs(off[rate // 10 : -rate // 10]).max() < 1e-5  # it rings at its ends


def test_an_offset_is_blocked():
    plain, off = (
        sound.block_offset(Sound(noise() + np.float32(offset), RATE)).samples
        for offset in ([0, 0], [0.1, -0.05])
    )
    # The sum under .25 is rounded to 2**-26 before, the result to less.
    np.testing.assert_allclose(off, plain, atol=2**-24)


def test_silence_stays_silent_where_an_offset_is_blocked():
    samples = np.concatenate([np.zeros((1000, 2)), noise()]) * [1, 0]
    blocked = sound.block_offset(Sound(samples, RATE)).samples
    assert not blocked[:1000].any()
    assert not blocked[:, 1].any()


@pytest.mark.parametrize("hertz", [100, 1000])
def test_what_is_heard_passes_where_an_offset_is_blocked(hertz):
    wave = sine(44100, hertz=hertz, rate=44100)
    change = sound.block_offset(Sound(wave, 44100)).samples - wave
    # First order from 10 Hz: 10 / hertz of the level .5 is off, a quarter of a period
    # late, which the ear does not notice. After a quarter of a second it has settled.
    assert abs(change[11_025:]).max() < 1.01 * 0.5 * 10 / hertz


def test_an_offset_is_blocked_alike_whatever_the_block(monkeypatch):
    off = Sound(noise() + np.float32(0.1), RATE)
    whole = sound.block_offset(off).samples
    monkeypatch.setattr(sound, "BLOCK", 777)
    np.testing.assert_array_equal(sound.block_offset(off).samples, whole)


@pytest.mark.parametrize("seconds", [2, 1.03])
def test_an_excerpt_is_the_liveliest_stretch(seconds):
    samples = np.zeros((4 * RATE, 1), np.float32)
    samples[: 2 * RATE, 0] = 1e-3 * (np.arange(2 * RATE) // 400 % 2)  # a rustle
    samples[::-1][: RATE // 2 : 800] = 1.0  # the last sample, too
    some = sound.excerpt(Sound(samples, RATE), seconds=seconds).samples
    assert len(some) == round(seconds * RATE)
    assert (some == 1).sum() == 5


def test_an_excerpt_knows_its_files():
    samples = np.full((3 * RATE, 1), 0.01, np.float32)
    samples[2 * RATE :][np.arange(RATE) // 800 % 2 == 1] = 1  # loud for .1 s, from 2.1
    parts = [Sound(noise(), RATE, ((0.0, "a"),)), Sound(samples, RATE, ((0.0, "b"),))]
    some = sound.excerpt(sound.join(parts), seconds=1)
    *_, (begin, name) = some.files
    loud_from = (some.samples[:, 0] == 1).argmax() / RATE
    assert (name, loud_from - begin) == ("b", pytest.approx(2.1))


@pytest.mark.parametrize("seconds", [None, 60, np.inf])
def test_a_sound_that_is_short_enough_stays_whole(seconds):
    assert sound.excerpt(NOISE, seconds=seconds) is NOISE


@pytest.mark.parametrize("seconds", [1e-9, 0.01])
def test_an_excerpt_can_be_a_moment(seconds):
    some = sound.excerpt(NOISE, seconds=seconds)
    assert sound.check(some, name="it").duration == pytest.approx(seconds, abs=2 / RATE)


@pytest.mark.parametrize("seconds", [0, -1, "20", True, np.nan])
def test_an_excerpt_of_no_length_is_refused(seconds):
    with refused("^A stretch of .* s does not work: use seconds"):
        sound.excerpt(NOISE, seconds=seconds)


# Writing ------------------------------------------------------------------------------


STEPS = {"PCM_16": 2**-15, "PCM_24": 2**-23, "FLOAT": 0}


@pytest.mark.parametrize("subtype", STEPS)
def test_what_was_saved_comes_back_to_a_step(subtype):
    path = save("new/folder/a.wav", NOISE, subtype=subtype)
    assert names("new/folder") == [path.name] == ["a.wav"]
    assert soundfile.info(path).subtype == subtype
    np.testing.assert_allclose(load(path).samples, noise(), atol=STEPS[subtype], rtol=0)


def test_takes_are_numbered_and_the_same_one_keeps_its_name(monkeypatch):
    def write(path, *args, **options):
        written(path, *args, **options)
        os.utime(path, (0, 0))  # as on a stick: all is done in the same two seconds

    written = soundfile.write
    monkeypatch.setattr(soundfile, "write", write)
    takes = [save("a.wav", Sound(noise(seed=i), RATE)).name for i in (0, 0, 1, 0, 2, 1)]
    assert takes == ["a.wav", "a.wav", "a_2.wav", "a.wav", "a_3.wav", "a_2.wav"]
    for name, seed in (("a.wav", 0), ("a_2.wav", 1), ("a_3.wav", 2)):
        np.testing.assert_allclose(load(name).samples, noise(seed=seed), atol=2**-23)


@pytest.mark.parametrize("failure", [OSError(28, "No space left"), None])
def test_a_sound_is_written_whole_or_not_at_all(failure, monkeypatch):
    def write(path, samples, *args, **options):
        written(path, samples[:1000], *args, **options)
        if failure:  # if not, it writes half and says nothing
            raise failure

    written = soundfile.write
    Path("a.wav").write_bytes(b"old")
    monkeypatch.setattr(soundfile, "write", write)
    with refused(r"cannot be written \((No space left|the disk is full)\): "):
        save("a.wav", NOISE)
    assert names() == ["a.wav"]
    assert Path("a.wav").read_bytes() == b"old"


@pytest.mark.parametrize("path", ["a.wav", "x/../a.wav", "soft.wav"])
@pytest.mark.parametrize("source", ["a.wav", "."])
def test_a_sound_that_was_read_is_never_written_to(path, source):
    Path("x").mkdir()
    Path("a.wav").write_bytes(wav())
    Path("soft.wav").symlink_to("a.wav")
    with refused("is a sound to read"):
        save(path, NOISE, inputs=[source])
    assert Path("a.wav").read_bytes() == wav()


def test_a_sound_over_full_scale_is_clipped():
    save("a.wav", Sound(np.float32([[1.5], [1], [-1], [-1.5]]), RATE))
    top = 1 - 2**-23
    np.testing.assert_array_equal(load("a.wav").samples, [[top], [top], [-1], [-1]])


UNFIT = [[[np.nan]] * 2, [[np.inf], [-np.inf]], np.ones((9, 1), np.float16)]


@pytest.mark.parametrize("samples", UNFIT)
def test_what_no_file_should_hold_is_refused(samples):
    with refused("a.wav .*(NaN|float16)"):
        save("a.wav", Sound(np.array(samples), RATE))
    assert not names()


OTHERS = [("a.flac", "PCM_24"), ("a", "PCM_24"), ("", "PCM_24"), (None, "PCM_24")]
OTHERS += [("a.wav", "PCM_8")]


@pytest.mark.parametrize(("path", "subtype"), OTHERS)
def test_another_form_is_refused_before_any_work(path, subtype):
    with refused(r"use a \.wav, and one of PCM_16, PCM_24, FLOAT\.$"):
        sound.check_output(path, subtype=subtype)


BAD_PLACES = ["file/a.wav", "a\0.wav"]
BAD_PLACES += [f"{'x' * 300}.wav", f"{'x' * 300}/a.wav"]


@pytest.mark.parametrize("path", BAD_PLACES)
def test_what_the_disk_does_not_take_is_said(path):
    Path("file").write_bytes(b"")
    with refused(r"cannot be written"):
        save(path, NOISE)
    assert names() == ["file"]


def test_a_text_takes_the_place_of_another():
    for text in ("old", "Glöckchen\n\udce9.wav\n"):
        sound.write(Path("new/a.csv"), text)
    assert names("new") == ["a.csv"]
    assert Path("new/a.csv").read_bytes() == "Glöckchen\n".encode() + b"\xe9.wav\n"


@pytest.mark.parametrize(
    "name", ["x" * 249 + ".wav", "é" * 125 + ".wav", "~/a.wav", "~a.wav"]
)
def test_a_name_that_the_disk_takes_is_taken(name):
    assert load(save(name, NOISE)).rate == RATE
