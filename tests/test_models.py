"""The catalogue, and how any regressor learns and answers, or says why it cannot."""

import warnings

import numpy as np
import pytest
from signals import noise, refused
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVR

from helpers import models
from helpers.bins import FEATURES, TARGETS, bin_table
from helpers.path import FramePath

DESCRIBED = 10 * noise(60, 9, seed=1)
MAGNITUDES = np.abs(noise(60, 50, seed=2))  # up to .1


# Their roots have thirty dimensions, so that forty components are enough.
SIMPLE = (np.abs(noise(60, 30)) @ np.abs(noise(30, 50, seed=3))) ** 2


@pytest.mark.parametrize("name", models.CATALOGUE)
def test_every_model_of_the_catalogue_learns_and_answers(name):
    model, recipe = models.find_model(name)
    before = repr(model)
    if recipe == "bins":
        table = bin_table(noise(10, 64))
        fitted = models.fit(model, table[FEATURES], table[TARGETS[0]])
        answer = fitted.predict(table[FEATURES])
    elif isinstance(model, FramePath):
        answer = models.fit(model, DESCRIBED, MAGNITUDES).predict(DESCRIBED)
    else:
        answer = models.fit_magnitudes(model, DESCRIBED, MAGNITUDES).predict(DESCRIBED)
    assert recipe in ("frames", "bins")
    assert np.isfinite(answer).all()
    assert repr(clone(model)) == repr(model) == before


def test_a_regressor_of_ones_own_is_for_frames():
    mine = make_pipeline(StandardScaler(), Ridge(3))
    assert models.find_model(mine) == (mine, "frames")


NO_MODELS = ["", None, 3, [], Ridge, StandardScaler()]
NO_MODELS += [make_pipeline(StandardScaler(), LogisticRegression())]


@pytest.mark.parametrize("wrong", NO_MODELS)
def test_what_is_no_model_is_refused_with_the_names_of_all(wrong):
    with refused(f"^There is no model .*: choose {', '.join(models.CATALOGUE)}"):
        models.find_model(wrong)


def test_of_what_is_nearly_a_model_the_right_name_is_said():
    with refused("^There is no model 'nearest_pth': choose nearest_path"):
        models.find_model("nearest_pth")


class Complains(RegressorMixin, BaseEstimator):
    """A model that warns, and raises or predicts what it is given."""

    def __init__(self, error=None, answer=0.0):
        self.error = error
        self.answer = answer

    def fit(self, X, y):  # noqa: D102, N803
        warnings.warn("I do not like this.", stacklevel=1)
        if self.error:
            raise self.error
        self.n_targets_ = np.shape(y)[1:]
        return self

    def predict(self, X):  # noqa: D102, N803
        return np.full((len(X), *self.n_targets_), self.answer)


def test_a_copy_learns_without_a_warning():
    mine = Complains()
    assert hasattr(models.fit(mine, DESCRIBED, MAGNITUDES), "n_targets_")
    assert not hasattr(mine, "n_targets_")


@pytest.mark.parametrize("error", [ValueError("No. Not\nso."), StopIteration()])
def test_a_model_that_cannot_learn_says_so(error):
    with refused(r"cannot learn from the 60 rows of sound A \((No|Stop)"):
        models.fit(Complains(error), DESCRIBED, MAGNITUDES)


def test_a_model_that_needs_more_rows_says_so():
    with refused(r"cannot learn from the 3 rows .*, or a longer A"):
        models.fit_magnitudes(PLSRegression(8), DESCRIBED[:3], MAGNITUDES[:3])


def test_a_model_that_predicts_nan_says_so():
    fitted = models.fit_magnitudes(Complains(answer=np.nan), DESCRIBED, MAGNITUDES)
    with refused(r"^The model cannot predict sound B \(.*NaN.*\): choose another"):
        models.predict_magnitudes(fitted, DESCRIBED)


def test_a_model_of_one_target_needs_scikit_learns_wrapper():
    with refused("cannot learn .*1d"):
        models.fit_magnitudes(LinearSVR(), DESCRIBED, MAGNITUDES)
    wrapped = MultiOutputRegressor(LinearSVR())
    fitted = models.fit_magnitudes(wrapped, DESCRIBED, MAGNITUDES)
    assert models.predict_magnitudes(fitted, DESCRIBED[:7]).shape == (7, 50)


def test_magnitudes_that_were_learned_come_back():
    fitted = models.fit_magnitudes(KNeighborsRegressor(1), DESCRIBED, SIMPLE)
    # Nothing is lost but what float32 rounds, summed over forty components.
    found = models.predict_magnitudes(fitted, DESCRIBED)
    np.testing.assert_allclose(found, SIMPLE, rtol=0, atol=40 * 2**-23)


def test_no_magnitude_is_under_0_or_over_1():
    model = DummyRegressor(strategy="constant", constant=[-0.1, 0, 1, 1.2])
    model.fit(np.zeros((2, 1)), np.zeros((2, 4)))
    np.testing.assert_array_equal(
        models.predict_magnitudes(model, [[0]]), [[0, 0, 1, 1]]
    )


def test_columns_are_brought_to_one_scale():
    near, far = DESCRIBED, DESCRIBED * ([1] * 8 + [1000])
    one, two = (
        models.fit_magnitudes(Ridge(), x, MAGNITUDES).predict(x) for x in (near, far)
    )
    np.testing.assert_allclose(one, two, atol=1e-5)
