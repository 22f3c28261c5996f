"""The catalogue of regressors, by name, and the estimators that scikit-learn lacks."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sklearn.base import BaseEstimator, RegressorMixin, clone, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import (
    BayesianRidge,
    LassoLars,
    LassoLarsCV,
    LinearRegression,
    RANSACRegressor,
    SGDRegressor,
)

from helpers.audio import AudioError


class Model(NamedTuple):
    """An entry of the catalogue: how to make it, for which recipe, how it sounds."""

    make: Callable[[int], RegressorMixin]
    recipe: str
    sound: str


CATALOGUE = {
    "linear_regression": Model(
        lambda seed: LinearRegression(),
        "bins",
        "B's loudness through a fixed comb: hollow, phasey, the original discovery",
    ),
    "bayesian_ridge": Model(
        lambda seed: BayesianRidge(),
        "bins",
        "linear regression that holds back where it is unsure",
    ),
    "lasso_lars": Model(
        lambda seed: LassoLars(
            alpha=0.42, fit_intercept=False, eps=0.2, max_iter=200
        ),
        "bins",
        "linear regression that ignores weak columns: much the same, a little drier",
    ),
    "passive_aggressive": Model(
        # scikit-learn's own passive-aggressive class became this learning rate.
        lambda seed: SGDRegressor(
            loss="epsilon_insensitive",
            penalty=None,
            learning_rate="pa1",
            eta0=0.42,
            max_iter=580,
            random_state=seed,
        ),
        "bins",
        "overreacts to the last thing it saw: B blurred by clicks and ghosts",
    ),
    "lasso_lars_cv": Model(
        lambda seed: LassoLarsCV(max_iter=20, fit_intercept=False),
        "bins",
        "chooses its own severity by cross-validation",
    ),
    "ransac": Model(
        lambda seed: RANSACRegressor(
            stop_probability=0.42, max_skips=50, random_state=seed
        ),
        "bins",
        "trusts a few quiet moments of A and calls the rest outliers",
    ),
    "linear_no_intercept": Model(
        lambda seed: LinearRegression(fit_intercept=False),
        "bins",
        "linear regression without its constant: no click at each frame's start",
    ),
}


def make_model(
    model: str | RegressorMixin, *, seed: int = 42
) -> tuple[RegressorMixin, str]:
    """Make a regressor from a catalogue name, or copy the one that is given.

    Parameters
    ----------
    model : str or scikit-learn regressor
        A name in `CATALOGUE`, or any regressor, which is cloned and never changed.
    seed : int, default 42
        For the models of the catalogue that draw random numbers.

    Returns
    -------
    regressor : scikit-learn regressor
        Not fitted.
    recipe : {"bins", "frames"}
        The recipe that suits it; "frames" for a regressor that is given.

    Raises
    ------
    AudioError
        When there is no model of that name, or it is not a regressor.
    """
    if isinstance(model, str) and model in CATALOGUE:
        return CATALOGUE[model].make(seed), CATALOGUE[model].recipe
    if isinstance(model, BaseEstimator) and is_regressor(model):
        return clone(model), "frames"
    names = ", ".join(CATALOGUE)
    raise AudioError(f"There is no model {model!r}: choose one of {names}.")


@contextmanager
def quietly() -> Iterator[None]:
    """Fit without the warnings that the catalogue's low iteration limits call for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
