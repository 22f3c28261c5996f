"""The catalogue, and the estimator that scikit-learn lacks."""

import itertools
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, is_regressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler, scale
from sklearn.utils.estimator_checks import parametrize_with_checks

from helpers import estimators
from helpers.audio import AudioError
from helpers.estimators import FramePath
from helpers.models import CATALOGUE, learn, make_model


@parametrize_with_checks([FramePath()])
def test_scikit_learn_accepts_the_estimator(estimator, check):
    check(estimator)


def levels(n_rows, n_bands=6, *, seed=0):
    """Make levels between -30 and 0 dB, well above the floor of what is heard."""
    return np.random.default_rng(seed).uniform(-30, 0, (n_rows, n_bands))


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_name_makes_a_regressor_and_says_how_it_sounds(name):
    model, recipe = make_model(name)
    assert is_regressor(model)
    assert recipe in ("bins", "turned bins", "frames")
    assert len(CATALOGUE[name].sound.split()) > 3
    assert make_model(name)[0] is not model


def test_no_two_models_are_said_to_sound_alike():
    assert len({model.sound for model in CATALOGUE.values()}) == len(CATALOGUE)


@pytest.mark.parametrize("name", ["extra_trees", "mlp", "passive_aggressive", "ransac"])
def test_the_seed_reaches_the_models_that_draw(name):
    settings = make_model(name, seed=7)[0].get_params()
    drawn = {key: value for key, value in settings.items() if "random_state" in key}
    assert set(drawn.values()) == {7}


def test_a_regressor_of_ones_own_is_copied_and_gets_its_columns_on_one_scale():
    mine = Ridge(3)
    (_, scaler), (_, model) = make_model(mine)[0].steps
    assert isinstance(scaler, StandardScaler)
    assert model is not mine
    assert model.alpha == 3
    assert make_model(mine)[1] == "frames"


def test_a_frame_path_is_copied_as_it_is():
    mine = FramePath(jump_cost=2)
    model, recipe = make_model(mine)
    assert isinstance(model, FramePath)
    assert model is not mine
    assert model.jump_cost == 2
    assert recipe == "frames"


def test_a_pipeline_is_copied_as_it_is():
    mine = make_pipeline(MinMaxScaler(), Ridge(3))
    model, recipe = make_model(mine)
    assert [type(step) for _, step in model.steps] == [MinMaxScaler, Ridge]
    assert model is not mine
    assert recipe == "frames"


class Complains(RegressorMixin, BaseEstimator):
    """A model that raises what it is given, after a warning."""

    def __init__(self, error=None):
        self.error = error

    def fit(self, X, y):  # noqa: N803
        """Warn, and fail."""
        warnings.warn("I do not like this.", stacklevel=1)
        if self.error:
            raise self.error
        self.fitted_ = True
        return self


def test_a_copy_learns_without_a_warning():
    mine = Complains()
    fitted = learn(mine, levels(3), [1, 2, 3], rows="frames")
    assert fitted.fitted_
    assert not hasattr(mine, "fitted_")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("Too few rows. Give more.\nOr none."), "Too few rows, Give more"),
        (ValueError("\n Too few."), "Too few"),
        (StopIteration(), "StopIteration"),
    ],
)
def test_a_model_that_cannot_learn_says_so_in_one_sentence(error, said):
    with pytest.raises(AudioError) as caught:
        learn(Complains(error), levels(3), [1, 2, 3], rows="frames")
    assert str(caught.value) == (
        f"The model cannot learn from the 3 frames of sound A ({said}): choose a "
        "longer A or another model."
    )


@pytest.mark.parametrize(
    "wrong",
    ["nearest_pth", "", None, 3, [], Ridge, StandardScaler(), LogisticRegression()],
)
def test_what_is_no_model_is_named_and_the_models_are_listed(wrong):
    with pytest.raises(AudioError) as error:
        make_model(wrong)
    assert repr(wrong) in str(error.value)
    assert all(name in str(error.value) for name in CATALOGUE)


def test_without_costs_the_path_is_nearest_neighbours():
    known, given, y = levels(60), levels(50, seed=1), levels(60, 1, seed=2)[:, 0]
    mine, theirs = (
        model.fit(known, y).predict(given)
        for model in (FramePath(n_bands=6), KNeighborsRegressor(1))
    )
    np.testing.assert_array_equal(mine, theirs)


