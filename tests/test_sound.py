"""A sound: found, read, checked, changed and written, or one sentence that says why."""

import os
import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from unicodedata import normalize

import av
import numpy as np
import pytest
import soundfile
from signals import RATE, is_one_sentence, noise, refused, sine

from helpers import sound
from helpers.sound import AudioError, AudioWarning, Sound, load, save
from tests.benchmarks import mutated_files

NOISE = Sound(noise(), RATE)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


def encoded(format, subtype=None, *, samples=NOISE.samples, rate=RATE) -> bytes:
    file = BytesIO()
    soundfile.write(file, samples, rate, format=format, subtype=subtype)
    return file.getvalue()


# What phones write, or cameras, with a picture ahead of the sound.
def m4a(samples, *, format="ipod", cover=False, **options) -> bytes:
    with TemporaryDirectory() as folder:
        path, frames = Path(folder) / "a", []  # some read it again to finish it
        with av.open(str(path), "w", format=format, options=options) as container:
            if cover:
                picture = container.add_stream("mjpeg", rate=1)
                picture.width, picture.height, picture.pix_fmt = 16, 16, "yuvj420p"
                grey = np.full((16, 16, 3), 200, np.uint8)
                frames += [(picture, av.VideoFrame.from_ndarray(grey)), (picture, None)]
            if samples is not None:
                stream = container.add_stream("aac", rate=RATE, layout="mono")
                frame = av.AudioFrame.from_ndarray(samples.T.copy(), "fltp", "mono")
                frame.sample_rate, frame.pts = RATE, 0
                frames += [(stream, frame), (stream, None)]
            for stream, frame in frames:
                container.mux(stream.encode(frame))
        return path.read_bytes()


# 16 bits, by hand, so that the header can be wrong.
def wav(*, channels=2, size=8000, kind=b"RIFF", ds64=b"") -> bytes:
    form = struct.pack("<IHHIIHH", 16, 1, channels, RATE, 4 * RATE, 2 * channels, 16)
    data = (NOISE.samples * 2**15).astype("<i2").tobytes()
    size = struct.pack("<I", size)
    return kind + size + b"WAVE" + ds64 + b"fmt " + form + b"data" + size + data


def aiff(*, size=8008, n_samples=2000) -> bytes:
    data = encoded("AIFF", "PCM_16")
    place = data.find(b"COMM") + 10
    data = data[:place] + struct.pack(">I", n_samples) + data[place + 4 :]
    place = data.find(b"SSND") + 4
    return data[:place] + struct.pack(">I", size) + data[place + 4 :]


def read(data, name="a.wav") -> Sound:
    Path(name).write_bytes(data)
    return load(name)


def names(folder=".") -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


# Reading ------------------------------------------------------------------------------

STEPS = {"PCM_16": 2**-15, "PCM_24": 2**-23, "PCM_32": 2**-24, "FLOAT": 0}
STEPS |= {"PCM_U8": 2**-7, "PCM_S8": 2**-7, "DOUBLE": 0, "ALAC_16": 2**-15}
# Of telephones: 16 steps an octave, half of one is up to 1/32; of the last one 2**-11.
STEPS |= {"ULAW": (1 / 32, 2**-11), "ALAW": (1 / 32, 2**-11)}
TABLE = [
    *(("WAV", kind, 2, 44100) for kind in STEPS if kind not in ("PCM_S8", "ALAC_16")),
    *(("AIFF", kind, 2, 22050) for kind in ("PCM_S8", "PCM_16", "PCM_24", "FLOAT")),
    *(("CAF", "ALAC_16", 2, 48000), ("CAF", "FLOAT", 16, 768_000)),
    *(("W64", "PCM_24", 3, 1000), ("RF64", "PCM_32", 6, 96000)),
    ("AU", "PCM_16", 1, 8000),
    *(("WAV", "PCM_24", n, 11025) for n in (6, 8, 16, 64)),
    *(("FLAC", "PCM_24", n, 192_000) for n in (1, 6, 8)),
]


@pytest.mark.parametrize(("format", "subtype", "n_channels", "rate"), TABLE)
def test_formats_are_read_to_a_step(format, subtype, n_channels, rate):
    samples = noise(500, n_channels, level=0.9)
    found = read(encoded(format, subtype, samples=samples, rate=rate))
    assert (found.rate, found.samples.dtype) == (rate, np.float32)
    slope, step = STEPS[subtype] if "LAW" in subtype else (0, STEPS[subtype])
    assert (abs(found.samples - samples) <= slope * abs(samples) + step).all()


LOSSY = {kind: encoded(kind, samples=sine()) for kind in ("MP3", "OGG")}
LOSSY |= {"AAC": m4a(sine()), "video": m4a(sine(), format="mov", cover=True)}
LOSSY |= {k: encoded("WAV", k, samples=sine()) for k in ("IMA_ADPCM", "MS_ADPCM")}


