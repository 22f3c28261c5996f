"""The gallery renders every pair with every model, once, whatever happens to some."""

import os
import signal
import sys
import time
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from threadpoolctl import threadpool_info

from helpers import gallery
from helpers.audio import AudioError, Sound, load, save
from helpers.gallery import grid, render_all
from helpers.models import CATALOGUE

RATE = 8000
BINS = next(name for name, model in CATALOGUE.items() if model.recipe == "bins")
RIDGE = {"ridge": Ridge()}
MODELS = {"ridge": Ridge(), BINS: BINS}


def tone(seed, seconds=1.0):
    """Make a harmonic sound with a little noise, whose loudness goes up and down."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    partials = sum(np.sin(2 * np.pi * 110 * (seed + 1) * k * t) / k for k in (1, 2, 3))
    swell = np.sin(2 * np.pi * 1.5 * t) ** 2
    samples = swell * (partials + 0.1 * rng.standard_normal(t.size))
    return Sound((0.2 * samples[:, None]).astype(np.float32), RATE)


@pytest.fixture
def sounds(tmp_path):
    """Write three short sounds to disk."""
    files = [tmp_path / "in" / f"{name}.wav" for name in ("one", "two", "three")]
    return [save(file, tone(seed)) for seed, file in enumerate(files)]


@pytest.fixture
def pairs(sounds):
    """One pair in both directions."""
    return grid(sounds[:2], sounds[:2])


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.wav"))}


def count_renders(monkeypatch):
    """Note every sound that is really rendered."""
    made, save_really = [], gallery.save

    def save_and_note(path, *args, **kwargs):
        made.append(path.name)
        return save_really(path, *args, **kwargs)

    monkeypatch.setattr(gallery, "save", save_and_note)
    return made


def test_grid_pairs_every_a_with_every_b_but_itself(sounds):
    one, two, three = sounds
    assert grid([one, two], [two, three]) == {
        "one_to_two": (one, two),
        "one_to_three": (one, three),
        "two_to_three": (two, three),
    }


def test_grid_refuses_two_sounds_of_one_name():
    with pytest.raises(AudioError, match="one name"):
        grid(["x/bell.wav", "y/bell.wav"], ["bird.wav"])


def test_every_pair_meets_every_model(pairs, tmp_path):
    board = render_all(pairs, MODELS, folder=tmp_path / "out")
    expected = {f"{model}_{pair}.wav" for model in MODELS for pair in pairs}
    assert set(board["file"]) == set(contents(tmp_path / "out")) == expected
    assert list(board.columns) == gallery.COLUMNS
    assert (board.seconds > 0).all()
    assert set(zip(board.model, board.recipe, strict=True)) == {
        ("ridge", "frames"),
        (BINS, "bins"),
    }
    for file in board["file"]:
        assert load(tmp_path / "out" / file).n_samples == RATE


def test_scoreboard_is_written_best_first(pairs, tmp_path):
    board = render_all(pairs, MODELS, folder=tmp_path / "out")
    rank = board[["timbre", "structure", "motion"]].mean(axis=1)
    assert rank.is_monotonic_decreasing
    written = pd.read_csv(tmp_path / "out" / "scoreboard.csv")
    pd.testing.assert_frame_equal(written, board)


def test_two_runs_give_the_same_bytes_with_any_number_of_jobs(pairs, tmp_path):
    models = MODELS | {"trees": ExtraTreesRegressor(10, random_state=0)}
    render_all(pairs, models, folder=tmp_path / "x", n_jobs=2)
    render_all(pairs, models, folder=tmp_path / "y", n_jobs=1)
    assert contents(tmp_path / "x") == contents(tmp_path / "y")


def test_each_sound_is_analysed_once_per_pair(pairs, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(gallery, "load", lambda path: read.append(path) or load(path))
    gallery._analyse.cache_clear()
    models = MODELS | {"again": Ridge(), "more": Ridge(2.0)}
    render_all(pairs, models, folder=tmp_path / "out", n_jobs=2)
    assert len(read) == 2 * len(pairs)


def test_what_is_there_and_unchanged_is_not_made_again(pairs, tmp_path, monkeypatch):
    first = render_all(pairs, MODELS, folder=tmp_path / "out")
    made = count_renders(monkeypatch)
    second = render_all(pairs, MODELS, folder=tmp_path / "out")
    assert made == []
    pd.testing.assert_frame_equal(first, second)


CHANGES = {
    "contents of an input": lambda sounds, out: save(sounds[0], tone(7)),
    "result": lambda sounds, out: save(out / "ridge_one_to_two.wav", tone(7)),
    "result removed": lambda sounds, out: (out / "ridge_one_to_two.wav").unlink(),
    "memory": lambda sounds, out: (out / ".ridge_one_to_two.json").write_text("{"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_rendered_again(change, sounds, tmp_path, monkeypatch):
    pairs = {"one_to_two": tuple(sounds[:2])}
    before = render_all(pairs, RIDGE, folder=tmp_path / "out")
    CHANGES[change](sounds, tmp_path / "out")
    made = count_renders(monkeypatch)
    after = render_all(pairs, RIDGE, folder=tmp_path / "out")
    assert made == ["ridge_one_to_two.wav"]
    if change != "contents of an input":
        pd.testing.assert_frame_equal(
            before.drop(columns="seconds"), after.drop(columns="seconds")
        )


@pytest.mark.parametrize(
    "settings", [{"analysis": {"n_fft": 1024}}, {"finishing": {"peak_db": -3.0}}]
)
def test_other_settings_are_rendered_again(settings, pairs, tmp_path):
    render_all(pairs, RIDGE, folder=tmp_path / "out")
    before = contents(tmp_path / "out")
    render_all(pairs, RIDGE, folder=tmp_path / "out", **settings)
    after = contents(tmp_path / "out")
    assert all(before[name] != after[name] for name in before)


def test_another_model_of_the_same_name_is_rendered_again(pairs, tmp_path):
    render_all(pairs, {"mine": Ridge(1.0)}, folder=tmp_path / "out")
    before = contents(tmp_path / "out")
    render_all(pairs, {"mine": Ridge(1000.0)}, folder=tmp_path / "out")
    assert before != contents(tmp_path / "out")


def test_a_model_that_cannot_be_told_apart_is_rendered_again(
    pairs, tmp_path, monkeypatch
):
    models = {"mine": make_pipeline(FunctionTransformer(lambda rows: rows), Ridge())}
    render_all(pairs, models, folder=tmp_path / "out", n_jobs=1)
    made = count_renders(monkeypatch)
    render_all(pairs, models, folder=tmp_path / "out", n_jobs=1)
    assert len(made) == len(pairs)


def test_other_code_is_rendered_again(pairs, tmp_path, monkeypatch):
    render_all(pairs, RIDGE, folder=tmp_path / "out")
    (tmp_path / "code").mkdir()
    monkeypatch.setattr(gallery, "__file__", str(tmp_path / "code" / "gallery.py"))
    made = count_renders(monkeypatch)
    render_all(pairs, RIDGE, folder=tmp_path / "out")
    assert len(made) == len(pairs)


class Breaks(RegressorMixin, BaseEstimator):
    """A regressor that fails, or interrupts, when it is fitted."""

    def __init__(self, error=RuntimeError):
        self.error = error

    def fit(self, X, y):  # noqa: N803
        """Fail."""
        raise self.error("it broke")


def test_one_failure_stops_no_other_and_is_told_at_the_end(pairs, tmp_path):
    models = {"bad": Breaks(), "ridge": Ridge()}
    with pytest.warns(
        UserWarning, match="2 of 4 sounds failed.*RuntimeError: it broke"
    ):
        board = render_all(pairs, models, folder=tmp_path / "out")
    assert list(board.model) == ["ridge", "ridge", "bad", "bad"]
    assert list(board.error.isna()) == [True, True, False, False]
    assert pd.read_csv(tmp_path / "out" / "scoreboard.csv").error.notna().sum() == 2


def test_a_sound_that_cannot_be_read_fails_alone(pairs, tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    pairs = pairs | {
        "text": (tmp_path / "text.wav", pairs["one_to_two"][1]),
        "gone": (pairs["one_to_two"][0], tmp_path / "gone.wav"),
    }
    with pytest.warns(UserWarning, match="2 of 4 sounds failed"):
        board = render_all(pairs, RIDGE, folder=tmp_path / "out")
    assert board.set_index("direction").error.dropna().str.contains("text|gone").all()


def test_what_failed_is_tried_again(sounds, tmp_path):
    sound = sounds[0].read_bytes()
    sounds[0].write_text("no sound")
    pairs = {"one_to_two": tuple(sounds[:2])}
    with pytest.warns(UserWarning, match="1 of 1 sounds failed"):
        render_all(pairs, RIDGE, folder=tmp_path / "out")
    sounds[0].write_bytes(sound)
    assert "error" not in render_all(pairs, RIDGE, folder=tmp_path / "out")


def test_an_unknown_model_is_refused_before_anything_is_written(pairs, tmp_path):
    with pytest.raises(AudioError, match="no model 'rigde'"):
        render_all(pairs, ["rigde"], folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_result_never_replaces_a_sound_to_read(sounds, tmp_path):
    original = sounds[0].rename(sounds[0].with_name("ridge_x.wav"))
    with pytest.raises(AudioError, match="rename"):
        render_all({"x": (original, sounds[1])}, RIDGE, folder=original.parent)


def test_a_result_never_replaces_a_linked_sound_to_read(sounds, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ridge_x.wav").hardlink_to(sounds[0])
    before = sounds[0].read_bytes()
    with pytest.warns(UserWarning, match="is a sound to read"):
        render_all({"x": tuple(sounds[:2])}, RIDGE, folder=tmp_path / "out")
    assert sounds[0].read_bytes() == before


@pytest.mark.parametrize(
    ("models", "names"),
    [({"a": Ridge(), "a_b": Ridge()}, ["b_c", "c"]), ({"../a": Ridge()}, ["b"])],
)
def test_names_that_meet_or_lead_elsewhere_are_refused(models, names, sounds, tmp_path):
    pairs = dict.fromkeys(names, tuple(sounds[:2]))
    with pytest.raises(AudioError, match="rename"):
        render_all(pairs, models, folder=tmp_path / "out")


def test_an_interrupted_batch_goes_on_where_it_was(pairs, tmp_path, monkeypatch):
    models = RIDGE | {"stop": Breaks(KeyboardInterrupt)}
    with pytest.raises(KeyboardInterrupt):
        render_all(pairs, models, folder=tmp_path / "out", n_jobs=1)
    made = count_renders(monkeypatch)
    board = render_all(pairs, RIDGE, folder=tmp_path / "out")
    assert made == ["ridge_two_to_one.wav"]
    assert len(board) == 2


def test_after_an_interrupt_no_thread_writes_any_more(pairs, tmp_path, monkeypatch):
    def interrupt(path, text):
        raise KeyboardInterrupt

    out = tmp_path / "out"
    monkeypatch.setattr(gallery, "_write", interrupt)  # in the main thread
    models = {str(alpha): Ridge(alpha) for alpha in range(1, 9)}
    with pytest.raises(KeyboardInterrupt):
        render_all(pairs, models, folder=out, n_jobs=2)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert 1 <= len(before) < 16
    assert all(load(path).n_samples == RATE for path in before)
    time.sleep(0.5)
    assert before == {path: path.stat().st_mtime_ns for path in out.iterdir()}


def test_an_interrupted_write_leaves_no_half_file(pairs, tmp_path, monkeypatch):
    class Stop(Sound):
        def blocks(self):
            yield self.samples[:100]
            raise KeyboardInterrupt

    monkeypatch.setattr(
        gallery, "finish", lambda sound: Stop(sound.samples, sound.rate)
    )
    with pytest.raises(KeyboardInterrupt):
        render_all(pairs, RIDGE, folder=tmp_path / "out", n_jobs=1)
    assert list((tmp_path / "out").iterdir()) == []


def test_what_a_killed_batch_left_is_cleared_away(pairs, tmp_path):
    (tmp_path / "out").mkdir()
    left = tmp_path / "out" / ".ridge_one_to_two.wav.12345"
    left.write_bytes(b"RIFF")
    render_all(pairs, RIDGE, folder=tmp_path / "out")
    assert not left.exists()


def test_threads_of_sums_are_as_many_as_before(pairs, tmp_path):
    before = [pool["num_threads"] for pool in threadpool_info()]
    render_all(pairs, MODELS, folder=tmp_path / "out", n_jobs=2)
    assert [pool["num_threads"] for pool in threadpool_info()] == before


@pytest.fixture(scope="module")
def cluster():
    """Start two worker processes that listen on this machine only."""
    dask = pytest.importorskip("dask", reason="the cluster tests need dask")
    distributed = pytest.importorskip(
        "distributed", reason="the cluster tests need dask and distributed"
    )
    quiet = {"distributed.worker.memory.terminate": False, "logging.distributed": 50}
    with warnings.catch_warnings():
        # A port that is taken and the ways of its event loop are Dask's own business.
        warnings.filterwarnings("ignore", module="distributed")
        with (
            dask.config.set(quiet),
            distributed.LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client


def test_a_dask_cluster_gives_the_same_sounds(cluster, pairs, tmp_path):
    here = render_all(pairs, MODELS, folder=tmp_path / "here")
    with joblib.parallel_config(backend="dask"):
        there = render_all(pairs, MODELS, folder=tmp_path / "there")
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    assert list(here["file"]) == list(there["file"])


class Kills(Ridge):
    """A regressor that kills the process that fits it, the first time."""

    def __init__(self, mark=None):
        super().__init__()
        self.mark = mark

    def fit(self, X, y):  # noqa: N803
        """Fit, or die."""
        if not self.mark.exists():
            self.mark.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(X, y)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGKILL")
def test_a_batch_outlives_a_killed_dask_worker(cluster, pairs, tmp_path):
    mark, out = tmp_path / "mark", tmp_path / "out"
    models = {str(alpha): Ridge(alpha) for alpha in range(1, 4)} | {"k": Kills(mark)}
    with joblib.parallel_config(backend="dask"):
        board = render_all(pairs, models, folder=out)
    assert int(mark.read_text()) != os.getpid()
    assert len(board) == len(contents(out)) == 8
    assert "error" not in board
    assert all(load(out / name).n_samples == RATE for name in contents(out))
    assert not list(out.glob(".*.wav.*"))


def test_the_files_have_the_precision_that_is_asked_for(pairs, tmp_path):
    for subtype in ("PCM_16", "FLOAT"):
        render_all(pairs, RIDGE, folder=tmp_path, subtype=subtype)
        found = {soundfile.info(file).subtype for file in tmp_path.glob("*.wav")}
        assert found == {subtype}  # a file of another precision is not up to date
