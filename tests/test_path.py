"""The path: a regressor as scikit-learn knows them, and the cheapest way there is."""

import tracemalloc

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from helpers import path as module
from helpers.path import FramePath


@parametrize_with_checks([FramePath()])
def test_scikit_learn_accepts_the_estimator(estimator, check):
    check(estimator)


def rows(n_rows, *, seed=0, n_columns=4):
    return np.random.default_rng(seed).normal(size=(n_rows, n_columns))


def fitted(known, **settings):
    """Fit a path that predicts the numbers of the known rows."""
    starts = settings.pop("starts", None)
    return FramePath(**settings).fit(known, np.arange(len(known)), starts=starts)


def reference(model, known, asked, factor):
    """Find the path with a table of all ways, by what the docstrings say alone."""
    groups = [known.shape[1] - sum(model.extras[i:]) for i in range(len(model.extras))]
    away = np.split(asked[:, np.newaxis] - known, groups, axis=2)
    places, *prices = (np.linalg.norm(group, axis=2) for group in away)
    unit = np.sqrt(np.split(known, groups, axis=1)[0].var(axis=0).sum())
    distance = sum(prices, (places / unit) ** 0.5)
    cost, ways, began = distance[0], [[row] for row in range(len(known))], [0] * 99
    for t in range(1, len(asked)):
        best, step = cost.argmin(), []
        for row in range(len(known)):
            options = [(cost[best] + factor[t] * model.jump_cost, ways[best], t)]
            if row > 0 and row not in model.starts_:
                options.insert(0, (cost[row - 1], ways[row - 1], began[row - 1]))
            total, way, start = min(options, key=lambda option: option[0])
            lately = way[max(0, start - module.N_RECENT) : start]
            again = lately.count(row) if t - start < module.N_RECENT else 0
            total += distance[t, row] + factor[t] * model.again_cost * again
            step.append((total, [*way, row], start))
        cost, ways, began = zip(*step, strict=True)
        cost = np.array(cost)
    return np.array(ways[cost.argmin()])


SETTINGS = [
    {"jump_cost": 0},
    {"jump_cost": 0.3},
    {"jump_cost": 3},
    {"jump_cost": 0.3, "again_cost": 0.1},
    {"jump_cost": 0.3, "extras": (1, 1)},
    {"jump_cost": 0.5, "starts": np.arange(30) % 7 == 0},
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("settings", SETTINGS)
def test_the_path_is_the_cheapest_in_a_table_of_all_ways(settings, seed, monkeypatch):
    monkeypatch.setattr(module, "N_RECENT", 4)
    known, asked = rows(30, seed=seed), rows(40, seed=seed + 10)
    factor = np.random.default_rng(seed).choice([0, 0.5, 1, 2], 40)
    model = fitted(known, **settings)
    expected = reference(model, known, asked, factor)
    np.testing.assert_array_equal(model.path(asked, factor), expected)


def test_without_costs_the_path_is_nearest_neighbours():
    known, asked, y = rows(60), rows(50, seed=1), rows(60, seed=2)
    mine, theirs = (
        model.fit(known, y).predict(asked)
        for model in (FramePath(), KNeighborsRegressor(1))
    )
    np.testing.assert_array_equal(mine, theirs.astype(mine.dtype))


def test_a_path_goes_on_where_jumping_costs():
    known = rows(60)
    asked = known[20:40] + rows(20, seed=1)
    jumpy, steady = (fitted(known, jump_cost=c).predict(asked) for c in (0, 5))
    assert (np.diff(jumpy) != 1).any()
    np.testing.assert_array_equal(steady, np.arange(20, 40))


def test_a_path_never_goes_on_to_a_start():
    known, starts = rows(10), np.arange(10) == 5
    path = fitted(known, jump_cost=1e6, starts=starts).predict(known[3:7])
    np.testing.assert_array_equal(np.diff(path), 1)  # no jump is worth it
    assert 5 not in path[1:]


def test_what_was_just_played_is_not_played_again(monkeypatch):
    monkeypatch.setattr(module, "N_RECENT", 9)
    known = np.tile(rows(10), (4, 1))  # the same ten rows, over and over
    asked = known[np.arange(200) % 5]  # the first five of them, over and over
    for again_cost, repeats in ((0, True), (10, False)):
        path = fitted(known, again_cost=again_cost).predict(asked)
        again = [path[i] in path[max(0, i - 9) : i] for i in range(len(path))]
        assert any(again) == repeats


def test_where_the_factor_is_0_each_row_is_on_its_own():
    known = rows(60)
    asked = known[20:40] + rows(20, seed=1)
    path = fitted(known, jump_cost=5, again_cost=5).path(asked, np.arange(20) < 10)
    np.testing.assert_array_equal(path[:10], np.arange(20, 30))
    np.testing.assert_array_equal(path[10:], fitted(known).path(asked)[10:])


def test_rows_in_blocks_give_the_path_of_the_whole(monkeypatch):
    model, asked = fitted(rows(60), jump_cost=1), rows(50, seed=1)
    whole = model.path(asked)
    monkeypatch.setattr(module, "BLOCK_VALUES", 7 * 60)
    np.testing.assert_array_equal(model.path(asked), whole)


def test_memory_grows_with_the_rows_and_holds_no_table_of_all_ways(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_VALUES", 2**14)
    model, peaks = fitted(rows(1000), jump_cost=1), []
    for n_rows in (500, 2000):
        asked = rows(n_rows, seed=1)
        tracemalloc.start()
        model.path(asked)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 5 * peaks[0]
    assert peaks[1] < 2000 * 1000  # not a byte for each way