def test_a_path_goes_on_where_jumping_costs():
    known = levels(60)
    given = known[20:40] + np.random.default_rng(1).normal(0, 4, (20, 6))
    rows = np.arange(60)
    jumpy, steady = (
        FramePath(jump_cost=cost, n_bands=6).fit(known, rows).predict(given)
        for cost in (0, 5)
    )
    assert (np.diff(jumpy) != 1).any()
    np.testing.assert_array_equal(steady, np.arange(20, 40))


def test_a_path_does_not_go_on_where_numbers_have_a_gap():
    known = levels(10)
    numbers = np.array([0, 1, 2, 3, 4, 20, 21, 22, 23, 24])
    model = FramePath(jump_cost=1e6, n_bands=6)
    whole, gap = (
        model.fit(known, y).predict(known[3:7]) for y in (np.arange(10), numbers)
    )
    np.testing.assert_array_equal(whole, [3, 4, 5, 6])
    np.testing.assert_array_equal(np.diff(gap), 1)


def test_rows_that_are_all_quiet_are_predicted():
    known, given = levels(30, 21), levels(10, 21, seed=1)
    given[:, 20] = -80
    model = FramePath(jump_cost=1, step_weight=1, loudness_weight=1, n_bands=20)
    assert np.isin(model.fit(known, np.arange(30)).predict(given), np.arange(30)).all()


def path_cost(path, distances, before, jump_cost):
    """Add up what a path costs: its distances, and its jumps."""
    jumps = sum(not (before[j] and j == i + 1) for i, j in itertools.pairwise(path))
    return sum(distances[t, i] for t, i in enumerate(path)) + jump_cost * jumps


@pytest.mark.parametrize("jump_cost", [0, 0.3, 1, 10])
@pytest.mark.parametrize("seed", range(3))
def test_the_path_is_the_cheapest_of_all_paths(seed, jump_cost):
    known, given = (
        scale(levels(n, seed=seed)) * 5 - 20 for n, seed in ((6, seed), (5, seed + 10))
    )
    numbers = np.array([0, 1, 2, 10, 11, 12])
    model = FramePath(jump_cost=jump_cost, n_bands=6)
    found = np.searchsorted(numbers, model.fit(known, numbers).predict(given))
    distances = np.sqrt(((given[:, None] - known) ** 2).mean(axis=2))
    distances /= 5  # the deviation of every band of both
    before = np.array([False, True, True, False, True, True])
    costs = [
        path_cost(path, distances, before, jump_cost)
        for path in itertools.product(range(6), repeat=5)
    ]
    cost = path_cost(found, distances, before, jump_cost)
    assert cost == pytest.approx(min(costs), rel=1e-5)


def test_rows_in_blocks_give_the_path_of_the_whole(monkeypatch):
    known, given = levels(60, 21), levels(50, 21, seed=1)
    model = FramePath(1, 1, 1, n_bands=20).fit(known, np.arange(60))
    whole = model.predict(given)
    monkeypatch.setattr(estimators, "BLOCK_VALUES", 7 * 60)
    np.testing.assert_array_equal(model.predict(given), whole)


def test_loudness_draws_the_path_to_rows_as_loud_as_asked():
    known = np.tile(levels(10, 7), (2, 1))  # each row twice, loud and quiet
    known[:, 6] = np.repeat([0, -20], 10)
    given = known[12:17]
    y = np.arange(20)
    path = FramePath(0.1, loudness_weight=1, n_bands=6).fit(known, y).predict(given)
    np.testing.assert_array_equal(path, np.arange(12, 17))


def test_what_all_ways_cost_does_not_blur_what_one_costs():
    # A pitch that none of A's rows has costs 1000 with each row: three million at the
    # end, of which float32 knows no quarters.
    known, given = (
        np.hstack([levels(n, 7, seed=n), np.zeros((n, 1))]) for n in (9, 3000)
    )
    given[:, 7] = 1
    prices = {"jump_cost": 0.5, "n_bands": 6}
    plain, dear = (
        FramePath(pitch_weight=price, **prices).fit(known, np.arange(9)).predict(given)
        for price in (0, 1000)
    )
    np.testing.assert_array_equal(dear, plain)


def test_continuity_may_be_another_for_each_row():
    known = levels(60)
    given = known[20:40] + np.random.default_rng(1).normal(0, 4, (20, 6))
    model = FramePath(jump_cost=5, step_weight=1, n_bands=6).fit(known, np.arange(60))
    path = model.predict(given, continuity=np.repeat([1, 0], 10))
    np.testing.assert_array_equal(np.diff(path[:10]), 1)
    nearest = FramePath(n_bands=6).fit(known, np.arange(60)).predict(given)
    np.testing.assert_array_equal(path[10:], nearest[10:])


