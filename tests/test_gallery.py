"""The gallery renders every pair with every model, whatever happens to some."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

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
from threadpoolctl import threadpool_info, threadpool_limits

from helpers import gallery
from helpers.audio import AudioError, AudioWarning, Sound
from helpers.convolution import predictive_convolution
from helpers.dials import Dials
from helpers.files import load, save
from helpers.finishing import Finishing, finish
from helpers.gallery import grid, render_all
from helpers.models import CATALOGUE, make_model
from helpers.scores import score

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


def names(folder):
    return {path.name for path in folder.iterdir()}


def count_saves(monkeypatch):
    """Note every sound that is really made and saved."""
    made, save_really = [], gallery.save

    def save_and_note(path, *args, **kwargs):
        made.append(path.name)
        return save_really(path, *args, **kwargs)

    monkeypatch.setattr(gallery, "save", save_and_note)
    return made


def interrupt(monkeypatch, *args, after=1, **kwargs):
    """Start a batch and interrupt it when it has saved some sounds."""
    made, save_really = [], gallery.save

    def save_or_stop(path, *args, **kwargs):
        if len(made) == after:
            raise KeyboardInterrupt
        made.append(path.name)
        return save_really(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(gallery, "save", save_or_stop)
        with pytest.raises(KeyboardInterrupt):
            render_all(*args, n_jobs=1, **kwargs)
    return made


def test_grid_pairs_every_a_with_every_b_but_itself(sounds):
    one, two, three = sounds
    assert grid([one, two], [two, three]) == {
        "one_to_two": (one, two),
        "one_to_three": (one, three),
        "two_to_three": (two, three),
    }


def test_a_grid_is_in_the_order_of_names_whatever_order_it_is_given_in(sounds):
    one, two, three = sounds
    assert list(grid([two, one], [two, three])) == [
        *("one_to_three", "one_to_two", "two_to_three")
    ]


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


def test_no_pairs_give_an_empty_scoreboard(tmp_path):
    board = render_all({}, RIDGE, folder=tmp_path / "out")
    assert list(board.columns) == gallery.COLUMNS
    assert len(board) == 0


def test_renders_that_score_alike_stay_in_their_order():
    rows = [{"file": str(i)} | dict.fromkeys(gallery.SCORES, 0.5) for i in range(40)]
    best = {"file": "best"} | dict.fromkeys(gallery.SCORES, 0.9)
    board = gallery.rank([*rows, best])
    assert list(board["file"]) == ["best", *map(str, range(40))]


def test_each_sound_is_read_once_per_pair(pairs, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(gallery, "load", lambda path: read.append(path) or load(path))
    models = MODELS | {"again": Ridge(), "more": Ridge(2.0)}
    render_all(pairs, models, folder=tmp_path / "out", n_jobs=2)
    assert len(read) == 2 * len(pairs)


def test_only_a_few_pairs_are_read_ahead(sounds, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(gallery, "load", lambda path: read.append(path) or load(path))
    pairs = {str(i): tuple(sounds[:2]) for i in range(9)}
    interrupt(monkeypatch, pairs, RIDGE, folder=tmp_path / "out", after=1)
    assert len(read) < 2 * len(pairs)


def test_the_scores_of_a_render_are_those_that_it_has_alone(sounds, tmp_path):
    a, b = (load(sound) for sound in sounds[:2])
    board = render_all({"x": tuple(sounds[:2])}, RIDGE, folder=tmp_path / "out")
    alone = score({"ridge": predictive_convolution(a, b, model=Ridge())}, a, b)
    # The same sums: but for the last bits, which threads may change.
    np.testing.assert_allclose(board[gallery.SCORES], alone[gallery.SCORES], rtol=1e-9)


def test_trimmed_sounds_are_scored_before_they_are_trimmed(sounds, tmp_path):
    silence = np.zeros((RATE // 4, 1), np.float32)
    b = Sound(np.concatenate([silence, tone(3).samples, silence]), RATE)
    pairs = {"x": (sounds[0], save(tmp_path / "b.wav", b))}
    boards = {}
    for trim in (False, True):
        boards[trim] = render_all(
            pairs, RIDGE, folder=tmp_path / str(trim), finishing=Finishing(trim=trim)
        )
    assert load(tmp_path / "False" / "ridge_x.wav").n_samples == b.n_samples
    assert load(tmp_path / "True" / "ridge_x.wav").n_samples < b.n_samples
    scores = [board[gallery.SCORES] for board in boards.values()]
    pd.testing.assert_frame_equal(*scores, check_exact=True)


def test_a_finished_batch_makes_everything_again(pairs, tmp_path, monkeypatch):
    render_all(pairs, MODELS, folder=tmp_path / "out")
    assert names(tmp_path / "out") == {
        "scoreboard.csv",
        *(f"{model}_{pair}.wav" for model in MODELS for pair in pairs),
    }
    made = count_saves(monkeypatch)
    render_all(pairs, MODELS, folder=tmp_path / "out")
    assert len(made) == len(MODELS) * len(pairs)


def test_an_interrupted_batch_goes_on_where_it_was(pairs, tmp_path, monkeypatch):
    out = tmp_path / "out"
    done = interrupt(monkeypatch, pairs, MODELS, folder=out, after=3)
    assert names(out) == {*done, "unfinished.csv"}
    assert list(pd.read_csv(out / "unfinished.csv")["file"]) == done
    made = count_saves(monkeypatch)
    board = render_all(pairs, MODELS, folder=out)
    assert len(made) == 1
    assert made[0] not in done
    assert names(out) == {*done, *made, "scoreboard.csv"}
    whole = render_all(pairs, MODELS, folder=tmp_path / "whole")
    pd.testing.assert_frame_equal(
        board.drop(columns="seconds"), whole.drop(columns="seconds"), check_exact=True
    )
    assert contents(out) == contents(tmp_path / "whole")


def test_a_batch_may_be_interrupted_again_and_again(pairs, tmp_path, monkeypatch):
    done = set()
    for _ in range(3):
        done.update(interrupt(monkeypatch, pairs, MODELS, folder=tmp_path / "out"))
    assert len(done) == 3
    made = count_saves(monkeypatch)
    render_all(pairs, MODELS, folder=tmp_path / "out")
    assert len(made) == 1


def test_a_batch_may_go_on_with_other_models(pairs, tmp_path, monkeypatch):
    done = interrupt(monkeypatch, pairs, {"other": Ridge()}, folder=tmp_path / "out")
    board = render_all(pairs, RIDGE, folder=tmp_path / "out")
    assert set(board["model"]) == {"ridge"}
    assert names(tmp_path / "out") == {*done, *board["file"], "scoreboard.csv"}


CHANGES = {
    "contents of A": lambda sounds, out: save(sounds[0], tone(7)),
    "contents of B": lambda sounds, out: save(sounds[1], tone(7)),
    "result": lambda sounds, out: save(out / "1_x.wav", tone(7)),
    "result removed": lambda sounds, out: (out / "1_x.wav").unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_after_an_interruption_is_rendered_again(
    change, sounds, tmp_path, monkeypatch
):
    pairs, models = {"x": tuple(sounds[:2])}, {"1": Ridge(), "2": Ridge(2.0)}
    interrupt(monkeypatch, pairs, models, folder=tmp_path / "out")
    CHANGES[change](sounds, tmp_path / "out")
    made = count_saves(monkeypatch)
    render_all(pairs, models, folder=tmp_path / "out")
    assert sorted(made) == ["1_x.wav", "2_x.wav"]


@pytest.mark.parametrize(
    "settings",
    [
        {"n_fft": 1024},
        {"hop_length": 256},
        {"seed": 1},
        {"finishing": Finishing(peak_db=-3.0)},
        {"subtype": "PCM_16"},
    ],
)
def test_other_settings_are_rendered_again(settings, pairs, tmp_path, monkeypatch):
    interrupt(monkeypatch, pairs, RIDGE, folder=tmp_path / "out")
    made = count_saves(monkeypatch)
    render_all(pairs, RIDGE, folder=tmp_path / "out", **settings)
    assert len(made) == len(pairs)


def test_another_pair_or_model_of_the_same_name_is_rendered_again(
    sounds, tmp_path, monkeypatch
):
    one, two, three = sounds
    before = {"x": (one, two), "y": (two, one)}
    changes = {
        "A": ({"x": (three, two), "y": (two, one)}, {"m": Ridge()}),
        "B": ({"x": (one, three), "y": (two, one)}, {"m": Ridge()}),
        "model": (before, {"m": ExtraTreesRegressor(3, random_state=0)}),
        "setting": (before, {"m": Ridge(1000.0)}),
        "recipe": (before, {"m": BINS}),
    }
    for change, (pairs, models) in changes.items():
        out = tmp_path / change
        interrupt(monkeypatch, before, {"m": Ridge()}, folder=out)
        with monkeypatch.context() as patch:
            made = count_saves(patch)
            render_all(pairs, models, folder=out)
            assert len(made) == 2, change


def test_every_model_of_the_catalogue_can_be_told_apart():
    told = set()
    settings = gallery.Settings(2048, 512, 42, None, None, "PCM_24", None)
    for name in CATALOGUE:
        regressor, recipe = make_model(name)
        told.add(gallery.fingerprint(regressor, recipe, ["a", "b"], settings))
    assert len(told) == len(CATALOGUE)
    assert "" not in told


def test_a_checksum_is_of_the_contents_and_empty_where_a_file_is_missing(sounds):
    one, two, _ = sounds
    copy = one.with_name("copy.wav")
    copy.write_bytes(one.read_bytes())
    assert gallery.checksum(copy) == gallery.checksum(one) != gallery.checksum(two)
    assert gallery.checksum((one, two)) != gallery.checksum((two, one))
    gone = one.with_name("gone.wav")
    for source in (gone, one.parent, (one, gone)):
        assert gallery.checksum(source) == ""


class Own(Ridge):
    """A class of the user's own, whose code may change without its settings."""


