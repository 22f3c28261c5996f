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
    known, given = levels(30, 22), levels(10, 22, seed=1)
    given[:, 20] = -80
    model = FramePath(jump_cost=1, flux_weight=1, loudness_weight=0.01, n_bands=20)
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


@pytest.mark.parametrize("n_nearest", [1, 5, 60])
def test_a_jump_leads_to_one_of_the_nearest_rows(n_nearest):
    known, given = levels(60), levels(20, seed=1)
    model = FramePath(jump_cost=0.1, n_bands=6, n_nearest=n_nearest)
    path = model.fit(known, np.arange(60)).predict(given)
    distances = ((given[:, None] - known) ** 2).sum(axis=2)
    ranks = distances.argsort(axis=1).argsort(axis=1)
    jumps = np.flatnonzero(np.diff(path) != 1) + 1
    assert len(jumps)
    assert (ranks[jumps, path[jumps]] < n_nearest).all()


def test_rows_in_blocks_give_the_path_of_the_whole(monkeypatch):
    known, given = levels(60, 22), levels(50, 22, seed=1)
    model = FramePath(1, 1, 0.01, n_bands=20).fit(known, np.arange(60))
    whole = model.predict(given)
    monkeypatch.setattr(estimators, "BLOCK_VALUES", 7 * 60)
    np.testing.assert_array_equal(model.predict(given), whole)


def test_flux_draws_the_path_to_rows_that_move_as_asked():
    # Two runs of A at the same levels on the mean: one steady, one that goes up and
    # down. What is asked for lies between them and moves.
    known = np.zeros((40, 8))
    known[:, :6] = -20 + levels(40) / 30
    known[20::2, :6] += 6
    given = np.zeros((20, 8))
    given[:, :6] = -17 + levels(20, seed=1) / 30
    given[::2, 7] = 6
    y = np.r_[np.arange(20), np.arange(100, 120)]
    indifferent, drawn = (
        FramePath(1, flux_weight, n_bands=6).fit(known, y).predict(given)
        for flux_weight in (0, 2)
    )
    assert (indifferent < 100).any()
    assert (drawn >= 100).all()


def test_loudness_draws_the_path_to_rows_as_loud_as_asked():
    known = np.tile(levels(10, 7), (2, 1))  # each row twice, loud and quiet
    known[:, 6] = np.repeat([0, -20], 10)
    given = known[12:17]
    y = np.arange(20)
    path = FramePath(0.1, loudness_weight=0.1, n_bands=6).fit(known, y).predict(given)
    np.testing.assert_array_equal(path, np.arange(12, 17))


def test_the_price_of_a_jump_may_be_another_for_each_row():
    known = levels(60)
    given = known[20:40] + np.random.default_rng(1).normal(0, 4, (20, 6))
    model = FramePath(jump_cost=0, n_bands=6).fit(known, np.arange(60))
    path = model.predict(given, jump_cost=np.repeat([5, 0], 10))
    np.testing.assert_array_equal(np.diff(path[:10]), 1)
    np.testing.assert_array_equal(path[10:], model.predict(given)[10:])


def frames_at(shifts_db, *, loudness_db, flux, chroma):
    """Make rows of four bands that fall by 6 dB each, all moved by so much."""
    bands = np.array([0, -6, -12, -18]) + np.reshape(shifts_db, (-1, 1))
    return np.column_stack([bands, loudness_db, flux, chroma])


@pytest.mark.parametrize(
    ("weights", "chosen"),
    [
        ({"loudness_weight": 0.095}, 0),
        ({"loudness_weight": 0.105}, 1),
        ({"pitch_weight": 1.9}, 0),
        ({"pitch_weight": 2.1}, 1),
    ],
)
def test_loudness_and_pitch_have_their_prices_in_mean_distances(weights, chosen):
    known = frames_at([-10, -8], loudness_db=[-12, -2], flux=[5, 0], chroma=[0, 1])
    given = frames_at(
        [-10, 0, 30], loudness_db=[-2, -4, -50], flux=[5, 5, 5], chroma=[0.5, 0, 0]
    )
    # Levels deviate by 1 dB in A, by 4 in what is heard of B (-10 - 2 and 0 - 4): their
    # geometric mean, 2 dB, is a distance. A's first row is right but for 10 dB of
    # loudness and half a length of chroma, its second is a distance off.
    model = FramePath(n_bands=4, **weights).fit(known, [0, 5])
    assert model.predict(given)[0] == (0, 5)[chosen]