@pytest.mark.parametrize("codec", LOSSY)
def test_lossy_formats_are_read_close_to_the_original(codec):
    samples = read(LOSSY[codec]).samples
    assert abs(len(samples) - 8000) <= 1024  # what fills up the last block of a codec
    off = samples[1000:7000] - sine()[1000:7000]
    # They keep a sine to 26 dB; one sample late it is off by 2 pi 220 / 8000, .17.
    assert np.std(off) < 0.05 * np.std(sine())


DS64 = b"ds64" + struct.pack("<IQQQI", 28, 0, 0, 0, 0)
WHOLE = {
    "its recorder died": wav(size=0),
    "its recorder died later": wav(size=4000),
    "streamed": wav(size=2**32 - 1),
    "streamed by another": wav(size=2**31 - 1),
    "RF64, its recorder died": wav(size=2**32 - 1, kind=b"RF64", ds64=DS64),
    "a chunk behind": encoded("WAV") + b"LIST\4\0\0\0INFO",
    "tags behind": wav() + b"ID3\3" + bytes(50) + b"TAG" + bytes(125),
    "WAV, an old tag behind": wav() + b"TAG" + bytes(125),
    "AIFF, an old tag behind": encoded("AIFF") + b"TAG" + bytes(125),
    "WAV, zeros behind": wav() + bytes(5000),
    "FLAC, a tag behind": encoded("FLAC") + b"TAG" + bytes(125),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_is_read_whole_whatever_its_header_says(kind):
    np.testing.assert_allclose(read(WHOLE[kind]).samples, noise(), atol=2**-15)


SWELLING = sine(5 * RATE) * np.linspace(0, 1, 5 * RATE)[:, np.newaxis]
MP3 = encoded("MP3", samples=SWELLING)
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 32 + 20_000, 1, 0) + bytes(8)
TAGS = b"LYRICSBEGIN000009LYRICS200" + bytes(20_000) + APE + b"TAG" + bytes(125)
MP3S = {"tags behind": MP3 + TAGS, "rubbish behind": MP3 + noise().tobytes()}
MP3S |= {"zeros behind": MP3 + bytes(3000), "bare": MP3[MP3.find(MP3[:2], 100) :]}


@pytest.mark.parametrize("kind", MP3S)
def test_an_mp3_is_read_whole_whatever_is_about_it(kind):
    n_more = len(read(MP3S[kind]).samples) - len(SWELLING)
    assert 0 <= n_more <= 2 * 1152  # what a codec puts before and behind: two frames


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("rate", [RATE, 2 * RATE])
def test_of_joined_mp3s_of_different_forms_the_first_is_read(n_channels, rate):
    other = np.repeat(SWELLING, 3 - n_channels, axis=1)
    first = encoded("MP3", samples=np.repeat(SWELLING, n_channels, axis=1))
    with pytest.warns(AudioWarning, match="its rate or channels change"):
        found = read(first + encoded("MP3", samples=other, rate=rate))
    assert (found.rate, found.samples.shape[1]) == (RATE, n_channels)
    assert 0 <= len(found.samples) - len(SWELLING) <= 2 * 1152


