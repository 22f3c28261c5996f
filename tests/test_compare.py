"""The scores are as they are defined; many results, whatever happens to some."""

from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy.fft import dct
from scipy.spatial.distance import cdist, pdist, squareform
from signals import RATE, is_one_sentence, noise, refused, sine
from sklearn.linear_model import Ridge

from helpers.compare import COLUMNS, SCORES, render_all, score
from helpers.sound import Sound, load, save

# Scores -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def a(tone) -> Sound:
    """Make a sound as long as B, with a peak of 1, as a result is brought to."""
    samples = tone.samples[:44100]
    return Sound(samples / abs(samples).max(), 44100)


def test_b_itself_has_no_timbre_of_a_and_all_of_its_own_structure(a, bursts):
    scores = score(bursts, a, bursts)
    assert list(scores) == SCORES
    # Brought to a peak of 1, it moves against floors of 1e-12 and 1e-9.
    expected = [0, 0, 1, 1, 1, 1, 1]
    assert list(scores.values()) == pytest.approx(expected, abs=1e-4)


def test_a_itself_has_all_of_its_timbre_and_motion(a, bursts):
    scores = score(a, a, bursts)
    assert (scores["timbre"], scores["motion"]) == (1, 1)
    assert abs(scores["structure"]) < 0.5  # by chance: a dozen frames do not overlap


def defined(sound, *, peak=False) -> SimpleNamespace:
    """Measure what the scores look at, as it is defined, of a sound at 44.1 kHz."""
    samples = sound.samples.mean(axis=1, dtype=float)
    samples /= abs(samples).max() if peak else 1
    middles = np.arange(-512, len(samples) + 1024, 512)[:, np.newaxis]

    def power_of(n_fft):
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
        places = middles + np.arange(n_fft) - n_fft // 2
        return abs(np.fft.rfft(np.pad(samples, 4096)[places + 4096] * window)) ** 2

    def db(power):
        return 10 * np.log10(power)

    power, hertz = power_of(2048) + 1e-12, np.fft.rfftfreq(2048, 1 / 44100)
    mel = np.linspace(*(2595 * np.log10(1 + np.array([40, 16000]) / 700)), 42)
    edges = 700 * (10 ** (mel / 2595) - 1)
    bands = [power @ np.interp(hertz, edges[k : k + 3], [0, 1, 0]) for k in range(40)]
    levels = db(np.transpose(bands) + 1e-9)
    ends = np.searchsorted(hertz, [150, 300, 600, 1200, 2400, 4800, 9600, 16000])
    parts = np.split(power, ends, axis=1)[1:-1]
    flat = [np.mean(db(part), axis=1) - db(np.mean(part, axis=1)) for part in parts]

    pitches = 100 * 2 ** (np.arange(216) / 36)
    longer, hertz = db(power_of(4096) + 1e-9), np.fft.rfftfreq(4096, 1 / 44100)
    level = np.array([np.interp(pitches, hertz, row) for row in longer])
    padded = np.pad(level, ((0, 0), (18, 18)), mode="symmetric")
    means = np.transpose([padded[:, k : k + 37].mean(axis=1) for k in range(216)])
    chroma = np.maximum(level - means, 0).reshape(-1, 6, 36).sum(axis=1)
    return SimpleNamespace(
        levels=np.maximum(levels, levels.max() - 60),
        active=(total := db(power.sum(axis=1))) > total.max() - 45,
        descriptor=np.column_stack([dct(levels, norm="ortho")[:, 1:14], *flat]),
        chroma=chroma - chroma.mean(axis=1, keepdims=True),
    )


def scores_as_defined(out, a, b) -> dict[str, float]:
    out, a, b = defined(out, peak=True), defined(a), defined(b)
    scale = np.vstack([x.descriptor[x.active] for x in (a, b)]).std(axis=0)
    rows = [x.descriptor[x.active] / scale for x in (out, a, b)]
    near, near_b = (cdist(x, rows[1]).min(axis=1).mean() for x in rows[::2])
    flux = [np.maximum(np.diff(x.levels, axis=0), 0).mean(axis=1) for x in (out, b)]
    some = np.flatnonzero(b.active)[::4]
    apart = np.abs(np.subtract.outer(*[np.arange(len(some))] * 2)) >= 4
    far = [squareform(pdist(x.levels[some]))[apart] for x in (out, b)]
    lengths = [np.linalg.norm(x.chroma, axis=1, keepdims=True) for x in (out, b)]
    weights = lengths[1][:, 0] * b.active / (lengths[1][:, 0] @ b.active)
    notes, notes_b = out.chroma / lengths[0], b.chroma / lengths[1]
    c = weights @ (notes * notes_b).sum(axis=1)
    c0, c1 = (weights @ x @ (weights @ notes_b) for x in (notes, notes_b))
    return {
        "timbre": 1 - near / near_b,
        "onsets": np.corrcoef(*flux)[0, 1],
        "shape": np.corrcoef(*far)[0, 1],
        "melody": (c - c0) / (1 - c1),
    }


def test_the_scores_are_as_they_are_defined(a, bursts):
    mixed = Sound(0.1 * a.samples + bursts.samples, 44100)
    scores = score(mixed, a, bursts)
    # The weights of the bands are float32, and lengths of 0 are looked after.
    for name, expected in scores_as_defined(mixed, a, bursts).items():
        assert scores[name] == pytest.approx(expected, abs=1e-5)
        assert 0.05 < expected < 0.99  # it tells something


@pytest.mark.parametrize("n_samples", [2, 500, 2500, 5000])
def test_short_sounds_are_scored_as_far_as_they_go(n_samples, a, bursts):
    short = Sound(bursts.samples[:n_samples], 44100)
    scores = score(short, a, short)
    assert np.isnan(scores["structure"])  # no frames for the shape are far apart
    assert scores["timbre"] == pytest.approx(0, abs=1e-4)