@pytest.mark.parametrize(("continuity", "jumps", "steps"), [(0.5, 2, 1.5), (2, 8, 3)])
def test_continuity_multiplies_the_jump_cost_and_up_to_1_steps(
    continuity, jumps, steps
):
    known, given, y = levels(60), levels(200, seed=1), np.arange(60)
    turned = FramePath(4, 3, n_bands=6).fit(known, y).predict(given, continuity)
    dear = FramePath(jumps, steps, n_bands=6).fit(known, y).predict(given)
    np.testing.assert_array_equal(turned, dear)


@pytest.mark.parametrize(("weight", "chosen"), [(0.39, 0), (0.41, 5)])
def test_a_db_of_loudness_counts_as_so_many_db_of_one_band(weight, chosen):
    # The first row is as asked but for 10 dB of loudness, the second but for 2 dB in
    # each of four bands, which is a distance of 4 dB.
    known = [[-10] * 4 + [-12], [-8] * 4 + [-2]]
    model = FramePath(loudness_weight=weight, n_bands=4).fit(known, [0, 5])
    assert model.predict([[-10] * 4 + [-2]]) == [chosen]


@pytest.mark.parametrize(("weight", "chosen"), [(1.9, 0), (2.1, 5)])
def test_pitch_has_its_price_in_spreads_of_b(weight, chosen):
    # Both rows of B lie 3 dB in each of four bands, 6 dB in all, from their mean: that
    # is 1. A's first row is as asked but has not the pitch, which counts half; its
    # second has it, but is 6 dB off.
    known = [[-10, -10, -10, -10, 0, 0], [-7, -7, -7, -7, 0, 1]]
    given = [[-10, -10, -10, -10, 0, 0.5], [-16, -16, -16, -16, 0, 0]]
    model = FramePath(pitch_weight=weight, n_bands=4).fit(known, [0, 5])
    assert model.predict(given)[0] == chosen


def test_what_is_60_db_under_the_power_of_a_frame_does_not_count():
    known, given = [[0, -90], [-1, -60]], [[0, -70]]
    assert FramePath(n_bands=2).fit(known, [0, 1]).predict(given) == [0]


def places(n_rows, *, seed):
    """Make rows of eight bands, and a loudness that does not count."""
    return np.hstack([levels(n_rows, 8, seed=seed), np.zeros((n_rows, 1))])


def distances(x, y, given):
    """Measure distances between rows, in spreads of B."""
    return np.linalg.norm(x - y, axis=-1) / np.sqrt(given.var(axis=0).sum())


@pytest.mark.parametrize("seed", range(5))
def test_of_runs_the_one_is_taken_that_moves_as_b_does(seed):
    known, given = places(100, seed=seed), places(5, seed=seed + 10)
    numbers = np.arange(100) + np.arange(100) // 5  # twenty runs of five rows
    model = FramePath(jump_cost=100, step_weight=2, n_bands=8).fit(known, numbers)
    runs = known.reshape(20, 5, 9)
    off = distances(runs, given, given).sum(axis=1)
    steps = distances(np.diff(runs, axis=1), np.diff(given, axis=0), given).sum(axis=1)
    best = (off + 2 * steps).argmin()
    np.testing.assert_array_equal(model.predict(given), 6 * best + np.arange(5))


@pytest.mark.parametrize("seed", range(5))
def test_of_jumps_the_one_is_taken_that_moves_as_b_does(seed):
    known, given = places(50, seed=seed), places(2, seed=seed + 10)
    numbers = 2 * np.arange(50)  # none goes on
    model = FramePath(jump_cost=100, step_weight=2, n_bands=8).fit(known, numbers)
    first = distances(known, given[0], given).argmin()
    steps = distances(known - known[first], given[1] - given[0], given)
    second = (distances(known, given[1], given) + 2 * steps).argmin()
    np.testing.assert_array_equal(model.predict(given), [2 * first, 2 * second])


def test_the_default_path_is_long_where_b_moves_as_a_does():
    known = levels(60)
    model = CATALOGUE["nearest_path"].make(0).set_params(n_bands=6)
    given = known[20:40] + np.random.default_rng(1).normal(0, 1, (20, 6))
    path = model.fit(known, np.arange(60)).predict(given)
    np.testing.assert_array_equal(path, np.arange(20, 40))