LONG = noise(60_000, 1)
STREAMED = m4a(LONG, movflags="faststart")
FLAC = encoded("FLAC", samples=LONG)
PARTS = {
    "FLAC cut": FLAC[: len(FLAC) // 2],
    "FLAC with a hole": FLAC[:40_000] + FLAC[50_000:],
    "m4a cut": STREAMED[: len(STREAMED) // 2],
    "MP3 cut": MP3[: len(MP3) // 2],
    "MP3 with a hole": MP3[: len(MP3) // 2] + MP3[2 * len(MP3) // 3 :],
    "WAV cut": wav()[:4000],
    "AIFF that says half": aiff(size=4008, n_samples=1000),
}


@pytest.mark.parametrize("kind", PARTS)
def test_what_came_before_and_after_damage_is_read_with_one_warning(kind):
    said = r"^a\.wav could be read only in part \(.+\)\.$"
    with pytest.warns(AudioWarning, match=said) as warned:
        found = read(PARTS[kind])
    assert [is_one_sentence(warning.message) for warning in warned] == [True]
    originals = {"FLAC": LONG, "m4a": LONG, "MP3": SWELLING}
    original = originals.get(kind.split()[0], noise())
    assert 0.4 < len(found.samples) / len(original) < 0.99
    if kind.split()[0] in ("FLAC", "WAV", "AIFF"):
        np.testing.assert_allclose(found.samples[:900], original[:900], atol=2**-15)


@pytest.mark.filterwarnings("ignore::helpers.sound.AudioWarning")
def test_a_decoder_writes_nothing_on_the_screen(capfd):
    for data in (*PARTS.values(), MP3[1000:1200], b"no sound"):
        with suppress(AudioError):
            read(data)
    assert capfd.readouterr() == ("", "")


UNREADABLE = {
    "empty": b"",
    "text": b"These are words, not sounds.\n" * 100,
    "zeros": bytes(5000),
    "no samples": wav()[:44],
    "AIFF, its recorder died": aiff(size=0, n_samples=0),
    "no channels": wav(channels=0),
    "too many channels": wav(channels=65),
    "silence": encoded("WAV", samples=0 * NOISE.samples),
}


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("file", ["a.wav", "\udce9a.wav"], ids=["plain", "latin 1"])
def test_what_cannot_be_read_is_refused_by_its_name(kind, file):
    with refused(r"a\.wav'? .*: \w+"):
        read(UNREADABLE[kind], file)


@pytest.mark.parametrize("seed", range(0, 300, 50))
@pytest.mark.filterwarnings("ignore::helpers.sound.AudioWarning")
def test_a_mutated_file_is_a_sound_or_an_audio_error(seed):
    found = [
        mutated_files.outcome(Path("a"), number) for number in range(seed, seed + 50)
    ]
    assert set(found) <= {"sound", "sentence"}


# Names --------------------------------------------------------------------------------

SPELLINGS = ["{path}", ' "{path}" ', "'{path}'", "“{path}”\n", "«{path}»"]
SPELLINGS += ["{dos}", "~/{path}"]
SPELLINGS += ["{uri}", "{java}", "{name}", "{upper}"]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("composed", ["NFC", "NFD"])
@pytest.mark.parametrize("meant", ["NFC", "NFD"])
def test_a_file_is_found_however_its_name_is_spelled(spelling, composed, meant):
    written = normalize(composed, "input_audio/Klänge v1.2/Glöckchen 50%\u00a01.wav")
    path = save(written, NOISE)
    spelled = Path(normalize(meant, written.replace("\u00a0", " ")))
    forms = {"path": spelled, "name": spelled.relative_to("input_audio")}
    forms |= {
        "uri": spelled.absolute().as_uri(),
        "dos": str(spelled).replace("/", "\\"),
    }
    forms |= {"java": forms["uri"].replace("///", "/"), "upper": str(spelled).upper()}
    assert sound.find(spelling.format(**forms)).samefile(path)


ABSENT = [
    ("bel.wav", r"perhaps it is bell\.wav"),
    ("bell", r"perhaps it is bell\.wav"),
    ("xyz.wav", "nor in input_audio: check the name"),
    *((name, "write / instead") for name in ("input_audio\bell.wav", "C:\new\a", "\1")),
    *((name, "is not there") for name in ("nul\0", "x" * 5000, "~nobody/a")),
    *(
        (name, "is not there")
        for name in ("C:\\x\\a.wav", "file:///C:/a", "http://a.b/c")
    ),
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
    Path("v1.2").mkdir()
    for source, name in (
        ("many/a.wav", "a"),
        ("many", "many"),
        (["many"], "many"),
        ("v1.2", "v1.2"),
    ):
        assert sound.name_of(source) == name
    assert sound.name_of(["many/a.wav", "many"]) == "a_and_more"


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


def test_in_a_folder_all_sounds_are_read_and_one_warning_names_the_rest(folder):
    for name in ("notes.txt", "two\nlines.txt"):
        (folder / name).write_bytes(b"no sound")
    (folder / "silent.wav").write_bytes(UNREADABLE["silence"])
    (folder / "cover.jpg").write_bytes(m4a(None, format="mjpeg", cover=True))
    for name in ("three.bwf", "four"):
        (folder / name).write_bytes(encoded("WAV"))
    (folder / "five.mkv").write_bytes(m4a(sine(), format="matroska", cover=True))
    Path("many/.trash").mkdir()
    Path("many/.trash/six.wav").write_bytes(encoded("WAV"))
    said = r"^4 left out that cannot be read: .*jpg, .*txt, .*silent\.wav, .*txt'"
    with pytest.warns(AudioWarning, match=said) as warned:
        found = files_in(folder)
    assert found == ["two.wav", "five.mkv", "four", "one.wav", "three.bwf"]
    assert [is_one_sentence(warning.message) for warning in warned] == [True]


def test_a_list_of_which_nothing_can_be_read_says_why():
    for name in ("a.txt", "b.txt"):
        Path(name).write_bytes(b"no sound")
    with refused(r"^a\.txt cannot be read \(Invalid data"):
        load(["a.txt", "b.txt"])


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
    (Sound(np.ones((9, 1), np.int16), RATE), "int16 samples: make them float32"),
    (Sound([[0.1], [0.2]], RATE), "list samples"),
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


def test_samples_that_cannot_be_written_to_are_left_as_they_are():
    samples = np.asfortranarray(noise())
    samples.flags.writeable = False
    kept = sound.check(Sound(samples, RATE), name="it")
    for change in (sound.block_offset, sound.fade, sound.mono):
        assert change(kept).samples.flags.writeable
    assert sound.resample(kept, rate=16000).duration == kept.duration == 0.25
    np.testing.assert_allclose(load(save("a.wav", kept)).samples, noise(), atol=2**-23)


def test_an_excerpt_is_the_beginning_and_knows_its_files():
    both = sound.join([Sound(noise(), RATE, ((0.0, name),)) for name in ("a", "b")])
    for seconds, files in ((0.2, both.files[:1]), (0.5, both.files)):
        some = sound.excerpt(both, seconds=seconds)
        assert (some.duration, some.files) == (seconds, files)
        np.testing.assert_array_equal(some.samples, both.samples[: len(some.samples)])


@pytest.mark.parametrize("seconds", [None, 60, np.inf])
def test_a_sound_that_is_short_enough_stays_whole(seconds):
    assert sound.excerpt(NOISE, seconds=seconds).duration == NOISE.duration


@pytest.mark.parametrize("seconds", [1e-9, 0.01])
def test_an_excerpt_can_be_a_moment(seconds):
    some = sound.excerpt(NOISE, seconds=seconds)
    assert sound.check(some, name="it").duration == pytest.approx(seconds, abs=2 / RATE)


@pytest.mark.parametrize("seconds", [0, -1, "20", True, np.nan])
def test_an_excerpt_of_no_length_is_refused(seconds):
    with refused("^A stretch of .* s does not work: use more than 0"):
        sound.excerpt(NOISE, seconds=seconds)


# Writing ------------------------------------------------------------------------------


def test_what_was_saved_comes_back_to_a_step():
    path = save("new/folder/a.wav", NOISE)
    assert names("new/folder") == [path.name] == ["a.wav"]
    assert soundfile.info(path).subtype == "PCM_24"
    np.testing.assert_allclose(load(path).samples, noise(), atol=2**-23, rtol=0)


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


def test_takes_of_long_names_are_written_side_by_side():
    one, other = (Path(f"{model}_{'x' * 100}.wav") for model in ("pls", "ridge"))
    with sound.beside(one) as part, sound.beside(other) as other_part:
        assert part != other_part


ERRORS = [OSError(28, "No space left"), soundfile.LibsndfileError(2)]


@pytest.mark.parametrize("failure", ERRORS)
def test_a_sound_is_written_whole_or_not_at_all(failure, monkeypatch):
    def write(path, samples, *args, **options):
        written(path, samples[:1000], *args, **options)
        raise failure

    written = soundfile.write
    Path("a.wav").write_bytes(b"old")
    monkeypatch.setattr(soundfile, "write", write)
    with refused(r"cannot be written \((No space left|System error)\): "):
        save("a.wav", NOISE)
    assert names() == ["a.wav"]
    assert Path("a.wav").read_bytes() == b"old"


@pytest.mark.parametrize("path", ["a.wav", "x/../a.wav", "soft.wav"])
def test_a_sound_that_is_there_is_never_written_to(path):
    Path("x").mkdir()
    Path("a.wav").write_bytes(wav())
    Path("soft.wav").symlink_to("a.wav")
    assert save(path, NOISE).name == f"{Path(path).stem}_2.wav"
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


@pytest.mark.parametrize("path", ["a.flac", "a", "", None])
def test_another_form_is_refused(path):
    with refused("end in .wav"):
        save(path, NOISE)


BAD_PLACES = ["file/a.wav", f"{'x' * 300}.wav", f"{'x' * 300}/a.wav"]


@pytest.mark.parametrize("path", BAD_PLACES)
def test_what_the_disk_does_not_take_is_said(path):
    Path("file").write_bytes(b"")
    with refused(r"cannot be written"):
        save(path, NOISE)
    assert names() == ["file"]


def test_a_folder_that_may_not_be_written_is_said_to_be_so(monkeypatch):
    def forbid(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", forbid)
    with refused(r"^a\.wav cannot be written \(Permission denied\): "):
        save("a.wav", NOISE)


def test_a_text_takes_the_place_of_another():
    for text in ("old", "Glöckchen\n\udce9.wav\n"):
        sound.write(Path("new/a.csv"), text)
    assert names("new") == ["a.csv"]
    assert Path("new/a.csv").read_bytes() == "Glöckchen\n".encode() + b"\xe9.wav\n"


def test_a_name_that_the_disk_takes_is_taken():
    for name in ("x" * 249 + ".wav", "é" * 125 + ".wav", "~/a.wav", "~a.wav"):
        assert load(save(name, NOISE)).rate == RATE
