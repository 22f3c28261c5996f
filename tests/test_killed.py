"""Killed at whatever moment: nothing is half made, lost, or left behind for long."""

import multiprocessing
import os
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.linear_model import Ridge

from helpers import files, gallery
from helpers.audio import Sound
from helpers.files import save, save_take
from helpers.gallery import grid, render_all

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows knows no SIGKILL"
)

OUR_FILES = {files.__file__, gallery.__file__}
BATCH = {"n_fft": 256, "hop_length": 64, "n_jobs": 1}
MODELS = {"ridge": Ridge(), "stiff": Ridge(100.0)}
# What other people might have beside our files.
OTHERS = ["notes.txt", ".a.wav.bak", "a.wav.part", "b.part", ".part", "99999999-1.part"]
OTHERS += [f"{files.PART}x.part", f"{files.PART}{os.getpid()}-1.part", "ridge_x.wav"]
OTHERS += ["unfinished.csv~"]


def swell(seed: int) -> Sound:
    """Make a quarter of a second of noise that comes and goes."""
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, (2000, 1))
    return Sound((noise * np.hanning(2000)[:, None]).astype(np.float32), 8000)


OLD, NEW = swell(1), swell(2)


@pytest.fixture(scope="module")
def processes():
    """Start processes that need not import everything anew: they fork from one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "helpers.gallery"])
    return context


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Write two sounds, and pair them in both directions."""
    folder = tmp_path_factory.mktemp("in")
    sounds = [save(folder / f"{name}.wav", swell(name)) for name in (3, 4)]
    return grid(sounds, sounds)


@pytest.fixture(scope="module")
def whole(pairs, tmp_path_factory):
    """Let a batch run to its end, and count its steps: the folder and the number."""
    folder = tmp_path_factory.mktemp("whole")
    n_steps = steps(partial(render_all, pairs, MODELS, folder=folder, **BATCH))
    return folder, n_steps


def steps(work, *, moment=None, act=None, of=OUR_FILES | {soundfile.__file__}) -> int:
    """Do some work and count its steps: the calls made in some files.

    At one moment, before the step of that number, something else is done.
    """
    count = 0

    def step(frame, event, arg):
        nonlocal count
        if frame.f_code.co_filename in of:
            count += 1
            if count == moment:
                sys.setprofile(None)
                act()

    sys.setprofile(step)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def work_until(moment, function, *args, **settings):
    """Work in a process of its own, which kills itself at a moment."""
    kill = partial(os.kill, os.getpid(), signal.SIGKILL)
    steps(partial(function, *args, **settings), moment=moment, act=kill)


def start(processes, function, *args, **settings):
    process = processes.Process(target=function, args=args, kwargs=settings)
    process.start()
    return process


def contents(folder) -> dict[str, bytes]:
    """Read what is in a folder, hidden files too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def ours(folder) -> dict[str, bytes]:
    """Read our files that are there under a final name; nobody else's may be gone."""
    found = contents(folder)
    assert [found.pop(name) for name in OTHERS] == [b"mine"] * len(OTHERS)
    left = {name for name in found if name.startswith(files.PART)}
    return {name: data for name, data in found.items() if name not in left}


def sounds_in(folder) -> dict[str, bytes]:
    return {name: data for name, data in ours(folder).items() if name.endswith(".wav")}


def new_folder(path):
    """Make a folder that has other people's files in it."""
    path.mkdir()
    for name in OTHERS:
        (path / name).write_bytes(b"mine")
    return path


def assert_complete(folder, whole):
    """Hold a folder to one whose batch was never interrupted."""
    boards = [pd.read_csv(place / "scoreboard.csv") for place in (folder, whole)]
    boards = [board.drop(columns="seconds") for board in boards]
    pd.testing.assert_frame_equal(*boards, check_exact=True)
    expected = dict.fromkeys(OTHERS, b"mine") | contents(whole)
    found = contents(folder)
    assert sorted(found) == sorted(expected)
    assert all(found[name] == expected[name] for name in {*found} - {"scoreboard.csv"})