def halve(rows):
    return rows / 2


@pytest.mark.parametrize(
    "model",
    [
        Own(),
        make_pipeline(FunctionTransformer(halve), Ridge()),
        ExtraTreesRegressor(3, random_state=np.random.RandomState(0)),
    ],
)
def test_a_model_that_cannot_be_told_apart_is_rendered_again(
    model, pairs, tmp_path, monkeypatch
):
    interrupt(monkeypatch, pairs, {"mine": model}, folder=tmp_path / "out")
    made = count_saves(monkeypatch)
    render_all(pairs, {"mine": model}, folder=tmp_path / "out")
    assert len(made) == len(pairs)


def test_what_other_helpers_made_is_rendered_again(pairs, tmp_path, monkeypatch):
    interrupt(monkeypatch, pairs, RIDGE, folder=tmp_path / "out")
    helpers = tmp_path / "helpers"
    shutil.copytree(Path(gallery.__file__).parent, helpers)
    with (helpers / "gesture.py").open("a") as file:
        file.write("# edited\n")
    spec = importlib.util.spec_from_file_location("edited", helpers / "gallery.py")
    edited = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(edited)
    monkeypatch.setattr(gallery, "CODE", edited.CODE)
    made = count_saves(monkeypatch)
    render_all(pairs, RIDGE, folder=tmp_path / "out")
    assert len(made) == len(pairs)