# Many results -------------------------------------------------------------------------

MODELS = {"ridge": Ridge(), "bins": "linear_regression"}


@pytest.fixture
def pairs(tmp_path, monkeypatch) -> dict[str, tuple[str, str]]:
    """Write two swelling tones; pair them both ways."""
    monkeypatch.chdir(tmp_path)
    swell = sine(4000, hertz=4, level=1) ** 2
    for name, hertz in (("a", 110), ("b", 170)):
        wave = sine(4000, hertz=hertz) + sine(4000, hertz=3 * hertz, level=0.2)
        save(f"in/{name}.wav", Sound(swell * (wave + noise(4000, 1)), RATE))
    return {"a_to_b": ("in/a.wav", "in/b.wav"), "b_to_a": ("in/b.wav", "in/a.wav")}


def contents(folder="out") -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in Path(folder).glob("*.wav")}


def test_every_pair_meets_every_model_the_best_first(pairs):
    board = render_all(pairs, MODELS, folder="out")
    assert list(board) == COLUMNS
    files = [f"{model}_{pair}.wav" for model in MODELS for pair in pairs]
    assert sorted(board["file"]) == sorted(contents()) == sorted(files)
    assert board[["timbre", "motion", "structure"]].mean(axis=1).is_monotonic_decreasing
    pd.testing.assert_frame_equal(pd.read_csv("out/scoreboard.csv"), board)


class Fails(Ridge):
    """A model that leaves a trace, and raises what nobody expected."""

    def fit(self, X, y):  # noqa: D102, N803
        Path("fitted").touch()
        raise MemoryError


def test_a_failure_is_told_in_its_row_while_the_others_go_on(pairs):
    Path("in/text.wav").write_text("This is no sound.")
    pairs["bad"] = ("in/text.wav", "in/a.wav")
    with pytest.warns(UserWarning, match="^Sounds failed: see the column error"):
        board = render_all(pairs, {"ridge": "ridge", "fails": Fails()}, folder="out")
    assert list(board) == COLUMNS
    errors = board.set_index(["model", "pair"])["error"].dropna()
    failed = [("fails", pair) for pair in pairs] + [("ridge", "bad")]
    assert sorted(errors.index) == failed
    assert errors["fails", "a_to_b"] == "MemoryError()"
    assert is_one_sentence(errors["ridge", "bad"])
    assert sorted(contents()) == ["ridge_a_to_b.wav", "ridge_b_to_a.wav"]


WRONG = [
    ({"models": ["rige"]}, "^There is no model 'rige': choose ridge"),
    ({"melody": 1.1}, r"^melody=1\.1 does not work"),
    ({"speed": 1}, "speed"),
    ({"finishing": {"peak_db": 3}}, "^peak_db=3 does not work"),
    ({"hop_length": 1500}, "hop_length=1500 do not fit"),
    ({"folder": "in/a.wav"}, "in/a.wav.* cannot be written"),
]


@pytest.mark.parametrize(("settings", "said"), WRONG)
def test_what_cannot_work_is_refused_before_any_work(settings, said, pairs):
    with refused(said):
        render_all(pairs, **{"models": {"m": Fails()}, "folder": "out"} | settings)
    assert not Path("out").exists()
    assert not Path("fitted").exists()


def test_the_files_do_not_depend_on_how_many_threads_there_are(pairs, monkeypatch):
    for n_jobs in ("1", "2"):
        monkeypatch.setenv("LOKY_MAX_CPU_COUNT", n_jobs)  # where joblib counts them
        render_all(pairs, MODELS, folder=n_jobs)
    assert contents("1") == contents("2")


def test_a_cluster_gives_the_same_files(pairs):
    distributed = pytest.importorskip("distributed", reason="dask is not installed")
    render_all(pairs, MODELS, folder="here")
    settings = {"processes": False, "dashboard_address": None}
    with distributed.Client(**settings), joblib.parallel_config(backend="dask"):
        render_all(pairs, MODELS, folder="out")
    assert contents() == contents("here")


def test_no_take_is_lost_and_the_scoreboard_is_that_of_the_last_call(pairs):
    takes, boards = [], []
    for blend in (1, 0.5, 1):
        boards.append(render_all(pairs, ["ridge"], folder="out", blend=blend))
        takes.append(contents())
    assert takes[0].items() < takes[1].items() == takes[2].items()
    assert set(boards[0]["file"]) == set(boards[2]["file"]) == set(takes[0])
    assert set(boards[1]["file"]) == set(takes[1]) - set(takes[0])
    pd.testing.assert_frame_equal(pd.read_csv("out/scoreboard.csv"), boards[2])


def test_of_a_folder_the_other_sound_is_left_out(pairs):
    render_all({"a_to_b": ("in", "in/b.wav")}, ["ridge"], folder="one")
    render_all({"a_to_b": pairs["a_to_b"]}, ["ridge"], folder="two")
    assert contents("one") == contents("two")


def test_sounds_that_are_read_already_are_taken_as_they_are(pairs):
    render_all({"x": tuple(map(load, pairs["a_to_b"]))}, ["ridge"], folder="one")
    render_all({"x": pairs["a_to_b"]}, ["ridge"], folder="two")
    assert contents("one") == contents("two")


def test_settings_reach_the_files(pairs):
    settings = {"n_fft": 1024, "finishing": {"peak_db": -20}}
    render_all(pairs, ["ridge"], folder="out", **settings)
    for sound in map(load, Path("out").glob("*.wav")):
        assert abs(sound.samples).max() == pytest.approx(0.1, abs=2**-23)  # a step