@pytest.mark.parametrize(("quieter_db", "chosen"), [(-10, 0), (-9, 1)])
def test_what_is_60_db_under_the_loudest_does_not_count(quieter_db, chosen):
    # 50 dB under the loudest, a band of -10 dB is as good as none, one of -9 is not.
    known = [[0, -30, 0, 0], [-0.5, quieter_db, 0, 0]]
    given = [[0, quieter_db, -50, 0]]
    assert FramePath(n_bands=2).fit(known, [0, 1]).predict(given) == [chosen]


def test_a_path_goes_on_through_leaps_of_any_loudness():
    known, given = levels(9, 8), levels(4, 8)
    given[:, 6] = [-80, 0, -80, 0]
    model = FramePath(jump_cost=1e6, flux_weight=1, n_bands=6).fit(known, np.arange(9))
    np.testing.assert_array_equal(np.diff(model.predict(given)), 1)


def moving_rows(n_rows, *, seed):
    """Make rows of eight bands whose loudness and flux are all over the place."""
    rng = np.random.default_rng(seed)
    loudness, flux = rng.integers(-9, 1, (n_rows, 1)), rng.uniform(0, 9, (n_rows, 1))
    return np.hstack([levels(n_rows, 8, seed=seed), loudness, flux])


def fit_and_measure(known, given, numbers):
    """Fit a path that minds flux; measure distances, in their mean, and B's flux."""
    model = FramePath(jump_cost=1e6, flux_weight=2, n_bands=8).fit(known, numbers)
    distances = np.sqrt(((given[:, None, :8] - known[:, :8]) ** 2).mean(axis=2))
    heard = given[:, :8] + given[:, [8]]
    spread = (known[:, :8].var(axis=0).mean() * heard.var(axis=0).mean()) ** 0.25
    return model, distances / spread, given[:, 9] / given[:, 9].std()


@pytest.mark.parametrize("seed", range(5))
def test_of_runs_the_one_is_taken_that_moves_as_b_does(seed):
    runs, given = moving_rows(100, seed=seed), moving_rows(5, seed=seed + 10)
    numbers = np.arange(100) + np.arange(100) // 5  # twenty runs of five rows
    model, distances, flux = fit_and_measure(runs, given, numbers)
    at_loudness_of_b = runs[:, :8].reshape(20, 5, 8) + given[:, [8]]
    rises = np.maximum(np.diff(at_loudness_of_b, axis=1), 0).mean(axis=2)
    off = np.abs(rises / given[:, 9].std() - flux[1:]).sum(axis=1)
    in_run = distances[np.tile(np.arange(5), 20), np.arange(100)].reshape(20, 5)
    best = (in_run.sum(axis=1) + 2 * off).argmin()
    np.testing.assert_array_equal(model.predict(given), 6 * best + np.arange(5))


@pytest.mark.parametrize("seed", range(5))
def test_of_jumps_the_one_is_taken_that_moves_as_b_does(seed):
    known, given = moving_rows(50, seed=seed), moving_rows(2, seed=seed + 10)
    numbers = 2 * np.arange(50)  # none goes on
    model, distances, flux = fit_and_measure(known, given, numbers)
    first = distances[0].argmin()
    change = given[1, 8] - given[0, 8]
    rises = np.maximum(known[:, :8] - known[first, :8] + change, 0).mean(axis=1)
    off = np.abs(rises / given[:, 9].std() - flux[1])
    second = (distances[1] + 2 * off).argmin()
    np.testing.assert_array_equal(model.predict(given), [2 * first, 2 * second])


def test_rows_beyond_the_65536th_are_found():
    known = levels(70_000, 2)
    model = FramePath(n_bands=2).fit(known, np.arange(70_000))
    np.testing.assert_array_equal(model.predict(known[[10, 66_000]]), [10, 66_000])