BROKEN = {
    "no text": lambda path: path.write_bytes(b"\x00\xff\xfe" * 100),
    "empty": lambda path: path.write_bytes(b""),
    "no table": lambda path: path.write_text("{}"),
    "other table": lambda path: path.write_text("a,b\n1,2,3,4\n"),
    "only a head": lambda path: path.write_text(path.read_text().splitlines()[0]),
    "no numbers": lambda path: pd.read_csv(path).assign(timbre="?").to_csv(path),
    "half a line": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_unfinished_table_is_not_believed(kind, pairs, tmp_path, monkeypatch):
    out = tmp_path / "out"
    interrupt(monkeypatch, pairs, RIDGE, folder=out)
    BROKEN[kind](out / "unfinished.csv")
    made = count_saves(monkeypatch)
    render_all(pairs, RIDGE, folder=out)
    assert len(made) == len(pairs)
    assert not (out / "unfinished.csv").exists()


def test_a_folder_in_the_place_of_a_table_is_told(pairs, tmp_path):
    (tmp_path / "out" / "unfinished.csv").mkdir(parents=True)
    with pytest.raises(AudioError, match=r"unfinished\.csv cannot be written"):
        render_all(pairs, RIDGE, folder=tmp_path / "out")


class Breaks(RegressorMixin, BaseEstimator):
    """A regressor that fails, or interrupts, when it is fitted."""

    def __init__(self, error=RuntimeError):
        self.error = error

    def fit(self, X, y):  # noqa: N803
        """Fail."""
        raise self.error("it broke")

    def predict(self, X):  # noqa: N803
        """Never come to this."""


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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows such names")
def test_names_of_any_bytes_and_marks_go_through(sounds, tmp_path, monkeypatch):
    pairs = {name: tuple(sounds[:2]) for name in ("\udcff", 'a,"b"\nc', "<$1%*>")}
    done = interrupt(monkeypatch, pairs, RIDGE, folder=tmp_path / "out", after=2)
    made = count_saves(monkeypatch)
    board = render_all(pairs, RIDGE, folder=tmp_path / "out")
    assert len(made) == 1
    assert names(tmp_path / "out") == {*done, *made, "scoreboard.csv"}
    assert list(board["direction"].sort_values()) == sorted(pairs)


def test_a_name_without_its_folder_is_found_and_told_apart(
    sounds, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").rename(tmp_path / "input_audio")
    pairs = {"x": ("one.wav", "two.wav"), "y": ("two.wav", "one.wav")}
    interrupt(monkeypatch, pairs, RIDGE, folder="out")
    made = count_saves(monkeypatch)
    render_all(pairs, RIDGE, folder="out")
    assert made == ["ridge_y.wav"]


def test_what_failed_is_tried_again(sounds, tmp_path, monkeypatch):
    pairs = {"x": (tmp_path / "late.wav", sounds[1]), "y": tuple(sounds[:2])}
    done = interrupt(monkeypatch, pairs, MODELS, folder=tmp_path / "out")
    save(tmp_path / "late.wav", tone(4))
    made = count_saves(monkeypatch)
    assert "error" not in render_all(pairs, MODELS, folder=tmp_path / "out")
    assert sorted(done + made) == sorted(contents(tmp_path / "out"))


def test_a_failed_render_leaves_no_sound_of_an_earlier_one(pairs, tmp_path):
    out = tmp_path / "out"
    render_all(pairs, {"m": Ridge()}, folder=out)
    with pytest.warns(UserWarning, match="2 of 2 sounds failed"):
        render_all(pairs, {"m": Breaks()}, folder=out)
    assert names(out) == {"scoreboard.csv"}


def test_nothing_else_in_the_folder_is_touched(pairs, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    others = ["ridge_x.wav", ".ridge_one_to_two.wav.bak", ".ridge_one_to_two.wav.123"]
    others += [".m_one_to_two.json", "m_one_to_two.flac", "m_one_to_two.wav.part"]
    for name in others:
        (out / name).write_text("mine")
    with pytest.warns(UserWarning, match="2 of 4 sounds failed"):
        render_all(pairs, RIDGE | {"m": Breaks()}, folder=out)
    assert {name for name in others if (out / name).read_text() == "mine"} == {*others}
    assert names(out) == {*others, *(f"ridge_{p}.wav" for p in pairs), "scoreboard.csv"}


def test_whatever_befalls_the_reading_of_a_sound_stops_no_other(
    pairs, tmp_path, monkeypatch
):
    def load_or_fail(path):
        if len(read) == 0:
            read.append(path)
            raise MemoryError("too long")
        return load(path)

    read = []
    monkeypatch.setattr(gallery, "load", load_or_fail)
    with pytest.warns(UserWarning, match="1 of 2 sounds failed.*MemoryError: too long"):
        render_all(pairs, RIDGE, folder=tmp_path / "out")


def test_a_full_disk_fails_alone(pairs, tmp_path, monkeypatch):
    save_really = gallery.save

    def save_or_fail(path, *args, **kwargs):
        if path.name == "ridge_one_to_two.wav":
            raise AudioError("The disk is full.")
        return save_really(path, *args, **kwargs)

    monkeypatch.setattr(gallery, "save", save_or_fail)
    with pytest.warns(UserWarning, match="1 of 2 sounds failed.*The disk is full"):
        render_all(pairs, RIDGE, folder=tmp_path / "out")
    assert names(tmp_path / "out") == {"ridge_two_to_one.wav", "scoreboard.csv"}


@pytest.mark.parametrize(
    ("models", "settings", "message"),
    [
        (["rigde"], {}, "no model 'rigde'"),
        (RIDGE, {"subtype": "PCM_17"}, "PCM_17"),
        (RIDGE, {"finishing": {"trim": True}}, "finishing"),
        (RIDGE, {"n_fft": 100}, "n_fft"),
        (RIDGE, {"n_jobs": 0}, "n_jobs=0"),
        (RIDGE, {"n_jobs": 1.0}, "n_jobs=1.0"),
        ("ridge", {}, r"write \['ridge'\], in brackets"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    models, settings, message, pairs, tmp_path
):
    with pytest.raises(AudioError, match=message):
        render_all(pairs, models, folder=tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("folder", [None, 3, b"out", "o\0ut"])
def test_a_folder_that_has_no_name_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AudioError, match=r"is no name\): give another, in quotes\.$"):
        render_all({}, RIDGE, folder=folder)
    assert names(tmp_path) == set()


@pytest.mark.parametrize("link", [False, True])
def test_a_result_never_replaces_a_sound_to_read(link, sounds, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    original = sounds[0]
    if link:
        (out / "ridge_x.wav").hardlink_to(original)
    else:
        original = original.rename(out / "ridge_x.wav")
    before = original.read_bytes()
    made = count_saves(monkeypatch)
    pairs = {"w": (sounds[1], sounds[2]), "x": (original, sounds[1])}
    with pytest.raises(AudioError, match="is a sound to read"):
        render_all(pairs, RIDGE, folder=out)
    assert made == []
    assert names(out) == {"ridge_x.wav"}
    assert original.read_bytes() == before


@pytest.mark.parametrize(
    ("models", "directions"),
    [({"a": Ridge(), "a_b": Ridge()}, ["b_c", "c"]), ({"../a": Ridge()}, ["b"])],
)
def test_names_that_meet_or_lead_elsewhere_are_refused(
    models, directions, sounds, tmp_path
):
    pairs = dict.fromkeys(directions, tuple(sounds[:2]))
    with pytest.raises(AudioError, match="rename"):
        render_all(pairs, models, folder=tmp_path / "out")


def interrupt_amid_threads(monkeypatch, *args, **kwargs):
    """Interrupt a batch while a thread is at work, and return when that has ended."""
    first, waiting, released, ended = (threading.Event() for _ in range(4))
    compare_really = gallery.compare

    def compare_late(*args):
        if first.is_set():  # every job but the first waits here, its sound all made
            waiting.set()
            assert released.wait(60)
            ended.set()
        first.set()
        return compare_really(*args)

    def stop(*args, **kwargs):  # in the main thread, which alone saves
        assert waiting.wait(60)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gallery, "save", stop)
        patch.setattr(gallery, "compare", compare_late)
        with pytest.raises(KeyboardInterrupt):
            render_all(*args, n_jobs=2, **kwargs)
    released.set()
    assert ended.wait(60)
    for thread in threading.enumerate():
        if "(worker)" in thread.name:  # of joblib's pool
            thread.join(60)


def test_after_an_interrupt_no_thread_writes_any_more(pairs, tmp_path, monkeypatch):
    interrupt_amid_threads(monkeypatch, pairs, MODELS, folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_batches_at_once_in_one_folder_both_complete(pairs, tmp_path, monkeypatch):
    out, boards, save_really = tmp_path / "out", [], gallery.save

    def save_amid_another_batch(path, *args, **kwargs):
        if not boards:  # the other one begins and ends while this one is at work
            boards.append(None)
            boards[0] = render_all(pairs, RIDGE, folder=out, n_jobs=1)
        return save_really(path, *args, **kwargs)

    monkeypatch.setattr(gallery, "save", save_amid_another_batch)
    boards.append(render_all(pairs, MODELS, folder=out, n_jobs=1))
    assert [len(board) for board in boards] == [len(pairs), 2 * len(pairs)]
    assert all("error" not in board for board in boards)
    assert names(out) == {*boards[1]["file"], "scoreboard.csv"}


KILLED = """
import os, signal, sys
import soundfile
from sklearn.linear_model import Ridge
from helpers.gallery import grid, render_all

opened = []

class Dies(soundfile.SoundFile):
    def write(self, data):
        super().write(data)
        if "w" in self.mode and opened.append(self) is None and len(opened) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    soundfile.SoundFile = Dies
    render_all(grid(sys.argv[2:], sys.argv[2:]), {"ridge": Ridge()}, folder=sys.argv[1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGKILL")
def test_a_batch_that_was_killed_amid_a_save_goes_on(sounds, tmp_path, monkeypatch):
    out, project = tmp_path / "out", Path(gallery.__file__).parents[1]
    command = [sys.executable, "-c", KILLED, out, *sounds]
    killed = subprocess.run(command, cwd=project, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert len(contents(out)) == 1  # and no half of the second one
    assert all(load(out / name).n_samples == RATE for name in contents(out))
    made = count_saves(monkeypatch)
    pairs = grid(sounds, sounds)
    board = render_all(pairs, RIDGE, folder=out)
    assert len(made) == len(pairs) - 1
    assert names(out) == {*board["file"], "scoreboard.csv"}  # its halves are gone too


@pytest.fixture
def two_threads():
    """Let sums run in two threads, on any machine; not held on to as a `with` would."""
    limits = threadpool_limits(2)
    yield
    limits.restore_original_limits()


@pytest.mark.parametrize("interrupted", [False, True])
def test_threads_of_sums_are_as_many_as_before(
    interrupted, two_threads, pairs, tmp_path, monkeypatch
):
    before = [pool["num_threads"] for pool in threadpool_info()]
    if interrupted:
        interrupt_amid_threads(monkeypatch, pairs, MODELS, folder=tmp_path / "out")
    else:
        render_all(pairs, MODELS, folder=tmp_path / "out", n_jobs=2)
    assert [pool["num_threads"] for pool in threadpool_info()] == before


def test_a_batch_and_a_single_sound_are_the_same_bytes(two_threads, bursts, tmp_path):
    files = [save(tmp_path / "a.wav", tone(0)), save(tmp_path / "b.wav", bursts)]
    render_all({"x": files}, ["ridge"], folder=tmp_path / "batch", n_jobs=2)
    sound = finish(predictive_convolution(*map(load, files), model="ridge"))
    single = save(tmp_path / "single.wav", sound)
    batch = tmp_path / "batch" / "ridge_x.wav"
    assert batch.read_bytes() == single.read_bytes()


@pytest.fixture(scope="module")
def cluster():
    """Start two worker processes that listen on this machine only."""
    dask = pytest.importorskip("dask", reason="the cluster tests need dask")
    distributed = pytest.importorskip(
        "distributed", reason="the cluster tests need dask and distributed"
    )
    quiet = {"distributed.worker.memory.terminate": False, "logging.distributed": 50}
    quiet["distributed.admin.large-graph-warning-threshold"] = 1000  # bytes
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
    with (
        joblib.parallel_config(backend="dask"),
        warnings.catch_warnings(record=True) as w,
    ):
        warnings.simplefilter("always")
        there = render_all(pairs, MODELS, folder=tmp_path / "there")
    assert not [one for one in w if "large graph" in str(one.message)]
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
    assert names(out) == {*contents(out), "scoreboard.csv"}


def test_the_files_have_the_precision_that_is_asked_for(pairs, tmp_path):
    for subtype in ("PCM_16", "FLOAT"):
        render_all(pairs, RIDGE, folder=tmp_path, subtype=subtype)
        found = {soundfile.info(file).subtype for file in tmp_path.glob("*.wav")}
        assert found == {subtype}  # a file of another precision is not up to date


def test_of_long_sounds_an_excerpt_is_rendered(sounds, tmp_path):
    long = save(tmp_path / "in" / "long.wav", tone(3, seconds=2.5))
    render_all(
        {"x": (sounds[0], long)}, RIDGE, folder=tmp_path / "out", excerpt_seconds=1.5
    )
    assert load(tmp_path / "out" / "ridge_x.wav").n_samples == 1.5 * RATE


def test_of_a_folder_every_file_gives_its_share_of_an_excerpt(
    sounds, tmp_path, monkeypatch
):
    prepared, prepare_really = [], gallery.prepare

    def prepare_and_note(a, b, **settings):
        prepared.append(a)
        return prepare_really(a, b, **settings)

    monkeypatch.setattr(gallery, "prepare", prepare_and_note)
    pairs = {"x": (sounds[0].parent, sounds[0])}  # B is one of three, of a second each
    render_all(pairs, RIDGE, folder=tmp_path / "out", excerpt_seconds=1)
    (a,) = prepared
    lengths = [stretch.stop - stretch.start for stretch in a.stretches]
    assert lengths == pytest.approx([0.5, 0.5], abs=0.05)  # or a little cross-faded


def test_a_broken_file_in_a_folder_is_told_of_and_the_others_are_read(sounds, tmp_path):
    (sounds[0].parent / "broken.wav").write_bytes(b"RIFF")
    pairs = {"x": (sounds[0].parent, sounds[0])}
    with pytest.warns(AudioWarning, match=r"broken\.wav .*left out"):
        board = render_all(pairs, RIDGE, folder=tmp_path / "out", n_jobs=1)
    assert "error" not in board


@pytest.mark.parametrize(
    "setting", [{"excerpt_seconds": 0}, {"excerpt_seconds": "20"}, {"seed": -1}]
)
def test_a_setting_that_cannot_work_is_refused_before_any_work(
    setting, pairs, tmp_path
):
    (name,) = setting
    with pytest.raises(AudioError, match=f"{name}="):
        render_all(pairs, RIDGE, folder=tmp_path / "out", **setting)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"models": ["rigde"]},
        {"models": "ridge"},
        {"n_fft": 100},
        {"hop_length": 0},
        {"seed": -1},
        {"excerpt_seconds": 0},
    ],
)
def test_settings_can_be_checked_before_there_is_a_sound(wrong):
    right = {"models": ["ridge", Ridge()], "n_fft": 2048, "hop_length": 512, "seed": 1}
    right["excerpt_seconds"] = None
    gallery.check_settings(**right)
    with pytest.raises(AudioError):
        gallery.check_settings(**right | wrong)


def test_a_folder_may_be_a(sounds, tmp_path):
    folder = sounds[0].parent
    pairs = {"x": (folder, sounds[0])}
    board = render_all(pairs, ["nearest_path"], folder=tmp_path / "out")
    assert board["timbre"].notna().all()
    # B itself is left out of it: the same sound comes of a list of the others.
    others = {"x": (sorted(sounds[1:]), sounds[0])}
    render_all(others, ["nearest_path"], folder=tmp_path / "again")
    assert contents(tmp_path / "out") == contents(tmp_path / "again")


@pytest.mark.parametrize("changed", [False, True])
def test_a_batch_with_a_folder_goes_on_unless_a_file_in_it_changed(
    changed, sounds, tmp_path, monkeypatch
):
    pairs = {"x": (sounds[0].parent, sounds[0])}
    two = ["nearest_path", "linear_regression"]
    interrupt(monkeypatch, pairs, two, folder=tmp_path / "out")
    if changed:
        save(sounds[2], tone(9))
    made = count_saves(monkeypatch)
    render_all(pairs, two, folder=tmp_path / "out")
    assert len(made) == (2 if changed else 1)


def test_dials_are_turned_for_all_and_a_batch_remembers_them(
    pairs, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    interrupt(monkeypatch, pairs, ["nearest_path"], folder=out)
    before = contents(out)
    made = count_saves(monkeypatch)
    dials = Dials(continuity=0, dynamics=0.3)
    render_all(pairs, ["nearest_path"], folder=out, dials=dials)
    assert len(made) == 2  # the one that was made with other dials is made anew
    assert all(contents(out)[name] != sound for name, sound in before.items())
    with pytest.raises(AudioError, match=r"^dials=0\.5 does not work: use Dials"):
        render_all(pairs, ["nearest_path"], folder=out, dials=0.5)
