"""The catalogue of regressors, by name."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin, clone, is_regressor
from sklearn.cross_decomposition import PLSRegression
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import (
    BayesianRidge,
    LassoLars,
    LassoLarsCV,
    LinearRegression,
    RANSACRegressor,
    Ridge,
    SGDRegressor,
)
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers.audio import AudioError
from helpers.estimators import FramePath


class Model(NamedTuple):
    """An entry of the catalogue: how to make it, for which recipe, how it sounds."""

    make: Callable[[int], RegressorMixin]
    recipe: str
    sound: str


CATALOGUE = {
    "nearest_path": Model(
        lambda seed: FramePath(
            jump_cost=5, step_weight=3, loudness_weight=2, pitch_weight=3
        ),
        "frames",
        "stretches of the sound that was learned, cut to the other's gesture",
    ),
    "nearest_neighbours": Model(
        lambda seed: KNeighborsRegressor(1),
        "frames",
        "a mosaic of single moments: closest to B's changes, granular, restless",
    ),
    "ridge": Model(
        lambda seed: make_pipeline(StandardScaler(), Ridge(10.0)),
        "frames",
        "an average of what was learned, tilted by the gesture: smooth, breathy",
    ),
    "pls": Model(
        lambda seed: PLSRegression(8),
        "frames",
        "like ridge, along the few directions that matter: a little bolder",
    ),
    "extra_trees": Model(
        lambda seed: ExtraTreesRegressor(40, min_samples_leaf=2, random_state=seed),
        "frames",
        "averages of look-alike moments: a sound half remembered",
    ),
    "mlp": Model(
        lambda seed: make_pipeline(
            StandardScaler(),
            MLPRegressor(
                hidden_layer_sizes=(64,),
                max_iter=100,
                early_stopping=True,
                random_state=seed,
            ),
        ),
        "frames",
        "a small neural network: an average that evades, like neither of the two",
    ),
    "linear_regression": Model(
        lambda seed: LinearRegression(),
        "bins",
        "a hoarse whisper of the gesture sound: the original discovery",
    ),
    "bayesian_ridge": Model(
        # On one scale, so that its prior does not outweigh a sample of the rows.
        lambda seed: make_pipeline(StandardScaler(), BayesianRidge()),
        "bins",
        "linear regression that holds back where it is unsure: the same whisper",
    ),
    "lasso_lars": Model(
        lambda seed: LassoLars(alpha=0.42, fit_intercept=False, eps=0.2, max_iter=200),
        "bins",
        "linear regression that ignores weak columns: the same whisper",
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
        "turned bins",
        "follows the last thing it saw: the gesture sound, each frame mirrored",
    ),
    "lasso_lars_cv": Model(
        lambda seed: LassoLarsCV(max_iter=20, fit_intercept=False),
        "bins",
        "the same, choosing by trial how many columns to ignore: the same whisper",
    ),
    "ransac": Model(
        lambda seed: RANSACRegressor(
            stop_probability=0.42, max_skips=50, random_state=seed
        ),
        "turned bins",
        "trusts quiet bins, calls the rest outliers: the gesture sound, mirrored",
    ),
    "linear_no_intercept": Model(
        lambda seed: LinearRegression(fit_intercept=False),
        "bins",
        "linear regression without its constant: the same whisper",
    ),
}


def learn(
    model: RegressorMixin, known: ArrayLike, wanted: ArrayLike, *, rows: str
) -> RegressorMixin:
    """Fit a copy of `model`, without the warnings that it may give.

    The catalogue's low limits are meant, and what is no number shows in the end.

    Parameters
    ----------
    model : scikit-learn regressor
        Cloned, never changed.
    known, wanted : array-like of n_rows
        Features and targets.
    rows : str
        What the rows are, for the sentence.

    Raises
    ------
    AudioError
        When the model cannot learn from these rows, such as too few.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return clone(model).fit(known, wanted)
        except (ValueError, StopIteration) as error:
            raise AudioError(
                f"The model cannot learn from the {len(known)} {rows} of sound A "
                f"({reason(error)}): choose a longer A or another model."
            ) from None


def reason(error: Exception) -> str:
    """Tell in one line what a model complained of."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".").replace(". ", ", ")


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
        Not fitted. One that is given gets its columns on one scale first, for many
        models stumble over decibels of different spread; not so a `FramePath`, or a
        pipeline, which has ways of its own.
    recipe : {"bins", "turned bins", "frames"}
        The recipe that suits it; "frames" for a regressor that is given. "turned bins"
        are those of models that mirror each frame: see `helpers.bins.turn_frames`.

    Raises
    ------
    AudioError
        When there is no model of that name, or it is not a regressor.
    """
    if isinstance(model, str) and model in CATALOGUE:
        return CATALOGUE[model].make(seed), CATALOGUE[model].recipe
    if not (isinstance(model, BaseEstimator) and is_regressor(model)):
        names = ", ".join(CATALOGUE)
        raise AudioError(f"There is no model {model!r}: choose one of {names}.")
    if isinstance(model, Pipeline | FramePath):
        return clone(model), "frames"
    return make_pipeline(StandardScaler(), clone(model)), "frames"