# One sound ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
@pytest.mark.parametrize("write", [save, save_take])
def test_a_killed_save_leaves_the_old_file_or_the_new_one(
    write, name, tmp_path, processes
):
    folder = new_folder(tmp_path / "whole")
    save(folder / name, OLD)
    before = ours(folder)
    n_steps = steps(partial(write, folder / name, NEW))
    after = ours(folder)
    assert after != before
    for moment in np.random.default_rng(0).choice(n_steps, 20, replace=False) + 1:
        folder = new_folder(tmp_path / str(moment))
        save(folder / name, OLD)
        process = start(processes, work_until, moment, write, folder / name, NEW)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert ours(folder) in (before, after)
        write(folder / name, NEW)
        assert contents(folder) == after | dict.fromkeys(OTHERS, b"mine")


def test_a_take_that_comes_at_any_moment_of_another_is_kept_too(tmp_path):
    # Not amid soundfile itself, which locks what a second call would wait for.
    of = OUR_FILES | {Path.replace.__code__.co_filename}
    n_steps = steps(partial(save_take, tmp_path / "a.wav", NEW), of=of)
    expected = [(tmp_path / "a.wav").read_bytes(), save(tmp_path / "b.wav", OLD)]
    expected[1] = expected[1].read_bytes()
    for moment in range(1, n_steps + 1, 5):
        path = tmp_path / str(moment) / "a.wav"
        other = partial(save_take, path, OLD)
        steps(partial(save_take, path, NEW), moment=moment, act=other, of=of)
        found = contents(path.parent)
        assert sorted(found) == ["a.wav", "a_2.wav"], moment
        assert sorted(found.values()) == sorted(expected)


# A batch ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_a_batch_that_is_killed_goes_on(seed, pairs, whole, tmp_path, processes):
    folder, n_steps = whole
    moment = np.random.default_rng(seed).integers(1, n_steps)
    out = new_folder(tmp_path / "out")
    settings = BATCH | {"folder": out}
    process = start(
        processes, work_until, moment, render_all, pairs, MODELS, **settings
    )
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert sounds_in(out).items() <= contents(folder).items()
    render_all(pairs, MODELS, **settings)
    assert_complete(out, folder)


@pytest.mark.parametrize("seed", range(3))
def test_a_batch_that_is_killed_again_and_again_loses_nothing_and_ends(
    seed, pairs, whole, tmp_path, processes
):
    folder, n_steps = whole
    rng = np.random.default_rng(seed)
    out = new_folder(tmp_path / "out")
    settings = BATCH | {"folder": out}
    before, exitcode = {}, None
    while exitcode != 0:
        moment = rng.integers(1, n_steps)
        process = start(
            processes, work_until, moment, render_all, pairs, MODELS, **settings
        )
        process.join()
        exitcode = process.exitcode
        assert exitcode in (0, -signal.SIGKILL)
        now = sounds_in(out)
        assert before.items() <= now.items() <= contents(folder).items()
        before = now
    assert_complete(out, folder)


@pytest.mark.parametrize("n_files", range(1, 9))
def test_a_batch_of_threads_that_is_killed_amid_a_file_goes_on(
    n_files, pairs, whole, tmp_path, processes
):
    folder, _ = whole
    out = new_folder(tmp_path / "out")
    settings = BATCH | {"folder": out, "n_jobs": 2}
    process = start(processes, render_all, pairs, MODELS, **settings)
    seen = set()
    while len(seen) < n_files and process.exitcode is None:
        seen |= {path.name for path in out.glob(f"{files.PART}*-*.part")} - {*OTHERS}
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    assert sounds_in(out).items() <= contents(folder).items()
    render_all(pairs, MODELS, **settings)
    assert_complete(out, folder)


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_of_two_batches_in_one_folder_each_completes(
    killed, seed, pairs, whole, tmp_path, processes
):
    folder, n_steps = whole
    out = new_folder(tmp_path / "out")
    settings = BATCH | {"folder": out}
    moment = np.random.default_rng(seed).integers(1, n_steps) if killed else None
    first = start(processes, work_until, moment, render_all, pairs, MODELS, **settings)
    second = start(processes, render_all, pairs, MODELS, **settings)
    for process in (first, second):
        process.join()
    assert second.exitcode == 0
    assert first.exitcode in ((0, -signal.SIGKILL) if killed else (0,))
    assert sounds_in(out).items() <= contents(folder).items()
    if killed:
        render_all(pairs, MODELS, **settings)
    assert_complete(out, folder)
